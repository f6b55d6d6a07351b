"""What this project relies on in Dagster, most of it private.

A test that fails here says what an upgrade has moved.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import queue
import threading
import types
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dagster as dg
import httpx
import pytest
import sqlalchemy as db
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView, TemporalContext
from dagster._core.definitions.assets.graph.remote_asset_graph import RemoteWorkspaceAssetGraph
from dagster._core.execution.asset_backfill import (
    AssetBackfillData,
    execute_asset_backfill_iteration_inner,
)
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.remote_representation.external import RemoteRepository
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.remote_representation.handle import RepositoryHandle
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
)
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS, create_db_conn_string
from dagster._core.storage.tags import HIDDEN_TAG_PREFIX
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.utils import FuturesAwareThreadPoolExecutor
from dagster._grpc import server
from dagster._grpc.__generated__ import dagster_api_pb2
from dagster._grpc.impl import start_run_in_subprocess
from dagster._grpc.types import ExecuteExternalJobArgs, StartRunResult
from dagster._serdes import deserialize_value, serialize_value

from market_assets.defs.automation.runs import prepare_home
from market_assets.defs.internals.adapter import (
    FINISHED,
    NO_VALUE,
    News,
    asset_output,
    database_of,
    instance_of_terminal,
    latest_materializations,
    log_and_forget,
    news_since,
    partition_states,
    range_tags,
    sharded_log,
    start_runs_by,
    web_app,
)
from market_assets.defs.internals.checks import (
    check_failures,
    check_output,
)
from market_assets_tests.support.defs_ground import colours
from market_assets_tests.support.toy import (
    CHECK,
    DAYS,
    KEY,
    KEYS,
    fills,
    run,
    toy,
    verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from starlette.applications import Starlette


pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)


@contextmanager
def statements() -> Iterator[list[str]]:
    """Every SQL statement that any engine executes meanwhile."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    db.event.listen(db.Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        db.event.remove(db.Engine, "before_cursor_execute", note)


def test_range_tags_make_a_run_of_every_partition_from_first_to_last_and_of_no_excluded_day(
    instance: dg.DagsterInstance,
) -> None:
    seen: list[str] = []

    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        seen.extend(context.partition_keys)
        yield check_output(KEY, CHECK.name)

    run(instance, body, "2025-01-07", "2025-01-13")
    assert seen == ["2025-01-07", "2025-01-08", "2025-01-10", "2025-01-13"]


def test_a_run_of_one_partition_gives_its_key_the_same_way(instance: dg.DagsterInstance) -> None:
    seen: list[str] = []

    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        seen.extend(context.partition_keys)
        yield check_output(KEY, CHECK.name)

    assert dg.materialize([toy(body)], instance=instance, partition_key=KEYS[1]).success
    assert seen == [KEYS[1]]


def test_partitions_that_a_failing_step_did_not_yield_are_failed_and_the_others_stay_materialized(
    instance: dg.DagsterInstance,
) -> None:
    run(instance, fills(*KEYS[1:3], then=dg.Failure("the rest is not filled")), KEYS[0], KEYS[3])
    expected = ["FAILED", "MATERIALIZED", "MATERIALIZED", "FAILED", "MISSING", "MISSING"]
    assert list(colours(instance, KEY, DAYS).values()) == expected
    cache = get_and_update_asset_status_cache_value(instance, KEY, DAYS)
    assert cache is not None
    assert cache.deserialize_materialized_partition_subsets(DAYS).get_partition_keys() == KEYS[1:3]
    assert set(cache.deserialize_failed_partition_subsets(DAYS).get_partition_keys()) == {
        KEYS[0],
        KEYS[3],
    }


def test_partitions_that_a_successful_step_did_not_yield_are_neither_filled_nor_failed(
    instance: dg.DagsterInstance,
) -> None:
    run(instance, fills(*KEYS[:2]), KEYS[0], KEYS[3])
    assert list(colours(instance, KEY, DAYS).values()) == ["MATERIALIZED"] * 2 + ["MISSING"] * 4
    # The UI shows these as skipped: planned by a run that has ended well.
    assert verdicts(instance)[KEYS[3]] == ("PLANNED", True)


def test_the_newest_materialization_of_many_partitions_is_found_by_one_query(
    instance: dg.DagsterInstance,
) -> None:
    run(instance, fills(*KEYS[:4]))
    run(instance, fills(KEYS[0]), KEYS[0], KEYS[0])
    with statements() as seen:
        newest = latest_materializations(instance, KEY, KEYS)
    assert len([one for one in seen if "FROM event_logs" in one]) == 1
    assert set(newest) == set(KEYS[:4])
    assert max(newest, key=lambda partition: newest[partition]) == KEYS[0]


@pytest.mark.parametrize("with_output", [True, False])
def test_what_is_downstream_in_the_same_run_goes_on_after_an_output_that_materializes_nothing(
    instance: dg.DagsterInstance, *, with_output: bool
) -> None:
    @dg.asset(key=KEY, partitions_def=DAYS, dagster_type=NO_VALUE, output_required=False)
    def upstream():
        yield dg.AssetMaterialization(KEY, partition=KEYS[0])
        if with_output:
            yield asset_output()

    @dg.asset(partitions_def=DAYS, deps=[upstream], dagster_type=NO_VALUE, output_required=False)
    def downstream(context):
        yield dg.AssetMaterialization(context.asset_key, partition=KEYS[0])

    tags = range_tags(KEYS[0], KEYS[2])
    assert dg.materialize([upstream, downstream], instance=instance, tags=tags).success
    # Of the three partitions only the one that was yielded, and only once.
    assert [
        one.partition_key for one in instance.fetch_materializations(KEY, limit=10).records
    ] == KEYS[:1]
    # This is why there is an output: without it the step downstream is skipped,
    # and the run is a success.
    assert instance.get_materialized_partitions(downstream.key) == (
        {KEYS[0]} if with_output else set()
    )


@pytest.mark.parametrize("then", [None, dg.Failure("one is not filled")])
def test_an_observation_of_no_partition_is_stored_and_changes_the_state_of_none(
    instance: dg.DagsterInstance, then: Exception | None
) -> None:
    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        for event in fills(KEYS[0])(context):
            if isinstance(event, dg.Output):
                yield dg.AssetObservation(KEY, metadata={"job": "x"})
            yield event
        if then is not None:
            raise then

    run(instance, body, KEYS[0], KEYS[1])
    assert [one.partition_key for one in instance.fetch_observations(KEY, limit=10).records] == [
        None
    ]
    assert [
        one.partition_key for one in instance.fetch_materializations(KEY, limit=10).records
    ] == KEYS[:1]
    second = "MISSING" if then is None else "FAILED"
    assert list(colours(instance, KEY, DAYS).values()) == ["MATERIALIZED", second, *["MISSING"] * 4]
    assert verdicts(instance)[KEYS[0]] == ("SUCCEEDED", True)


def test_an_event_that_is_forgotten_is_in_the_log_once_and_kept_by_no_step(
    instance: dg.DagsterInstance,
) -> None:
    kept = []

    @dg.op
    def step(context) -> None:
        log_and_forget(context, dg.AssetObservation(KEY))
        kept.extend(context.consume_events())

    @dg.job
    def job() -> None:
        step()

    result = job.execute_in_process(instance=instance)

    logs = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
    assert result.success
    assert [entry.asset_observation.asset_key for entry in logs] == [KEY]
    assert kept == []


def test_a_listener_hears_of_every_materialization_while_the_run_goes_on(
    instance: dg.DagsterInstance,
) -> None:
    heard: list[str | None] = []
    during: list[int] = []
    run_id = "00000000-0000-4000-8000-000000000001"

    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        for partition in context.partition_keys:
            yield dg.AssetMaterialization(KEY, partition=partition)
            during.append(len(heard))
        yield check_output(KEY, CHECK.name)

    def listen(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is not None and event.is_step_materialization and event.asset_key == KEY:
            heard.append(event.partition)

    instance.add_event_listener(run_id, listen)
    job = dg.Definitions([toy(body)]).resolve_implicit_global_asset_job_def()
    job.execute_in_process(
        instance=instance, run_id=run_id, tags=range_tags(KEYS[0], KEYS[-1]), asset_selection=[KEY]
    )
    assert heard == KEYS
    assert during == [1, 2, 3, 4, 5, 6]


def test_the_sqlite_event_log_opens_every_file_by_the_method_that_ours_replaces(
    tmp_path: Path,
) -> None:
    opened: Counter[str] = Counter()

    class Watched(SqliteEventLogStorage):
        @contextmanager
        def _connect(self, shard: str) -> Iterator[db.Connection]:
            opened[shard] += 1
            with super()._connect(shard) as connection:
                yield connection

    storage = Watched(str(tmp_path))
    with storage.run_connection("one") as connection:
        assert db.inspect(connection).has_table("event_logs")
    with storage.index_connection() as connection:
        assert db.inspect(connection).has_table("asset_keys")
    assert opened["one"] == 1
    assert opened[INDEX_SHARD_NAME] >= 1
    assert storage.conn_string_for_shard("one") == create_db_conn_string(str(tmp_path), "one")
    assert storage.path_for_shard("one") == str(tmp_path / "one.db")
    # What ours uses of it.
    assert isinstance(storage._db_lock, type(threading.Lock()))
    assert storage._initialized_dbs == {"one", INDEX_SHARD_NAME}
    assert SQLITE_BUSY_TIMEOUT_SECONDS >= 30
    fresh = db.create_engine(create_db_conn_string(str(tmp_path), "two"))
    storage._initdb(fresh)
    assert db.inspect(fresh).has_table("event_logs")
    fresh.dispose()


def first_runs_of_a_backfill(
    defs: dg.Definitions, instance: dg.DagsterInstance
) -> list[set[dg.AssetKey]]:
    """The assets of each run that the daemon starts first for a backfill.

    The backfill is of every partition of all assets.
    """
    repository = RemoteRepository(
        RepositorySnap.from_def(defs.get_repository_def()),
        RepositoryHandle.for_test(),
        auto_materialize_use_sensors=True,
    )
    location = SimpleNamespace(name="here", get_repositories=lambda: {"here": repository})
    workspace: Any = SimpleNamespace(
        code_location_entries={"here": SimpleNamespace(code_location=location)}
    )
    graph = RemoteWorkspaceAssetGraph.build(workspace)
    now = datetime.now(UTC)
    backfill = AssetBackfillData.from_asset_partitions(
        asset_graph=graph,
        partition_names=DAYS.get_partition_keys(),
        asset_selection=list(graph.get_all_asset_keys()),
        dynamic_partitions_store=instance,
        all_partitions=False,
        backfill_start_timestamp=now.timestamp(),
    )
    view = AssetGraphView(
        temporal_context=TemporalContext(effective_dt=now, last_event_id=None),
        instance=instance,
        asset_graph=graph,
    )
    result = execute_asset_backfill_iteration_inner(
        "backfill", backfill, view, now.timestamp(), logging.getLogger("backfill"), run_config=None
    )
    return [set(request.asset_selection or ()) for request in result.run_requests]


@pytest.mark.parametrize("alike", [True, False])
def test_a_backfill_puts_assets_of_different_backfill_policies_in_runs_of_their_own(
    instance: dg.DagsterInstance, *, alike: bool
) -> None:
    fetched_policy = dg.BackfillPolicy.multi_run(max_partitions_per_run=100)
    derived_policy = fetched_policy if alike else dg.BackfillPolicy.single_run()

    @dg.asset(partitions_def=DAYS, backfill_policy=fetched_policy)
    def fetched() -> None: ...

    @dg.asset(partitions_def=DAYS, backfill_policy=derived_policy, deps=[fetched])
    def derived() -> None: ...

    first = first_runs_of_a_backfill(dg.Definitions([fetched, derived]), instance)
    assert first == [{fetched.key, derived.key} if alike else {fetched.key}]


def test_tags_with_this_prefix_are_not_shown_in_the_ui() -> None:
    assert HIDDEN_TAG_PREFIX == ".dagster/"


@pytest.mark.parametrize("read_before", [True, False])
def test_a_partition_of_a_running_run_is_planned_and_in_progress_and_of_a_failed_run_planned(
    instance: dg.DagsterInstance, *, read_before: bool
) -> None:
    run(
        instance,
        fills(KEYS[1], red=(KEYS[0],), then=dg.Failure("one is not filled")),
        KEYS[0],
        KEYS[1],
    )
    if read_before:
        assert partition_states(instance, KEY, DAYS) == ({KEYS[1]}, {KEYS[0]}, set())
    during = []

    def body(_context: dg.AssetExecutionContext) -> Iterator[Any]:
        during.append(
            (check_failures(instance, KEY, CHECK.name), partition_states(instance, KEY, DAYS))
        )
        raise dg.Failure("nothing is filled")
        yield

    run(instance, body, KEYS[0], KEYS[0])
    answers, states = during[0]
    assert (answers.failed, answers.planned) == ({}, {KEYS[0]})
    # Only who has seen it fail still knows while it runs again.
    assert states == ({KEYS[1]}, {KEYS[0]} if read_before else set(), {KEYS[0]})
    assert check_failures(instance, KEY, CHECK.name).planned == {KEYS[0]}
    assert partition_states(instance, KEY, DAYS) == ({KEYS[1]}, {KEYS[0]}, set())


def test_an_asset_that_was_never_planned_has_no_states(instance: dg.DagsterInstance) -> None:
    assert partition_states(instance, KEY, DAYS) == (set(), set(), set())
    assert check_failures(instance, KEY, CHECK.name) == ({}, set(), set(), 0)


def test_only_assets_with_events_since_the_last_look_are_news(instance: dg.DagsterInstance) -> None:
    other = dg.AssetKey(["platform", "troubles"])
    first = news_since(instance, frozenset())
    assert (first.assets, first.runs) == (set(), False)
    run(instance, fills(*KEYS[:2]), KEYS[0], KEYS[1])
    second = news_since(instance, first.ids)
    assert (second.assets, second.runs) == ({KEY}, True)
    assert news_since(instance, second.ids) == News(frozenset(), runs=False, ids=second.ids)
    # An evaluation alone tells its asset too, and what belongs to no run says so.
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=KEY, check_name=CHECK.name, passed=True)
    )
    third = news_since(instance, second.ids)
    assert (third.assets, third.runs) == ({KEY}, False)
    instance.report_runless_asset_event(dg.AssetMaterialization(other))
    assert news_since(instance, third.ids).assets == {other}


def test_a_run_of_the_terminal_writes_where_the_terminal_is_and_its_events_where_the_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster's own way sends a step's output through files, and a process prints them later."""
    prepare_home(tmp_path)
    started: list[object] = []
    monkeypatch.setattr(
        "dagster._core.execution.compute_logs.subprocess.Popen",
        lambda *given: started.append(given),
    )
    with instance_of_terminal(tmp_path) as instance:
        ended = run(instance, fills(KEYS[0]), KEYS[0], KEYS[0])
        assert (
            type(instance.event_log_storage).__module__ == "market_assets.defs.internals.event_log"
        )
    assert started == []
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.get_run_by_id(ended).status is dg.DagsterRunStatus.SUCCESS


def test_the_web_server_is_an_application_that_answers_and_can_be_read_only(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text("load_from: []")
    wipe = "mutation { wipeAssets(assetPartitionRanges: []) { __typename } }"

    async def answers(app: Starlette) -> tuple[str, int, str]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:3000"
        ) as client:
            version = (await client.post("/graphql", json={"query": "{ version }"})).json()
            page = await client.get("/")
            wiped = (await client.post("/graphql", json={"query": wipe})).json()
        return (
            version["data"]["version"],
            page.status_code,
            wiped["data"]["wipeAssets"]["__typename"],
        )

    for read_only, outcome in ((False, "AssetWipeSuccess"), (True, "UnauthorizedError")):
        with web_app(instance, workspace, read_only=read_only) as app:
            assert asyncio.run(answers(app)) == (dg.__version__, 200, outcome)


class Ended:
    """A process that has ended before it could say anything, and what it was to execute."""

    exitcode = 9

    def __init__(self, target: Callable[..., None], args: Sequence[object]) -> None:
        self.target, self.args = target, args

    def start(self) -> None:
        pass

    def is_alive(self) -> bool:
        return False


class Context:
    """What the code server needs of multiprocessing; notes the processes."""

    Queue, Event = queue.Queue, threading.Event

    def __init__(self) -> None:
        self.processes: list[Ended] = []

    def Process(self, target: Callable[..., None], args: Sequence[object]) -> Ended:  # noqa: N802
        self.processes.append(Ended(target, args))
        return self.processes[-1]


@contextmanager
def code_server() -> Iterator[tuple[server.DagsterApiServer, threading.Event]]:
    """A code server as `dagster api grpc` makes it, and the event that ends it."""
    over = threading.Event()
    served = server.DagsterApiServer(
        server_termination_event=over,
        logger=logging.getLogger("test"),
        server_threadpool_executor=FuturesAwareThreadPoolExecutor(max_workers=1),
        loadable_target_origin=LoadableTargetOrigin(
            module_name="market_assets_tests.support.toy_location"
        ),
        location_name="toy",
    )
    try:
        yield served, over
    finally:
        over.set()
        served.cleanup()


def test_the_code_server_starts_runs_by_the_context_that_it_was_given(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "DagsterApiServer", server.DagsterApiServer)
    start_runs_by(context := Context())
    with code_server() as (served, _):
        repository = RemoteRepositoryOrigin(
            code_location_origin=RegisteredCodeLocationOrigin("toy"),
            repository_name="__repository__",
        )
        arguments = ExecuteExternalJobArgs(
            job_origin=repository.get_job_origin("toy"),
            run_id="a run",
            instance_ref=instance.get_ref(),
        )
        request = dagster_api_pb2.StartRunRequest(
            serialized_execute_run_args=serialize_value(arguments)
        )
        reply = served.StartRun(request, None)
    result = deserialize_value(reply.serialized_start_run_result, StartRunResult)
    assert not result.success
    assert "terminated unexpectedly with exit code 9" in result.message

    process = context.processes[0]
    assert process.target is start_run_in_subprocess
    words, job, reports, stop = process.args
    assert words == request.serialized_execute_run_args
    assert isinstance(reports, queue.Queue)
    assert isinstance(stop, threading.Event)
    # All of it but these two goes to the process in a file.
    assert pickle.loads(pickle.dumps((process.target, words, job)))[2] == job  # noqa: S301


@pytest.mark.parametrize("way", ["free", "a run", "a schedule", "a sensor"])
def test_the_code_server_makes_way_while_it_has_neither_run_nor_tick(
    way: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "DagsterApiServer", server.DagsterApiServer)
    asked = threading.Event()

    def make_way() -> bool:
        asked.set()
        return True

    start_runs_by(Context(), make_way)
    monkeypatch.setattr(server, "CLEANUP_TICK", 3600.0)
    with code_server() as (served, over):
        if way == "a run":
            alive = types.SimpleNamespace(is_alive=lambda: True)
            served._executions["a run"] = (alive, instance.get_ref())  # type: ignore[assignment]
        look = served._check_for_orphaned_runs
        if way in {"a schedule", "a sensor"}:

            def evaluate(*_: object) -> None:
                # What a tick is evaluated with is read first.
                look()
                raise ValueError(way)

            monkeypatch.setattr(server, "deserialize_value", evaluate)
            if way == "a schedule":
                request = dagster_api_pb2.ExternalScheduleExecutionRequest()
                served._external_schedule_execution(request)
            else:
                request = dagster_api_pb2.ExternalSensorExecutionRequest()
                served._external_sensor_execution(request)
            assert not over.is_set()
            assert not asked.is_set()
        look()
        assert over.is_set() is (way != "a run")


def test_a_run_s_row_can_be_removed_while_its_asset_events_stay(
    instance: dg.DagsterInstance,
) -> None:
    run_id = run(instance, fills(*KEYS))
    before = colours(instance, KEY, DAYS)
    instance.run_storage.delete_run(run_id)
    assert instance.get_run_by_id(run_id) is None
    assert colours(instance, KEY, DAYS) == before
    assert len(latest_materializations(instance, KEY, KEYS)) == len(KEYS)
    # Dagster's own function takes them along, and the partitions look missing.
    instance.delete_run(run_id)
    assert latest_materializations(instance, KEY, KEYS) == {}


def test_the_sqlite_files_of_an_instance_can_be_asked_and_those_of_another_storage_are_none(
    instance: dg.DagsterInstance,
) -> None:
    log = sharded_log(instance)
    assert log is not None
    named = {
        "event_logs": log.index_connection,
        "asset_check_executions": log.index_connection,
        "asset_event_tags": log.index_connection,
        "runs": database_of(instance.run_storage),
        "snapshots": database_of(instance.run_storage),
        "bulk_actions": database_of(instance.run_storage),
        "job_ticks": database_of(instance.schedule_storage),
        "asset_daemon_asset_evaluations": database_of(instance.schedule_storage),
    }
    for table, connect in named.items():
        assert connect is not None
        with connect() as connection:
            assert connection.execute(db.text(f"SELECT count(*) FROM {table}")).scalar_one() == 0
    with dg.DagsterInstance.ephemeral() as other:
        assert sharded_log(other) is None
        assert database_of(object()) is None


def test_a_run_that_ended_succeeded_failed_or_was_cancelled() -> None:
    ended = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    assert ended == FINISHED
