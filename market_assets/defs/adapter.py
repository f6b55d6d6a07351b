"""All that is taken from Dagster's private modules, so that an upgrade has one place to mend.

`market_assets_tests/defs/test_adapter.py` holds a contract test for each behaviour that is relied on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.events import RunFailureReason
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster._core.types.dagster_type import Nothing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import DagsterInstance, ExecuteInProcessResult

NO_VALUE: dg.DagsterType = Nothing
"""The type of an asset whose rows are in the store when its step ends, so that Dagster has nothing to keep of it."""


def range_tags(first: str, last: str) -> dict[str, str]:
    """Run tags that make a run materialize every partition from `first` to `last`, both included."""
    return {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}


def latest_materializations(
    instance: DagsterInstance, asset_key: dg.AssetKey, partitions: Sequence[str]
) -> Mapping[str, int]:
    """The storage id of the newest materialization of each partition that has one, in one query."""
    return instance.get_latest_storage_id_by_partition(
        asset_key, dg.DagsterEventType.ASSET_MATERIALIZATION, set(partitions)
    )


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
    """An evaluation of one partition's check, which the public AssetCheckResult cannot express in a run over a range.

    Args:
        asset_key: The asset that was checked.
        check: The check's name.
        partition: The partition that was checked.
        passed: Whether it passed.
        severity: How bad it is if not.
        description: One sentence.
        metadata: What a person needs to act.
        materialization: Storage id of the materialization that was checked; without it the evaluation does not count as current.
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


def check_output(asset_key: dg.AssetKey, check: str) -> dg.Output[None]:
    """The output that a step owes for a check whose evaluations it has yielded itself."""
    return dg.Output(None, output_name=f"{asset_key.to_python_identifier()}_{check}")


def asset_output() -> dg.Output[None]:
    """The output of a step that has materialized its partitions itself; its asset must be of the type NO_VALUE.

    Without one, Dagster skips the assets downstream in the same run. An ordinary one would materialize every partition of the
    run, also those that have no bar yet: this mark, which Dagster has for steps that report their own events, prevents that.
    """
    return dg.Output(None, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def was_interrupted(result: ExecuteInProcessResult) -> bool:
    """True when a run in this process was ended by Ctrl-C, which Dagster takes for a failure like any other."""
    failures = [event.job_failure_data for event in result.all_events if event.is_job_failure]
    return any(failure.failure_reason is RunFailureReason.UNEXPECTED_TERMINATION for failure in failures)
