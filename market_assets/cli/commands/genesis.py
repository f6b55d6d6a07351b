"""Shows where each series begins."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from market_assets.cli.completion import offer_symbol_list
from market_assets.cli.console import OUT, print_json
from market_assets.cli.options import AsJson, ProfileNames, Wide, profiles_of, symbols_of
from market_assets.cli.places import open_store, store_to_read, universe_here
from market_assets.cli.tables import Column, minute, print_table
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    import polars as pl

    from market_assets.expected.counts import count_profile


def genesis(
    profiles: ProfileNames = None,
    reset: Annotated[
        str | None,
        typer.Option(
            metavar="SYMBOLS",
            help="Forget those of these symbols, separated by commas, "
            "so that they are looked for again.",
            autocompletion=offer_symbol_list,
        ),
    ] = None,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """List where series begin that begin later than the universe says, or forget it."""
    named = profiles_of(universe_here(quiet=as_json), profiles)
    names = symbols_of(named, reset)
    chosen = [profile for profile in named if not names or set(names) & set(profile.symbols)]
    with store_to_read() as store, store.reading("listing where series begin") as view:
        starts = view.genesis.all().filter(
            pl.col("profile").is_in([profile.name for profile in chosen])
        )
    if names:
        starts = starts.filter(pl.col("symbol").is_in(names))
    if names and not starts.is_empty():
        store = open_store()
        with store.writing(f"forgetting where {', '.join(names)} begins") as transaction:
            for profile in chosen:
                transaction.genesis.forget(profile.name, names)
        for profile in chosen:
            count_profile(store, profile, present())
    if as_json:
        print_json(starts)
        return
    _print_genesis(starts, wide=wide)
    if names and not starts.is_empty():
        again = (
            f"{' '.join(starts['profile'].unique().sort())} --symbols "
            f"{','.join(starts['symbol'].unique().sort())}"
        )
        OUT.print(
            "Forgotten: what is older than the oldest stored bar is expected again. "
            f"To look for it: [bold]market-assets backfill {escape(again)}[/]"
        )


def _print_genesis(starts: pl.DataFrame, *, wide: bool) -> None:
    if starts.is_empty():
        OUT.print("No first bar is recorded.")
        return
    columns = [
        Column(name)
        for name in ("profile", "symbol", "timeframe", "first bar", "named by", "found")
    ]
    rows = [
        [
            row["profile"],
            row["symbol"],
            row["timeframe"],
            minute(row["ts"]),
            row["source"],
            minute(row["found_at"]),
        ]
        for row in starts.iter_rows(named=True)
    ]
    print_table(columns, rows, wide=wide)
