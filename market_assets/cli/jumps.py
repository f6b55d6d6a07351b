"""Nights that look like an unreported split, as commands name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from market_assets.cli.console import ERR
from market_assets.cli.places import has_store, store_to_read
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    import polars as pl

    from market_assets.enrich.jumps import jumps_of


if TYPE_CHECKING:
    from collections.abc import Iterable

    from market_assets.config.universe import Profile


def jumps_now(profiles: Iterable[Profile]) -> list[dict[str, Any]]:
    """The nights that look like a split that no source has reported.

    Returns:
        Rows of profile, symbol, session, close_before and open.
    """
    if not has_store():
        return []
    rows: list[dict[str, Any]] = []
    with (
        store_to_read() as store,
        store.reading("looking for splits that nobody has told of") as view,
    ):
        for profile in profiles:
            jumps = jumps_of(view, profile, present()).sort(
                "session", "symbol", descending=[True, False]
            )
            rows += jumps.select(
                pl.lit(profile.name).alias("profile"),
                "symbol",
                pl.col("session").cast(pl.String),
                "close_before",
                "open",
            ).to_dicts()
    return rows


def print_jumps(rows: list[dict[str, Any]], *, limit: int = 5) -> None:
    """Name the nights that look like an unreported split, the newest first."""
    for row in rows[:limit]:
        ERR.print(
            f"[yellow]A split may be missing[/]: {escape(row['profile'])} {escape(row['symbol'])} "
            f"opened on {row['session']} at "
            f"{row['open']:g} after a close of {row['close_before']:g}, "
            "and no action is recorded: returns and features reach over it. "
            "Record it under [bold]actions[/], or write [bold]basis: "
            "raw[/] in returns and features if such moves are real.",
            highlight=False,
            soft_wrap=True,
        )
    if len(rows) > limit:
        ERR.print(f"{len(rows) - limit:,} more nights look like a split that is missing.")
