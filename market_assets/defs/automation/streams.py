"""Streams that run in Dagster: a run per profile, of bounded length, and what keeps one alive.

The run does what `market-assets stream` does in a terminal. A sensor starts the next one when none
is alive, whatever has ended the one before.

Dagster reads the annotations of a sensor's resources at run time, so that this module does without
postponed ones.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from market_assets.config.universe import Profile, Universe
from market_assets.defs.automation.runs import fail_orphans, unfinished_runs
from market_assets.defs.automation.stream_changes import UniverseWatch
from market_assets.defs.automation.stream_reports import StreamObserver, few_lines
from market_assets.defs.internals.failures import failure_of
from market_assets.defs.keys import (
    PROFILE_TAG,
    process_tags,
    run_of,
    streaming,
    trigger_tag,
)
from market_assets.defs.resources import Clock, Sources, StoreResource
from market_assets.errors import MarketAssetsError, SourceError
from market_assets.imports import late_imports
from market_assets.market.clock import machine
from market_assets.market.instants import clock_time
from market_assets.work.run import Trigger

with late_imports():
    from market_assets.live.claim import claimant_of
    from market_assets.live.session import StreamOptions, stream_profile
    from market_assets.live.stopping import stopping
    from market_assets.plan.repair import wait_after


EVERY = timedelta(seconds=15)
"""How often the sensor looks. A run ends so that the next one is there before another bar is."""

_STEADY = timedelta(minutes=10)
"""A run that has streamed for so long before it failed is no try in vain."""

_HISTORY = 20
"""Runs that are looked at for how many have failed in a row."""

_GRACE = timedelta(minutes=15)
"""How much longer than it should a run may take before Dagster ends it."""

_FATAL_TAG = "market_assets/nothing_to_stream"
"""On a run that no other one would do better."""

_ALIVE = {
    dg.DagsterRunStatus.STARTED: "streams",
    dg.DagsterRunStatus.CANCELING: "is ending",
    dg.DagsterRunStatus.QUEUED: "waits in the queue",
}
"""What is said of an unfinished run, by its status."""

_CHANGED = "The universe has changed: this run ends, and the next one streams what it says now."
_STOPPED = "The stream was ended at once; what it had stored is kept."


def stream_job(universe: Universe, profile: Profile) -> dg.JobDefinition:
    """The job `stream_<profile>`: one session, which ends after `stream.total_timeout`.

    Args:
        universe: What is kept.
        profile: Whose shortest fetched timeframe is streamed.
    """
    timeframe = profile.base_timeframe

    @dg.op(
        name=f"session_{profile.name}",
        description=(
            f"Stores the {timeframe} candles of {profile.name} as they close, "
            "and asks REST for what the stream may have missed. "
            f"How it is, the observations of {profile.candles(timeframe)} say."
        ),
    )
    def session(
        context: dg.OpExecutionContext,
        store: StoreResource,
        sources: dg.ResourceParam[Sources],
        clock: Clock,
    ) -> None:
        instance, run_id = context.instance, context.run_id
        instance.add_run_tags(run_id, process_tags())
        observer = StreamObserver(context, universe, profile)
        watch = UniverseWatch(universe, profile)
        options = StreamOptions(total=_length(profile, clock.now()))
        try:
            with stopping(_STOPPED) as stop, few_lines(machine) as lines:
                for report in stream_profile(
                    store.store(clock),
                    lambda: sources.build(profile),
                    universe,
                    profile,
                    options=options,
                    stop=stop.event,
                    run=run_of(context.run),
                ):
                    observer.hear(report, lines)
                    if not stop.event.is_set() and watch.has_changed(report.at):
                        context.log.info(_CHANGED)
                        stop.event.set()
        except MarketAssetsError as error:
            words = universe.redact(str(error))
            if isinstance(error, SourceError) and error.permanent:
                instance.add_run_tags(run_id, {_FATAL_TAG: "true"})
            raise dg.Failure(words, allow_retries=False) from error
        run = instance.get_run_by_id(run_id)
        if run is not None and run.status is dg.DagsterRunStatus.CANCELING:
            # A person has ended it: it is to be seen as that.
            raise dg.DagsterExecutionInterruptedError
        if stop.number is not None:
            context.log.info("The stream was asked to end. What was streamed is stored.")

    @dg.job(
        name=f"stream_{profile.name}",
        description=(
            f"A live session of {profile.name}. "
            f"The sensor stream_{profile.name} keeps one alive while it is on."
        ),
        tags={
            **streaming(profile.name),
            **trigger_tag(Trigger.STREAM),
            PROFILE_TAG: profile.name,
            "dagster/max_runtime": str(
                round((profile.stream.total_timeout + timeframe.duration + _GRACE).total_seconds())
            ),
        },
    )
    def job() -> None:
        session()

    return job


def stream_sensor(
    universe: Universe, profile: Profile, job: dg.JobDefinition
) -> dg.SensorDefinition:
    """The sensor `stream_<profile>`, which keeps one run of a job alive; on by default.

    Args:
        universe: Says which words are secret.
        profile: What is streamed.
        job: Its job.
    """
    # What failed before the universe was loaded may be mended in it.
    loaded_at = machine()

    @dg.sensor(
        name=f"stream_{profile.name}",
        job=job,
        minimum_interval_seconds=int(EVERY.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Starts a run that streams, when none waits or is alive. "
            "Where runs fail one after the other it waits longer each time, and says why. "
            "Turn it off and terminate its run to stop streaming."
        ),
    )
    def keep_alive(
        context: dg.SensorEvaluationContext, store: StoreResource
    ) -> dg.SkipReason | dg.RunRequest:
        instance = context.instance
        fail_orphans(instance)
        if alive := unfinished_runs(instance, machine(), streaming(profile.name)):
            run = alive[0]
            words = _ALIVE.get(run.status, "is about to begin")
            return dg.SkipReason(f"run {run.run_id[:8]} {words}")
        dataset = profile.candles(profile.base_timeframe)
        if claimant := claimant_of(store.home, dataset):
            return dg.SkipReason(f"{dataset} is streamed by {claimant}")
        if reason := _why_not_yet(instance, profile, loaded_at, machine()):
            return dg.SkipReason(universe.redact(reason))
        return dg.RunRequest()

    return keep_alive


def _why_not_yet(
    instance: dg.DagsterInstance, profile: Profile, loaded_at: datetime, now: datetime
) -> str:
    """Why no run is started although none is alive; empty where one may be."""
    records = instance.get_run_records(dg.RunsFilter(tags=streaming(profile.name)), limit=_HISTORY)
    failures = []
    for record in records:
        run = record.dagster_run
        is_failure = run.status is dg.DagsterRunStatus.FAILURE
        if not is_failure or _ended_at(record) < loaded_at or _was_steady(record):
            break
        failures.append(record)
    if not failures:
        return ""

    newest = failures[0]
    words, _ = failure_of(instance, newest.dagster_run.run_id)
    words = words.rstrip(".")
    _, longest = profile.repair.backoff
    if _FATAL_TAG in newest.dagster_run.tags:
        again_at = _ended_at(newest) + longest
        reason = f"nothing is streamed: {words}"
    else:
        # The first failure costs no wait: most often a process was killed.
        tries = len(failures) - 1
        again_at = _ended_at(newest) + (wait_after(tries, profile.repair) if tries else timedelta())
        reason = f"{len(failures)} runs have failed one after the other, the last one: {words}"
    if not now < again_at <= now + longest:
        return ""
    return f"{reason}; the next run begins at {clock_time(again_at)}"


def _ended_at(record: dg.RunRecord) -> datetime:
    return record.update_timestamp.astimezone(UTC)


def _was_steady(record: dg.RunRecord) -> bool:
    began, ended = record.start_time, record.end_time
    return began is not None and ended is not None and ended - began >= _STEADY.total_seconds()


def _length(profile: Profile, now: datetime) -> timedelta:
    """How long a session that begins now lasts.

    It ends a moment after a bar has: its successor is connected before the next one does.
    """
    step = profile.base_timeframe.duration
    end = now + profile.stream.total_timeout
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    bar = midnight + (end - midnight) // step * step
    length = bar + profile.update.settle - now
    return length if length > timedelta() else length + step
