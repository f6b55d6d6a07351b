"""An ordinary market, and bars of it that are changed."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta

import polars as pl

from market_assets.market.timeframes import TS

FIRST = datetime.fromisoformat("2024-01-01 00:00")
MINUTES = 20 * 1440


def market(count: int = MINUTES, *, seed: int = 7, flat: float = 0.0) -> pl.DataFrame:
    """Minutes of a market that never closes: a walk of 0.05 % per minute.

    A share of the bars may stand still.
    """
    numbers = random.Random(seed)  # noqa: S311 - a market, no secret
    rows, close = [], 100.0
    for at in range(count):
        before = close
        if numbers.random() >= flat:
            close = before * math.exp(numbers.gauss(0, 0.0005))
            high, low = max(before, close) * 1.0002, min(before, close) * 0.9998
        else:
            high = low = close
        # More is traded at noon than at midnight.
        volume = (10 + 9 * math.sin(2 * math.pi * at / 1440)) * numbers.uniform(0.5, 1.5)
        rows.append((FIRST + timedelta(minutes=at), before, high, low, close, volume))
    names = ["ts", "open", "high", "low", "close", "volume"]
    frame = pl.DataFrame(
        rows, schema=dict(zip(names, [TS, *[pl.Float64] * 5], strict=True)), orient="row"
    )
    return frame.with_columns(
        symbol=pl.lit("A"), session=pl.col("ts").dt.date(), opens=pl.col("ts").dt.truncate("1d")
    )


def changed(frame: pl.DataFrame, first: int, count: int, **columns: pl.Expr) -> pl.DataFrame:
    inside = pl.int_range(pl.len()).is_between(first, first + count - 1)
    return frame.with_columns(
        pl.when(inside).then(value).otherwise(name).alias(name) for name, value in columns.items()
    )
