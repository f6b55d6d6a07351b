"""Sorts the rows of an answer into candles that may be stored and rejects with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from market_assets.imports import late_imports
from market_assets.market.columns import NOTHING_DROPPED, OHLCV, PRICES, extras_in, sound
from market_assets.market.timeframes import TS, micros_of
from market_assets.sources.contract import Unread

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from market_assets.config.kinds import PriceRules
    from market_assets.market.timeframes import Timeframe, Window

CANDLE = ("ts", *OHLCV)


class Reason(StrEnum):
    """Why a row is not stored. All but the last two are faults of the source."""

    NO_TIME = "no time"
    OTHER_SYMBOL = "another symbol's bar"
    OUTSIDE_WINDOW = "outside the window asked for"
    OFF_GRID = "time off the grid"
    DUPLICATE = "duplicate time"
    CONFLICT = "several different bars for one time"
    NO_NUMBER = "a price that is null, NaN or infinite"
    NOT_POSITIVE = "a price that is zero or negative"
    HIGH_BELOW_LOW = "high below low"
    OUTSIDE_RANGE = "open or close outside high and low"
    BAD_VOLUME = "a volume that is missing, negative or no number"
    CLOSED_MARKET = "outside the sessions"
    UNFINISHED = "bar not closed yet"


FAULTS = frozenset({reason.value for reason in (*Reason, *Unread)}) - {
    Reason.CLOSED_MARKET.value,
    Reason.UNFINISHED.value,
}

REJECT_SCHEMA = pl.Schema(
    {"symbol": pl.String(), "ts": TS, "reason": pl.String(), "values": pl.String()}
)
"""One rejected row: its time as the source gave it, and its numbers in words."""

NO_REJECTS = REJECT_SCHEMA.to_frame()


@dataclass(frozen=True)
class Cleaned:
    """The two halves of an answer.

    Attributes:
        candles: ts, open, high, low, close, volume and any extra columns; sorted and unique by ts,
            every ts a bar of the calendar.
        rejects: Frame of REJECT_SCHEMA.
        dropped: ts, column of the values of extra columns that cannot be, and are null: see
            `columns.sound`.
    """

    candles: pl.DataFrame
    rejects: pl.DataFrame
    dropped: pl.DataFrame = field(default_factory=lambda: NOTHING_DROPPED)


@dataclass(frozen=True)
class Question:
    """The bars of a symbol that a source was asked for.

    Attributes:
        symbol: The symbol as the universe calls it.
        own_name: The symbol as the source calls it.
        timeframe: The candles' timeframe.
        window: What was asked for.
        bars: ts of every closed bar of the calendar in the window, sorted.
        unfinished: Opens of the bars of the window that have not closed yet, sorted.
    """

    symbol: str
    own_name: str
    timeframe: Timeframe
    window: Window
    bars: pl.DataFrame
    unfinished: pl.Series


@dataclass(frozen=True)
class RowRules:
    """What a row must keep to.

    Attributes:
        prices: What prices and volumes may be.
        jitter: The share of the timeframe within which a time is moved onto the grid.
        open_outside_range: Whether the source's open may lie outside high and low.
    """

    prices: PriceRules
    jitter: float
    open_outside_range: bool = False


def clean(answer: pl.DataFrame, question: Question, rules: RowRules) -> Cleaned:
    """Keep the candles that belong to the window and the calendar, and reject the other rows.

    Each reject has its reason.

    A time within the jitter of a bar's open is moved onto it; a row further off is rejected. Two
    different rows for one bar are both rejected, unless exactly one of them came with the bar's
    exact time.

    Args:
        answer: ts, open, high, low, close, volume, any extra columns and, where the source says it,
            symbol; in any order.
        question: What it answers.
        rules: What its rows must keep to.
    """
    if _flawless(answer, question, rules):
        columns = [*CANDLE, *extras_in(answer.columns)]
        candles, dropped = sound(answer if answer.columns == columns else answer.select(columns))
        return Cleaned(candles, NO_REJECTS, dropped)
    rows = _snapped(answer, question, rules.jitter)
    rows = rows.with_columns(
        reason=_first_reason(
            [
                *_as_said(answer),
                (Reason.NO_TIME, pl.col("given").is_null()),
                (
                    Reason.OTHER_SYMBOL,
                    pl.col("symbol").ne_missing(question.own_name)
                    if "symbol" in answer.columns
                    else pl.lit(value=False),
                ),
                (Reason.OUTSIDE_WINDOW, ~question.window.holds("ts")),
                (Reason.UNFINISHED, pl.col("open_bar")),
                (Reason.OFF_GRID, ~pl.col("on_bar") & ~pl.col("aligned")),
                (Reason.CLOSED_MARKET, ~pl.col("on_bar")),
                *price_faults(rules.prices, open_outside_range=rules.open_outside_range),
            ]
        )
    )
    rows = rows.with_columns(reason=pl.coalesce("reason", _duplicates()))
    good = rows.filter(pl.col("reason").is_null())
    bad = rows.filter(pl.col("reason").is_not_null()).select(
        symbol=pl.lit(question.symbol), ts="given", reason="reason", values=_values(answer)
    )
    candles, dropped = sound(good.select(*CANDLE, *extras_in(good.columns)).sort("ts"))
    return Cleaned(candles, bad.cast(REJECT_SCHEMA), dropped)


def _as_said(answer: pl.DataFrame) -> list[tuple[StrEnum, pl.Expr]]:
    """The reasons that the source itself has to refuse a row."""
    if "refused" not in answer.columns:
        return []
    return [
        (reason, pl.col("refused").eq_missing(reason.value)) for reason in (*Unread, Reason.NO_TIME)
    ]


def _values(answer: pl.DataFrame) -> pl.Expr:
    """A row's numbers in words, or as the source says that it is written."""
    numbers = (pl.col(name).cast(pl.String).fill_null("null") for name in CANDLE[1:])
    words = pl.format("o={} h={} l={} c={} v={}", *numbers)
    return pl.coalesce("said", words) if "said" in answer.columns else words


def price_faults(
    rules: PriceRules, *, open_outside_range: bool = False
) -> list[tuple[Reason, pl.Expr]]:
    """The faults that the numbers of a row can have.

    Each has a predicate on open, high, low, close and volume.

    Args:
        rules: What prices and volumes may be.
        open_outside_range: True where the open, in contrast to the close, may lie outside high and
            low.
    """
    number = pl.all_horizontal(pl.col(p).is_finite().fill_null(value=False) for p in PRICES)
    volume = pl.col("volume")
    usable = volume.is_finite() & (volume >= 0)
    faults = [
        (Reason.NO_NUMBER, ~number),
        (Reason.HIGH_BELOW_LOW, pl.col("high") < pl.col("low")),
        (Reason.BAD_VOLUME, ~usable.fill_null(value=rules.volume_optional)),
    ]
    if rules.positive:
        faults.insert(1, (Reason.NOT_POSITIVE, pl.any_horizontal(pl.col(p) <= 0 for p in PRICES)))
    ranged = ("close",) if open_outside_range else ("open", "close")
    inside = pl.all_horizontal(pl.col(p).is_between("low", "high") for p in ranged)
    return [*faults, (Reason.OUTSIDE_RANGE, ~inside)]


def _flawless(answer: pl.DataFrame, question: Question, rules: RowRules) -> bool:
    """True when every row may be stored as it is.

    That holds of nearly every page, so it is tried first. It is numpy, because on a page's thousand
    rows a polars query costs more to plan than to run. A null compares as NaN, so as a fault, and
    every unclear case goes the long way.
    """
    bars, positive = question.bars, rules.prices.positive
    if (
        not 0 < len(answer) <= len(bars)
        or {"symbol", "refused"} & {*answer.columns}
        or answer["ts"].null_count()
    ):
        return False
    opens, grid = micros_of(answer["ts"]), micros_of(bars["ts"])
    start, end = question.window.micros
    places = np.searchsorted(grid, opens)
    if (
        opens[0] < start
        or opens[-1] >= end
        or places[-1] >= len(grid)
        or not (np.diff(places) > 0).all()
    ):
        return False
    if not (grid[places] == opens).all():
        return False
    first, high, low, last, volume = (answer[name].to_numpy() for name in CANDLE[1:])
    good = (
        (low > -np.inf)
        & (high < np.inf)
        & (low <= last)
        & (last <= high)
        & (volume >= 0)
        & (volume < np.inf)
    )
    if positive:
        good &= low > 0
    if rules.open_outside_range:
        good &= np.isfinite(first) & ((first > 0) | (not positive))
    else:
        good &= (low <= first) & (first <= high)
    return bool(good.all())


def _snapped(answer: pl.DataFrame, question: Question, jitter: float) -> pl.DataFrame:
    """Place each row on the calendar's grid.

    Returns:
        The rows with `given` (the time as it came), `ts` (the bar that it means), `on_bar`,
        `open_bar`, `aligned` and `exact`.
    """
    closed, length = question.bars["ts"], question.timeframe.micros
    opens = pl.concat([closed, question.unfinished.cast(TS)]).cast(TS)
    grid = pl.DataFrame({"bar": opens}).with_columns(closed=pl.int_range(pl.len()) < len(closed))
    tolerance = round(length * jitter)
    placed = (
        answer.with_row_index("row")
        .rename({"ts": "given"})
        .with_columns(pl.col("given").cast(TS))
        .sort("given", nulls_last=True)
        .join_asof(
            grid.sort("bar"), left_on="given", right_on="bar", strategy="nearest", coalesce=False
        )
    )
    phases = (grid["bar"].to_physical() % length).unique()
    distance = (pl.col("given").to_physical() - pl.col("bar").to_physical()).abs()
    near = (distance <= tolerance).fill_null(value=False)
    return placed.with_columns(
        ts=pl.when(near).then("bar").otherwise("given"),
        on_bar=near & pl.col("closed"),
        open_bar=near & ~pl.col("closed"),
        # A time that a bar could have, on a day or at an hour without one, is no clock error.
        aligned=(pl.col("given").to_physical() % length).is_in(phases.implode())
        | phases.is_empty(),
        exact=(distance == 0).fill_null(value=False),
    )


def _first_reason(reasons: Iterable[tuple[StrEnum, pl.Expr]]) -> pl.Expr:
    return pl.coalesce(
        pl.when(holds.fill_null(value=False)).then(pl.lit(reason.value)).otherwise(None)
        for reason, holds in reasons
    )


def _duplicates() -> pl.Expr:
    """The reason for all but one of several good rows that mean the same bar."""
    candidate = pl.col("reason").is_null()
    same_bar = ["ts", candidate]
    rivals = pl.len().over(same_bar)
    values = pl.struct(pl.col(name).fill_nan(None) for name in CANDLE[1:])
    alike = values.n_unique().over(same_bar) == 1
    first = pl.col("row") == pl.col("row").min().over(same_bar)
    only_exact = pl.col("exact") & (pl.col("exact").sum().over(same_bar) == 1)
    kept = pl.when(alike).then(first).otherwise(only_exact)
    someone_kept = alike | (pl.col("exact").sum().over(same_bar) == 1)
    return (
        pl.when((rivals > 1) & ~kept)
        .then(
            pl.when(someone_kept)
            .then(pl.lit(Reason.DUPLICATE.value))
            .otherwise(pl.lit(Reason.CONFLICT.value))
        )
        .otherwise(None)
    )
