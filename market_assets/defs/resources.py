"""What the assets work with: the store, the sources, the clock.

Each can be replaced in `build_definitions`.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from dagster_duckdb import DuckDBResource

from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    from market_assets.config.sources import action_sources_of, sources_of
    from market_assets.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from duckdb import DuckDBPyConnection

    from market_assets.config.universe import Profile, Universe
    from market_assets.sources.actions import ActionSource
    from market_assets.sources.contract import Source


PATIENCE = timedelta(seconds=10)
"""How long a tick waits for the store.

Another tick comes soon, and Dagster ends a tick that takes a minute.
"""


class Clock(dg.ConfigurableResource[None]):
    """Gives the present instant. A test's clock stands still at `fixed`.

    Attributes:
        fixed: An ISO instant with its zone; empty for the clock of `market.clock`, the
            machine's.
    """

    fixed: str = ""

    def now(self) -> datetime:
        """The present instant, aware UTC."""
        return datetime.fromisoformat(self.fixed).astimezone(UTC) if self.fixed else present()

    def wait(self, duration: timedelta) -> None:
        """Let some time pass; a clock that stands still does not wait."""
        if not self.fixed:
            time.sleep(duration.total_seconds())


class StoreResource(DuckDBResource):
    """The DuckDB file of the home folder.

    The assets use `store`. `get_connection` is there for assets of your own: it waits its turn like
    everybody else, and closes the file whatever happens, so keep it short.
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
    """Builds the sources that a profile names.

    It is no configurable resource, so that no run's config contains secrets.

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

    def build_actions(self, profile: Profile) -> Mapping[str, ActionSource]:
        """The sources of a profile's corporate actions, by name.

        Raises:
            SourceError: A source type is not installed any more.
        """
        return action_sources_of(self._universe, profile)
