"""The universe, the home folder and the store that a command is about."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.markup import escape

from market_assets.cli.console import ERR
from market_assets.errors import MarketAssetsError
from market_assets.home import HOME_VARIABLE, home
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    import polars as pl

    from market_assets.config.load import load_universe
    from market_assets.store.looking import LookingStore
    from market_assets.store.store import Store


if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from market_assets.config.universe import Universe


def universe_here(*, quiet: bool) -> Universe:
    """The universe that is meant, once it and the home folder are named on standard error.

    Args:
        quiet: Name nothing, as where JSON is asked for.
    """
    universe = load_universe()
    if not quiet:
        tell_places(places_of(universe))
    return universe


def tell_places(places: Mapping[str, str]) -> None:
    """Name the home folder and the universe on standard error."""
    words = " ".join(f"{name} {path}" for name, path in places.items())
    ERR.print(f"[dim]{escape(words)}[/]", highlight=False, soft_wrap=True)


def places_of(universe: Universe) -> dict[str, str]:
    """The home folder and the universe's file, as an answer in JSON names them."""
    return {"home": str(home()), "universe": str(universe.path)}


def open_store() -> Store:
    """The store of the home folder, which is made if it is absent; its clock is the machine's."""
    return Store(home(), clock=present)


def has_store() -> bool:
    """Whether the home folder holds a store.

    Raises:
        MarketAssetsError: No home is named, and the folder where the command runs has none.
    """
    folder = home()
    if not os.environ.get(HOME_VARIABLE) and not folder.exists():
        raise MarketAssetsError(
            f"no home folder is named, and there is no {folder.name} in {Path.cwd()}. "
            f"Name yours with --home FOLDER or {HOME_VARIABLE}; "
            "market-assets backfill makes ./data here."
        )
    return (folder / "market.duckdb").exists()


def need_store() -> None:
    """Refuse a command that has nothing to say without a store.

    Raises:
        MarketAssetsError: There is none.
    """
    if not has_store():
        raise MarketAssetsError(f"{home()} holds no store yet: market-assets backfill makes it.")


@contextmanager
def store_to_read() -> Iterator[Store]:
    """The store of the home folder, for a command that only reads.

    Where there is no store, an empty one is read.

    While another program holds the store, its last copy is read, and it is said as of when.

    Raises:
        MarketAssetsError: No home is named, and the folder where the command runs has none.
    """

    def tell(words: str) -> None:
        ERR.print(f"[yellow]{escape(words)}[/]", highlight=False, soft_wrap=True)

    if has_store():
        yield LookingStore(home(), clock=present, tell=tell)
        return
    tell(f"{home()} holds no store yet: market-assets backfill makes it.")
    # Who counts what must exist writes it down: elsewhere, so that no home is made by looking.
    with TemporaryDirectory() as folder:
        yield LookingStore(Path(folder), clock=present, tell=tell)


def orphans_in(holdings: pl.DataFrame, universe: Universe) -> list[tuple[str, int]]:
    """The schemas of a store that no profile of the universe has, each with its number of candles.

    Args:
        holdings: What `Catalog.holdings` gives.
        universe: What is to be kept.
    """
    kept = [*universe.profiles, universe.markets.name]
    candles = pl.col("rows").filter(pl.col("asset").str.starts_with("candles_")).sum()
    orphans = (
        holdings.filter(~pl.col("schema").is_in(kept))
        .group_by("schema", maintain_order=True)
        .agg(candles)
    )
    return list(orphans.iter_rows())
