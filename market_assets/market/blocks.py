"""Bars as bits: many of a series in one number, so that they are counted without looking at each.

A block is an hour of bars below a day, a bit a minute, since bars open on whole minutes; of longer
bars it is a day, with one bit. A bar that is there twice is one bit, and one that opens at another
time than the calendar's is another bit than the calendar's.
"""

from __future__ import annotations

import polars as pl

from market_assets.imports import late_imports
from market_assets.market.timeframes import TS, Timeframe

with late_imports():
    import numpy as np

BLOCK_SCHEMA = pl.Schema({"block": pl.Int64(), "bits": pl.UInt64()})
"""A block: how many of its length lie between 1970 and its start, and its bars."""

_ALL = 2**64 - 1


def block_length(timeframe: Timeframe) -> int:
    """The length of a block of bars of a timeframe, in microseconds."""
    longer = Timeframe.H1 if timeframe.intraday else Timeframe.D1
    return longer.micros


def slot_length(timeframe: Timeframe) -> int:
    """What one bit of a block stands for, in microseconds."""
    shorter = Timeframe.M1 if timeframe.intraday else Timeframe.D1
    return shorter.micros


def blocks_of(opens: pl.Series, timeframe: Timeframe) -> pl.DataFrame:
    """The blocks of some bars.

    Args:
        opens: Their `ts` (TS).
        timeframe: How long they are.

    Returns:
        A frame of BLOCK_SCHEMA, sorted; without a bar that opens at no slot.
    """
    length, slot = block_length(timeframe), slot_length(timeframe)
    stamps = np.sort(opens.to_physical().to_numpy())
    stamps = stamps[stamps % slot == 0]
    blocks = stamps // length
    bits = np.uint64(1) << (stamps % length // slot).astype(np.uint64)

    changes = np.flatnonzero(np.diff(blocks)) + 1
    borders = np.concatenate([np.zeros(min(1, len(blocks)), np.int64), changes])
    united = np.bitwise_or.reduceat(bits, borders) if len(borders) else bits
    return pl.DataFrame({"block": blocks[borders], "bits": united}, schema=BLOCK_SCHEMA)


def since(opens: pl.Series, timeframe: Timeframe) -> pl.DataFrame:
    """The block of each of some opens, and its bits from that bar on (BLOCK_SCHEMA)."""
    blocks, slots = _places(opens, timeframe)
    bits = (np.uint64(_ALL) << slots) & np.uint64(_whole(timeframe))
    return pl.DataFrame({"block": blocks, "bits": bits}, schema=BLOCK_SCHEMA)


def until(opens: pl.Series, timeframe: Timeframe) -> pl.DataFrame:
    """The block of each of some opens, and its bits up to and with that bar (BLOCK_SCHEMA)."""
    blocks, slots = _places(opens, timeframe)
    return pl.DataFrame(
        {"block": blocks, "bits": np.uint64(_ALL) >> 63 - slots}, schema=BLOCK_SCHEMA
    )


def stretch_blocks(first: pl.Series, last: pl.Series, timeframe: Timeframe) -> pl.DataFrame:
    """The blocks that some stretches touch, each with all of its bits that lie inside.

    Args:
        first: The open of the first bar of each stretch (TS).
        last: That of its last bar.
        timeframe: How long the bars are.

    Returns:
        stretch (the number of its row) and the columns of BLOCK_SCHEMA.
    """
    starts, ends = since(first, timeframe), until(last, timeframe)
    is_first, is_last = pl.col("block") == pl.col("begin"), pl.col("block") + 1 == pl.col("after")
    whole = pl.lit(_whole(timeframe), pl.UInt64)
    return (
        starts.select("block", after=ends["block"] + 1, begin="block", start="bits")
        .with_columns(ends["bits"].alias("end"), stretch=pl.int_range(pl.len()))
        .with_columns(block=pl.int_ranges("begin", "after"))
        .explode("block", empty_as_null=False)
        .with_columns(
            start=pl.when(is_first).then("start").otherwise(whole),
            end=pl.when(is_last).then("end").otherwise(whole),
        )
        .select("stretch", "block", bits=pl.col("start") & pl.col("end"))
    )


def first_open(timeframe: Timeframe) -> pl.Expr:
    """The open of the first bar in `block` and `bits` (TS), which are not empty."""
    return _open_at(timeframe, pl.col("bits").bitwise_trailing_zeros().cast(pl.Int64))


def last_open(timeframe: Timeframe) -> pl.Expr:
    """The open of the last bar in `block` and `bits` (TS), which are not empty."""
    return _open_at(timeframe, 63 - pl.col("bits").bitwise_leading_zeros().cast(pl.Int64))


def _whole(timeframe: Timeframe) -> int:
    """All bits of a block."""
    return (1 << block_length(timeframe) // slot_length(timeframe)) - 1


def _places(opens: pl.Series, timeframe: Timeframe) -> tuple[np.ndarray, np.ndarray]:
    """The block of each open, and its slot (uint64)."""
    length, slot = block_length(timeframe), slot_length(timeframe)
    stamps = opens.to_physical().to_numpy()
    return stamps // length, (stamps % length // slot).astype(np.uint64)


def _open_at(timeframe: Timeframe, slot: pl.Expr) -> pl.Expr:
    start = pl.col("block") * block_length(timeframe)
    return (start + slot * slot_length(timeframe)).cast(TS)
