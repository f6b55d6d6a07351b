"""Turns partitions in trouble into runs: the repair sensors, and what the terminal's `repair` does.

Dagster reads the annotations of a sensor's resources at run time, so that this module does without
postponed ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
import polars as pl

from market_assets.config.universe import Profile
from market_assets.defs.assets.partitions import partitions_of
from market_assets.defs.automation.memory import Memory
from market_assets.defs.automation.runs import (
    RangeRun,
    fail_orphans,
    forgotten_runs,
    unfinished_runs,
)
from market_assets.defs.fill_config import run_config_of
from market_assets.defs.internals.adapter import partition_states, range_of, range_tags
from market_assets.defs.internals.checks import check_failures
from market_assets.defs.keys import (
    PROFILE_TAG,
    automatic,
    dataset_key,
    trigger_tag,
)
from market_assets.defs.resources import PATIENCE, Clock, Sources, StoreResource
from market_assets.errors import MarketAssetsError
from market_assets.expected.scope import Scope, scope_of
from market_assets.fill.options import FillOptions
from market_assets.imports import late_imports
from market_assets.market.clock import machine
from market_assets.market.gaps import Priority
from market_assets.market.instants import to_second
from market_assets.market.partitions import Partition
from market_assets.market.timeframes import Timeframe, Window
from market_assets.work.run import Trigger

with late_imports():
    from market_assets.expected import newest as newest_partitions
    from market_assets.expected.lost import lost_partitions
    from market_assets.expected.unfinished import unfinished_partitions
    from market_assets.plan.repair import (
        Launches,
        Pause,
        RepairPlan,
        RepairRules,
        RepairRun,
        Situation,
        Trouble,
        plan_repairs,
        troubles_in,
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


def repair_sensor(profile: Profile, now: datetime) -> dg.SensorDefinition:
    """The sensor that repairs a profile.

    It is on by default, so that a platform that was off recovers at its first tick.

    Args:
        profile: Whose fetched candles are looked after.
        now: The instant up to which there are partitions.
    """
    definitions = {
        timeframe: partitions_of(scope_of(profile, timeframe, now))
        for timeframe in profile.timeframes.fetch
    }

    @dg.sensor(
        name=f"repair_{profile.name}",
        asset_selection=dg.AssetSelection.assets(
            *(dataset_key(profile.candles(timeframe)) for timeframe in definitions)
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
    scope: Scope,
    definition: dg.PartitionsDefinition[str],
    *,
    instance: dg.DagsterInstance,
    store: Store,
    sources: Mapping[str, Source],
    launches: Mapping[str, Launches],
) -> Look:
    """Find the partitions in trouble and plan their repair.

    Dagster says what failed, and the store what is missing.

    Raises:
        StoreError: The store stayed busy, or cannot be read.
    """
    profile, dataset, now = scope.profile, scope.dataset, scope.now
    key = dataset_key(dataset)
    partitions = _due(scope)
    states = partition_states(instance, key, definition)
    faulty = {
        partition for check in _CHECKS for partition in check_failures(instance, key, check).failed
    }
    with store.reading(f"looking for gaps in {scope}") as view:
        ledger = view.gaps.unexplained(dataset, scope.symbols)
        dead = view.gaps.dead_symbols(dataset)
        noted = view.partitions.judged_until(dataset, scope.symbols)
        genesis = view.genesis.of(dataset)
        standing = view.partitions.standing(dataset)
        # What the store does not know is not there, whatever Dagster remembers.
        lost = lost_partitions(view, scope, filled=states.materialized)
    judged = believable(noted, now, "judged_at")
    begun = set(judged["partition"])
    filled = [partition for partition in partitions if partition.key in begun]
    unfinished = unfinished_partitions(
        scope.since(genesis).without(dead),
        filled,
        judged=judged,
        until=now - profile.repair.every,
    )
    # What a dead symbol lacks is asked for by nobody, whatever the ledger says.
    status = (
        pl.when(pl.col("symbol").is_in(list(dead)))
        .then(pl.lit(State.ABANDONED.value))
        .otherwise("status")
    )
    gaps = ledger.with_columns(
        scope.part("first_ts").cast(pl.String).alias("partition"),
        status=status,
    )
    gap_keys = set(gaps["partition"])
    untold = set(standing.filter(pl.col("reported_at") < pl.col("changed_at"))["partition"])
    # The newest ones are reported when their session is over: until then only the store has them.
    updated = {partition.key for partition in partitions[-newest_partitions.NEWEST :]} & set(
        judged["partition"]
    )
    keys = [partition.key for partition in partitions]
    troubled = troubles_in(
        partitions,
        {
            Trouble.LOST: lost,
            Trouble.UNFINISHED: unfinished,
            Trouble.FAILED: states.failed,
            Trouble.FAULTY: faulty | gap_keys,
            Trouble.ABSENT: set(keys) - states.materialized - updated,
            Trouble.UNTOLD: untold - updated,
        },
    )
    forgotten = _partitions_of(forgotten_runs(instance, machine()), key, keys)
    situation = Situation(
        partitions,
        troubled,
        in_flight=in_flight(instance, key, keys) | (states.in_progress - forgotten),
        gaps=gaps,
        launches=launches,
        now=now,
    )
    rules = RepairRules(
        scope.timeframe,
        page_sizes={
            name: sources[symbol.sources[0].source].traits.page_size
            for name, symbol in profile.symbols.items()
        },
        evidence=profile.evidence,
        budget=profile.repair,
        oldest_absent=scope.window.end - profile.update.first_backfill,
    )
    return Look(len(partitions), troubled, plan_repairs(situation, rules))


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
        scope = scope_of(profile, timeframe, now)
        looks[timeframe] = look_at(
            scope,
            partitions_of(scope),
            instance=instance,
            store=store,
            sources=sources,
            launches={},
        )
    return looks


def runs_of(
    profile: Profile, looks: Mapping[Timeframe, Look]
) -> list[tuple[RangeRun, FillOptions]]:
    """The runs that carry out the planned repairs, each with its options.

    What is derived follows when they have ended.
    """
    return [
        (RangeRun(profile.name, (timeframe,), run.partitions), repair_options(profile, run))
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


def repair_options(profile: Profile, run: RepairRun) -> FillOptions:
    """How a repair run fills its partitions."""
    return FillOptions(
        newest_first=True,
        only_due=True,
        max_fills=run.requests,
        max_time=None if run.requests is None else profile.repair.max_time,
    )


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
    tags = {**trigger_tag(Trigger.REPAIR), PROFILE_TAG: profile.name}
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
        key = dataset_key(profile.candles(timeframe))
        look = look_at(
            scope_of(profile, timeframe, now),
            definition,
            instance=context.instance,
            store=store,
            sources=sources,
            launches=memory.launches.get(timeframe, {}),
        )
        launched = look.plan.runs[:room]
        room -= len(launched)
        memory.note(timeframe, look.troubled, look.plan, launched, now)
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
        run_config=run_config_of([key], repair_options(profile, run)),
        tags={
            **range_tags(first, last),
            **trigger_tag(Trigger.REPAIR),
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
            f", the first until {to_second(look.plan.next_due)}"
            if pause is Pause.BACKOFF and look.plan.next_due
            else ""
        )
        shown = ", ".join(keys[-3:]) + (f" and {len(keys) - 3:,} more" if len(keys) > 3 else "")
        parts.append(f"{len(keys):,} left alone, {pause}{until}: {shown}")
    return (
        f"{len(look.troubled):,} of {look.partitions:,} partitions are in trouble; "
        f"{'; '.join(parts)}"
    )


def _due(scope: Scope) -> list[Partition]:
    """The partitions in which a bar of some series has closed, oldest first."""
    window = scope.window
    partitions = scope.partitions(window)
    while partitions:
        newest = partitions[-1].window
        begun = newest.intersect(Window(window.start, max(window.start, scope.now)))
        if begun and not scope.closed(newest).is_empty():
            break
        partitions.pop()
    return partitions
