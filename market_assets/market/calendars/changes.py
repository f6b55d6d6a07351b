"""Dated changes of a calendar: what a day, or every session of some years, really was, and why.

A library's sessions go in as stretches of trading and come out changed. The package's own changes
stand in `corrections.py`, those of a user in the universe (`calendar_changes`); both are made of
`Change` and applied here.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import CalendarError
from market_assets.market.timeframes import TS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from zoneinfo import ZoneInfo

Stretch = tuple[timedelta, timedelta]
"""From and to, on the exchange's clock since 00:00 of the session; negative on the day before."""

_Spans = list[tuple[datetime, datetime]]


@dataclass(frozen=True)
class Change:
    """What is other on the sessions from `first` to `last`, both included.

    Attributes:
        first: The first session.
        last: The last one; the same as `first` where one day is meant.
        reason: Why, in words that a person reads.
        hours: The whole hours; empty where there is no session. One day gets them although the
            calendar has no session on it; of several days only those that have one.
        opens: The session opens then: what lies before falls away, or the first stretch begins
            earlier.
        closes: The session closes then: what lies after falls away, or the last stretch ends later.
        pause: Nothing trades in between.
        as_before: A day without a session has one, with the hours of the session before it.
        usual_close: Only sessions that close at this time as the calendar has them.
        weekdays: Only sessions on these days, Monday is 0.
        zone: Whose clock the times are; None for the calendar's own.
    """

    first: date
    last: date
    reason: str
    hours: tuple[Stretch, ...] | None = None
    opens: timedelta | None = None
    closes: timedelta | None = None
    pause: Stretch | None = None
    as_before: bool = False
    usual_close: timedelta | None = None
    weekdays: frozenset[int] = frozenset(range(7))
    zone: ZoneInfo | None = None

    @property
    def is_one_day(self) -> bool:
        """Whether it speaks of one day."""
        return self.first == self.last

    def holds(self, session: date) -> bool:
        """Whether a session's date is one of those that it speaks of."""
        return self.first <= session <= self.last and session.weekday() in self.weekdays


def closed(day: date, reason: str) -> Change:
    """A day without a session."""
    return Change(day, day, reason, hours=())


def held(day: date, reason: str, *stretches: str) -> Change:
    """A day with just these stretches of trading, such as "18:15-19:15"."""
    return Change(day, day, reason, hours=tuple(stretch_of(text) for text in stretches))


def shortened(
    day: date, reason: str, *, opens: str | None = None, closes: str | None = None
) -> Change:
    """A session that opens or closes at another time than the calendar says."""
    return Change(
        day,
        day,
        reason,
        opens=None if opens is None else wall(opens),
        closes=None if closes is None else wall(closes),
    )


def paused(
    first: date, last: date, reason: str, pause: str, weekdays: Iterable[int] = range(7)
) -> Change:
    """Sessions with a pause, such as "12:30-14:30"."""
    return Change(first, last, reason, pause=stretch_of(pause), weekdays=frozenset(weekdays))


def wall(text: str) -> timedelta:
    """A time of day such as "09:30", or "24:00" for the end of the day.

    Raises:
        ValueError: The text is none.
    """
    hours, colon, minutes = text.strip().partition(":")
    if (
        colon
        and hours.isdecimal()
        and minutes.isdecimal()
        and len(minutes) == 2
        and int(minutes) < 60
    ):
        since = timedelta(hours=int(hours), minutes=int(minutes))
        if since <= timedelta(days=1):
            return since
    raise ValueError(f"{text!r} is no time of day; write it like 09:30")


def stretch_of(text: str) -> Stretch:
    """A stretch of trading such as "09:30-16:00".

    One that ends at or before its start, such as "17:00-16:00", begins on the evening before.

    Raises:
        ValueError: The text is none.
    """
    first, dash, second = text.partition("-")
    if not dash:
        raise ValueError(f"{text!r} is no stretch of trading; write it like 09:30-16:00")
    opens, closes = wall(first), wall(second)
    return (opens if opens < closes else opens - timedelta(days=1)), closes


def changed(
    name: str,
    spans: pl.DataFrame,
    changes: Sequence[Change],
    zone: ZoneInfo,
    *,
    strict: bool = True,
) -> pl.DataFrame:
    """A calendar's stretches of trading with some changes, applied one after the other.

    Args:
        name: The calendar, for what is said of a fault.
        spans: session (Date), open, close (TS, UTC), sorted.
        changes: What is other; each is applied to what the ones before it left.
        zone: The exchange's own zone.
        strict: Whether a change of a session that is not there is a fault; otherwise it changes
            nothing.

    Returns:
        The columns of `spans`, sorted by open.

    Raises:
        CalendarError: A change opens or closes a session that the calendar does not have, or leaves
            nothing of one, or two sessions would overlap.
    """
    if not changes:
        return spans
    sessions: dict[date, _Spans] = {}
    for session, opens, closes in spans.iter_rows():
        sessions.setdefault(session, []).append((opens, closes))

    for change in changes:
        for session in _touched(name, change, sorted(sessions), strict=strict):
            spans_of = sessions.get(session, [])
            if change.as_before and not spans_of:
                spans_of = _like_before(session, sessions, zone)
            session_spans = _changed_session(session, spans_of, change, change.zone or zone)
            if strict and spans_of and not session_spans and change.hours is None:
                raise CalendarError(
                    f"calendar {name!r}: the change of {change.first} leaves nothing of the "
                    f"session of {session}: correct its times, write "
                    "`close: true` if there was no session, or the whole `hours`"
                )
            if session_spans:
                sessions[session] = session_spans
            else:
                sessions.pop(session, None)

    rows = [(session, *span) for session in sorted(sessions) for span in sessions[session]]
    new_spans = pl.DataFrame(
        rows, schema={"session": pl.Date, "open": TS, "close": TS}, orient="row"
    ).sort("open")
    overlapping = new_spans.filter(
        (pl.col("open") < pl.col("close").shift()).fill_null(value=False)
    )
    if not overlapping.is_empty():
        raise CalendarError(
            f"calendar {name!r}: with its changes the session of {overlapping['session'][0]} "
            "begins before the one before it has ended: "
            "correct the hours of one of the two"
        )
    return new_spans


def reasons_for(changes: Sequence[Change], session: date) -> list[str]:
    """Why a session's date is other than the libraries have it, oldest change first."""
    return [change.reason for change in changes if change.holds(session)]


def _touched(
    name: str, change: Change, sessions: Sequence[date], *, strict: bool
) -> Sequence[date]:
    """The dates that a change applies to."""
    dates = sessions[bisect_left(sessions, change.first) : bisect_right(sessions, change.last)]
    if not change.is_one_day:
        return [session for session in dates if change.holds(session)]
    if change.hours is None and not change.as_before and not dates:
        if not strict:
            return []
        raise CalendarError(
            f"calendar {name!r} has no session on {change.first} "
            "that could open or close at another time: "
            "write the whole `hours` of that day"
        )
    return [change.first]


def _like_before(session: date, sessions: Mapping[date, _Spans], zone: ZoneInfo) -> _Spans:
    """The hours of the newest session before a date, on that date by the exchange's clock."""
    newest = max((day for day in sessions if day < session), default=None)
    if newest is None:
        return []
    days = session - newest

    def moved(instant: datetime) -> datetime:
        local = instant.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) + days
        return local.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)

    return [(moved(opens), moved(closes)) for opens, closes in sessions[newest]]


def _changed_session(session: date, spans: _Spans, change: Change, zone: ZoneInfo) -> _Spans:
    """The stretches of one session after a change."""

    def instant(since: timedelta) -> datetime:
        local = datetime.combine(session, time()) + since
        return local.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)

    if change.hours is not None:
        return [(instant(opens), instant(closes)) for opens, closes in change.hours]
    if change.usual_close is not None and spans[-1][1] != instant(change.usual_close):
        return spans

    if change.opens is not None:
        opens = instant(change.opens)
        kept = [span for span in spans if span[1] > opens]
        spans = [(opens, kept[0][1]), *kept[1:]] if kept else []
    if change.closes is not None and spans:
        closes = instant(change.closes)
        kept = [span for span in spans if span[0] < closes]
        spans = [*kept[:-1], (kept[-1][0], closes)] if kept else []
    if change.pause is not None:
        rest, again = (instant(since) for since in change.pause)
        parts = [
            part
            for opens, closes in spans
            for part in ((opens, min(closes, rest)), (max(opens, again), closes))
        ]
        spans = [part for part in parts if part[0] < part[1]]
    return spans
