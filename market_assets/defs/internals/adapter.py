"""What is taken from Dagster's private modules, so that an upgrade has one folder to mend.

What concerns checks stands in `checks`, and what concerns daemons and ticks in `beats`.

`market_assets_tests/defs/internals/test_adapter.py` holds a contract test for each behaviour that
is relied on.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
)
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.events import RunFailureReason, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.instance.ref import InstanceRef
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from dagster._core.types.dagster_type import Nothing
from dagster._serdes import deserialize_value, serialize_value

from market_assets.imports import late_imports

with late_imports():
    import sqlalchemy as db
    from dagster._core.storage.event_log import SqliteEventLogStorage, schema
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
    from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
    from dagster._core.storage.runs import SqliteRunStorage
    from dagster._core.storage.schedules import SqliteScheduleStorage
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster._grpc import server
    from dagster_webserver import version
    from dagster_webserver.app import create_app_from_workspace_process_context


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager
    from pathlib import Path

    from dagster import DagsterInstance, ExecuteInProcessResult
    from dagster._grpc.__generated__ import dagster_api_pb2
    from sqlalchemy.engine import Connection
    from starlette.applications import Starlette

_DETAILS = (dg.TableMetadataValue, dg.MarkdownMetadataValue, dg.JsonMetadataValue)

RUNLESS = RUNLESS_RUN_ID
"""The run of an event that no run has made."""

FINISHED = frozenset(FINISHED_STATUSES)
"""The statuses of a run that has ended."""

_PAGE_POLL_MILLISECONDS = 2000
"""How often an open page asks for what is new."""

SERVERS = (
    "dagster._cli.api",
    "dagster._daemon.daemon",
    "dagster._grpc.impl",
    "dagster._grpc.server",
)
"""The modules of the code server, the daemon and the runs."""

NO_VALUE: dg.DagsterType = Nothing
"""The type of an asset whose rows are in the store when its step ends.

Dagster has nothing to keep of such an asset.
"""


_NO_STREAMS = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}


def instance_of_terminal(home: Path) -> DagsterInstance:
    """The Dagster instance of a home folder, for runs in the process of a terminal.

    A run in this process leaves standard output and standard error alone.

    Else Dagster sends both through files and four more processes a step: what is drawn on a
    terminal comes late and is mixed up, and Ctrl-C, which goes to these processes too, makes each
    of them print a trace.
    """
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=_NO_STREAMS))


def range_tags(first: str, last: str) -> dict[str, str]:
    """Tags that make a run materialize every partition from `first` to `last`, both included."""
    return {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}


def range_of(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """The first and the last partition that a run materializes, by its tags.

    None for a run without partitions.
    """
    if PARTITION_NAME_TAG in tags:
        return tags[PARTITION_NAME_TAG], tags[PARTITION_NAME_TAG]
    if ASSET_PARTITION_RANGE_START_TAG not in tags:
        return None
    return tags[ASSET_PARTITION_RANGE_START_TAG], tags[ASSET_PARTITION_RANGE_END_TAG]


def latest_materializations(
    instance: DagsterInstance, asset_key: dg.AssetKey, partitions: Sequence[str]
) -> Mapping[str, int]:
    """The storage id of the newest materialization of each partition that has one, in one query."""
    return instance.get_latest_storage_id_by_partition(
        asset_key, dg.DagsterEventType.ASSET_MATERIALIZATION, set(partitions)
    )


def asset_output() -> dg.Output[None]:
    """The output of a step that has materialized its partitions itself.

    Its asset must be of the type NO_VALUE.

    Without one, Dagster skips the assets downstream in the same run. An ordinary one would
    materialize every partition of the run, also those that have no bar yet: this mark, which
    Dagster has for steps that report their own events, prevents that.
    """
    return dg.Output(None, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def log_and_forget(context: dg.OpExecutionContext, event: dg.AssetObservation) -> None:
    """Log an event within a step, as `log_event` does, and do not keep it until the step ends.

    A step of hours would grow by each of them.
    """
    context.log_event(event)
    for _ in context.consume_events():
        pass


def was_interrupted(result: ExecuteInProcessResult) -> bool:
    """True when a run in this process was ended by Ctrl-C.

    Dagster takes this for a failure like any other.
    """
    failures = [event.job_failure_data for event in result.all_events if event.is_job_failure]
    return any(
        failure.failure_reason is RunFailureReason.UNEXPECTED_TERMINATION for failure in failures
    )


def latest_attempt(
    instance: DagsterInstance, asset_key: dg.AssetKey, partition: str
) -> dg.DagsterRun | None:
    """The newest run that was to materialize a partition; None where there was none, or it is gone.

    A run that waits or is under way counts.
    """
    log = instance.event_log_storage
    planned = log.get_latest_planned_materialization_info(asset_key, partition)
    return None if planned is None else instance.get_run_by_id(planned.run_id)


class PartitionStates(NamedTuple):
    """The partitions of an asset by their state in the UI.

    One that failed and runs again is in progress, and failed as well if it was looked at in
    between.
    """

    materialized: AbstractSet[str]
    failed: AbstractSet[str]
    in_progress: AbstractSet[str]


def partition_states(
    instance: DagsterInstance, asset_key: dg.AssetKey, partitions_def: dg.PartitionsDefinition[str]
) -> PartitionStates:
    """The state of every partition that was ever planned.

    A failed partition is one whose latest attempt failed: older rows may be there. Reading takes a
    few milliseconds, and up to seconds the first time and after the partitions' definition has
    changed.
    """
    cache = get_and_update_asset_status_cache_value(instance, asset_key, partitions_def)
    if cache is None:
        return PartitionStates(frozenset(), frozenset(), frozenset())
    subsets = (
        cache.deserialize_materialized_partition_subsets(partitions_def),
        cache.deserialize_failed_partition_subsets(partitions_def),
        cache.deserialize_in_progress_partition_subsets(partitions_def),
    )
    return PartitionStates(*(frozenset(subset.get_partition_keys()) for subset in subsets))


class News(NamedTuple):
    """What has happened in the event log since somebody looked.

    Attributes:
        assets: The assets that have an event.
        runs: Some run has begun or ended, or its events cannot be told apart.
        ids: The storage ids of the newest events, which the next look takes for old.
    """

    assets: AbstractSet[dg.AssetKey]
    runs: bool
    ids: frozenset[int]


_NEWEST = 200
"""Ids may be committed out of their order: so many of the newest are looked at again."""


def news_since(instance: DagsterInstance, ids: frozenset[int]) -> News:
    """Which assets have events that are not known yet; 2 ms where there are none.

    Args:
        instance: The instance whose log is read.
        ids: The `ids` of the look before; empty at the first one, to which all is news.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return News(frozenset(), runs=True, ids=frozenset())
    table, checks = schema.SqlEventLogStorageTable.c, schema.AssetCheckExecutionsTable.c
    newest = max(ids, default=0)
    with storage.index_connection() as connection:
        rows = connection.execute(
            db.select(table.id, table.asset_key, table.dagster_event_type)
            .where(table.id > newest - _NEWEST)
            .order_by(table.id)
        ).fetchall()
        fresh = [row for row in rows if row[0] not in ids]
        names = {row[1] for row in fresh if row[1]}
        judged = [row[0] for row in fresh if row[2] and row[2].startswith("ASSET_CHECK")]
        if judged:
            query = db.select(checks.asset_key).where(
                checks.evaluation_event_storage_id >= min(judged)
            )
            names |= {name for (name,) in connection.execute(query.distinct()).fetchall()}
    keys = [dg.AssetKey.from_db_string(name) for name in names]
    runs = any(row[1] is None and not (row[2] or "").startswith("ASSET_CHECK") for row in fresh)
    return News(
        frozenset(key for key in keys if key), runs, frozenset(row[0] for row in rows[-_NEWEST:])
    )


def sharded_log(instance: DagsterInstance) -> SqliteEventLogStorage | None:
    """The event log, where it is SQLite with a file per run; else None."""
    log = instance.event_log_storage
    return log if isinstance(log, SqliteEventLogStorage) else None


def database_of(storage: object) -> Callable[[], AbstractContextManager[Connection]] | None:
    """What opens a transaction of Dagster's run or schedule storage; None where it is no SQLite."""
    if isinstance(storage, (SqliteRunStorage, SqliteScheduleStorage)):
        return storage.connect
    return None


@contextmanager
def web_app(instance: DagsterInstance, workspace: Path, *, read_only: bool) -> Iterator[Starlette]:
    """Dagster's web server as an application, as `dagster-webserver --workspace` builds it.

    Args:
        instance: What the pages are about.
        workspace: The workspace file that says where the code server is.
        read_only: Whether nothing can be changed in the pages.
    """
    # The server's own defaults: they matter to a database that is shared.
    instance.optimize_for_webserver(statement_timeout=15_000, pool_recycle=3600, max_overflow=20)
    target = WorkspaceFileTarget(paths=[str(workspace)])
    with WorkspaceProcessContext(
        instance, workspace_load_target=target, version=version.__version__, read_only=read_only
    ) as context:
        yield create_app_from_workspace_process_context(
            context, live_data_poll_rate=_PAGE_POLL_MILLISECONDS
        )


def start_runs_by(context: object, make_way: Callable[[], bool] = lambda: False) -> None:
    """Have the code server of this process start its runs by another context of `multiprocessing`.

    Args:
        context: Has `Queue()`, `Event()` and `Process(target, args)`. Of the queue `get_nowait` is
            used, of the event `set` and `is_set`, of the process `start`, `is_alive` and
            `exitcode`; the target is given two values that can be pickled, the queue and the event.
        make_way: Asked twice a second while the server has neither a run nor a tick; where it says
            yes, the server ends.
    """

    class Server(server.DagsterApiServer):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[arg-type]
            self._mp_ctx = context  # type: ignore[assignment]
            self._ticks: set[object] = set()

        def _external_schedule_execution(
            self, request: dagster_api_pb2.ExternalScheduleExecutionRequest
        ) -> str:
            with self._tick():
                return super()._external_schedule_execution(request)

        def _external_sensor_execution(
            self, request: dagster_api_pb2.ExternalSensorExecutionRequest
        ) -> str:
            with self._tick():
                return super()._external_sensor_execution(request)

        @contextmanager
        def _tick(self) -> Iterator[None]:
            tick = object()
            self._ticks.add(tick)
            try:
                yield
            finally:
                self._ticks.discard(tick)

        def _check_for_orphaned_runs(self) -> None:
            super()._check_for_orphaned_runs()
            if not self._executions and not self._ticks and make_way():
                # What is under way by then is answered before the end.
                self._server_termination_event.set()

    # The command that serves takes it from there.
    server.DagsterApiServer = Server  # type: ignore[misc]


def without_details(event: str, words: str) -> str:
    """An asset's stored event without the tables and documents of its metadata.

    Its run, its step, its time and its other metadata stay, and all that a status is made of.

    Args:
        event: A materialization or a check's evaluation, as the event log has it.
        words: Stands in their place, as the metadata `details`.

    Returns:
        The event as the log takes it; as it was where it has none of these.
    """
    entry = deserialize_value(event, EventLogEntry)
    dagster_event = entry.dagster_event
    data = None if dagster_event is None else dagster_event.event_specific_data
    asset_event = data.materialization if isinstance(data, StepMaterializationData) else data
    if dagster_event is None:
        return event
    if not isinstance(asset_event, (dg.AssetMaterialization, AssetCheckEvaluation)):
        return event
    metadata = asset_event.metadata.items()
    kept = {name: value for name, value in metadata if not isinstance(value, _DETAILS)}
    if len(kept) == len(asset_event.metadata):
        return event

    shorter = asset_event.with_metadata({**kept, "details": dg.MetadataValue.text(words)})
    slim: Any = shorter
    if isinstance(data, StepMaterializationData):
        slim = data._replace(materialization=slim)
    # Where in the run's graph it came from, its log says as long as it is there.
    slim_event = dagster_event._replace(
        event_specific_data=slim,
        logging_tags={},
        node_handle=None,
        step_handle=None,
    )
    return serialize_value(entry._replace(dagster_event=slim_event))
