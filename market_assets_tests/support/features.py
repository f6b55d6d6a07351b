"""Candles, and the features that are made of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from market_assets.config.research import FeatureSettings
from market_assets.enrich.features.compute import compute, features_of
from market_assets.market.timeframes import Timeframe

if TYPE_CHECKING:
    from collections.abc import Sequence


M1, H1, D1 = Timeframe.M1, Timeframe.H1, Timeframe.D1
ALL = features_of(FeatureSettings(), M1)

SHORT = features_of(
    FeatureSettings.model_validate(
        {
            "simple_return": [1, 5],
            "log_return": [3],
            "volatility": [5, 30],
            "parkinson": [7],
            "garman_klass": [6],
            "atr": [3],
            "rsi": [2, 3],
            "macd": [[2, 5, 3]],
            "bb": [[8, 2.5]],
            "sma": [4, 50],
            "ema": [3, 9],
            "adx": [3],
            "obv": [6],
            "mfi": [4],
            "zscore": [2, 12],
            "volume_ratio": [5],
            "drawdown": [9],
        }
    ),
    M1,
)


def candles(
    close: Sequence[float] | np.ndarray,
    *,
    volume: Sequence[float | None] | np.ndarray | float | None = 1.0,
    spread: float = 0.0,
    **columns: object,
) -> pl.DataFrame:
    """Minutes of one symbol that never closes; `columns` take the place of those that are made."""
    close = np.asarray(close, float)
    before = np.concatenate((close[:1], close[:-1]))
    first = datetime.fromisoformat("2025-03-03")
    ts = pl.datetime_range(first, first + timedelta(minutes=len(close) - 1), "1m", eager=True)
    frame = pl.DataFrame({"ts": ts, "close": close, "open": before})
    return frame.select(
        pl.lit("BTC").alias("symbol"),
        "ts",
        opens_at="ts",
        closes_at=pl.col("ts") + pl.duration(minutes=1),
        session=pl.col("ts").dt.date(),
        open="open",
        high=pl.max_horizontal("open", "close") + spread,
        low=pl.min_horizontal("open", "close") - spread,
        close="close",
        volume=pl.lit(volume, pl.Float64)
        if volume is None or isinstance(volume, float)
        else pl.Series(volume, dtype=pl.Float64),
        run=pl.lit(0),
    ).with_columns(**columns)


def column(bars: pl.DataFrame, name: str) -> list[float | None]:
    return compute(bars, tuple(one for one in (*ALL, *SHORT) if one.name == name)[:1])[
        name
    ].to_list()
