"""Durations in words, as a universe file and the options of commands have them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration_words(length: timedelta) -> str:
    """A duration as it is written in a universe file: 90s, 10m, 1h, 365d."""
    seconds = length.total_seconds()
    size, unit = next(
        (size, unit)
        for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
        if seconds % size == 0 or size == 1
    )
    return f"{seconds / size:g}{unit}"


def duration_of(text: str) -> timedelta | None:
    """The length of time that is written as a number and a unit, such as 90s or 1.5h.

    None for any other text.
    """
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([smhdw])", text)
    return None if match is None else timedelta(**{_UNITS[match[2]]: float(match[1])})


@dataclass(frozen=True)
class Age:
    """How old something may become: whole years of the calendar, or a length of time.

    Attributes:
        years: Whole years; 0 where it is a length.
        length: The length, where it is no years.
    """

    years: int = 0
    length: timedelta = timedelta()

    def __str__(self) -> str:
        return f"{self.years}y" if self.years else duration_words(self.length)

    @property
    def days(self) -> float:
        """About how many days it is."""
        return self.years * 365.25 + self.length / timedelta(days=1)

    def before(self, instant: datetime) -> datetime:
        """The instant that lies so long before another one.

        29 February is 28 February in a year that has none.
        """
        if not self.years:
            return instant - self.length
        year = instant.year - self.years
        try:
            return instant.replace(year=year)
        except ValueError:
            return instant.replace(year=year, day=28)


def age_of(text: str) -> Age | None:
    """The age that is written as 2y, 90d or 26w; None for any other text."""
    if match := re.fullmatch(r"([1-9]\d{0,2})y", text):
        return Age(years=int(match[1]))
    length = duration_of(text)
    return Age(length=length) if length else None
