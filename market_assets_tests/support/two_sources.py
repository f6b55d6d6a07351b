"""Candles of two sources, and what comparing them says."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from market_assets.market.timeframes import TS, Timeframe
from market_assets.verdicts.comparison import Comparison, compare

DAY = datetime(2025, 3, 3)  # noqa: DTZ001 - as in a column of the store


def moved(rows: pl.DataFrame, by: str) -> pl.DataFrame:
    return rows.with_columns(pl.col("ts").dt.offset_by(by))


def by_day(rows: pl.DataFrame) -> dict[object, pl.DataFrame]:
    return rows.with_columns(day=pl.col("ts").dt.date()).partition_by(
        "day", as_dict=True, include_key=False
    )


def told(ours: pl.DataFrame, theirs: pl.DataFrame, **tolerances: float | None) -> Comparison:
    return compare(ours, theirs, Timeframe.M1, **({"close": 0.001, "volume": None} | tolerances))


def walk(
    bars: int = 1440, seed: int = 0, *, still: float = 0.0, step: float = 1e-4
) -> pl.DataFrame:
    """Minutes of a price that walks at random, and stands still in a share of them."""
    random = np.random.default_rng(seed)
    moves = random.normal(0, step, bars) * (random.random(bars) >= still)
    ts = pl.Series([DAY + timedelta(minutes=number) for number in range(bars)], dtype=TS)
    return pl.DataFrame(
        {
            "ts": ts,
            "close": 100 * np.exp(np.cumsum(moves)),
            "volume": random.integers(1, 99, bars) * 1.0,
        }
    )
