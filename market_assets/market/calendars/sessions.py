"""Session calendars by name: when a market trades, and so which candles can and must exist.

The dates and hours come from exchange_calendars, pandas_market_calendars and this package's own
corrections (`libraries.py`), or from the files that hold what these have said (`hours_file.py`).
What is computed from them here is polars alone.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import timedelta
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import CalendarError, StoreError
from market_assets.home import HOME_VARIABLE, home
from market_assets.imports import late_imports
from market_assets.market.calendars.changes import changed, reasons_for
from market_assets.market.calendars.schedules import always_open
from market_assets.market.clock import machine
from market_assets.market.timeframes import TS, Timeframe, Window, literal

with late_imports():
    from market_assets.market.calendars import hours_file, libraries

if TYPE_CHECKING:
    from datetime import date, datetime
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from market_assets.market.calendars.changes import Change
    from market_assets.market.calendars.schedules import Schedule

ALWAYS_OPEN = "24/7"


class SessionCalendar:
    """The hours of one market, and the grid of bars that follows from them.

    Below a day, bars open on a grid that starts afresh at the open of each unbroken stretch of
    trading and are cut by its close. A `1d` bar's `ts` is its session's date at 00:00, a `1w` bar's
    the Monday of its session's ISO week; both open with the first and close with the last instant
    of trading in them. All instants are UTC.

    Args:
        name: The name that it was asked for by.
        zone: The exchange's own time zone, for what a person reads; no arithmetic uses it.
        spans: session (Date), open (TS), close (TS): unbroken stretches of trading, sorted, none
            overlapping another.
        known: The stretch of time for which the spans are complete; it starts and ends on a Monday.
        halts: Stretches in which the whole market stood still although its session was on.
        changes: What of the spans differs from the libraries, by date, and why; those of a user
            come last.
        before: The spans as the libraries have them; the same ones if not given.

    Attributes:
        uncorrected: The spans as the libraries have them.
    """

    def __init__(
        self,
        name: str,
        zone: ZoneInfo,
        spans: pl.DataFrame,
        known: Window,
        *,
        halts: tuple[Window, ...] = (),
        changes: tuple[Change, ...] = (),
        before: pl.DataFrame | None = None,
    ) -> None:
        self.name = name
        self._changes = changes
        self.zone = zone
        self.known = known
        self._halts = halts
        self._spans = spans.rechunk()
        self.uncorrected = self._spans if before is None else before
        sessions = spans.group_by("session", maintain_order=True).agg(
            pl.col("open").first(), pl.col("close").last()
        )
        self._bars = {
            Timeframe.D1: _sessions_as_bars(sessions, pl.col("session")),
            Timeframe.W1: _sessions_as_bars(sessions, pl.col("session").dt.truncate("1w")),
        }

    def __repr__(self) -> str:
        return f"SessionCalendar({self.name!r}, known={self.known})"

    @property
    def halts(self) -> tuple[Window, ...]:
        """Stretches in which the whole market stood still although its session was on."""
        return self._halts

    def reasons_for(self, session: date) -> list[str]:
        """Why the hours of a date differ from what the libraries have.

        Returns:
            One sentence per change, oldest change first; empty where the hours do not differ.
        """
        return reasons_for(self._changes, session)

    def spans(self, window: Window) -> pl.DataFrame:
        """The unbroken stretches of trading that share an instant with the window, uncut.

        Returns:
            session (Date), open (TS), close (TS), oldest first; a session with a break in it has
            two rows.

        Raises:
            CalendarError: The window reaches beyond what the calendar knows.
        """
        self._require(window)
        return _touching(self._spans, "open", "close", window)

    def bars(self, timeframe: Timeframe, window: Window) -> pl.DataFrame:
        """Every bar that the calendar allows whose `ts` lies in the window, oldest first.

        Returns:
            ts (TS), opens_at (TS), closes_at (TS), session (Date; of a `1w` bar its first), halted
            (Boolean: the market stood still for the whole length of the bar, so that it may exist
            but need not).

        Raises:
            CalendarError: The window reaches beyond what the calendar knows.
        """
        self._require(window)
        if timeframe.intraday:
            start, _ = window.micros
            return self._intraday(
                timeframe, window, skip=_ceil_div(start - pl.col("open"), timeframe.micros)
            )
        bars = self._bars[timeframe]
        opens = bars["ts"].to_physical()
        first, after = (opens.search_sorted(bound) for bound in window.micros)
        return bars.slice(first, after - first)

    def bars_touching(self, timeframe: Timeframe, window: Window) -> pl.DataFrame:
        """Every bar that the calendar allows and that is open at some instant of the window.

        Returns:
            The columns of `bars`, oldest bar first.

        Raises:
            CalendarError: The window reaches beyond what the calendar knows.
        """
        self._require(window)
        if timeframe.intraday:
            start, _ = window.micros
            return self._intraday(
                timeframe, window, skip=(start - pl.col("open")) // timeframe.micros
            )
        return _touching(self._bars[timeframe], "opens_at", "closes_at", window)

    def expected(
        self, timeframe: Timeframe, window: Window, *, until: datetime | None = None
    ) -> pl.Series:
        """The opens of the bars in the window that must exist.

        These are all that the calendar allows, except for those in a market-wide halt.

        Args:
            timeframe: The length of the bars.
            window: Where their `ts` lie.
            until: With it, only the bars that had closed by this instant.

        Returns:
            A sorted series "ts" (TS).

        Raises:
            CalendarError: The window reaches beyond what the calendar knows.
        """
        bars = self.bars(timeframe, window).filter(~pl.col("halted"))
        if until is not None:
            bars = bars.filter(pl.col("closes_at") <= literal(until))
        return bars["ts"]

    def longest_closure(self, window: Window) -> timedelta:
        """The longest time between a close and the next open in the known part of a window.

        Zero where the market never closes there, or where nothing of the window is known.
        """
        known_part = window.intersect(self.known)
        if known_part is None:
            return timedelta()
        spans = _touching(self._spans, "open", "close", known_part)
        return (
            (spans["open"] - spans["close"].shift()).max()  # type: ignore[return-value]
            or timedelta()
        )

    def trading_days(self, window: Window) -> pl.Series:
        """The UTC days on which at least one minute bar of the window opens.

        Returns:
            A sorted series "day" (Date), none twice.

        Raises:
            CalendarError: The window reaches beyond what the calendar knows.
        """
        minute = Timeframe.M1.micros
        start, end = window.micros
        spans = self.spans(window).select(pl.col("open", "close").to_physical())
        first = (
            pl.col("open") + _ceil_div(start - pl.col("open"), minute).clip(lower_bound=0) * minute
        )
        after = pl.min_horizontal("close", pl.lit(end))
        last = first + (after - first - 1) // minute * minute
        days = spans.filter(first < after).select(
            day=pl.date_ranges(first.cast(TS).cast(pl.Date), last.cast(TS).cast(pl.Date))
        )
        return days.explode("day")["day"].unique().sort()

    def _intraday(self, timeframe: Timeframe, window: Window, *, skip: pl.Expr) -> pl.DataFrame:
        """The grid of each span in the window, without the first `skip` bars of the span."""
        step = timeframe.micros
        first = pl.col("open") + skip.clip(lower_bound=0) * step
        after = pl.min_horizontal("close", pl.lit(window.micros[1]))
        return (
            _touching(self._spans, "open", "close", window)
            .with_columns(pl.col("open", "close").to_physical())
            .filter(first < after)
            .select("session", "close", ts=pl.int_ranges(first, after, step))
            .explode("ts")
            .select(
                pl.col("ts").cast(TS),
                pl.col("ts").cast(TS).alias("opens_at"),
                pl.min_horizontal(pl.col("ts") + step, "close").cast(TS).alias("closes_at"),
                "session",
            )
            .with_columns(halted=self._halted())
        )

    def _halted(self) -> pl.Expr:
        return pl.any_horizontal(
            pl.lit(value=False),
            *(
                (pl.col("opens_at") >= literal(halt.start))
                & (pl.col("closes_at") <= literal(halt.end))
                for halt in self._halts
            ),
        )

    def _require(self, window: Window) -> None:
        if not (self.known.start <= window.start and window.end <= self.known.end):
            raise CalendarError(
                f"calendar {self.name!r} knows {self.known.start:%Y-%m-%d} to "
                f"{self.known.end:%Y-%m-%d}, and {window} reaches beyond: "
                "move the start or end of the profile, "
                "or install a newer release of the calendar library"
            )


@cache
def load_calendar(name: str, changes: tuple[Change, ...] = ()) -> SessionCalendar:
    """The calendar of that name, loaded at the first call and kept for the life of the process.

    Args:
        name: One of `calendar_names()`. A name that both libraries have is exchange_calendars';
            "FOREX" and its aliases are this package's.
        changes: What a user knows better, by date.

    Raises:
        CalendarError: No calendar has that name, and the message offers the closest ones; or a
            change cannot be made.
    """
    schedule = always_open() if name == ALWAYS_OPEN else _schedule(name)
    return SessionCalendar(
        name,
        schedule.zone,
        changed(name, schedule.spans, changes, schedule.zone),
        schedule.known,
        halts=schedule.halts,
        changes=(*schedule.changes, *changes),
        before=schedule.uncorrected,
    )


def calendar_names() -> list[str]:
    """Every name that `load_calendar` takes, sorted.

    The first call imports both calendar libraries (0.6 s).
    """
    return sorted(libraries.names())


def has_calendar(name: str) -> bool:
    """Whether `load_calendar` takes a name.

    It imports the calendar libraries only for one whose hours the home folder does not have.
    """
    return name == ALWAYS_OPEN or _filed(name) is not None or name in libraries.names()


@cache
def _schedule(name: str) -> Schedule:
    """The hours of a calendar: those of its file, or else those of the libraries, with a file."""
    schedule = _filed(name)
    if schedule is not None:
        return schedule
    if name not in libraries.names():
        raise CalendarError(f"there is no calendar {name!r}; {_closest(name)}")
    schedule = libraries.schedule(name)
    folder = _folder()
    if folder is not None and _is_first():
        # Whoever may only read it, or has no room, works them out again.
        with suppress(OSError):
            hours_file.write_hours(folder, name, schedule, libraries.last_day())
    return schedule


@cache
def _filed(name: str) -> Schedule | None:
    """The hours of a calendar as the home folder has them, if it has."""
    folder = _folder()
    if folder is None or not _is_first():
        return None
    return hours_file.read_hours(folder, name, machine().astimezone().date())


def _folder() -> Path | None:
    """The folder of such files; None where no home is, and none is made to hold them."""
    with suppress(StoreError):
        folder = home()
        if os.environ.get(HOME_VARIABLE) or (folder / "market.duckdb").exists():
            return folder / "calendars"
    return None


@cache
def _is_first() -> bool:
    """Whether we are the first in this process to load the libraries.

    Then they are what is installed. Somebody else may have loaded them before another release was
    installed, or may have given them calendars of their own.
    """
    hours_file.installed()
    return not sys.modules.keys() & set(hours_file.LIBRARIES)


def _closest(name: str) -> str:
    folded = {candidate.casefold(): candidate for candidate in calendar_names()}
    close = [folded[match] for match in get_close_matches(name.casefold(), folded, n=3)]
    return (
        f"did you mean {' or '.join(map(repr, close))}?"
        if close
        else "calendar_names() lists them all"
    )


def _sessions_as_bars(sessions: pl.DataFrame, opening_day: pl.Expr) -> pl.DataFrame:
    """One bar per run of sessions with the same opening day, in the columns of `bars`."""
    return (
        sessions.group_by(ts=opening_day.cast(TS), maintain_order=True)
        .agg(
            pl.col("open").first().alias("opens_at"),
            pl.col("close").last().alias("closes_at"),
            pl.col("session").first(),
        )
        .with_columns(halted=pl.lit(value=False))
        .rechunk()
    )


def _touching(frame: pl.DataFrame, opens: str, closes: str, window: Window) -> pl.DataFrame:
    """The rows whose [opens, closes) shares an instant with the window.

    Args:
        frame: Rows that are sorted by both columns.
        opens: The column of the first instant of a row.
        closes: The column of the first instant after it.
        window: The stretch of time.
    """
    if window.empty:
        return frame.clear()
    start, end = window.micros
    first = frame[closes].to_physical().search_sorted(start, side="right")
    after = frame[opens].to_physical().search_sorted(end)
    return frame.slice(first, after - first)


def _ceil_div(dividend: pl.Expr, divisor: int) -> pl.Expr:
    return -(-dividend // divisor)
