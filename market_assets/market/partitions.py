"""The stretches in which candles are filled, judged and shown: one UTC day or one UTC month.

Which of them must exist for a dataset stands in `expected`, not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import Timeframe, Window, midnight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.market.calendars.sessions import SessionCalendar


class Cadence(StrEnum):
    """How long a partition is."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, order=True)
class Partition:
    """One stretch of a series, and the key that Dagster and the ledgers use: its first day, ISO."""

    window: Window
    key: str

    @classmethod
    def holding(cls, day: date, cadence: Cadence) -> Partition:
        """The partition that a UTC day belongs to."""
        first = day if cadence is Cadence.DAY else day.replace(day=1)
        return cls(Window.of_days(first, _after(first, cadence)), first.isoformat())

    @classmethod
    def of_key(cls, key: str, cadence: Cadence) -> Partition:
        """The partition with that key.

        Raises:
            ValueError: The key is no ISO date, or not the first day of its partition.
        """
        partition = cls.holding(date.fromisoformat(key), cadence)
        if partition.key != key:
            raise ValueError(f"{key} is not the first day of a {cadence}")
        return partition


def _after(first: date, cadence: Cadence) -> date:
    if cadence is Cadence.DAY:
        return first + timedelta(days=1)
    return (first.replace(day=28) + timedelta(days=4)).replace(day=1)


def hull(partitions: Sequence[Partition]) -> Window:
    """From the start of the oldest of some partitions to the end of the newest, in any order."""
    return Window(
        min(partition.window.start for partition in partitions),
        max(partition.window.end for partition in partitions),
    )


def partitions_in(
    calendar: SessionCalendar, timeframe: Timeframe, cadence: Cadence, window: Window
) -> list[Partition]:
    """The partitions that overlap the window and can hold a bar of that timeframe, oldest first.

    A UTC day on which no session trades is no partition; every month is one.
    """
    if window.empty:
        return []
    if cadence is Cadence.DAY:
        return list(
            _days_of(calendar, timeframe, Window(_floor_day(window.start), _ceil_day(window.end)))
        )
    partitions = [Partition.holding(window.start.astimezone(UTC).date(), cadence)]
    while partitions[-1].window.end < window.end:
        partitions.append(Partition.holding(partitions[-1].window.end.date(), cadence))
    return partitions


@lru_cache(maxsize=64)
def _days_of(
    calendar: SessionCalendar, timeframe: Timeframe, window: Window
) -> tuple[Partition, ...]:
    """The days of a window of whole days.

    They are kept, because sensors ask for the same ten years every minute.
    """
    days = (
        calendar.trading_days(window)
        if timeframe.intraday
        else calendar.bars(timeframe, window)["ts"].dt.date()
    )
    return tuple(Partition.holding(day, Cadence.DAY) for day in days)


def _floor_day(instant: datetime) -> datetime:
    return midnight(instant.astimezone(UTC).date())


def _ceil_day(instant: datetime) -> datetime:
    floor = _floor_day(instant)
    return floor if floor == instant else floor + timedelta(days=1)


def partition_key(cadence: Cadence, column: str = "ts") -> pl.Expr:
    """The day on which the partition of a time begins, as a Date named "part"."""
    day = pl.col(column).dt.date()
    return (day if cadence is Cadence.DAY else day.dt.month_start()).alias("part")
