"""Moves over night that are as likely an unreported split. Pure."""

from __future__ import annotations

from math import log

import polars as pl

from market_assets.market.timeframes import TS
from market_assets.verdicts.evidence import State

JUMP = log(1.45)
"""A move over night that is looked at: to 1.45 times the close, or to 69 % of it.

Without an action it is as likely a split that nobody has reported. Three shares for two move a
price to 67 %, and the night itself adds some.
"""

NO_JUMPS = pl.DataFrame(
    schema={
        "symbol": pl.String,
        "ts": TS,
        "session": pl.Date,
        "close_before": pl.Float64,
        "open": pl.Float64,
    }
)


def overnight_jumps(bars: pl.DataFrame) -> pl.DataFrame:
    """The first bars of sessions that open far from the last close.

    Args:
        bars: symbol, ts, session, open, close, state; sorted by symbol and ts, prices on one
            footing.

    Returns:
        A frame like NO_JUMPS.
    """
    stored = bars.filter(pl.col("state") == State.STORED)
    before = pl.col("close").shift().over("symbol")
    another = pl.col("session") != pl.col("session").shift().over("symbol")
    moved = (pl.col("open") / pl.col("close_before")).log().abs()
    return (
        stored.with_columns(close_before=before)
        .filter(another, pl.col("close_before") > 0, pl.col("open") > 0, moved > JUMP)
        .select(NO_JUMPS.columns)
    )
