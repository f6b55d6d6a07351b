"""Dagster partitions that are exactly the days or months for which a calendar has candles."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from market_assets.imports import late_imports
from market_assets.market.partitions import Cadence, Partition, partitions_in
from market_assets.market.timeframes import Window, midnight

with late_imports():
    pass


if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from market_assets.expected.scope import Scope

_AHEAD = timedelta(days=400)
"""How far to look for days without trading; the definitions are loaded again long before."""


def partitions_of(scope: Scope) -> dg.TimeWindowPartitionsDefinition:
    """The partitions of a profile's timeframe: days on which a bar opens, or months.

    A profile that has not ended also has the partition that runs now.

    Args:
        scope: The candles; its instant decides whether the profile has ended.
    """
    profile, cadence = scope.profile, scope.cadence
    closed = [] if cadence is Cadence.MONTH else _closed_days(scope)
    return days_or_months(cadence, profile.start, profile.end, scope.now, without=closed)


def days_or_months(
    cadence: Cadence,
    start: date,
    end: date | None,
    now: datetime,
    *,
    without: Sequence[str | datetime] = (),
) -> dg.TimeWindowPartitionsDefinition:
    """The partitions from a day on, up to the one that runs now where it has no end.

    Args:
        cadence: How long they are.
        start: The first day.
        end: The first day that is in none of them, if there is one.
        now: Decides whether it has ended.
        without: Days that are no partition, as `exclusions` takes them.
    """
    first = Partition.holding(start, cadence).window.start
    after = None if end is None else _ceil(end, cadence)
    running = 0 if after is not None and after <= now else 1
    if cadence is Cadence.MONTH:
        return dg.MonthlyPartitionsDefinition(start_date=first, end_date=after, end_offset=running)
    return dg.DailyPartitionsDefinition(
        start_date=first, end_date=after, end_offset=running, exclusions=list(without) or None
    )


def _closed_days(scope: Scope) -> list[str | datetime]:
    """The days that are no partition.

    Returns:
        A cron line for the weekdays that never trade, and each other day separately.
    """
    profile, calendar = scope.profile, scope.calendar
    # An exchange is known for about a year ahead, and that moves on every day. The first day of a
    # month moves only once per month, and Dagster's cache of the partitions with it.
    ahead = min(calendar.known.end, scope.now + _AHEAD) - timedelta(days=31)
    horizon = midnight(ahead.date().replace(day=1))
    start, end = midnight(profile.start), None if profile.end is None else midnight(profile.end)
    window = Window(start, max(start, min(horizon, end) if end else horizon))
    trading = {
        partition.key for partition in partitions_in(calendar, scope.timeframe, Cadence.DAY, window)
    }
    days = [window.start + timedelta(days=n) for n in range((window.end - window.start).days)]
    closed = [day for day in days if day.date().isoformat() not in trading]
    traded = {_weekday(datetime.fromisoformat(key)) for key in trading}
    never = sorted({_weekday(day) for day in closed} - traded)
    cron: list[str | datetime] = [f"0 0 * * {','.join(map(str, never))}"] if never else []
    return [*cron, *(day for day in closed if _weekday(day) not in never)]


def _weekday(day: datetime) -> int:
    """The day of the week as cron counts it: Sunday is 0."""
    return day.isoweekday() % 7


def _ceil(day: date, cadence: Cadence) -> datetime:
    """The first partition border that is not before a day."""
    holding = Partition.holding(day, cadence).window
    return holding.start if holding.start.date() == day else holding.end
