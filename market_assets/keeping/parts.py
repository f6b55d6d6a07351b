"""Parts of a home folder: how large they are, how they grow, and what a setting would change."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from market_assets.universe import RetentionSettings

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
    """

    part: str
    what: str
    count: int
    bytes: int


@dataclass(frozen=True)
class Part:
    """One part of a home folder.

    Attributes:
        name: What it is called.
        files: How many files it has; 0 for a share of a file.
        bytes: How long it is.
        ages: How many bytes are how old, in whole days; empty where nothing tells their age.
        setting: The key of `retention` that bounds it; empty where none does.
        free: How many of its bytes hold nothing any more, and are used again.
    """

    name: str
    files: int
    bytes: int
    ages: Mapping[int, float] = field(default_factory=dict)
    setting: str = ""
    free: int = 0

    @property
    def growth(self) -> float | None:
        """Bytes that are added per day, by the newest days; None where nothing tells."""
        if not self.ages:
            return None
        days = min(_RECENT_DAYS, max(self.ages) + 1)
        return sum(size for age, size in self.ages.items() if age < days) / days

    def older_than(self, limit: timedelta) -> float:
        """How many bytes a limit would remove, about."""
        days = limit / _DAY
        return sum(size for age, size in self.ages.items() if age >= days)


@dataclass(frozen=True)
class Advice:
    """What a shorter setting would free.

    Attributes:
        setting: The key, such as `retention.runs`.
        now: What it is.
        shorter: What it could be.
        frees: How many bytes that would remove, about.
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


def advice(parts: Iterable[Part], settings: RetentionSettings) -> list[Advice]:
    """What half of each setting would free, most first; what frees next to nothing is left out."""
    halves: defaultdict[str, float] = defaultdict(float)
    for part in parts:
        limit = getattr(settings, part.setting) if part.setting else None
        if isinstance(limit, timedelta):
            halves[part.setting] += part.older_than(limit / 2)

    found = []
    for setting, size in halves.items():
        limit = getattr(settings, setting)
        if size >= _WORTH_SAYING:
            found.append(Advice(f"retention.{setting}", limit, limit / 2, round(size)))
    return sorted(found, key=lambda each: -each.frees)
