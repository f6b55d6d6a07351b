"""How far the newest partitions of fetched candles are.

It says what an update must fill, and what can be reported to Dagster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.series import calendar_of
from market_assets.market.calendars.bounds import LONGEST_CLOSURE
from market_assets.market.partitions import Partition, hull
from market_assets.market.timeframes import Timeframe, Window, literal
from market_assets.store.database import aware
from market_assets.verdicts.evidence import is_believable

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.store import Store

NEWEST = 3
"""How many of the newest partitions an update fills; older ones are left to a repair."""

LOOKS_AGAIN = 10
"""How many updates after a session's close its last bars are asked for again."""


@dataclass(frozen=True)
class Standing:
    """How far one of the newest partitions is.

    Attributes:
        partition: Which one.
        closed_at: When the newest of its bars that have closed did so.
        ends_at: When the last of its bars closes.
        judged_at: Until when it was judged; None if it never was.
        changed_at: Its version; None where none is known.
        reported_at: The version that was reported to Dagster.
        again_after: How long after a close the last bars are asked for again.
    """

    partition: Partition
    closed_at: datetime
    ends_at: datetime
    judged_at: datetime | None
    changed_at: datetime | None
    reported_at: datetime | None
    again_after: timedelta

    def is_behind(self, now: datetime) -> bool:
        """Whether it must be filled again.

        A bar has closed since it was judged, or its last bars are due to be asked for again.
        """
        if self.judged_at is None or not is_believable(self.judged_at, now):
            return True
        again_at = self.closed_at + self.again_after
        return self.judged_at < self.closed_at or self.judged_at < again_at <= now

    def is_reportable(self, timeframe: Timeframe, now: datetime) -> bool:
        """Whether it must be reported to Dagster.

        It has changed since the last report, and no bar of its session is still to come.
        """
        if self.is_behind(now) or self.changed_at is None:
            return False
        complete = not timeframe.intraday or self.ends_at + self.again_after <= now
        return complete and (self.reported_at is None or self.reported_at < self.changed_at)


def newest_partitions(store: Store, scope: Scope) -> list[Standing]:
    """The newest partitions in which a bar has closed, oldest first.

    Raises:
        StoreError: The store stayed busy, or cannot be read.
    """
    window = scope.window
    span = max(LONGEST_CLOSURE, 62 * scope.timeframe.duration)
    recent = window.intersect(Window(window.end - span, window.end))
    if recent is None:
        return []
    partitions = scope.partitions(recent)[-NEWEST - 1 :]
    if not partitions:
        return []

    bars = scope.grid(hull(partitions)).with_columns(scope.part().cast(pl.String))
    ends = dict(bars.group_by("part").agg(pl.max("closes_at")).iter_rows())
    closed = bars.filter(pl.col("closes_at") <= literal(scope.now))
    closes = dict(closed.group_by("part").agg(pl.max("closes_at")).iter_rows())
    begun = [partition for partition in partitions if partition.key in closes][-NEWEST:]
    if not begun:
        return []

    with store.reading(f"looking for what {scope} lacks") as view:
        standing = view.partitions.standing(scope.dataset, begun[0].key)
    rows = {row["partition"]: row for row in standing.iter_rows(named=True)}

    def standing_of(partition: Partition) -> Standing:
        row = rows.get(partition.key, {})
        return Standing(
            partition,
            closed_at=aware(closes[partition.key]),
            ends_at=aware(ends[partition.key]),
            judged_at=_utc(row.get("judged_at")),
            changed_at=_utc(row.get("changed_at")),
            reported_at=_utc(row.get("reported_at")),
            again_after=LOOKS_AGAIN * scope.profile.update.every,
        )

    return [standing_of(partition) for partition in begun]


def closes_within(profile: Profile, window: Window) -> bool:
    """Whether a bar of some fetched timeframe closes in a window.

    None does while the market is closed.
    """
    calendar = calendar_of(profile)
    for timeframe in profile.timeframes.fetch:
        around = Window(window.start - 2 * timeframe.duration, window.end)
        closes = calendar.bars(timeframe, around)["closes_at"]
        if closes.is_between(literal(window.start), literal(window.end)).any():
            return True
    return False


def due_of(scope: Scope, newest: list[Standing]) -> list[Partition]:
    """The partitions that an update fills, oldest first.

    These are the ones behind, and those of the newest bars that are asked for again.
    """
    recheck = scope.profile.update.recheck
    due = [standing.partition for standing in newest if standing.is_behind(scope.now)]
    if not due or not recheck:
        return due

    partitions = [standing.partition for standing in newest]
    recent = scope.closed(hull(partitions)).tail(recheck)
    again = set(recent.select(scope.part().cast(pl.String)).to_series())
    return [partition for partition in partitions if partition in due or partition.key in again]


def _utc(stamp: datetime | None) -> datetime | None:
    return None if stamp is None else aware(stamp)
