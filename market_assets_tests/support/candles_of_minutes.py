"""Candles and sessions, to be rolled up."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from market_assets.enrich.resample import resample
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import TS, Timeframe, Window

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone

SCHEMA = {
    "symbol": pl.String,
    "ts": TS,
    **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64),
}


def minutes(
    *rows: tuple[str, float | tuple[float, ...], float | None], symbol: str = "BTC"
) -> pl.DataFrame:
    """Candles of some times: a price, or open, high, low and close; and the volume."""
    table = [
        (symbol, at(ts), *(prices if isinstance(prices, tuple) else (prices,) * 4), volume)
        for ts, prices, volume in rows
    ]
    return pl.DataFrame(table, schema=SCHEMA, orient="row")


def rolled(
    candles: pl.DataFrame,
    timeframe: Timeframe,
    first: date,
    after: date,
    calendar: str = "24/7",
    *,
    flat: bool = True,
) -> pl.DataFrame:
    bars = load_calendar(calendar).bars_touching(timeframe, Window.of_days(first, after))
    return resample(candles, bars, quiet_bars_are_flat=flat)
