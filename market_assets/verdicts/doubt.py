"""Evidence against a calendar. Pure: frames in, sentences out.

It is bars that the calendar refuses, and sessions of it without a bar from any source.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import TS
from market_assets.words import many

if TYPE_CHECKING:
    from datetime import date
    from zoneinfo import ZoneInfo

    from market_assets.market.timeframes import Timeframe

OFF_CALENDAR_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "day": pl.Date(),
        "side": pl.String(),
        "first_ts": TS,
        "last_ts": TS,
        "bars": pl.Int64(),
        "traded": pl.Int64(),
    }
)
"""Bars that a calendar refused: one row per symbol, day and side of the day's trading.

`traded` are the bars with a volume, or, where there is no volume, those that moved.
"""

_SEVERAL_DAYS = 3
"""The same minutes outside the hours on so many days are no accident."""

_A_SESSION = timedelta(minutes=15)
"""So much trading on a day without a session is more than a stray bar."""

EXTENDED = timedelta(hours=1)
"""Longer trading of stocks outside the hours is a vendor's extended hours, and no doubt."""

_NAMED = 5


class Side(StrEnum):
    """Where refused bars lie."""

    NO_SESSION = "no_session"
    BEFORE = "before"
    BETWEEN = "between"
    AFTER = "after"


class Sort(StrEnum):
    """What makes a calendar doubtful."""

    SESSION = "session"
    HOURS = "hours"
    CLOSED = "closed"


@dataclass(frozen=True)
class Doubt:
    """Why the calendar of a profile may be wrong.

    Attributes:
        sort: What the evidence is.
        days: The exchange's days that it is about, oldest first.
        symbols: Whose bars.
        words: One sentence without a full stop.
    """

    sort: Sort
    days: tuple[date, ...]
    symbols: tuple[str, ...]
    words: str


def off_calendar(refused: pl.DataFrame, spans: pl.DataFrame, zone: ZoneInfo) -> pl.DataFrame:
    """Count the bars that a calendar refused.

    They are counted by the exchange's day and the side of the day's trading.

    Args:
        refused: symbol, ts, values (in words, as a reject has them).
        spans: session, open, close around them, sorted.
        zone: The exchange's.

    Returns:
        A frame of OFF_CALENDAR_SCHEMA.
    """
    local = pl.col("ts").dt.replace_time_zone("UTC").dt.convert_time_zone(zone.key).dt.date()
    number = {
        name: pl.col("values").str.extract(rf"\b{name}=(\S+)").cast(pl.Float64, strict=False)
        for name in "hlv"
    }
    traded = pl.coalesce(number["v"] > 0, number["h"] > number["l"]).fill_null(value=False)
    rows = (
        refused.select("symbol", "ts", day=local, traded=traded).unique(["symbol", "ts"]).sort("ts")
    )

    before = spans.select("session", ends="close").sort("ends")
    after = spans.select(next_session="session", begins="open").sort("begins")
    rows = rows.join_asof(
        before, left_on="ts", right_on="ends", strategy="backward", coalesce=False
    )
    rows = rows.join_asof(
        after, left_on="ts", right_on="begins", strategy="forward", coalesce=False
    )
    open_days = pl.concat(
        [
            spans["session"],
            _days(spans["open"], zone),
            _days(spans["close"].dt.offset_by("-1us"), zone),
        ]
    ).unique()
    is_between = (pl.col("session") == pl.col("next_session")).fill_null(value=False)
    is_after = ((pl.col("ts") - pl.col("ends")) <= (pl.col("begins") - pl.col("ts"))).fill_null(
        pl.col("ends").is_not_null()
    )
    side = (
        pl.when(is_between)
        .then(pl.lit(Side.BETWEEN.value))
        .when(~pl.col("day").is_in(open_days.implode()))
        .then(pl.lit(Side.NO_SESSION.value))
        .when(is_after)
        .then(pl.lit(Side.AFTER.value))
        .otherwise(pl.lit(Side.BEFORE.value))
    )
    of_session = pl.when(is_after).then("session").otherwise("next_session")
    return (
        rows.with_columns(side=side)
        .with_columns(
            day=pl.when(pl.col("side") == Side.NO_SESSION).then("day").otherwise(of_session)
        )
        .group_by("symbol", "day", "side")
        .agg(
            first_ts=pl.min("ts"),
            last_ts=pl.max("ts"),
            bars=pl.len().cast(pl.Int64),
            traded=pl.sum("traded").cast(pl.Int64),
        )
        .sort("day", "side", "symbol")
        .match_to_schema(OFF_CALENDAR_SCHEMA)
    )


def doubts(
    refused: pl.DataFrame,
    closed: pl.DataFrame,
    timeframe: Timeframe,
    zone: ZoneInfo,
    *,
    extended: bool,
) -> list[Doubt]:
    """The evidence of the bars against the calendar of a profile.

    Args:
        refused: OFF_CALENDAR_SCHEMA, of one profile and timeframe.
        closed: symbol, session: the sessions that are explained as closed.
        timeframe: The bars' timeframe.
        zone: The exchange's.
        extended: Whether vendors give extended hours of this kind of market, as they do of stocks.
    """
    evidence = []
    least = max(1, _A_SESSION // timeframe.duration)
    whole = refused.filter(pl.col("side") == Side.NO_SESSION, pl.col("traded") >= least)
    if not whole.is_empty():
        evidence.append(_session(whole, zone if timeframe.intraday else None))
    for side in (Side.BEFORE, Side.BETWEEN, Side.AFTER) if timeframe.intraday else ():
        rows = refused.filter(pl.col("side") == side, pl.col("traded") > 0)
        evidence += _hours(rows, side, zone, extended=extended)
    if not closed.is_empty():
        days = tuple(closed["session"].unique().sort())
        words = f"the calendar has a session on {_named(days)}, no source has a bar of it"
        evidence.append(Doubt(Sort.CLOSED, days, tuple(closed["symbol"].unique().sort()), words))
    return evidence


def _session(rows: pl.DataFrame, zone: ZoneInfo | None) -> Doubt:
    """The doubt about bars on days without a session; without a zone it names no hours."""
    days = tuple(rows["day"].unique().sort())
    newest = rows.filter(pl.col("day") == days[-1])
    count = int(rows["traded"].sum())
    words = f"{many(count, 'bar')} with trades on {_named(days)}, where the calendar has no session"
    if zone is not None:
        first, last = (
            _clock(edge, zone) for edge in (newest["first_ts"].min(), newest["last_ts"].max())
        )
        words += f" (the last from {first} to {last} at the exchange)"
    return Doubt(Sort.SESSION, days, tuple(rows["symbol"].unique().sort()), words)


def _hours(rows: pl.DataFrame, side: Side, zone: ZoneInfo, *, extended: bool) -> list[Doubt]:
    """The minutes next to the calendar's hours that recur on several days."""
    edge = "last_ts" if side is Side.BEFORE else "first_ts"
    short = (pl.col("last_ts") - pl.col("first_ts")) < EXTENDED
    rows = rows.filter(short if extended and side is not Side.BETWEEN else True)
    if rows.is_empty():
        return []
    at = pl.col(edge).dt.replace_time_zone("UTC").dt.convert_time_zone(zone.key).dt.time()
    again = rows.with_columns(at=at)
    often = (
        again.group_by("at")
        .agg(days=pl.col("day").n_unique())
        .filter(pl.col("days") >= _SEVERAL_DAYS)
    )
    again = again.join(often.select("at"), on="at", how="semi")
    if again.is_empty():
        return []
    days = tuple(again["day"].unique().sort())
    minutes = ", ".join(f"{minute:%H:%M}" for minute in again["at"].unique().sort()[:_NAMED])
    place = {
        Side.BEFORE: "before its sessions, the last of them at",
        Side.BETWEEN: "in the pause of its sessions, the first of them at",
        Side.AFTER: "after its sessions, the first of them at",
    }[side]
    words = (
        f"bars with trades on {len(days):,} days that the calendar refuses {place} {minutes} at "
        "the exchange"
    )
    return [
        Doubt(Sort.HOURS, days, tuple(again["symbol"].unique().sort()), f"{words}, since {days[0]}")
    ]


def _days(instants: pl.Series, zone: ZoneInfo) -> pl.Series:
    return instants.dt.replace_time_zone("UTC").dt.convert_time_zone(zone.key).dt.date()


def _clock(instant: object, zone: ZoneInfo) -> str:
    at = (
        pl.Series([instant], dtype=TS).dt.replace_time_zone("UTC").dt.convert_time_zone(zone.key)[0]
    )
    return f"{at:%H:%M}"


def _named(days: tuple[date, ...]) -> str:
    named = ", ".join(map(str, days[:_NAMED]))
    return named + (f" and {len(days) - _NAMED:,} more days" if len(days) > _NAMED else "")
