"""What the index of Dagster's event log has of an event, beside the event itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHECKS = AssetCheckExecutionsTable.c

_INSERT = sqlite.insert(AssetCheckExecutionsTable)
PUT_EVALUATION = _INSERT.on_conflict_do_update(
    index_elements=[_CHECKS.asset_key, _CHECKS.check_name, _CHECKS.run_id, _CHECKS.partition],
    set_={
        column: _INSERT.excluded[column]
        for column in (
            "execution_status",
            "evaluation_event",
            "evaluation_event_timestamp",
            "evaluation_event_storage_id",
            "materialization_event_storage_id",
        )
    },
)
"""Puts what a check found in place of the row that announced it, or beside the others."""


@dataclass(frozen=True)
class IndexedEvent:
    """An event of the index.

    Attributes:
        at: Its number there.
        event: What Dagster has made.
        row: What the table of events has of it.
    """

    at: int
    event: dg.EventLogEntry
    row: Mapping[str, Any]

    @property
    def kind(self) -> dg.DagsterEventType | None:
        """Dagster's type of it."""
        return self.event.dagster_event_type

    @property
    def is_of_partition_and_run(self) -> bool:
        """Whether it is what a check found of a partition in a run."""
        if self.kind is not dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            return False
        return bool(self.event.run_id and self._evaluation_data.partition)

    @property
    def _evaluation_data(self) -> dg.AssetCheckEvaluation:
        return self.event.get_dagster_event().asset_check_evaluation_data

    @property
    def evaluation(self) -> dict[str, Any]:
        """The row of the table of checks, as Dagster's `_update_asset_check_evaluation` has it."""
        data = self._evaluation_data
        status = (
            AssetCheckExecutionRecordStatus.SUCCEEDED
            if data.passed
            else AssetCheckExecutionRecordStatus.FAILED
        )
        target = data.target_materialization_data
        return {
            "asset_key": data.asset_key.to_string(),
            "check_name": data.check_name,
            "partition": data.partition,
            "run_id": self.event.run_id,
            "execution_status": status.value,
            "evaluation_event": self.row["event"],
            "evaluation_event_timestamp": self.row["timestamp"],
            "evaluation_event_storage_id": self.at,
            "materialization_event_storage_id": target.storage_id if target else None,
        }
