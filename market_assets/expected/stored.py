"""How many of the bars that must exist are stored, by partition: counted in the candles' table.

Bars are compared as bits with those of the calendar. A row that is there twice is one bar, and one
that the calendar does not have is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.called import grid_of
from market_assets.market.blocks import (
    BLOCK_SCHEMA,
    block_length,
    first_open,
    last_open,
    stretch_blocks,
)
from market_assets.market.timeframes import TS, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_assets.expected.called import Called
    from market_assets.expected.scope import Scope
    from market_assets.market.datasets import Dataset
    from market_assets.store import Snapshot

_KEY = ["symbol", "part"]
_AT_ONCE = 25_000_000
"""How many rows are counted at once: some 100 MB."""

STORED_PARTS = pl.Schema(
    {
        "symbol": pl.String(),
        "part": pl.Date(),
        "stored": pl.Int64(),
        "doubled": pl.Int64(),
        "denied": pl.Int64(),
        "first_ts": TS,
        "last_ts": TS,
    }
)
"""What is stored of a series in a partition.

`doubled`: rows beyond one a bar; `denied`: bars that the ledger says are absent; `first_ts` and
`last_ts`: the opens of the first and the last of the bars, null without one.
"""

_ABSENT_SCHEMA = pl.Schema({"symbol": pl.String(), **BLOCK_SCHEMA})


def stored_in(view: Snapshot, called: Called, absent: pl.DataFrame) -> pl.DataFrame:
    """What is stored of the bars that each series must have.

    Args:
        view: The store.
        called: The bars.
        absent: symbol, first_ts, last_ts: stretches that are absent as far as the ledger knows.

    Returns:
        A frame of STORED_PARTS, with a row where any bar or row is.
    """
    denials = _blocks_of_stretches(absent, called)
    counted = [STORED_PARTS.to_frame()]
    for piece in _pieces(view, called.dataset, called.hull):
        blocks = view.blocks.of(called.dataset, piece)
        counted.append(_counted(blocks, called, denials))
    totals = (
        pl.sum("stored", "doubled", "denied"),
        pl.min("first_ts"),
        pl.max("last_ts"),
    )
    return pl.concat(counted).group_by(_KEY).agg(totals)


def bars_in(view: Snapshot, scope: Scope, window: Window) -> pl.DataFrame:
    """The stored bars of each symbol in each partition, whichever its series must have.

    Args:
        view: The store.
        scope: Whose candles, and by which calendar.
        window: Whole partitions.

    Returns:
        symbol, part, bars (at any time), on_calendar (those of them that the calendar has),
        calendar (all bars that it has there); without a row where nothing is stored.
    """
    grid = grid_of(scope, window).rename({"bits": "calendar"})
    start = (pl.col("block") * block_length(scope.timeframe)).cast(TS)
    counted = [
        view.blocks.of(scope.dataset, piece)
        .join(grid.select("block", "calendar"), on="block", how="left")
        .with_columns(
            bars=_bits_in(pl.col("bits")),
            on_calendar=_bits_in(pl.col("bits") & pl.col("calendar").fill_null(0)),
            ts=start,
        )
        .group_by("symbol", scope.part())
        .agg(pl.sum("bars", "on_calendar"))
        for piece in _pieces(view, scope.dataset, window)
    ]
    calendar = grid.group_by("part").agg(_bits_in(pl.col("calendar")).sum())
    totals = pl.concat(counted).group_by(_KEY).agg(pl.sum("bars", "on_calendar"))
    return totals.join(calendar, on="part", how="left").with_columns(
        pl.col("calendar").fill_null(0)
    )


def _counted(blocks: pl.DataFrame, called: Called, denials: pl.DataFrame) -> pl.DataFrame:
    """Blocks of stored bars as STORED_PARTS, with a row or more for each partition."""
    timeframe = called.timeframe
    inside = (
        blocks.join(called.grid.rename({"bits": "calendar"}), on="block")
        .join(called.edges, on="symbol")
        .filter(pl.col("block").is_between("first_block", "last_block"))
    )
    doubled = pl.col("rows") - pl.col("bits").bitwise_count_ones()
    since = pl.when(pl.col("block") == pl.col("first_block")).then("since").otherwise("calendar")
    until = pl.when(pl.col("block") == pl.col("last_block")).then("until").otherwise("calendar")
    inside = inside.with_columns(
        doubled=doubled.cast(pl.Int64), bits=pl.col("bits") & pl.col("calendar") & since & until
    )
    if denials.is_empty():
        inside = inside.with_columns(denied=pl.lit(0, pl.Int64))
    else:
        inside = inside.join(
            denials.rename({"bits": "absent"}), on=["symbol", "block"], how="left"
        ).with_columns(denied=_bits_in(pl.col("bits") & pl.col("absent").fill_null(0)))

    has_bars = pl.col("bits") != 0
    return (
        inside.with_columns(
            first_ts=pl.when(has_bars).then(first_open(timeframe)),
            last_ts=pl.when(has_bars).then(last_open(timeframe)),
            stored=_bits_in(pl.col("bits")),
        )
        .group_by(_KEY)
        .agg(
            pl.sum("stored", "doubled", "denied"),
            pl.min("first_ts"),
            pl.max("last_ts"),
        )
        .select(STORED_PARTS.names())
    )


def _bits_in(blocks: pl.Expr) -> pl.Expr:
    return blocks.bitwise_count_ones().cast(pl.Int64)


def _blocks_of_stretches(absent: pl.DataFrame, called: Called) -> pl.DataFrame:
    """Stretches as blocks: symbol, block, bits."""
    if absent.is_empty():
        return _ABSENT_SCHEMA.to_frame()
    blocks = stretch_blocks(absent["first_ts"], absent["last_ts"], called.timeframe)
    symbols = absent["symbol"].gather(blocks["stretch"])
    return (
        blocks.with_columns(symbols)
        .group_by("symbol", "block")
        .agg(pl.col("bits").bitwise_or())
        .match_to_schema(_ABSENT_SCHEMA)
    )


def _pieces(view: Snapshot, dataset: Dataset, window: Window | None) -> Iterator[Window]:
    """A window in pieces of _AT_ONCE rows or so, which no block reaches across."""
    if window is None:
        return
    start, end = window.micros
    length = block_length(dataset.timeframe)
    start -= start % length
    number = 1 + view.blocks.rows(dataset) // _AT_ONCE
    step = -(-(end - start) // (number * length)) * length
    for at in range(start, end, step):
        yield Window.of_micros(at, min(at + step, end))
