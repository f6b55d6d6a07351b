"""What Dagster keeps of checks of partitions: evaluations written one by one, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from market_assets.defs.internals.adapter import RUNLESS
from market_assets.imports import late_imports
from market_assets.words import many

with late_imports():
    import sqlalchemy as db
    from dagster._core.storage.event_log import schema
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from collections.abc import Set as AbstractSet

    from dagster import DagsterInstance

_HISTORY_PAGE = 500

_NAMES = 3
"""How many partitions a sentence names."""


def check_evaluation(
    *,
    asset_key: dg.AssetKey,
    check: str,
    partition: str,
    passed: bool,
    severity: dg.AssetCheckSeverity,
    description: str,
    metadata: Mapping[str, dg.MetadataValue],
    materialization: int | None,
    run_id: str,
    timestamp: float,
) -> AssetCheckEvaluation:
    """An evaluation of one partition's check in a run over a range.

    The public AssetCheckResult cannot express it.

    Args:
        asset_key: The asset that was checked.
        check: The check's name.
        partition: The partition that was checked.
        passed: Whether it passed.
        severity: How bad it is if not.
        description: One sentence.
        metadata: What a person needs to act.
        materialization: Storage id of the materialization that was checked; without it the
            evaluation does not count as current.
        run_id: The run that materialized it.
        timestamp: When, in seconds since 1970.
    """
    target = None
    if materialization is not None:
        target = AssetCheckEvaluationTargetMaterializationData(
            storage_id=materialization, run_id=run_id, timestamp=timestamp
        )
    return AssetCheckEvaluation(
        asset_key=asset_key,
        check_name=check,
        passed=passed,
        partition=partition,
        severity=severity,
        description=description,
        metadata=metadata,
        target_materialization_data=target,
    )


def report_evaluation(instance: DagsterInstance, evaluation: AssetCheckEvaluation) -> None:
    """Tell Dagster of an evaluation that no run has made.

    Its table has room for one of them per check and partition, and refuses the next: the new one
    takes the place.
    """
    storage, checks = instance.event_log_storage, schema.AssetCheckExecutionsTable.c
    if isinstance(storage, SqlEventLogStorage):
        with storage.index_connection() as connection:
            connection.execute(
                db.delete(schema.AssetCheckExecutionsTable).where(
                    checks.asset_key == evaluation.asset_key.to_string(),
                    checks.check_name == evaluation.check_name,
                    checks.partition == evaluation.partition,
                    checks.run_id == RUNLESS,
                )
            )
    instance.report_runless_asset_event(evaluation)


def check_output(asset_key: dg.AssetKey, check: str) -> dg.Output[None]:
    """The output that a step owes for a check whose evaluations it has yielded itself."""
    return dg.Output(None, output_name=f"{asset_key.to_python_identifier()}_{check}")


class CheckAnswers(NamedTuple):
    """What the newest evaluation of one check says of each partition that was asked about.

    Attributes:
        failed: Partition and storage id of the failed evaluation, where it judges the newest
            materialization.
        planned: Partitions whose newest evaluation is still to come, or never came because its run
            ended before.
        settled: Partitions that passed, or were materialized again without being judged since.
        newest: The highest storage id seen; 0 if nothing was found.
    """

    failed: Mapping[str, int]
    planned: AbstractSet[str]
    settled: AbstractSet[str]
    newest: int


def check_failures(
    instance: DagsterInstance,
    asset_key: dg.AssetKey,
    check: str,
    after_storage_id: int | None = None,
) -> CheckAnswers:
    """Read what a check says of each partition.

    This takes 35 ms for ten years of days, and half of that after a storage id.

    Args:
        instance: The instance that keeps the evaluations.
        asset_key: The asset that is checked.
        check: The check's name.
        after_storage_id: Only partitions that were judged, planned or materialized after this; None
            for all of them.
    """
    failed, planned, settled, newest = {}, set(), set(), after_storage_id or 0
    key = dg.AssetCheckKey(asset_key, check)
    for info in instance.event_log_storage.get_asset_check_partition_info(
        [key], after_storage_id=after_storage_id
    ):
        newest = max(
            newest, info.latest_check_event_storage_id, info.latest_materialization_storage_id or 0
        )
        if info.partition_key is None:
            continue
        if info.latest_execution_status is AssetCheckExecutionRecordStatus.PLANNED:
            planned.add(info.partition_key)
        elif (
            info.latest_execution_status is AssetCheckExecutionRecordStatus.FAILED
            and info.is_current
        ):
            failed[info.partition_key] = info.latest_check_event_storage_id
        else:
            settled.add(info.partition_key)
    return CheckAnswers(failed, planned, settled, newest)


def failures_elsewhere(
    instance: DagsterInstance, asset_key: dg.AssetKey, check: str, besides: Collection[str]
) -> str:
    """A sentence about the other partitions in which a check fails; empty where there are none.

    The word beside a check in the UI (Failed) is about all its partitions, and the evaluation that
    stands below it is the newest one, of whatever partition. So one that passed names the others.

    Args:
        instance: The instance that keeps the evaluations.
        asset_key: The asset that is checked.
        check: The check's name.
        besides: The partitions that are not meant.
    """
    failed = sorted(check_failures(instance, asset_key, check).failed.keys() - set(besides))
    if not failed:
        return ""
    names = ", ".join(failed[-_NAMES:])
    more = f" and {len(failed) - _NAMES:,} more" if len(failed) > _NAMES else ""
    return f"The check fails in {many(len(failed), 'other partition')}: {names}{more}."


class FailedCheck(NamedTuple):
    """What a failed evaluation says: how bad it is (WARN or ERROR), and its sentence."""

    severity: str
    words: str


def failed_evaluations(
    instance: DagsterInstance, asset_key: dg.AssetKey, check: str, partitions: Collection[str]
) -> Mapping[str, FailedCheck]:
    """What the newest failed evaluation of each partition says.

    This takes 0.2 ms for each failed evaluation that was ever stored and is read on the way.
    """
    failures: dict[str, FailedCheck] = {}
    wanted, cursor = set(partitions), None
    while wanted:
        page = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(asset_key, check),
            limit=_HISTORY_PAGE,
            cursor=cursor,
            status={AssetCheckExecutionRecordStatus.FAILED},
        )
        for record in page:
            evaluation = record.evaluation
            if record.partition in wanted and record.event is not None and evaluation is not None:
                wanted.discard(record.partition)
                failures[record.partition] = FailedCheck(
                    evaluation.severity.value, evaluation.description or ""
                )
        if len(page) < _HISTORY_PAGE:
            break
        cursor = page[-1].id
    return failures


def failed_evaluation(
    instance: DagsterInstance, asset_key: dg.AssetKey, check: str
) -> FailedCheck | None:
    """What the newest evaluation of a check without partitions says, if it failed."""
    history = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(asset_key, check), limit=_HISTORY_PAGE
    )
    # One that is planned has not been judged, or never will be, because its run ended before.
    done = (
        record for record in history if record.status is not AssetCheckExecutionRecordStatus.PLANNED
    )
    newest = next(done, None)
    if (
        newest is None
        or newest.status is not AssetCheckExecutionRecordStatus.FAILED
        or newest.evaluation is None
    ):
        return None
    return FailedCheck(newest.evaluation.severity.value, newest.evaluation.description or "")
