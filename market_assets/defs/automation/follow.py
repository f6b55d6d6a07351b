"""The sensor that makes again what depends on candles that have changed.

It also reports to Dagster what was made without a run.

The store says what is behind: each partition notes the version of what it was made of. Whatever
changed the candles (a repair, a backfill by hand, a run that was killed half way), what depends on
them follows.

Dagster reads the annotations of a sensor's resources at run time, so that this module does without
postponed ones.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

import dagster as dg
import polars as pl

from market_assets.config.settings import RepairSettings
from market_assets.config.universe import Profile, Universe
from market_assets.defs.assets.completeness import completeness_key
from market_assets.defs.automation.runs import RangeRun, unfinished_runs
from market_assets.defs.internals.adapter import range_of, range_tags
from market_assets.defs.keys import (
    BEFORE_REPAIRS,
    PROFILE_TAG,
    automatic,
    dataset_key,
    trigger_tag,
)
from market_assets.defs.resources import PATIENCE, Clock, StoreResource
from market_assets.errors import StoreError
from market_assets.imports import late_imports
from market_assets.market.clock import machine
from market_assets.market.instants import clock_time
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import Window, midnight
from market_assets.work.run import Trigger

with late_imports():
    from market_assets.enrich.made import Made, made_in
    from market_assets.expected import newest as newest_partitions
    from market_assets.plan.repair import Launches, wait_after
    from market_assets.store import Snapshot, Store
    from market_assets.work.behind import Input
    from market_assets.work.making import Making


if TYPE_CHECKING:
    from market_assets.market.datasets import Family

NAME = "derive_when_input_changes"

EVERY = timedelta(minutes=1)

_PARTITIONS_PER_RUN = 400
_TAKEN_ALONG = 7
"""How many whole partitions between two that are behind are made along with them, at most."""

_AFRESH = timedelta(hours=1)
"""How often everything is looked at, whatever seems to have changed."""

_UnderWay = Sequence[tuple[frozenset[dg.AssetKey], tuple[str, str]]]
"""What the unfinished runs make: asset keys and the first and last of their partitions."""

_Stamps = Mapping[str, str]
"""What tells one state of each dataset from another, by its name."""


@dataclass
class _Memory:
    """What the sensor remembers from tick to tick, as its cursor.

    Attributes:
        stamps: How the days before today were at the last look that left nothing to do.
        looked_at: When that look was.
        launches: How often each dataset was launched in a row, and when last.
        sequence: How many runs were asked for: part of each run key, so that none is used twice.
    """

    stamps: _Stamps = field(default_factory=dict)
    looked_at: datetime | None = None
    launches: dict[str, Launches] = field(default_factory=dict)
    sequence: int = 0

    @classmethod
    def load(cls, cursor: str | None, instance: dg.DagsterInstance) -> Self:
        if not cursor or not cursor.startswith('{"stamps"'):
            runs = instance.get_runs_count(dg.RunsFilter(tags={"dagster/sensor_name": NAME}))
            return cls(sequence=runs)
        kept = json.loads(cursor)
        return cls(
            kept["stamps"],
            kept["looked_at"] and datetime.fromisoformat(kept["looked_at"]),
            {
                name: Launches(count, datetime.fromisoformat(at))
                for name, (count, at) in kept["launches"].items()
            },
            kept["sequence"],
        )

    def dump(self) -> str:
        return json.dumps(
            {
                "stamps": self.stamps,
                "looked_at": self.looked_at and self.looked_at.isoformat(),
                "launches": {
                    name: [launch.count, launch.at.isoformat()]
                    for name, launch in self.launches.items()
                },
                "sequence": self.sequence,
            }
        )


def follow_sensor(universe: Universe) -> dg.SensorDefinition:
    """The sensor `derive_when_input_changes`, which looks after all that is made of candles.

    Args:
        universe: What is kept.
    """

    @dg.sensor(
        name=NAME,
        asset_selection=dg.AssetSelection.assets(
            *(dataset_key(made.dataset) for made in made_in(universe)),
            *(completeness_key(name) for name in universe.profiles),
        ),
        minimum_interval_seconds=int(EVERY.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Makes longer candles, features and returns again when candles of theirs have changed, "
            "whoever changed them, and reports what the updates have made "
            "of a session that is over. The running sessions are the updates' business."
        ),
    )
    def follow(
        context: dg.SensorEvaluationContext, store: StoreResource, clock: Clock
    ) -> dg.SensorResult:
        memory = _Memory.load(context.cursor, context.instance)
        now = clock.now()
        try:
            return _tick(context.instance, memory, universe, store.store(clock, PATIENCE), now)
        except StoreError as error:
            return dg.SensorResult(
                skip_reason=f"nothing was looked at: {error}", cursor=context.cursor
            )

    return follow


@dataclass(frozen=True)
class Behind:
    """What is to be made, or made again, of one dataset.

    Attributes:
        made: The dataset.
        inputs: What it is made of.
        partitions: All that it has, oldest first.
        due: The keys of those that are behind, or were not reported to Dagster.
        held: How many more there are that are still the updates' business.
    """

    made: Made
    inputs: Sequence[Input]
    partitions: Sequence[Partition]
    due: frozenset[str]
    held: int = 0

    def without(self, windows: Sequence[Window]) -> Self:
        """The same without the partitions that share an instant with some windows: these wait."""
        waiting = {
            partition.key
            for partition in self.partitions
            if partition.key in self.due and any(map(partition.window.intersect, windows))
        }
        return replace(self, due=self.due - waiting, held=self.held + len(waiting))

    def ranges(self) -> Iterator[tuple[str, ...]]:
        """The due partitions in runs of neighbours.

        The few partitions between two due ones are made along with them.
        """
        places = [at for at, partition in enumerate(self.partitions) if partition.key in self.due]
        first = 0
        for at, place in enumerate(places):
            following = places[at + 1] if at + 1 < len(places) else None
            size = place - places[first] + 1
            far = following is None or following - place - 1 > _TAKEN_ALONG
            if far or size >= _PARTITIONS_PER_RUN:
                yield tuple(part.key for part in self.partitions[places[first] : place + 1])
                first = at + 1


def _look_for_behind(
    store: Store, universe: Universe, datasets: Sequence[Made], now: datetime, *, patient: bool
) -> list[Behind]:
    """Find what is behind of some datasets: one read of the store for all.

    Args:
        store: Where all is kept.
        universe: What is kept.
        datasets: What is looked at.
        now: The present instant.
        patient: Leave to the updates what they make of the newest sessions.

    Raises:
        StoreError: The store stayed busy, or cannot be read.
    """
    works = [(made, _work(store, universe, made, now)) for made in datasets]
    with store.reading("looking for what is behind its candles") as view:
        return [
            _behind(view, universe, made, work, now, patient=patient)
            for made, work in works
            if work.partitions
        ]


def behind_runs(
    store: Store, universe: Universe, profiles: Sequence[Profile], now: datetime
) -> list[RangeRun]:
    """The runs that make what is behind of some profiles, in the order in which to make it.

    They make it as far as its inputs are there.

    Raises:
        StoreError: The store stayed busy, or cannot be read.
    """
    names = {profile.name for profile in profiles}
    datasets = [
        made
        for made in made_in(universe)
        if names & {member.name for member in _members(universe, made)}
    ]
    behind = _look_for_behind(store, universe, datasets, now, patient=False)
    return [run for run, _ in runs_of(behind)]


def _work(store: Store, universe: Universe, made: Made, now: datetime) -> Making:
    start = min(profile.start for profile in universe.profiles.values())
    return made.work(store, universe, Window(midnight(start), now), now=now)


def _behind(
    view: Snapshot, universe: Universe, made: Made, work: Making, now: datetime, *, patient: bool
) -> Behind:
    standing = work.standing(view)
    behind = {partition.key for partition in work.behind(view, standing)}
    keys = {partition.key for partition in work.partitions}
    # What is older than the universe's start by now is no business of anybody's.
    untold = _untold(universe, made, standing, now) & keys if patient else set()
    due = behind | untold
    held = set()
    if patient:
        recent = _recent(universe, made, work, standing, now)
        held = {key for key in due & recent if key in behind}
    return Behind(made, work.inputs, work.partitions, frozenset(due - held), len(held))


def _untold(universe: Universe, made: Made, standing: pl.DataFrame, now: datetime) -> set[str]:
    """The partitions that changed since they were reported, and whose bars are all there."""
    again = newest_partitions.LOOKS_AGAIN * _every(universe, made)
    untold = standing.filter(
        pl.col("changed_at").is_not_null(),
        pl.col("reported_at").is_null() | (pl.col("reported_at") < pl.col("changed_at")),
    )
    keys = set()
    for key, changed_at in untold.select("partition", "changed_at").iter_rows():
        end = Partition.of_key(key, made.cadence).window.end
        # A session's own report goes first, at the end of `again`.
        over = end + again + 2 * EVERY <= now
        settled = changed_at.replace(tzinfo=UTC) + again + 2 * EVERY <= now
        if over or (settled and not made.dataset.timeframe.intraday):
            keys.add(key)
    return keys


def _recent(
    universe: Universe, made: Made, work: Making, standing: pl.DataFrame, now: datetime
) -> set[str]:
    """The newest partitions, which the updates make: they are left to these for a while."""
    if not any(member.window(now).end == now for member in _members(universe, made)):
        # It has ended, and nobody updates it.
        return set()
    patience = _every(universe, made) + 2 * EVERY
    newest = work.partitions[-1 if made.cadence is Cadence.MONTH else -newest_partitions.NEWEST :]
    judged = {
        key: at.replace(tzinfo=UTC)
        for key, at in standing.select("partition", "judged_at").iter_rows()
    }
    return {
        partition.key
        for partition in newest
        if now - patience <= judged.get(partition.key, partition.window.start) <= now
    }


def _every(universe: Universe, made: Made) -> timedelta:
    """How often the candles are updated that a dataset is made of."""
    return max(member.update.every for member in _members(universe, made))


def _members(universe: Universe, made: Made) -> list[Profile]:
    """The profiles whose candles a dataset is made of."""
    profile = universe.profiles.get(made.dataset.owner)
    return [profile] if profile else universe.in_markets(made.dataset.timeframe)


def _tick(
    instance: dg.DagsterInstance, memory: _Memory, universe: Universe, store: Store, now: datetime
) -> dg.SensorResult:
    with store.reading("looking whether candles have changed") as view:
        fingerprints = view.partitions.fingerprints(before=f"{now.astimezone(UTC).date()}")
    stamps = {f"{name}/{label}": text for (name, label), text in fingerprints.items()}
    fresh = memory.looked_at is not None and timedelta(0) <= now - memory.looked_at < _AFRESH
    if fresh and stamps == memory.stamps:
        return dg.SensorResult(
            skip_reason=f"no day before today has changed since {memory.looked_at:%H:%M:%SZ}",
            cursor=memory.dump(),
        )

    looks = _look_for_behind(store, universe, made_in(universe), now, patient=True)
    under_way = _under_way(instance)
    looks = [behind.without(_filling(under_way, behind.inputs)) for behind in looks]
    due = [behind for behind in looks if behind.due]
    requests, words = _requests(memory, due, under_way, universe, now)
    held = sum(behind.held for behind in looks)
    if not due and not held:
        memory.stamps, memory.looked_at = stamps, now
        memory.launches = {}
    if requests:
        return dg.SensorResult(run_requests=requests, cursor=memory.dump())
    words += [f"{held} of the newest partitions are left to the updates"] if held else []
    return dg.SensorResult(
        skip_reason="; ".join(words) or "all is made of the candles that there are",
        cursor=memory.dump(),
    )


def _requests(
    memory: _Memory,
    due: Sequence[Behind],
    under_way: _UnderWay,
    universe: Universe,
    now: datetime,
) -> tuple[list[dg.RunRequest], list[str]]:
    """The runs that make what is due, and why the rest is left alone."""
    requests: list[dg.RunRequest] = []
    words: list[str] = []
    launched: dict[str, Launches] = {}
    for run, name in runs_of(due):
        before = memory.launches.get(name)
        wait = wait_after(before.count, _budget(universe, run)) if before else timedelta()
        if any(_overlaps(under_way, key, run.partitions) for key in run.keys):
            words.append(f"{name}: a run is under way")
            launched |= {name: before} if before else {}
        elif before and before.at <= now < before.at + wait:
            words.append(
                f"{name}: tried {before.count} times, again at {clock_time(before.at + wait)}"
            )
            launched[name] = before
        else:
            memory.sequence += 1
            launched[name] = Launches(before.count + 1 if before else 1, now)
            requests.append(_request(run, name, memory.sequence, universe))
    memory.launches = launched
    return requests, words


def runs_of(due: Sequence[Behind]) -> list[tuple[RangeRun, str]]:
    """The runs that make some datasets, each with a name.

    Neighbours are in one run, and so are datasets of one family and range.
    """
    grouped: dict[tuple[str, Family, Cadence, bool, tuple[str, ...]], list[Made]] = {}
    for behind in due:
        made = behind.made
        for keys in behind.ranges():
            place = (
                made.dataset.owner,
                made.dataset.family,
                made.cadence,
                made.dataset.timeframe.intraday,
                keys,
            )
            grouped.setdefault(place, []).append(made)
    runs = []
    for (owner, family, _, intraday, keys), datasets in grouped.items():
        # Weeks are made of days: each of these goes alone.
        groups = [datasets] if intraday else [[made] for made in datasets]
        for group in groups:
            timeframes = tuple(made.dataset.timeframe for made in group)
            name = f"{owner}/{family} {' '.join(timeframes)} {keys[0]}"
            runs.append((RangeRun(owner, timeframes, keys, family), name))
    return runs


def _budget(universe: Universe, run: RangeRun) -> RepairSettings:
    profiles = universe.profiles
    return profiles.get(run.profile, next(iter(profiles.values()))).repair


def _request(run: RangeRun, name: str, sequence: int, universe: Universe) -> dg.RunRequest:
    along = [completeness_key(run.profile)] if run.profile in universe.profiles else []
    return dg.RunRequest(
        run_key=f"{name}/{sequence}",
        asset_selection=[*run.keys, *along],
        tags={
            **range_tags(run.partitions[0], run.partitions[-1]),
            **trigger_tag(Trigger.AUTOMATION),
            PROFILE_TAG: run.profile,
            **automatic(BEFORE_REPAIRS),
        },
    )


def _filling(under_way: _UnderWay, inputs: Sequence[Input]) -> list[Window]:
    """The stretches in which unfinished runs make candles that a dataset is made of."""
    return [
        Window(
            Partition.of_key(first, source.cadence).window.start,
            Partition.of_key(last, source.cadence).window.end,
        )
        for source in inputs
        for keys, (first, last) in under_way
        if dataset_key(source.dataset) in keys
    ]


def _under_way(instance: dg.DagsterInstance) -> _UnderWay:
    """What the unfinished runs make: asset keys and the range of their partitions."""
    runs = unfinished_runs(instance, machine())
    selections = [(run.asset_selection, range_of(run.tags)) for run in runs]
    return [(frozenset(keys), bounds) for keys, bounds in selections if keys and bounds]


def _overlaps(
    under_way: _UnderWay,
    key: dg.AssetKey,
    partitions: Sequence[str],
) -> bool:
    return any(
        key in keys and first <= partitions[-1] and partitions[0] <= last
        for keys, (first, last) in under_way
    )
