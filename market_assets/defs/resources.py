"""What the assets work with: the store, the sources, the clock. Each can be replaced in `build_definitions`."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from dagster_duckdb import DuckDBResource

from market_assets.sources.base import Source, build_source, source_types
from market_assets.store import Store
from market_assets.universe import home

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from duckdb import DuckDBPyConnection

    from market_assets.universe import Profile, Universe


class Clock(dg.ConfigurableResource[None]):
    """Gives the present instant. A test's clock stands still at `fixed`.

    Attributes:
        fixed: An ISO instant with its zone; empty for the machine's clock.
    """

    fixed: str = ""

    def now(self) -> datetime:
        """The present instant, aware UTC."""
        return datetime.fromisoformat(self.fixed).astimezone(UTC) if self.fixed else datetime.now(UTC)


class StoreResource(DuckDBResource):
    """The DuckDB file of the home folder.

    The assets use `store`. `get_connection` is there for assets of your own: it waits its turn like everybody else, and
    closes the file whatever happens, so keep it short.
    """

    @property
    def home(self) -> Path:
        """The folder that the file lies in."""
        return Path(self.database).parent

    def store(self, clock: Clock, patience: timedelta = timedelta(minutes=10)) -> Store:
        """The store over this file; `patience` is how long it waits for its turn."""
        return Store(self.home, clock=clock.now, patience=patience)

    @contextmanager
    def get_connection(self) -> Iterator[DuckDBPyConnection]:
        """A read-write connection in a transaction of its own."""
        with Store(self.home, clock=Clock().now).writing("an asset of yours") as transaction:
            yield transaction.connection


class Sources:
    """Builds the sources that a profile names. It is no configurable resource, so that secrets are in no run's config.

    Args:
        universe: Whose settings are used.
    """

    def __init__(self, universe: Universe) -> None:
        self._universe = universe

    def build(self, profile: Profile) -> Mapping[str, Source]:
        """The sources of a profile's symbols, by name.

        Raises:
            SourceError: A source type is not installed any more.
        """
        return sources_of(self._universe, profile)


def sources_of(universe: Universe, profile: Profile) -> dict[str, Source]:
    """Build the sources that a profile's symbols name.

    A source with a rate limit shares it with all processes of this home folder, by a file below it.

    Raises:
        SourceError: A source type is not installed any more.
    """
    names = {choice.source for symbol in profile.symbols.values() for choice in symbol.sources}
    sources = {}
    for name in sorted(names):
        settings = universe.sources[name]
        if "limiter_path" in source_types()[str(settings.get("type") or name)].Settings.model_fields:
            settings = {"limiter_path": home() / "limits" / f"{name}.sqlite", **settings}
        sources[name] = build_source(name, settings, base=universe.path.parent, kind=profile.kind.value.lower())
    return sources
