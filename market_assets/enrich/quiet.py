"""What a quiet bar is: one without a trade, which only repeats the last price. Pure."""

from __future__ import annotations

import polars as pl

FLAT_AND_EMPTY = (
    (pl.col("volume") == 0)
    & (pl.col("open") == pl.col("close"))
    & (pl.col("high") == pl.col("low"))
    & (pl.col("open") == pl.col("high"))
).fill_null(value=False)
"""Whether a candle may be quiet: it has neither volume nor range."""


def is_quiet(previous: pl.Expr) -> pl.Expr:
    """Whether a candle did not move: without volume, and flat at the previous close.

    An index has no volume and moves, and so may a candle whose venue lost its volume. Where no
    previous close is known, a candle without volume and range counts as quiet.

    Args:
        previous: The close of the symbol's candle before, null where there is none.
    """
    return FLAT_AND_EMPTY & (pl.col("close") == previous).fill_null(value=True)
