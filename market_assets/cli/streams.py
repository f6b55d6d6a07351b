"""How streams are, as commands name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from market_assets.cli.console import OUT, harmless
from market_assets.cli.places import has_store, store_to_read
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    from market_assets.reports.streams import (
        judged_streams,
        standing_words,
        stream_columns,
        stream_standings,
    )

if TYPE_CHECKING:
    import polars as pl

    from market_assets.config.universe import Profile


def print_streams(profiles: list[Profile]) -> None:
    """Say how the streams of some profiles are; nothing where none was used lately."""
    if not has_store():
        return
    now = present()
    with store_to_read() as store, store.reading("looking at streams") as view:
        standings = stream_standings(view, profiles, now)
    for standing in standings:
        dataset = standing.dataset
        style = "" if standing.is_well else "yellow"
        words = harmless(standing_words(standing, now))
        OUT.print(Text(f"stream {dataset.owner} {dataset.label}: {words}", style=style))


def with_streams(matrix: pl.DataFrame, profiles: list[Profile]) -> pl.DataFrame:
    """A completeness matrix with how the stream of each series is, where one was used lately."""
    if not has_store():
        return matrix
    with store_to_read() as store, store.reading("looking at streams") as view:
        rows = judged_streams(view.streams.all(), profiles, present())
    return stream_columns(rows, matrix)
