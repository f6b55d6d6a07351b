"""How far local files reach, by what is in them and by how they lie beside each other. Pure.

What is here knows nothing of how a file is read.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl

from market_assets.errors import SourceError
from market_assets.imports import late_imports
from market_assets.market.columns import PRICES
from market_assets.market.instants import bare_minute
from market_assets.market.timeframes import Timeframe, Window, from_micros, to_micros

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from market_assets.sources.files.clocks import Clock
    from market_assets.sources.files.kept import Span

_HOUR = Timeframe.H1.micros
_DAY = timedelta(days=1)

_FIRST_INTRADAY = datetime(1980, 1, 1, tzinfo=UTC)
"""Nobody has bars of less than a day from before this.

Zero counts of seconds, and counts that were cut, are times of the 1970s.
"""

_NEVER = datetime(2100, 1, 1, tzinfo=UTC)
"""A file all of whose times are later has other numbers in their place."""

_BEGINNING = 0
_END = Window.of_days(date(1970, 1, 1), date(2200, 1, 1)).micros[1]

_FEW, _MANY = 3, 100
_FAR = 366 * Timeframe.D1.micros
"""So few rows, this far from so many others, are mistakes in the file."""

_NEAR = 12 * _HOUR
"""Parts of one series that follow each other so closely have no day between them."""

_YEAR, _MONTH, _DATE = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_DAYS = re.compile(rf"(?<!\d)({_YEAR})([-_./]?)({_MONTH})\2({_DATE})(?!\d)")
_MONTHS = re.compile(rf"(?<!\d)({_YEAR})[-_./]?({_MONTH})(?!\d)")
_YEARS = re.compile(rf"(?<!\d)({_YEAR})(?!\d)")


@dataclass(frozen=True)
class Stretch:
    """A stretch of time that a source can speak for.

    Attributes:
        window: Outside of it an absent bar is evidence of nothing.
        witness: Gives what the same answer always bears as long as nothing has changed, such as a
            file's hash; None where each answer is a new one. It may take as long as reading a file.
        rows: From the first believable row of a file to its last; None where it is no file.
    """

    window: Window
    witness: Callable[[], str] | None = None
    rows: Window | None = None


@dataclass(frozen=True)
class FileSpan:
    """What one file of a series holds.

    Attributes:
        first: The open of its first believable row, in microseconds.
        last: The open of its last one.
        is_whole: False where its last row is not believable, as in one that was cut off.
        period: The days that its name says; None where it says none.
        witness: See `Stretch`.
    """

    first: int
    last: int
    is_whole: bool = True
    period: Window | None = None
    witness: Callable[[], str] | None = None


@dataclass(frozen=True)
class Piece:
    """A file of a series, or a member of a zip.

    Attributes:
        name: Pieces follow each other in the order of their names.
        period: The days that the name tells; None where it tells none.
        span: The opens of its first and last row, in microseconds; None without rows.
    """

    name: str
    period: Window | None
    span: tuple[int, int] | None = None


def _believable_row(timeframe: Timeframe, now: datetime) -> pl.Expr:
    """Whether a row (CANDLE_SCHEMA) can be a bar, so that a file that holds it reaches so far.

    It has a time between the first that there can be and the present, and four numbers that are not
    all zero.
    """
    earliest = to_micros(_FIRST_INTRADAY) if timeframe.intraday else None
    # Stamps of a running bar, or of a zone that is ahead, lie a little ahead.
    latest = to_micros(now + max(_DAY, timeframe.duration))
    opens = pl.col("ts").to_physical()
    in_time = (opens <= latest) if earliest is None else opens.is_between(earliest, latest)
    numbers = pl.all_horizontal(pl.col(PRICES).is_finite().fill_null(value=False))
    return in_time.fill_null(value=False) & numbers & pl.any_horizontal(pl.col(PRICES) != 0)


def believable_opens(candles: pl.LazyFrame, timeframe: Timeframe, now: datetime) -> pl.LazyFrame:
    """The opens of candles: ts in microseconds, and can_be, whether the row can be a bar."""
    return candles.select(pl.col("ts").to_physical(), can_be=_believable_row(timeframe, now))


def rows_span(rows: pl.DataFrame, timeframe: Timeframe, about: str) -> Span | None:
    """What rows reach; None where there are none.

    Args:
        rows: ts and can_be, as `believable_opens` gives them.
        timeframe: The length of the bars.
        about: Which source and file, for the error.

    Raises:
        SourceError: Their times are none.
    """
    # numpy alone: there may be a file a day of hundreds of symbols, and a query takes as long as a
    # day of minutes does here.
    stamps = rows["ts"] if not rows["ts"].null_count() else rows["ts"].drop_nulls()
    if are_odd(stamps, timeframe):
        first, last = (bare_minute(from_micros(stamp)) for stamp in _ends(stamps))
        raise SourceError(
            f"{about}: "
            f"{len(stamps):,} rows have times from {first} to {last}Z, "
            f"where there are no {timeframe} bars: they are no counts since 1970. "
            "Say how they are written under `format`, "
            'such as "%Y%m%d" or "%Y%m%d %H%M%S"',
            permanent=True,
        )
    can_be = rows["can_be"].to_numpy()
    believable = stamps if can_be.all() else rows["ts"].filter(rows["can_be"])
    span = span_of(believable)
    if span is not None:
        return *span, bool(can_be[-1])
    # The times of rows that are all refused say where they belong, so that they are read and
    # counted.
    return None if stamps.is_empty() else (*_ends(stamps), False)


def _ends(stamps: pl.Series) -> tuple[int, int]:
    column = stamps.to_numpy()
    return int(column.min()), int(column.max())


def are_odd(opens: pl.Series, timeframe: Timeframe) -> bool:
    """Whether some opens (microseconds) are no times but other numbers.

    Such as 20240311, when such numbers were taken for counts since 1970.
    """
    if opens.is_empty():
        return False
    stamps = opens.to_numpy()
    if int(stamps.min()) > to_micros(_NEVER):
        return True
    if timeframe.intraday:
        return int(stamps.max()) < to_micros(_FIRST_INTRADAY)
    # All dates from 1900 to 2099, as seconds, are three weeks of the August of 1970; those of years
    # fall on two days.
    first, after = (to_micros(datetime(1970, 8, day, tzinfo=UTC)) for day in (1, 31))
    return len(opens) > 2 and opens.n_unique() <= 2 and bool(opens.is_between(first, after).all())


def span_of(opens: pl.Series) -> tuple[int, int] | None:
    """The first and the last of some opens (microseconds); None where there are none.

    A few opens at an end that lie more than a year apart from the rest do not count.
    """
    if opens.is_empty():
        return None
    stamps = np.sort(opens.to_numpy())
    if len(stamps) >= _MANY and stamps[-1] - stamps[0] > _FAR:
        gaps = np.flatnonzero(np.diff(stamps) > _FAR) + 1
        first = max((int(at) for at in gaps if at <= _FEW), default=0)
        after = min((int(at) for at in gaps if len(stamps) - at <= _FEW), default=len(stamps))
        stamps = stamps[first:after]
    return int(stamps[0]), int(stamps[-1])


def period_in(name: str, clock: Clock) -> Window | None:
    """The days that a file's name says, by a wall clock; None without a date.

    They are a day, a month or a year, or from a first to a last day.
    """
    if days := [
        day for match in _DAYS.finditer(name) if (day := _day(match[1], match[3], match[4]))
    ]:
        return _between(min(days), max(days) + _DAY, clock)
    if match := _MONTHS.search(name):
        year, month = int(match[1]), int(match[2])
        first = date(year, month, 1)
        return _between(first, first + timedelta(days=calendar.monthrange(year, month)[1]), clock)
    if match := _YEARS.search(name):
        return _between(date(int(match[1]), 1, 1), date(int(match[1]) + 1, 1, 1), clock)
    return None


def _day(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _between(first: date, after: date, clock: Clock) -> Window:
    zone = ZoneInfo(clock.zone)
    walls = (datetime.combine(day, time()) - clock.shift for day in (first, after))
    start, end = (wall.replace(tzinfo=zone) for wall in walls)
    return Window(start, end)


def stretches_of(files: Sequence[FileSpan]) -> list[Stretch]:
    """What some files of one series speak for, each for itself.

    Nobody speaks for a file that is not there. A file speaks for the hours from its first row to
    its last. Between two others it speaks for the whole of the days that its name says, so that a
    quiet evening is spoken for; where the names say nothing, files that follow each other within
    hours speak for the time between them.
    """
    spans = sorted(files, key=lambda file: (file.first, file.last))
    periods = [file.period for file in spans if file.period is not None]
    windows = [_hours(file) for file in spans]
    if periods:
        shared = {period for period in periods if periods.count(period) > 1}
        outer = Window(
            min(window.start for window in windows), max(window.end for window in windows)
        )
        windows = [
            _widened(window, file, outer) if file.period not in shared else window
            for window, file in zip(windows, spans, strict=True)
        ]
    else:
        for place, (earlier, later) in enumerate(pairwise(windows)):
            if timedelta() < later.start - earlier.end < timedelta(microseconds=_NEAR):
                windows[place] = replace(earlier, end=later.start)
    return [
        Stretch(window, file.witness, Window.of_micros(file.first, file.last))
        for window, file in zip(windows, spans, strict=True)
    ]


def _hours(file: FileSpan) -> Window:
    return Window.of_micros(file.first // _HOUR * _HOUR, (file.last // _HOUR + 1) * _HOUR)


def _widened(window: Window, file: FileSpan, outer: Window) -> Window:
    """A file's hours with the rest of the days that its name says.

    They reach as far as other files lie around it.
    """
    # A name whose days have nothing to do with the rows means something else.
    period = file.period
    if period is None or not window.intersect(Window(period.start - _DAY, period.end + _DAY)):
        return window
    start = min(window.start, max(period.start, outer.start))
    end = max(window.end, min(period.end, outer.end)) if file.is_whole else window.end
    return Window(start, end)


def left_unknown(broken: Piece, pieces: Sequence[Piece]) -> Window:
    """What an unreadable piece leaves unknown: its days, or what lies between its neighbours."""
    # Days that others tell as well are not its own.
    if broken.period is not None and all(piece.period != broken.period for piece in pieces):
        return broken.period
    filled = [(piece.name, *piece.span) for piece in pieces if piece.span is not None]
    start = max((last + 1 for name, _, last in filled if name < broken.name), default=_BEGINNING)
    end = min((first for name, first, _ in filled if name > broken.name), default=_END)
    between = Window.of_micros(start, max(start, end))
    if broken.period is None:
        return between
    return between.intersect(broken.period) or Window(broken.period.start, broken.period.start)


def merged(stretches: Sequence[Stretch], within: Window) -> list[Window]:
    """The windows that some stretches cover of another, sorted, none meeting another."""
    parts = [
        part for stretch in stretches if (part := stretch.window.intersect(within)) is not None
    ]
    joined: list[Window] = []
    for part in sorted(parts):
        if joined and part.start <= joined[-1].end:
            joined[-1] = Window(joined[-1].start, max(joined[-1].end, part.end))
        else:
            joined.append(part)
    return joined
