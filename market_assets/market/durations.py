"""Durations in words, as a universe file and the options of commands have them."""

from __future__ import annotations

import re
from datetime import timedelta

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
