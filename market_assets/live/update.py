"""One update of a profile, in the process that asks for it.

An update fetches the bars that have closed, then makes all that is made of them.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from market_assets.enrich.made import made_of_markets, made_of_profile
from market_assets.errors import MarketAssetsError
from market_assets.expected.newest import due_of, newest_partitions
from market_assets.fill import Fill
from market_assets.market.datasets import Dataset, Family
from market_assets.market.instants import to_minute
from market_assets.market.partitions import hull
from market_assets.market.timeframes import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile, Universe
    from market_assets.expected.newest import Standing
    from market_assets.fill import PartitionOutcome
    from market_assets.market.partitions import Partition
    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.contract import Source
    from market_assets.store import Store
    from market_assets.work.making import Work

    Busy = Callable[[Timeframe, Sequence[str]], Collection[str]]
    """Which of some partitions of a fetched timeframe another run fills right now."""

log = logging.getLogger("market_assets.live")

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
    trigger: str = "update",
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
        trigger: How it came about, for the audit.
    """
    started = time.monotonic()
    updated = Updated()
    for timeframe in profile.timeframes.fetch:
        time_left = FILLING - timedelta(seconds=time.monotonic() - started)
        if time_left <= timedelta():
            updated.lines.append(f"{timeframe}: left to the next update")
            continue
        try:
            _fill(
                store,
                sources,
                profile,
                timeframe,
                updated,
                now=now,
                busy=busy,
                trigger=trigger,
                max_time=time_left,
            )
        except MarketAssetsError as error:
            updated.errors.append(f"{timeframe}: {error}")

    newest = [standing for standings in updated.newest.values() for standing in standings]
    if newest:
        scope = Window(min(standing.partition.window.start for standing in newest), now)
        left = FOLLOWING.total_seconds() - (time.monotonic() - started)
        _follow(store, universe, profile, scope, updated, now=now, trigger=trigger, seconds=left)
    return updated


def _fill(
    store: Store,
    sources: Mapping[str, Source],
    profile: Profile,
    timeframe: Timeframe,
    updated: Updated,
    *,
    now: datetime,
    busy: Busy,
    trigger: str,
    max_time: timedelta,
) -> None:
    newest = newest_partitions(store, profile, timeframe, now)
    updated.newest[timeframe] = newest
    if not newest:
        updated.lines.append(f"{timeframe}: no bar has closed yet")
        return
    due = due_of(profile, timeframe, newest, now)
    if not due:
        until = max(standing.closed_at for standing in newest)
        updated.lines.append(f"{timeframe}: nothing has closed since {to_minute(until)}")
        return
    if under_way := busy(timeframe, [partition.key for partition in due]):
        updated.lines.append(f"{timeframe}: a run for {', '.join(sorted(under_way))} is under way")
        return

    fill = Fill(
        store,
        sources,
        profile,
        timeframe,
        hull(due),
        clock=lambda: now,
        newest_first=True,
        only_due=True,
        recheck=profile.update.recheck,
        max_time=max_time,
        trigger=trigger,
    )
    updated.outcomes[timeframe] = outcomes = list(fill)
    updated.newest[timeframe] = newest_partitions(store, profile, timeframe, now)
    _note(updated, timeframe, due, outcomes)


def _note(
    updated: Updated, timeframe: Timeframe, due: list[Partition], outcomes: list[PartitionOutcome]
) -> None:
    new = sum(outcome.new for outcome in outcomes)
    revised = sum(outcome.revised for outcome in outcomes)
    reasons = [reason for outcome in outcomes for reason in outcome.failures]
    words = [f"{new:,} new bars"]
    words += [f"{revised:,} revised"] if revised else []
    words += [f"not filled: {reasons[0]}"] if reasons else []
    partitions = ", ".join(partition.key for partition in due)
    updated.lines.append(f"{timeframe} of {partitions}: {', '.join(words)}")


def _follow(
    store: Store,
    universe: Universe,
    profile: Profile,
    scope: Window,
    updated: Updated,
    *,
    now: datetime,
    trigger: str,
    seconds: float,
) -> None:
    """Make what is made of a profile's candles in a scope and is behind.

    The work ends when its time is over.
    """
    deadline = time.monotonic() + seconds
    datasets = made_of_profile(profile) + [
        made
        for made in made_of_markets(universe)
        if profile in universe.in_markets(made.dataset.timeframe)
    ]
    works = [
        made.work(store, universe, scope, clock=lambda: now, trigger=trigger) for made in datasets
    ]
    works = [work for work in works if work.partitions]
    with store.reading(f"looking for what is made of {profile.name}") as view:
        behind = {id(work): work.behind(view) for work in works}

    renewed: set[Dataset] = set()
    for work in works:
        due = behind[id(work)]
        if work.is_made_of(renewed):
            with store.reading(f"looking for what {work.dataset} lacks") as view:
                due = work.behind(view)
        if not due:
            continue
        if time.monotonic() > deadline:
            updated.lines.append(f"{work.dataset.name}: left to the next update")
            continue
        try:
            made = _make(work, due)
        except MarketAssetsError as error:
            updated.errors.append(f"{work.dataset.name}: {error}")
            continue
        except Exception as error:
            # One dataset that cannot be made leaves the others alone; the log has the whole of it.
            log.exception("%s could not be made", work.dataset)
            updated.errors.append(f"{work.dataset.name}: {type(error).__name__}: {error}")
            continue
        if work.dataset.family is Family.CANDLES:
            renewed.add(work.dataset)
        updated.lines.append(f"{work.dataset.name}: {made:,} bars made")


def _make(work: Work, due: list[Partition]) -> int:
    work.partitions = due
    return sum(outcome.new for outcome in work)
