"""Returns of many symbols on one grid. Pure.

A return is 0.0 where there is none, and a mask says why.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import TS
from market_assets.verdicts.evidence import State

if TYPE_CHECKING:
    from collections.abc import Sequence


class Neutral(StrEnum):
    """Why a return is neutral: 0.0, although it was not measured that nothing moved."""

    CLOSED_MARKET = "closed_market"
    NO_TRADE = "no_trade"
    HALTED = "halted"
    OUTAGE = "outage"
    OPEN_GAP = "open_gap"
    BEFORE_GENESIS = "before_genesis"
    AFTER_END = "after_end"
    NO_PREVIOUS = "no_previous"
    UNDEFINED = "undefined"
    UNADJUSTED = "unadjusted"


STRUCTURAL = (Neutral.CLOSED_MARKET, Neutral.BEFORE_GENESIS, Neutral.AFTER_END, Neutral.NO_PREVIOUS)
"""Reasons of the matrix and not of the data.

No bar is called for there, or there is none before it, as at a symbol's first one.
"""

_REASONS = {
    State.OPEN: Neutral.OPEN_GAP,
    State.ABANDONED: Neutral.OPEN_GAP,
    State.NO_TRADE: Neutral.NO_TRADE,
    State.HALTED: Neutral.HALTED,
    State.OUTAGE: Neutral.OUTAGE,
    State.CLOSED: Neutral.CLOSED_MARKET,
}

RETURNS_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "ts": TS,
        "simple_return": pl.Float64(),
        "log_return": pl.Float64(),
        "bars": pl.Int32(),
        "neutral": pl.String(),
    }
)
"""The long form of a matrix and its mask.

`simple_return` is close / previous close - 1, `log_return` its logarithm; both are 0.0 where
`neutral` names a reason (`Neutral`) and are measured where it is null. `bars` is how many bars of
the symbol's own calendar a return spans: 1, or more where bars before it are absent; 0 where it is
neutral.
"""


def align(bars: pl.DataFrame, grid: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """Put the returns of some symbols on one grid.

    A return is measured from the last stored close at an earlier time of the grid, so that what
    happened while a symbol was silent is in its first return afterwards, and the product of the
    returns is the way of the price. Nothing later than a row's own bar takes part in it.

    Args:
        bars: symbol, ts, close (null where nothing is stored), state (a `State`): every bar that
            the symbols must have around the grid; severed (Boolean) where nothing can be measured
            over the night before a bar.
        grid: ts (TS, unique): the times of the matrix; since (TS): how old the close may be that
            its return is measured from.
        series: symbol, start, end (TS): from when on and until when each is kept; one row per
            symbol.

    Returns:
        A frame of RETURNS_SCHEMA, one row for each time of the grid and symbol, sorted by symbol
        and ts.
    """
    severed = pl.col("severed") if "severed" in bars.columns else pl.lit(value=False)
    own_bars = bars.sort("symbol", "ts").select(
        "symbol",
        "ts",
        "close",
        "state",
        place=pl.int_range(pl.len(), dtype=pl.Int32).over("symbol"),
        piece=severed.cum_sum().over("symbol"),
    )
    rows = (
        series.sort("symbol")
        .join(grid.select("ts", "since").sort("ts"), how="cross")
        .join(own_bars, on=["symbol", "ts"], how="left", maintain_order="left")
    )
    stored = pl.col("close").is_not_null()
    has_bar = pl.col("state").is_not_null()
    rows = rows.with_columns(
        previous=pl.col("close").forward_fill().shift().over("symbol"),
        previous_ts=pl.when(stored).then("ts").forward_fill().shift().over("symbol"),
        previous_place=pl.when(stored).then("place").forward_fill().shift().over("symbol"),
        previous_piece=pl.when(stored).then("piece").forward_fill().shift().over("symbol"),
    )
    gap = (
        pl.when(pl.col("ts") < pl.col("start"))
        .then(pl.lit(Neutral.BEFORE_GENESIS.value))
        .when(pl.col("ts") >= pl.col("end"))
        .then(pl.lit(Neutral.AFTER_END.value))
        .when(~has_bar)
        .then(pl.lit(Neutral.CLOSED_MARKET.value))
        .when(~stored)
        .then(
            pl.col("state").replace_strict(
                {state.value: reason.value for state, reason in _REASONS.items()}, default=None
            )
        )
        .when(pl.col("previous").is_null() | (pl.col("previous_ts") < pl.col("since")))
        .then(pl.lit(Neutral.NO_PREVIOUS.value))
        .when(pl.col("piece") != pl.col("previous_piece"))
        .then(pl.lit(Neutral.UNADJUSTED.value))
        # A future may settle at zero or below; the ratio of such prices is no return.
        .when((pl.col("previous") <= 0) | (pl.col("close") <= 0))
        .then(pl.lit(Neutral.UNDEFINED.value))
    )
    rows = rows.with_columns(neutral=gap)
    measured = pl.col("neutral").is_null()
    ratio = pl.col("close") / pl.col("previous")
    spans = pl.col("place") - pl.col("previous_place")
    return rows.select(
        "symbol",
        "ts",
        simple_return=pl.when(measured).then(ratio - 1).otherwise(0.0),
        log_return=pl.when(measured).then(ratio.log()).otherwise(0.0),
        bars=pl.when(measured).then(spans).otherwise(0).cast(pl.Int32),
        neutral=pl.col("neutral").cast(pl.String),
    )


def common_grid(opens: Sequence[pl.Series], *, intersection: bool) -> pl.Series:
    """The times of a matrix: those that some calendar has, or those that all have.

    Args:
        opens: For each calendar the `ts` of its bars: TS, sorted.
        intersection: Only the times that all of them have.

    Returns:
        TS, sorted, unique, named "ts".
    """
    times = (
        pl.concat([pl.DataFrame({"ts": calendar_opens}) for calendar_opens in opens])
        .group_by("ts")
        .len()
    )
    wanted = times.filter(pl.col("len") == len(opens)) if intersection else times
    return wanted["ts"].sort()


def wide(returns: pl.DataFrame, values: str = "log_return") -> pl.DataFrame:
    """The matrix itself: ts, and one column per symbol, in the order in which they come.

    Args:
        returns: The long form.
        values: One of its columns. With "neutral" the result is the mask, of the same shape: null
            where a return was measured.
    """
    return returns.pivot("symbol", index="ts", values=values).sort("ts")


def neutral_shares(returns: pl.DataFrame, by: Sequence[str] = ("symbol",)) -> pl.DataFrame:
    """How much of each symbol is neutral where a return is called for.

    Args:
        returns: A frame of RETURNS_SCHEMA, and any other columns.
        by: The columns that are told apart.

    Returns:
        The columns that are told apart, bars (that its calendar calls for, without those before
        which there is none), neutral (of them), share (0 to 1; 0 without bars), and a column of
        counts for each
        `Neutral`; sorted by the first.
    """
    counts = {reason.value: (pl.col("neutral") == reason).sum() for reason in Neutral}
    structural = pl.sum_horizontal(reason.value for reason in STRUCTURAL)
    absent = pl.sum_horizontal(reason.value for reason in Neutral if reason not in STRUCTURAL)
    return (
        returns.group_by(by)
        .agg(pl.len().alias("rows"), **counts)
        .with_columns(bars=pl.col("rows") - structural, neutral=absent)
        .with_columns(
            share=pl.when(pl.col("bars") > 0)
            .then(pl.col("neutral") / pl.col("bars"))
            .otherwise(0.0)
        )
        .select(*by, "bars", "neutral", "share", *counts)
        .sort(by)
    )
