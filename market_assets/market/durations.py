"""Durations in words, as a universe file has them; `config.values` reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta


def duration_words(length: timedelta) -> str:
    """A duration as it is written in a universe file: 90s, 10m, 1h, 365d."""
    seconds = length.total_seconds()
    size, unit = next(
        (size, unit)
        for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
        if seconds % size == 0 or size == 1
    )
    return f"{seconds / size:g}{unit}"
