"""Counts of partitions that are too dear for each look: lost candles, and days never filled.

Their results are remembered between two counts. What each look reads anew is in `facts`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from market_assets.alerts.absence import backlog, vanished
from market_assets.alerts.facts import never_filled
from market_assets.expected.lost import lost_partitions
from market_assets.expected.scope import scope_of
from market_assets.market.calendars.bounds import LONGEST_CLOSURE
from market_assets.market.partitions import Cadence, Partition

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from market_assets.alerts.outside import Outside
    from market_assets.alerts.troubles import Trouble
    from market_assets.config.universe import Universe
    from market_assets.market.datasets import Dataset
    from market_assets.store import Snapshot

_HOUR, _DAY, _FEW_DAYS = timedelta(hours=1), timedelta(days=1), timedelta(days=3)


class Census:
    """Counts partitions again and again, the whole history once a day.

    Args:
        universe: What is kept.
        outside: Remembers since when backlogs have stood still.
    """

    def __init__(self, universe: Universe, outside: Outside) -> None:
        self._universe = universe
        self._outside = outside
        self._lost: dict[Dataset, dict[str, str]] = {}
        self._counted_at: datetime | None = None
        self._standing: list[Trouble] = []
        self._standing_at: datetime | None = None

    @property
    def lost(self) -> Mapping[str, int]:
        """How many partitions of each profile had lost candles at the last count."""
        counts = {dataset.owner: 0 for dataset in self._lost}
        for dataset, partitions in self._lost.items():
            counts[dataset.owner] += len(partitions)
        return {profile: count for profile, count in counts.items() if count}

    def lost_candles(
        self, view: Snapshot, now: datetime, materialized: Mapping[Dataset, Collection[str]]
    ) -> list[Trouble]:
        """The partitions that have lost candles.

        The newest partitions are counted at each look, all partitions once per day.
        """
        whole = self._counted_at is None or not timedelta(0) <= now - self._counted_at < _DAY
        troubles = []
        for profile in self._universe.profiles.values():
            for timeframe in profile.timeframes.fetch:
                scope = scope_of(profile, timeframe, now)
                dataset, cadence = scope.dataset, scope.cadence
                newest = min(now, scope.window.end)
                since = None if whole else _since(self._lost.get(dataset, ()), cadence, newest)
                remembered = materialized.get(dataset, ())
                self._lost[dataset] = lost_partitions(view, scope, filled=remembered, since=since)
                troubles += vanished(dataset, self._lost[dataset], cadence)
        self._counted_at = now if whole else self._counted_at
        return troubles

    def backlogs(self, view: Snapshot, now: datetime) -> list[Trouble]:
        """Which backlogs stand still; looked for once an hour, as they grow by the day."""
        before = self._standing_at
        if before is not None and timedelta(0) <= now - before < _HOUR:
            return self._standing
        begun = view.jobs.first()
        lists = {
            profile.candles(timeframe): never_filled(view, scope_of(profile, timeframe, now - _DAY))
            for profile in self._universe.profiles.values()
            for timeframe in profile.timeframes.fetch
            if profile.name in begun
        }
        # The witness remembers them by these names.
        names = {dataset: f"{dataset.owner}/{dataset.label}" for dataset in lists}
        counts = {names[dataset]: len(keys) for dataset, keys in lists.items()}
        standing = self._outside.standing(counts)
        self._standing_at = now
        self._standing = [
            trouble
            for dataset, keys in lists.items()
            if names[dataset] in standing
            for trouble in backlog(dataset, keys)
        ]
        return self._standing


def _since(lost: Iterable[str], cadence: Cadence, until: datetime) -> datetime:
    """From when on candles are counted: the newest partitions, and all since the oldest loss."""
    newest = until - (_FEW_DAYS if cadence is Cadence.DAY else LONGEST_CLOSURE)
    starts = [Partition.of_key(key, cadence).window.start for key in lost]
    return min([Partition.holding(newest.date(), cadence).window.start, *starts])
