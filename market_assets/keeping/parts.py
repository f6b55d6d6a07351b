"""Parts of a home folder: how large they are and how they grow; what is removed of them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from market_assets.config.services import RetentionSettings

_DAY = timedelta(days=1)

_RECENT_DAYS = 7
"""Growth is that of so many of the newest days."""

_WORTH_SAYING = 64 * 1024
"""A shorter setting that frees less is no advice."""


@dataclass(frozen=True)
class Removed:
    """What was removed of one part, or would be.

    Attributes:
        part: Which part it belonged to.
        what: What it was, in the plural.
        count: How many rows or files.
        bytes: How long they were, without the indexes over them.
        partitions: How many partitions they were; 0 where they are no data.
    """

    part: str
    what: str
    count: int
    bytes: int
    partitions: int = 0


@dataclass(frozen=True)
class Part:
    """One part of a home folder.

    Attributes:
        name: What it is called.
        files: How many files it has; 0 for a share of a file.
        bytes: How long it is.
        ages: How many bytes are how old, in whole days; empty where nothing tells their age.
        free: How many of its bytes hold nothing any more, and are used again.
    """

    name: str
    files: int
    bytes: int
    ages: Mapping[int, float] = field(default_factory=dict)
    free: int = 0

    @property
    def growth(self) -> int | None:
        """Bytes that are added per day, by the newest days; None where nothing tells."""
        if not self.ages:
            return None
        days = min(_RECENT_DAYS, max(self.ages) + 1)
        return round(sum(size for age, size in self.ages.items() if age < days) / days)


@dataclass(frozen=True)
class Advice:
    """What a shorter setting would free.

    Attributes:
        setting: The key, such as `retention.runs`.
        now: What it is.
        shorter: What it could be.
        frees: How many bytes the next prune would remove for it, about.
    """

    setting: str
    now: timedelta
    shorter: timedelta
    frees: int


def by_age(sizes: Iterable[tuple[datetime, float]], now: datetime) -> dict[int, float]:
    """Bytes by their age in whole days, out of pairs of an instant and a size."""
    ages: defaultdict[int, float] = defaultdict(float)
    for instant, size in sizes:
        ages[max(0, math.floor((now - instant) / _DAY))] += size
    return dict(ages)


def spread(ages: Mapping[int, float], size: int) -> dict[int, float]:
    """The ages of some rows as those of all the bytes that they take in their file."""
    total = sum(ages.values())
    return {age: weight * size / total for age, weight in ages.items()} if total else {}


def halves(settings: RetentionSettings) -> list[tuple[str, timedelta, RetentionSettings]]:
    """Each duration of the settings, and the settings with half of it."""
    lengths = {name: getattr(settings, name) for name in type(settings).model_fields}
    return [
        (name, length, settings.model_copy(update={name: length / 2}))
        for name, length in lengths.items()
        if isinstance(length, timedelta)
    ]


def advice(freed: Mapping[str, int], settings: RetentionSettings) -> list[Advice]:
    """What half of each setting frees, most first; what frees next to nothing is left out.

    Args:
        freed: By the name of a setting how many bytes more are removed with half of it.
        settings: As they are.
    """
    suggestions = [
        Advice(f"retention.{name}", length, length / 2, freed[name])
        for name, length, _ in halves(settings)
        if freed.get(name, 0) >= _WORTH_SAYING
    ]
    return sorted(suggestions, key=lambda suggestion: -suggestion.frees)


def size_words(size: float) -> str:
    """A number of bytes as people read it."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(size) >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size:.0f} bytes"
