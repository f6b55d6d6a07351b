"""Longer candles out of shorter ones. Pure."""

from __future__ import annotations

import polars as pl

_PRICES = ("open", "high", "low", "close")


def resample(candles: pl.DataFrame, bars: pl.DataFrame, *, quiet_bars_are_flat: bool) -> pl.DataFrame:
    """Roll candles up into the bars that they lie in.

    A bar holds what there is: an hour that the close cuts is made of the minutes before the close, and a bar over a gap of the
    minutes that are stored. Where the market's volume is real, a vendor's flat bars for minutes without a trade
    (volume 0) take no part, since they only repeat the last price; a bar without any trade is then flat itself.

    Args:
        candles: symbol, ts, open, high, low, close, volume; in any order.
        bars: ts, opens_at, closes_at of the longer bars; sorted, disjoint.
        quiet_bars_are_flat: Whether a candle without volume means that nothing traded.

    Returns:
        symbol, ts, open, high, low, close, volume, bars (how many candles each is made of), sorted by symbol and ts; a bar without any
        candle has no row. The volume is null where no candle of the bar has one.
    """
    placed = (
        candles.sort("ts")
        .join_asof(
            bars.select("opens_at", "closes_at", bar="ts").sort("opens_at"),
            left_on="ts",
            right_on="opens_at",
            coalesce=False,
        )
        .filter(pl.col("ts") < pl.col("closes_at"))
    )
    traded = pl.col("volume").is_null() | (pl.col("volume") > 0) if quiet_bars_are_flat else pl.lit(value=True)
    some = pl.col("traded").any()
    last = pl.col("close").last()
    rolled = (
        placed.with_columns(traded=traded)
        .group_by("symbol", "bar")
        .agg(
            open=pl.when(some).then(pl.col("open").filter("traded").first()).otherwise(last),
            high=pl.when(some).then(pl.col("high").filter("traded").max()).otherwise(last),
            low=pl.when(some).then(pl.col("low").filter("traded").min()).otherwise(last),
            close=pl.when(some).then(pl.col("close").filter("traded").last()).otherwise(last),
            volume=pl.when(pl.col("volume").is_not_null().any()).then(pl.col("volume").sum()),
            bars=pl.len().cast(pl.Int32),
        )
    )
    return rolled.select("symbol", "volume", "bars", *_PRICES, ts="bar").select(
        "symbol", "ts", *_PRICES, "volume", "bars"
    ).sort("symbol", "ts")  # fmt: skip
