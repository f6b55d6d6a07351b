"""One update of a profile, in the process that asks for it.

An update fetches the bars that have closed, then makes all that is made of them.
"""

from __future__ import annotations

import logging
import time
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from market_assets.enrich.made import made_of_markets, made_of_profile
from market_assets.errors import MarketAssetsError, reason_of
from market_assets.expected.newest import due_of, newest_partitions
from market_assets.expected.scope import scope_of
from market_assets.fill.fill import Fill
from market_assets.fill.options import FillOptions
from market_assets.market.datasets import Dataset, Family
from market_assets.market.instants import to_minute
from market_assets.market.partitions import hull
from market_assets.market.timeframes import Window
from market_assets.work.run import Run, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile, Universe
    from market_assets.expected.newest import Standing
    from market_assets.expected.scope import Scope
    from market_assets.market.partitions import Partition
    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.contract import Source
    from market_assets.store import Store
    from market_assets.work.making import Making
    from market_assets.work.outcome import PartitionOutcome

    Busy = Callable[[Timeframe, Sequence[str]], Collection[str]]
    """Which of some partitions of a fetched timeframe another run fills right now."""

log = logging.getLogger("market_assets.live")

_UPDATE = Run(trigger=Trigger.UPDATE)

FILLING = timedelta(seconds=25)
"""After this time an update asks for nothing more, whatever the timeframe: the next one goes on."""

FOLLOWING = timedelta(seconds=40)
"""After this nothing more is made in an update."""


@dataclass
class Updated:
    """What an update did.

    Attributes:
        lines: A sentence per timeframe or dataset, for a person.
        newest: How far the newest partitions of each fetched timeframe are now.
        outcomes: What became of those that were filled.
        errors: What failed as a whole.
    """

    lines: list[str] = field(default_factory=list)
    newest: dict[Timeframe, list[Standing]] = field(default_factory=dict)
    outcomes: dict[Timeframe, list[PartitionOutcome]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def update_profile(
    store: Store,
    sources: Mapping[str, Source],
    universe: Universe,
    profile: Profile,
    *,
    now: datetime,
    busy: Busy,
    run: Run = _UPDATE,
) -> Updated:
    """Fill what the newest partitions lack, and make what is made of them again.

    One timeframe or dataset that fails leaves the others alone.

    Args:
        store: Where all is kept.
        sources: The sources that the profile names, by name.
        universe: Which datasets there are.
        profile: Whose candles.
        now: The instant up to which bars count: the present less `update.settle`.
        busy: Which partitions are left alone, because a run fills them.
        run: Who has asked for it.
    """
    update = _Update(store, sources, universe, profile, now=now, busy=busy, run=run)
    for timeframe in profile.timeframes.fetch:
        update.fill(timeframe)
    update.follow()
    return update.updated


def follow_profile(
    store: Store,
    universe: Universe,
    profile: Profile,
    *,
    now: datetime,
    run: Run = _UPDATE,
    is_over: Callable[[], bool] = bool,
) -> Updated:
    """Make again what is made of a profile's newest candles and is behind; ask nobody.

    Args:
        store: Where all is kept.
        universe: Which datasets there are.
        profile: Whose candles.
        now: The instant up to which bars count: the present less `update.settle`.
        run: Who has asked for it.
        is_over: Asked after each partition: true where the rest is left to the next time.
    """
    update = _Update(
        store, {}, universe, profile, now=now, busy=lambda *_: (), run=run, is_over=is_over
    )
    for timeframe in profile.timeframes.fetch:
        scope = scope_of(profile, timeframe, now)
        update.updated.newest[timeframe] = newest_partitions(store, scope)
    update.follow()
    return update.updated


@dataclass(frozen=True)
class _Update:
    """An update under way: what it works with, and what it has done so far.

    Attributes:
        store: Where all is kept.
        sources: The sources that the profile names, by name.
        universe: Which datasets there are.
        profile: Whose candles.
        now: The instant up to which bars count.
        busy: Which partitions are left alone.
        run: Who has asked for it.
        is_over: Whether the rest is left to the next time.
        began: When it began, by the clock that only goes forward.
        updated: What it has done.
    """

    store: Store
    sources: Mapping[str, Source]
    universe: Universe
    profile: Profile
    _: KW_ONLY
    now: datetime
    busy: Busy
    run: Run
    is_over: Callable[[], bool] = bool
    began: float = field(default_factory=time.monotonic)
    updated: Updated = field(default_factory=Updated)

    def fill(self, timeframe: Timeframe) -> None:
        """Fill what the newest partitions of a timeframe lack, as long as there is time."""
        time_left = FILLING - timedelta(seconds=time.monotonic() - self.began)
        if time_left <= timedelta():
            self.updated.lines.append(f"{timeframe}: left to the next update")
            return
        try:
            self._fill(scope_of(self.profile, timeframe, self.now), time_left)
        except MarketAssetsError as error:
            self.updated.errors.append(f"{timeframe}: {reason_of(error)}")

    def _fill(self, scope: Scope, max_time: timedelta) -> None:
        timeframe, lines = scope.timeframe, self.updated.lines
        newest = newest_partitions(self.store, scope)
        self.updated.newest[timeframe] = newest
        if not newest:
            lines.append(f"{timeframe}: no bar has closed yet")
            return
        due = due_of(scope, newest)
        if not due:
            until = max(standing.closed_at for standing in newest)
            lines.append(f"{timeframe}: nothing has closed since {to_minute(until)}")
            return
        if under_way := self.busy(timeframe, [partition.key for partition in due]):
            lines.append(f"{timeframe}: a run for {', '.join(sorted(under_way))} is under way")
            return

        options = FillOptions(
            newest_first=True,
            only_due=True,
            recheck=scope.profile.update.recheck,
            max_time=max_time,
        )
        fill = Fill(self.store, self.sources, scope, hull(due), options, run=self.run)
        outcomes = list(fill)
        self.updated.outcomes[timeframe] = outcomes
        self.updated.newest[timeframe] = newest_partitions(self.store, scope)
        lines.append(_words(timeframe, due, outcomes))

    def follow(self) -> None:
        """Make what is made of the newest candles and is behind, as long as there is time."""
        newest = [standing for standings in self.updated.newest.values() for standing in standings]
        if not newest:
            return
        start = min(standing.partition.window.start for standing in newest)
        works = self._works(Window(start, self.now))
        with self.store.reading(f"looking for what is made of {self.profile.name}") as view:
            behind = {id(work): work.behind(view) for work in works}

        renewed: set[Dataset] = set()
        for work in works:
            if self.is_over():
                return
            due = behind[id(work)]
            if work.is_made_of(renewed):
                with self.store.reading(f"looking for what {work.dataset} lacks") as view:
                    due = work.behind(view)
            if not due:
                continue
            if time.monotonic() - self.began > FOLLOWING.total_seconds():
                self.updated.lines.append(f"{work.dataset.name}: left to the next update")
                continue
            if self._make(work, due) and work.dataset.family is Family.CANDLES:
                renewed.add(work.dataset)

    def _works(self, window: Window) -> list[Making]:
        """The work that makes what is made of the profile's candles in a window."""
        datasets = made_of_profile(self.profile) + [
            made
            for made in made_of_markets(self.universe)
            if self.profile in self.universe.in_markets(made.dataset.timeframe)
        ]
        works = [
            made.work(self.store, self.universe, window, now=self.now, run=self.run)
            for made in datasets
        ]
        return [work for work in works if work.partitions]

    def _make(self, work: Making, due: list[Partition]) -> bool:
        """Make some partitions; whether they could be made."""
        work.partitions = due
        name = work.dataset.name
        try:
            made = 0
            for outcome in work:
                made += outcome.new
                if self.is_over():
                    break
        except MarketAssetsError as error:
            self.updated.errors.append(f"{name}: {reason_of(error)}")
            return False
        except Exception as error:
            # One dataset that cannot be made leaves the others alone; the log has the whole of it.
            log.exception("%s could not be made", work.dataset)
            self.updated.errors.append(f"{name}: {type(error).__name__}: {error}")
            return False
        self.updated.lines.append(f"{name}: {made:,} bars made")
        return True


def _words(timeframe: Timeframe, due: list[Partition], outcomes: list[PartitionOutcome]) -> str:
    """What a fill has done, for a person."""
    new = sum(outcome.new for outcome in outcomes)
    revised = sum(outcome.revised for outcome in outcomes)
    reasons = [reason for outcome in outcomes for reason in outcome.failures]
    words = [f"{new:,} new bars"]
    words += [f"{revised:,} revised"] if revised else []
    words += [f"not filled: {reasons[0]}"] if reasons else []
    partitions = ", ".join(partition.key for partition in due)
    return f"{timeframe} of {partitions}: {', '.join(words)}"
