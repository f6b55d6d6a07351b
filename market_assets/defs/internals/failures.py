"""Why a run failed, and why a partition that was never filled is red."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import dagster as dg

from market_assets.defs.internals.adapter import latest_attempt, latest_materializations

_INTERRUPTED = dg.DagsterExecutionInterruptedError.__name__


def failure_of(instance: dg.DagsterInstance, run_id: str) -> tuple[str, str]:
    """Why a run failed.

    Returns:
        The cause in a line, and its trace; the trace is empty where the run failed on purpose, or
        left none.
    """
    failures = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    events = [entry.dagster_event for entry in instance.all_logs(run_id, of_type=failures)]
    for event in events:
        if event is None or not event.is_step_failure:
            continue
        data = event.step_failure_data
        if data.user_failure_data is not None and data.user_failure_data.description:
            return data.user_failure_data.description, ""
        if data.error is not None:
            if data.error.cls_name == _INTERRUPTED:
                return "the run was ended before it was done; what it had committed is kept", ""
            innermost = data.error
            while innermost.cause is not None:
                innermost = innermost.cause
            return innermost.message.strip().splitlines()[0], data.error.to_string()
    words = [event.message for event in events if event is not None and event.message]
    return (words[-1] if words else "it left no word; market-assets up shows its log"), ""


class Reason(NamedTuple):
    """What is known of a partition that was never materialized.

    Attributes:
        words: A sentence or more, for a person.
        at: When that was so, aware UTC.
        run_id: The run that found it out; empty where none did.
    """

    words: str
    at: datetime
    run_id: str


def reason_of(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, partition: str
) -> Reason | None:
    """Why a partition has no materialization, by what its runs have left.

    Returns:
        The newest observation of the partition. Where the newest run over it failed before it could
        observe it, why that run failed. None for a partition that has a materialization, whose page
        tells what it lacks, or that nobody has asked for.
    """
    if latest_materializations(instance, asset_key, [partition]):
        return None

    chosen = dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=[partition])
    records = instance.fetch_observations(chosen, limit=1).records
    observed = records[0] if records else None

    observation = None if observed is None else observed.asset_observation
    words = "" if observation is None else observation.description or ""

    run = latest_attempt(instance, asset_key, partition)
    failed = run is not None and run.status is dg.DagsterRunStatus.FAILURE
    if run is not None and failed and (observed is None or observed.run_id != run.run_id):
        stats = instance.get_run_stats(run.run_id)
        at = stats.end_time or stats.start_time or 0.0
        cause, _ = failure_of(instance, run.run_id)
        earlier = f"\nBefore: {words}" if words else ""
        reason = f"Not filled: {cause.rstrip('.')}.{earlier}"
        return Reason(reason, datetime.fromtimestamp(at, UTC), run.run_id)

    if observed is None or not words:
        return None
    return Reason(words, datetime.fromtimestamp(observed.timestamp, UTC), observed.run_id)
