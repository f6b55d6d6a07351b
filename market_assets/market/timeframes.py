"""Timeframes and windows: the two words that every other module speaks in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Timeframe(StrEnum):
    """The length of a candle."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H4 = "4h"
    D1 = "1d"
    W1 = "1w"

    @property
    def duration(self) -> timedelta:
        """The nominal length; a session or a clock change may cut a bar short or stretch a day."""
        return _DURATIONS[self]

    @property
    def micros(self) -> int:
        """The nominal length in microseconds, the unit of every `ts` column."""
        return self.duration // timedelta(microseconds=1)

    @property
    def intraday(self) -> bool:
        """True below one day: such bars open on a grid that starts afresh with each session."""
        return self.duration < timedelta(days=1)


_DURATIONS = {
    Timeframe.M1: timedelta(minutes=1),
    Timeframe.M5: timedelta(minutes=5),
    Timeframe.M15: timedelta(minutes=15),
    Timeframe.M30: timedelta(minutes=30),
    Timeframe.H1: timedelta(hours=1),
    Timeframe.H4: timedelta(hours=4),
    Timeframe.D1: timedelta(days=1),
    Timeframe.W1: timedelta(days=7),
}

TS = pl.Datetime("us")
"""The type of every time column: UTC in microseconds, without a zone, as DuckDB's TIMESTAMP."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""From when on microseconds are counted."""


def to_micros(instant: datetime) -> int:
    """Microseconds since 1970 of an aware instant; a naive one is refused with ValueError."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone; every instant in this package is aware")
    return (instant - EPOCH) // timedelta(microseconds=1)


def micros_of(instants: pl.Series) -> NDArray[np.int64]:
    """Microseconds since 1970 of a TS column without a null.

    It looks at the column's own numbers: `to_physical` is a query, which costs fifty times as much.
    """
    return instants.to_numpy().view("int64")


def from_micros(micros: int) -> datetime:
    """The aware UTC instant that lies `micros` microseconds after 1970."""
    return EPOCH + timedelta(microseconds=micros)


def literal(instant: datetime) -> pl.Expr:
    """An aware instant as a value to compare a `ts` column with."""
    return pl.lit(to_micros(instant)).cast(TS)


def midnight(day: date) -> datetime:
    """00:00 UTC of a day."""
    return datetime.combine(day, time(), UTC)


@dataclass(frozen=True, order=True)
class Window:
    """A half-open stretch of UTC time: `start` belongs to it, `end` does not; it may be empty.

    Raises:
        ValueError: A bound without a time zone, or an end before the start.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if to_micros(self.end) < to_micros(self.start):
            raise ValueError(f"a window cannot end ({self.end}) before it starts ({self.start})")
        # Whatever zone the bounds came in, what reads them may take their day and hour for UTC's.
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))

    @classmethod
    def of_days(cls, first: date, after: date) -> Window:
        """From 00:00 UTC of `first` to 00:00 UTC of `after`."""
        return cls(midnight(first), midnight(after))

    @classmethod
    def of_micros(cls, start: int, end: int) -> Window:
        """Between two counts of microseconds since 1970."""
        return cls(from_micros(start), from_micros(end))

    @classmethod
    def spanning(cls, starts: pl.Series, ends: pl.Series) -> Window:
        """From the earliest of some starts to the latest of some ends.

        Args:
            starts: A TS column that is not empty.
            ends: Likewise.

        Raises:
            ValueError: A column is empty.
        """
        first, last = starts.to_physical().min(), ends.to_physical().max()
        if first is None or last is None:
            raise ValueError("nothing to span: a column is empty")
        # Both columns hold integers.
        return cls.of_micros(int(first), int(last))  # type: ignore[arg-type]

    @classmethod
    def holding(cls, instants: pl.Series) -> Window:
        """The least window that holds some instants.

        Args:
            instants: A TS column that is not empty.

        Raises:
            ValueError: The column is empty.
        """
        return cls.spanning(instants, instants.dt.offset_by("1us"))

    @property
    def micros(self) -> tuple[int, int]:
        """Both bounds in microseconds since 1970."""
        return to_micros(self.start), to_micros(self.end)

    @property
    def empty(self) -> bool:
        """True when not one instant lies in it."""
        return self.start == self.end

    def intersect(self, other: Window) -> Window | None:
        """The stretch that both hold, or None where they share no instant."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Window(start, end) if start < end else None

    def holds(self, column: str = "ts") -> pl.Expr:
        """A polars predicate: the UTC time in `column` lies in this window."""
        return pl.col(column).is_between(literal(self.start), literal(self.end), closed="left")

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M}..{self.end:%Y-%m-%d %H:%M} UTC"
