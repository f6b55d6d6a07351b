"""Rolls shorter candles up into longer ones. Pure."""

from __future__ import annotations

import polars as pl

from market_assets.enrich.quiet import is_quiet
from market_assets.market.columns import PRICES, extras_in, only_possible, rolled

NO_CLOSES = pl.DataFrame(schema={"symbol": pl.String, "close": pl.Float64})
"""The frame that has no close of any symbol."""


def resample(
    candles: pl.DataFrame,
    bars: pl.DataFrame,
    *,
    quiet_bars_are_flat: bool,
    before: pl.DataFrame = NO_CLOSES,
) -> pl.DataFrame:
    """Roll candles up into the bars that they lie in.

    A bar holds what there is: an hour that the close cuts is made of the minutes before the close,
    and a bar over a gap of the minutes that are stored. Where the market's volume is real, a
    vendor's quiet bars (see `is_quiet`) take no part, since they only repeat the last price; a bar
    of nothing else is then flat itself.

    Args:
        candles: symbol, ts, open, high, low, close, volume, any extra columns; in any order.
        bars: ts, opens_at, closes_at of the longer bars; sorted, disjoint.
        quiet_bars_are_flat: Whether the volume counts what was traded, so that a candle can be
            quiet.
        before: symbol, close: the last close before the candles, where one is known.

    Returns:
        symbol, ts, open, high, low, close, volume, bars (how many candles each is made of), sorted
        by symbol and ts; a bar without any
        candle has no row. The volume is null where no candle of the bar has one. Then the extra
            columns: see `columns.rolled`.
    """
    first = pl.col("symbol").replace_strict(
        before["symbol"], before["close"], default=None, return_dtype=pl.Float64
    )
    previous = pl.col("close").shift().over("symbol", order_by="ts").fill_null(first)
    placed = (
        candles.sort("ts")
        .with_columns(traded=~is_quiet(previous) if quiet_bars_are_flat else pl.lit(value=True))
        .join_asof(
            bars.select("opens_at", "closes_at", bar="ts").sort("opens_at"),
            left_on="ts",
            right_on="opens_at",
            coalesce=False,
        )
        .filter(pl.col("ts") < pl.col("closes_at"))
    )
    has_trade = pl.col("traded").any()
    last = pl.col("close").last()
    made = placed.group_by("symbol", "bar").agg(
        open=pl.when(has_trade).then(pl.col("open").filter("traded").first()).otherwise(last),
        high=pl.when(has_trade).then(pl.col("high").filter("traded").max()).otherwise(last),
        low=pl.when(has_trade).then(pl.col("low").filter("traded").min()).otherwise(last),
        close=pl.when(has_trade).then(pl.col("close").filter("traded").last()).otherwise(last),
        volume=pl.when(pl.col("volume").is_not_null().any()).then(pl.col("volume").sum()),
        bars=pl.len().cast(pl.Int32),
        **rolled(extras_in(candles.columns)),
    )
    made = only_possible(made).rename({"bar": "ts"})
    extras = extras_in(made.columns)
    return made.select("symbol", "ts", *PRICES, "volume", "bars", *extras).sort("symbol", "ts")
