"""The sensor that looks for troubles and reports them, in Dagster and in the store.

Dagster reads the annotations of a sensor's parameters at run time, so that this module does without
postponed ones.
"""

import logging
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from market_assets.config.universe import Universe
from market_assets.defs.assets.troubles import publish
from market_assets.defs.internals.adapter import PartitionStates, news_since, partition_states
from market_assets.defs.internals.beats import Beat, daemon_beats, tick_beats, wake_sensors
from market_assets.defs.internals.checks import (
    FailedCheck,
    check_failures,
    failed_evaluation,
    failed_evaluations,
)
from market_assets.defs.keys import dataset_key
from market_assets.defs.resources import PATIENCE, Clock, StoreResource
from market_assets.errors import StoreError
from market_assets.imports import late_imports
from market_assets.keeping import read_note
from market_assets.market.partitions import Cadence, Partition
from market_assets.up.news import write_news
from market_assets.up.state import State, read_state

with late_imports():
    from market_assets.alerts import Key, Kind, Told, Trouble, Watch
    from market_assets.alerts.judgement import failed_checks, failed_partitions
    from market_assets.alerts.platform import (
        Life,
        dead,
        is_replacing,
        platform_troubles,
        prune_failed,
    )
    from market_assets.reports.streams import standing_words, stream_standings


_log = logging.getLogger("market_assets.alerts")

_HEARTBEAT = timedelta(seconds=30)
"""How often Dagster's daemons give a sign of life."""

_CATCHING_UP = timedelta(minutes=10)
"""How long the newest session may be unfilled after a start or a pause.

Its lack is reported only after that.
"""

_LATE_BARS = timedelta(minutes=10)
"""A check of a partition that still runs has so much time to pass again: bars may only be late."""

_AFRESH = timedelta(hours=1)
"""How often the checks are read from the beginning.

Dagster has no event of a run or an asset that somebody deletes.
"""

_WAKE_EVERY = timedelta(minutes=10)
"""How often the repair sensors are woken while candles are lost.

A sensor that is in a tick does not notice that it is woken.
"""

_NEWEST_JOBS = 50
"""How many of the newest jobs the terminal of `market-assets up` is given."""

_OVERLAP = 1000
"""Ids may be committed out of their order: so far back from the newest one the next look begins."""


@dataclass
class _Check:
    """What is known of one check.

    A partition that is judged again keeps its last verdict until the new one is there.
    """

    failed: dict[str, FailedCheck] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    planned: set[str] = field(default_factory=set)
    idle: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    since: dict[str, datetime] = field(default_factory=dict)
    newest: int = 0
    read_at: datetime | None = None

    def read(
        self,
        instance: dg.DagsterInstance,
        key: dg.AssetCheckKey,
        states: PartitionStates,
        now: datetime,
    ) -> None:
        first = self.read_at is None
        if self.read_at is None or not timedelta(0) <= now - self.read_at < _AFRESH:
            self.newest, self.read_at = 0, now
        after = self.newest - _OVERLAP if self.newest > _OVERLAP else None
        answers = check_failures(instance, key.asset_key, key.name, after)
        if after is None:
            self.planned = set()
            seen = answers.failed.keys() | answers.planned
            self._forget(self.failed.keys() - seen)
        self.newest = max(self.newest, answers.newest)
        self._forget(answers.settled)
        self.planned |= answers.planned
        self.planned -= answers.settled
        self.planned -= answers.failed.keys()
        news = [
            partition for partition, id_ in answers.failed.items() if self.ids.get(partition) != id_
        ]
        if news:
            self.failed |= failed_evaluations(instance, key.asset_key, key.name, news)
            self.ids |= {partition: answers.failed[partition] for partition in news}
        # A run that ended before it could judge a partition has left it red, or without anything to
        # judge. It may also have ended between the two questions: two looks have to agree.
        idle = self.planned - states.in_progress
        self._forget(idle & self.idle)
        self.idle = idle
        # Nobody knows what these were before the run that goes on: they may have failed.
        self.unsure = (
            (set(answers.planned) if first else self.unsure) & self.planned & states.in_progress
        )
        self.since = {partition: self.since.get(partition, now) for partition in self.failed}

    def late(self, cadence: Cadence, now: datetime) -> set[str]:
        """The partitions that still run and failed so recently that bars may only be late."""
        young = {partition for partition, since in self.since.items() if now - since < _LATE_BARS}
        return {key for key in young if key and Partition.of_key(key, cadence).window.end > now}

    def _forget(self, partitions: AbstractSet[str]) -> None:
        for partition in partitions:
            self.failed.pop(partition, None)
            self.ids.pop(partition, None)


@dataclass
class _Asset:
    """What Dagster said of one asset when it was read last.

    Attributes:
        states: Its partitions by state; None for one without partitions.
        troubles: What is wrong with it.
        unsure: Of which troubles nothing can be said now.
        late: When it is to be read again though nothing happens; None if it need not be.
    """

    states: PartitionStates | None
    troubles: list[Trouble]
    unsure: set[Key]
    late: datetime | None = None


class _Memory:
    """What one process remembers from tick to tick.

    A new process begins without it, and nothing is reported twice because of that.
    """

    def __init__(self, universe: Universe, store: StoreResource, clock: Clock) -> None:
        self.home = store.home
        self.now = self.awake = clock.now()
        # Its clock is the tick's: all of one look happens at one instant.
        self.watch = Watch(store.store(clock, PATIENCE), universe, lambda: self.now)
        self.red: dict[dg.AssetKey, set[str]] = {}
        self.checks: dict[dg.AssetCheckKey, _Check] = {}
        self.assets: dict[dg.AssetKey, _Asset] = {}
        self.ids: frozenset[int] = frozenset()
        self.read_at: datetime | None = None
        self.beats: dict[str, tuple[object, Beat | None]] = {}
        self.woken_at: datetime | None = None
        self.page: str | None = None

    def begin_tick(self, now: datetime, every: timedelta) -> None:
        """Note when it is, and whether nobody has looked for a while."""
        if not timedelta(0) <= now - self.now <= 3 * every + timedelta(minutes=1):
            self.awake = now
        self.now = now


def alert_sensor(universe: Universe, automations: Mapping[str, timedelta]) -> dg.SensorDefinition:
    """The sensor `alerts`, which looks after all profiles.

    Args:
        universe: What is kept and who is told.
        automations: The sensors and schedules that should tick, by name, and how often.
    """
    memories: dict[str, _Memory] = {}
    every = universe.alerts.every

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=max(1, round(every.total_seconds())),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Looks for gaps, failed checks and partitions, stale sessions, "
            "a store that was changed and sensors that do not tick, "
            "and tells each cause once through the universe's alert channels, "
            "and once more when it is over. "
            "The asset platform/troubles and market-assets alerts list them."
        ),
    )
    def alerts(
        context: dg.SensorEvaluationContext, store: StoreResource, clock: Clock
    ) -> dg.SkipReason:
        try:
            if store.database not in memories:
                memories[store.database] = _Memory(universe, store, clock)
                # A new process, and perhaps a changed universe: what is new in it is filled now and
                # not in an hour.
                wake_sensors(
                    context.instance, {f"repair_{profile}" for profile in universe.profiles}
                )
            memory = memories[store.database]
        except StoreError as error:
            return dg.SkipReason(universe.redact(f"not looked: {error}"))
        memory.begin_tick(clock.now(), every)
        outside = memory.watch.outside
        try:
            outcome = _look(context, universe, memory, automations)
        except StoreError as error:
            present, words = outside.look(error), f"not looked: {error}"
        else:
            present, words = (
                (*outside.look(memory.watch.hindrance()), *outcome.present),
                str(outcome),
            )
            _heal(context.instance, memory)
            if _runs_here(store.home):
                _leave_news(universe, store, clock, outcome)
        memory.page = publish(context.instance, present, universe.redact, memory.page)
        return dg.SkipReason(universe.redact(words))

    return alerts


def _runs_here(home: Path) -> State | None:
    """What the `market-assets up` that runs over a home says of itself; None where none does."""
    state = read_state(home)
    return state if state is not None and state.ended_at is None else None


def _leave_news(universe: Universe, store: StoreResource, clock: Clock, outcome: Told) -> None:
    """Leave for the terminal of `market-assets up` what is wrong, what was filled, and streams."""
    now = clock.now()
    with store.store(clock, PATIENCE).reading("news for the terminal") as view:
        jobs = view.jobs.newest(_NEWEST_JOBS).to_dicts()
        standings = stream_standings(view, list(universe.profiles.values()), now)
    streams = {
        f"{standing.dataset.owner} {standing.dataset.label}": (
            ", ".join(f"{len(names)} {state}" for state, names in standing.symbols.items()),
            universe.redact(standing_words(standing, now)),
        )
        for standing in standings
    }
    troubles = {
        " ".join(part for part in (alert.profile, alert.subject) if part)
        + f" ({alert.kind.replace('_', ' ')})": universe.redact(alert.summary)
        for alert in outcome.present
    }
    try:
        write_news(store.home, jobs, troubles, streams)
    except OSError as error:
        _log.warning("the news for the terminal cannot be written: %s", error.strerror)


def _look(
    context: dg.SensorEvaluationContext,
    universe: Universe,
    memory: _Memory,
    automations: Mapping[str, timedelta],
) -> Told:
    """Look at Dagster and at the store, and tell what is to be told."""
    _read(context, universe, memory)
    troubles = [trouble for asset in memory.assets.values() for trouble in asset.troubles]
    troubles += dead(_lives(context.instance, automations, memory), memory.now, memory.awake)
    troubles += prune_failed(read_note(memory.home))
    platform = _runs_here(memory.home)
    if platform:
        troubles = [item for item in troubles if not is_replacing(item, platform, memory.now)]
        troubles += platform_troubles(platform, memory.now)
    unsure = {key for asset in memory.assets.values() for key in asset.unsure}
    settling = memory.now - memory.awake < _CATCHING_UP

    def held(key: Key) -> bool:
        return key in unsure or (settling and key[1] == Kind.STALE)

    materialized = {
        dataset: asset.states.materialized
        for profile in universe.profiles.values()
        for dataset in profile.datasets
        if (asset := memory.assets.get(dataset_key(dataset))) and asset.states
    }
    return memory.watch.look(troubles, held=held, materialized=materialized)


def _heal(instance: dg.DagsterInstance, memory: _Memory) -> None:
    """Wake the repair sensors when candles have vanished, and again while they are missing."""
    lost = memory.watch.census.lost
    if not lost:
        memory.woken_at = None
    elif memory.woken_at is None or not timedelta(0) <= memory.now - memory.woken_at < _WAKE_EVERY:
        wake_sensors(instance, {f"repair_{profile}" for profile in lost})
        memory.woken_at = memory.now


def _read(context: dg.SensorEvaluationContext, universe: Universe, memory: _Memory) -> None:
    """Read off Dagster what has changed since the last look, and once an hour everything."""
    if context.repository_def is None:
        return
    graph = context.repository_def.asset_graph
    afresh = memory.read_at is None or not timedelta(0) <= memory.now - memory.read_at < _AFRESH
    if afresh:
        memory.assets, memory.read_at = {}, memory.now
    news = news_since(context.instance, memory.ids)
    memory.ids = news.ids
    for key in sorted(graph.materializable_asset_keys):
        asset = memory.assets.get(key)
        # What a run is at work on may have ended without a word.
        under_way = asset is not None and asset.states is not None and asset.states.in_progress
        checks = [
            memory.checks[check]
            for check in graph.get_check_keys_for_assets({key})
            if check in memory.checks
        ]
        settled = not under_way and not any(check.planned for check in checks)
        if key.path[0] not in universe.profiles:
            continue
        waits = asset is not None and asset.late and memory.now >= asset.late
        if (
            asset is None
            or key in news.assets
            or not settled
            or waits
            or (asset.unsure and news.runs)
        ):
            memory.assets[key] = _read_asset(
                context.instance, context.repository_def, universe, memory, key
            )


def _read_asset(
    instance: dg.DagsterInstance,
    repository: dg.RepositoryDefinition,
    universe: Universe,
    memory: _Memory,
    key: dg.AssetKey,
) -> _Asset:
    """What is wrong with one asset in Dagster, and of what nothing can be said now."""
    troubles: list[Trouble] = []
    unsure: set[Key] = set()
    graph = repository.asset_graph
    partitions = graph.get(key).partitions_def
    name, asset = key.path[0], key.path[-1]
    if partitions is None:
        for check in sorted(graph.get_check_keys_for_assets({key})):
            verdict = failed_evaluation(instance, key, check.name)
            if verdict is not None and verdict.severity == "ERROR":
                troubles += failed_checks(name, asset, check.name, {"": verdict.words})
        return _Asset(None, troubles, unsure)
    profile = universe.profiles[name]
    fetched = {profile.candles(timeframe).name for timeframe in profile.timeframes.fetch}
    cadence, derived = _cadence(partitions), asset not in fetched
    states = partition_states(instance, key, partitions)
    # One that runs again is red until it is filled.
    red = memory.red[key] = set(states.failed) | (memory.red.get(key, set()) & states.in_progress)
    # What is being made again, or waits for its turn, is reported only if it stays red.
    again = red & states.in_progress if derived else set()
    troubles += failed_partitions(name, asset, red - again, cadence, derived=derived)
    if again:
        unsure.add((name, Kind.FAILED_PARTITIONS.value, asset))
    keys = states.materialized | states.failed | states.in_progress
    waits: list[datetime] = []
    for check in sorted(graph.get_check_keys_for_assets({key})):
        record = memory.checks.setdefault(check, _Check())
        record.read(instance, check, states, memory.now)
        errors = {
            partition: verdict.words
            for partition, verdict in record.failed.items()
            if verdict.severity == "ERROR" and partition in keys
        }
        late = record.late(cadence, memory.now) & errors.keys()
        lasting = {partition: words for partition, words in errors.items() if partition not in late}
        troubles += failed_checks(name, asset, check.name, lasting, cadence, derived=derived)
        if (record.unsure or late) and not lasting:
            unsure.add((name, Kind.FAILED_CHECK.value, f"{asset} {check.name}"))
        waits += [record.since[partition] + _LATE_BARS for partition in late]
    return _Asset(states, troubles, unsure, min(waits, default=None))


def _cadence(partitions: dg.PartitionsDefinition[str]) -> Cadence:
    return Cadence.MONTH if isinstance(partitions, dg.MonthlyPartitionsDefinition) else Cadence.DAY


def _lives(
    instance: dg.DagsterInstance, automations: Mapping[str, timedelta], memory: _Memory
) -> list[Life]:
    """The last signs of life of what should run."""
    beats: list[tuple[str, timedelta, Beat | None]] = [
        (f"daemon {name}", _HEARTBEAT, beat) for name, beat in daemon_beats(instance).items()
    ]
    ticks = tick_beats(instance, automations, memory.beats)
    beats += [(f"automation {name}", every, ticks.get(name)) for name, every in automations.items()]
    return [
        Life(
            name,
            every,
            None if beat is None else datetime.fromtimestamp(beat.seen, UTC),
            "" if beat is None else beat.error,
            stopped=beat is not None and beat.stopped,
        )
        for name, every, beat in beats
    ]
