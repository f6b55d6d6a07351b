"""Turns partitions in trouble into runs: the repair sensors, and what the terminal's `repair` does.

Dagster reads the annotations of a sensor's resources at run time, so that this module does without
postponed ones.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

import dagster as dg
import polars as pl

from market_assets.config.universe import Profile
from market_assets.defs.assets.partitions import partitions_of
from market_assets.defs.automation.runs import (
    RangeRun,
    fail_orphans,
    forgotten_runs,
    unfinished_runs,
)
from market_assets.defs.internals.adapter import (
    check_failures,
    partition_states,
    range_of,
    range_tags,
)
from market_assets.defs.keys import (
    PROFILE_TAG,
    REPAIR,
    TRIGGER_TAG,
    automatic,
    candles_key,
    op_config,
)
from market_assets.defs.resources import PATIENCE, Clock, Sources, StoreResource
from market_assets.errors import MarketAssetsError
from market_assets.imports import late_imports
from market_assets.market.clock import machine
from market_assets.market.gaps import Priority
from market_assets.market.partitions import Partition, partition_key
from market_assets.market.timeframes import Timeframe, Window, literal

with late_imports():
    from market_assets.expected import newest as newest_partitions
    from market_assets.expected.lost import lost_partitions
    from market_assets.expected.series import (
        calendar_of,
        living_series,
        series_of,
        unfinished_partitions,
    )
    from market_assets.expected.series import partitions_of as partitions_with_bars
    from market_assets.plan.repair import (
        Launches,
        Pause,
        RepairPlan,
        RepairRun,
        Trouble,
        plan_repairs,
    )
    from market_assets.sources.contract import Source
    from market_assets.store import Store
    from market_assets.verdicts.evidence import State, believable

ATTEMPT_TAG = "market_assets/attempt"
_CHECKS = ("continuity", "genesis")
_PRIORITY = {Priority.CRITICAL: 8, Priority.HIGH: 6, Priority.MEDIUM: 4, Priority.LOW: 2}


@dataclass(frozen=True)
class Look:
    """What was found in trouble at one look, and what is to be done about it."""

    partitions: int
    troubled: Mapping[str, Trouble]
    plan: RepairPlan


@dataclass
class Memory:
    """What a repair sensor remembers from tick to tick, as its cursor.

    Attributes:
        sequence: How many runs it has asked for; part of each run key, so that none is ever used
            twice.
        launches: By timeframe and partition, for those that are in trouble.
    """

    sequence: int = 0
    launches: dict[str, dict[str, Launches]] = field(default_factory=dict)

    @classmethod
    def load(cls, cursor: str | None, instance: dg.DagsterInstance, sensor: str) -> Self:
        """Read a cursor; without one the runs that are there say how far the sequence has come."""
        if not cursor:
            return cls(
                sequence=instance.get_runs_count(
                    dg.RunsFilter(tags={"dagster/sensor_name": sensor})
                )
            )
        kept = json.loads(cursor)
        launches = {
            timeframe: {
                key: Launches(count, datetime.fromisoformat(at))
                for key, (count, at) in entries.items()
            }
            for timeframe, entries in kept["launches"].items()
        }
        return cls(kept["sequence"], launches)

    def dump(self) -> str:
        """The cursor."""
        launches = {
            timeframe: {key: [tries.count, tries.at.isoformat()] for key, tries in entries.items()}
            for timeframe, entries in self.launches.items()
        }
        return json.dumps({"sequence": self.sequence, "launches": launches})

    def note(
        self, timeframe: Timeframe, look: Look, launched: Sequence[RepairRun], now: datetime
    ) -> None:
        """Count the launches of what is in trouble, and forget what is not any more."""
        before = self.launches.get(timeframe, {})
        kept = {key: tries for key, tries in before.items() if key in look.troubled}
        # A partition that waits may lie in a run's range; it has had no try of its own.
        waiting = {key for keys in look.plan.paused.values() for key in keys}
        for key in (key for run in launched for key in run.partitions):
            if key in look.troubled and key not in waiting:
                kept[key] = Launches(kept[key].count + 1 if key in kept else 1, now)
        self.launches[timeframe] = kept


def repair_sensor(profile: Profile, now: datetime) -> dg.SensorDefinition:
    """The sensor that repairs a profile.

    It is on by default, so that a platform that was off recovers at its first tick.

    Args:
        profile: Whose fetched candles are looked after.
        now: The instant as of which the partitions are defined.
    """
    definitions = {
        timeframe: partitions_of(profile, timeframe, now) for timeframe in profile.timeframes.fetch
    }

    @dg.sensor(
        name=f"repair_{profile.name}",
        asset_selection=dg.AssetSelection.assets(
            *(candles_key(profile.name, timeframe) for timeframe in definitions)
        ),
        minimum_interval_seconds=int(profile.repair.every.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Fills partitions that failed, were never filled, or have a gap that is due, "
            "newest first and within the budgets of `repair` in the universe. "
            "A tick without a run says what it leaves alone, and why."
        ),
    )
    def repair(
        context: dg.SensorEvaluationContext,
        store: StoreResource,
        sources: dg.ResourceParam[Sources],
        clock: Clock,
    ) -> dg.SensorResult:
        memory = Memory.load(context.cursor, context.instance, f"repair_{profile.name}")
        try:
            now = clock.now() - profile.update.settle
            kept = store.store(clock, PATIENCE)
            return _tick(
                context,
                memory,
                profile,
                definitions,
                store=kept,
                sources=sources.build(profile),
                now=now,
            )
        except MarketAssetsError as error:
            # A store that is busy or a source that is gone is no fault of the sensor: the next tick
            # looks again.
            return dg.SensorResult(
                skip_reason=f"nothing was looked at: {error}", cursor=context.cursor
            )

    return repair


def look_at(
    profile: Profile,
    timeframe: Timeframe,
    definition: dg.PartitionsDefinition[str],
    *,
    instance: dg.DagsterInstance,
    store: Store,
    sources: Mapping[str, Source],
    launches: Mapping[str, Launches],
    now: datetime,
) -> Look:
    """Find the partitions in trouble and plan their repair.

    Dagster says what failed, and the store what is missing.

    Raises:
        StoreError: The store stayed busy, or cannot be read.
    """
    key = candles_key(profile.name, timeframe)
    partitions = _due(profile, timeframe, now)
    states = partition_states(instance, key, definition)
    faulty = {
        partition for check in _CHECKS for partition in check_failures(instance, key, check).failed
    }
    with store.reading(f"looking for gaps in {profile.name} {timeframe}") as view:
        ledger = view.gaps.unexplained(profile.candles(timeframe), list(profile.symbols))
        dead = view.gaps.dead_symbols(profile.candles(timeframe))
        noted = view.partitions.judged_until(profile.candles(timeframe), list(profile.symbols))
        genesis = view.genesis.of(profile.candles(timeframe))
        standing = view.partitions.standing(profile.candles(timeframe))
        # What the store does not know is not there, whatever Dagster remembers.
        lost = lost_partitions(view, profile, timeframe, filled=states.materialized, now=now)
    series = living_series(profile, now, genesis=genesis, dead=dead)
    judged = believable(noted, now, "judged_at")
    begun = set(judged["partition"])
    filled = [partition for partition in partitions if partition.key in begun]
    unfinished = unfinished_partitions(
        profile, timeframe, filled, series=series, judged=judged, until=now - profile.repair.every
    )
    # What a dead symbol lacks is asked for by nobody, whatever the ledger says.
    status = (
        pl.when(pl.col("symbol").is_in(list(dead)))
        .then(pl.lit(State.ABANDONED.value))
        .otherwise("status")
    )
    gaps = ledger.with_columns(
        partition_key(profile.partitions.of(timeframe), "first_ts")
        .cast(pl.String)
        .alias("partition"),
        status=status,
    )
    gap_keys = set(gaps["partition"])
    untold = set(standing.filter(pl.col("reported_at") < pl.col("changed_at"))["partition"])
    # The newest ones are reported when their session is over: until then only the store has them.
    updated = {partition.key for partition in partitions[-newest_partitions.NEWEST :]} & set(
        judged["partition"]
    )
    troubled = {}
    for partition in partitions:
        if partition.key in lost:
            troubled[partition.key] = Trouble.LOST
        elif partition.key in unfinished:
            troubled[partition.key] = Trouble.UNFINISHED
        elif partition.key in states.failed:
            troubled[partition.key] = Trouble.FAILED
        elif partition.key in faulty or partition.key in gap_keys:
            troubled[partition.key] = Trouble.FAULTY
        elif partition.key not in states.materialized | updated:
            troubled[partition.key] = Trouble.ABSENT
        elif partition.key in untold - updated:
            troubled[partition.key] = Trouble.UNTOLD
    keys = [partition.key for partition in partitions]
    forgotten = _partitions_of(forgotten_runs(instance, machine()), key, keys)
    end = profile.window(now).end
    plan = plan_repairs(
        partitions,
        troubled,
        in_flight=in_flight(instance, key, keys) | (states.in_progress - forgotten),
        gaps=gaps,
        launches=launches,
        timeframe=timeframe,
        page_sizes={
            name: sources[symbol.sources[0].source].traits.page_size
            for name, symbol in profile.symbols.items()
        },
        evidence=profile.evidence,
        budget=profile.repair,
        oldest_absent=end - profile.update.first_backfill,
        now=now,
    )
    return Look(len(partitions), troubled, plan)


def look_everywhere(
    profile: Profile,
    *,
    instance: dg.DagsterInstance,
    store: Store,
    sources: Mapping[str, Source],
    now: datetime,
) -> dict[Timeframe, Look]:
    """One look at each fetched timeframe of a profile, without any earlier launches.

    It is for a person at a terminal.

    Raises:
        StoreError: The store stayed busy, or cannot be read.
    """
    looks = {}
    for timeframe in profile.timeframes.fetch:
        looks[timeframe] = look_at(
            profile,
            timeframe,
            partitions_of(profile, timeframe, now),
            instance=instance,
            store=store,
            sources=sources,
            launches={},
            now=now,
        )
    return looks


def runs_of(
    profile: Profile, looks: Mapping[Timeframe, Look]
) -> list[tuple[RangeRun, dict[str, Any]]]:
    """The runs that carry out the planned repairs, each with its config.

    What is derived follows when they have ended.
    """
    return [
        (RangeRun(profile.name, (timeframe,), run.partitions), repair_config(profile, run))
        for timeframe, look in looks.items()
        for run in look.plan.runs
    ]


def reopen(store: Store, profile: Profile) -> int:
    """Make each abandoned gap of a profile an open one that was never asked for.

    Returns:
        How many gaps there were.
    """
    with store.writing(f"reopening what was abandoned of {profile.name}") as transaction:
        return sum(
            transaction.gaps.reopen(profile.candles(timeframe))
            for timeframe in profile.timeframes.fetch
        )


def in_flight(
    instance: dg.DagsterInstance, key: dg.AssetKey, keys: Sequence[str]
) -> frozenset[str]:
    """The partitions of unfinished runs.

    Queued runs count, but not the runs that nobody will start.
    """
    return _partitions_of(unfinished_runs(instance, machine()), key, keys)


def _partitions_of(
    runs: Sequence[dg.DagsterRun], key: dg.AssetKey, keys: Sequence[str]
) -> frozenset[str]:
    partitions: set[str] = set()
    for run in runs:
        bounds = range_of(run.tags)
        if bounds is not None and run.asset_selection and key in run.asset_selection:
            partitions |= {partition for partition in keys if bounds[0] <= partition <= bounds[1]}
    return frozenset(partitions)


def repair_config(profile: Profile, run: RepairRun) -> dict[str, Any]:
    """The config of a candle asset in a repair run."""
    config: dict[str, Any] = {"newest_first": True, "only_due": True}
    if run.requests is not None:
        config |= {
            "max_fills": run.requests,
            "max_minutes": profile.repair.max_time / timedelta(minutes=1),
        }
    return config


def _tick(
    context: dg.SensorEvaluationContext,
    memory: Memory,
    profile: Profile,
    definitions: Mapping[Timeframe, dg.PartitionsDefinition[str]],
    *,
    store: Store,
    sources: Mapping[str, Source],
    now: datetime,
) -> dg.SensorResult:
    fail_orphans(context.instance)
    tags = {TRIGGER_TAG: REPAIR, PROFILE_TAG: profile.name}
    waiting = len(unfinished_runs(context.instance, machine(), tags))
    room = profile.repair.backlog - waiting
    if room <= 0:
        return dg.SensorResult(
            skip_reason=f"{waiting} repair runs wait or are under way; "
            "no more gaps are looked for before they end"
        )
    requests: list[dg.RunRequest] = []
    lines: list[str] = []
    for timeframe, definition in definitions.items():
        key = candles_key(profile.name, timeframe)
        look = look_at(
            profile,
            timeframe,
            definition,
            instance=context.instance,
            store=store,
            sources=sources,
            launches=memory.launches.get(timeframe, {}),
            now=now,
        )
        launched = look.plan.runs[:room]
        room -= len(launched)
        memory.note(timeframe, look, launched, now)
        for run in launched:
            memory.sequence += 1
            requests.append(_request(profile, key, run, memory.sequence))
        lines.append(f"{timeframe}: {describe(look)}")
    for line in lines:
        context.log.info(line)
    if requests:
        return dg.SensorResult(run_requests=requests, cursor=memory.dump())
    return dg.SensorResult(skip_reason="; ".join(lines), cursor=memory.dump())


def _request(profile: Profile, key: dg.AssetKey, run: RepairRun, sequence: int) -> dg.RunRequest:
    first, last = run.partitions[0], run.partitions[-1]
    return dg.RunRequest(
        run_key=f"{key.to_user_string()}/{first}..{last}/attempt-{run.attempt}/{sequence}",
        asset_selection=[key],
        run_config=op_config([key], repair_config(profile, run)),
        tags={
            **range_tags(first, last),
            TRIGGER_TAG: REPAIR,
            PROFILE_TAG: profile.name,
            ATTEMPT_TAG: str(run.attempt),
            **automatic(_PRIORITY[run.priority]),
        },
    )


def describe(look: Look) -> str:
    """What a look has found, in a sentence for the tick and the terminal."""
    if not look.troubled:
        return f"all {look.partitions:,} partitions are well"
    parts = [
        f"{run.partitions[0]}..{run.partitions[-1]} is repaired (attempt {run.attempt})"
        for run in look.plan.runs[:5]
    ]
    if len(look.plan.runs) > 5:
        parts.append(f"and {len(look.plan.runs) - 5:,} more ranges")
    for pause, keys in look.plan.paused.items():
        until = (
            f", the first until {look.plan.next_due:%Y-%m-%d %H:%M:%SZ}"
            if pause is Pause.BACKOFF and look.plan.next_due
            else ""
        )
        shown = ", ".join(keys[-3:]) + (f" and {len(keys) - 3:,} more" if len(keys) > 3 else "")
        parts.append(f"{len(keys):,} left alone, {pause}{until}: {shown}")
    return (
        f"{len(look.troubled):,} of {look.partitions:,} partitions are in trouble; "
        f"{'; '.join(parts)}"
    )


def _due(profile: Profile, timeframe: Timeframe, now: datetime) -> list[Partition]:
    """The partitions in which a bar of some series has closed, oldest first."""
    window = profile.window(now)
    calendar = calendar_of(profile)
    partitions = partitions_with_bars(profile, timeframe, series_of(profile, now), window)
    while partitions:
        newest = partitions[-1].window.intersect(Window(window.start, max(window.start, now)))
        bars = calendar.bars(timeframe, partitions[-1].window) if newest else None
        if bars is not None and not bars.filter(pl.col("closes_at") <= literal(now)).is_empty():
            break
        partitions.pop()
    return partitions
