"""What a file knows better of a calendar: its `calendar_changes`, as they are written.

What such a change does to a calendar stands in `market.calendars.changes`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    Field,
    PlainValidator,
    model_validator,
)

from market_assets.config.values import Day, Model
from market_assets.config.yaml_file import shown
from market_assets.market.calendars.changes import Change, Stretch, stretch_of, wall
from market_assets.words import listed


def _wall(value: object) -> timedelta:
    # YAML reads 13:30 without quotation marks as a number of minutes.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 24 * 60:
        return timedelta(minutes=value)
    if isinstance(value, str):
        return wall(value)
    raise ValueError(f"{shown(value)} is no time of day; write it like 09:30")


def _stretches(value: object) -> tuple[Stretch, ...]:
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{shown(value)} are no hours; write them like 09:30-12:00, 13:00-16:00")
    return tuple(sorted(stretch_of(text) for text in texts))


def _true_or_wall(value: object) -> bool | timedelta:
    return True if value is True else _wall(value)


def _opening(value: object) -> bool | timedelta | tuple[Stretch, ...]:
    return (
        _stretches(value)
        if isinstance(value, list) or (isinstance(value, str) and "-" in value)
        else _true_or_wall(value)
    )


def _zone(value: object) -> str:
    try:
        return ZoneInfo(str(value)).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{shown(value)} is no time zone; write it like Asia/Hong_Kong") from None


class CalendarChange(Model):
    """What is known better of a calendar: one day, or the sessions up to another day.

    Attributes:
        date: The session's date.
        to: The last session's date, where the change is for several days; days without a session
            stay so.
        close: True for no session, or the time at which it closes.
        open: True for a session with the usual hours, the time at which it opens, or the hours of a
            session that the calendar lacks.
        hours: All hours of the session, such as `09:30-12:00, 13:00-16:00`; a stretch that ends at
            or before its start begins on the evening before.
        zone: Whose clock these times are; the exchange's own by default.
        reason: Why; it is shown with what it changes.
    """

    date: Day
    to: Day | None = None
    close: Annotated[Any, PlainValidator(_true_or_wall)] = None
    open: Annotated[Any, PlainValidator(_opening)] = None
    hours: Annotated[Any, PlainValidator(_stretches)] = None
    zone: Annotated[str, PlainValidator(_zone)] | None = None
    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _is_one_change(self) -> Self:
        if self.to is not None and self.to < self.date:
            raise ValueError(f"to: {self.to} is before the date, {self.date}")
        given = [key for key in ("close", "open", "hours") if getattr(self, key) is not None]
        if not given:
            raise ValueError(
                "says nothing: "
                "write `close: true`, `close: 12:00`, `open: 10:00` or `hours: 09:30-12:00`"
            )
        alone = (
            "hours" in given
            or self.close is True
            or self.open is True
            or isinstance(self.open, tuple)
        )
        if alone and len(given) > 1:
            raise ValueError(
                f"{listed(given)} contradict each other; write one of them, or all `hours`"
            )
        if self.open is True and self.to is not None and self.to > self.date:
            raise ValueError(
                "open: true is for one day; write an entry for each that has a session"
            )
        return self

    def repeats(self, other: CalendarChange) -> bool:
        """Whether another entry speaks of the same days and the same ends of them."""
        if (self.date, self.to or self.date) != (other.date, other.to or other.date):
            return False
        ends = {
            isinstance(entry.open, timedelta) or isinstance(entry.close, timedelta)
            for entry in (self, other)
        }
        apart = (self.open is None, self.close is None) == (other.close is None, other.open is None)
        return not (ends == {True} and apart)

    @property
    def change(self) -> Change:
        """The change as calendars take it."""
        hours = self.open if isinstance(self.open, tuple) else self.hours
        return Change(
            self.date,
            self.to or self.date,
            self.reason,
            hours=() if self.close is True else hours,
            opens=self.open if isinstance(self.open, timedelta) else None,
            closes=self.close if isinstance(self.close, timedelta) else None,
            as_before=self.open is True,
            zone=None if self.zone is None else ZoneInfo(self.zone),
        )
