"""The event log with its connections kept open reports the same as Dagster's own.

This holds also among processes and after a crash.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._serdes import serialize_value

from market_assets.defs.automation.runs import instance_at, prepare_home
from market_assets.defs.internals.adapter import RUNLESS, latest_materializations
from market_assets.defs.internals.event_log import PooledSqliteEventLogStorage, stored_together
from market_assets_tests.support.defs_ground import colours
from market_assets_tests.support.toy import CHECK, DAYS, KEY, KEYS, fills, run

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)

WRITER = """
import sys
import dagster as dg

home, name, count = sys.argv[1:]
with dg.DagsterInstance.from_config(home) as instance:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(count)):
        instance.report_runless_asset_event(
            dg.AssetMaterialization(["toy", name], partition=str(number))
        )
        print(number, flush=True)
"""


FIRST = """
import sys
from pathlib import Path
import dagster as dg
from market_assets.defs.automation.runs import instance_at

home = Path(sys.argv[1])
openers = {"ours": instance_at, "dagster": lambda home: dg.DagsterInstance.from_config(str(home))}
print("ready", flush=True)
sys.stdin.readline()
with openers[sys.argv[2]](home) as instance:
    states = instance.all_instigator_state()
    print(instance.get_runs_count(), len(states), instance.get_asset_keys())
"""


def test_commands_that_meet_over_an_empty_home_make_its_storages_once(tmp_path: Path) -> None:
    # Dagster's own processes do not prepare a home, and find one whose dagster.yaml is there.
    text = files("market_assets").joinpath("dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(text)
    command = [sys.executable, "-W", "ignore", "-c", FIRST, str(tmp_path)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environ = {**os.environ, "DAGSTER_HOME": str(tmp_path)}
    openers = ("dagster", "ours", "ours")
    firsts = [subprocess.Popen([*command, opener], env=environ, **pipes) for opener in openers]
    assert [first.stdout.readline() for first in firsts if first.stdout] == ["ready\n"] * 3
    for first in firsts:
        assert first.stdin is not None
        first.stdin.write("\n")
        first.stdin.flush()
    assert [first.communicate(timeout=60)[0] for first in firsts] == ["0 0 []\n"] * 3
    databases = sorted(tmp_path.rglob("*.db"))
    assert [path.name for path in databases] == ["index.db", "runs.db", "schedules.db"]
    for path in databases:
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


def plain(home: Path) -> dg.DagsterInstance:
    """The instance of a home as Dagster would have it without our dagster.yaml."""
    home.mkdir(exist_ok=True)
    (home / "plain.yaml").write_text("telemetry: {enabled: false}\n")
    return dg.DagsterInstance.from_config(str(home), "plain.yaml")


def answers(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What the event log says to everything that the UI and this project ask of it."""
    log = instance.event_log_storage
    runs = [each.run_id for each in instance.get_runs()]
    return {
        "logs": {
            each: [serialize_value(entry) for entry in instance.all_logs(each)] for each in runs
        },
        "statistics": {each: instance.get_run_stats(each) for each in runs},
        "steps": {each: instance.get_run_step_stats(each) for each in runs},
        "assets": sorted(instance.get_asset_keys()),
        "colours": colours(instance, KEY, DAYS),
        "newest": latest_materializations(instance, KEY, KEYS),
        "materializations": instance.fetch_materializations(KEY, limit=100).records,
        "failures": instance.fetch_run_status_changes(
            dg.DagsterEventType.RUN_FAILURE, limit=100
        ).records,
        "verdicts": log.get_asset_check_partition_info([CHECK]),
        "evaluations": [
            (
                row.run_id,
                row.status,
                row.partition,
                serialize_value(row.event) if row.event else None,
            )
            for row in log.get_asset_check_execution_history(CHECK, limit=100)
        ],
        "newest event": log.get_maximum_record_id(),
    }


def make_history(instance: dg.DagsterInstance) -> None:
    run(instance, fills(*KEYS[3:], red=(KEYS[0],)))
    run(
        instance,
        fills(*KEYS[:3], red=(KEYS[3],), then=dg.Failure("one is not filled")),
        KEYS[0],
        KEYS[3],
    )
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=KEYS[1]))
    instance.report_runless_asset_event(
        dg.AssetObservation(KEY, partition=KEYS[2], metadata={"rows": 5})
    )


def entry(run_id: str, number: int) -> dg.EventLogEntry:
    return dg.EventLogEntry(
        error_info=None,
        user_message=str(number),
        level=logging.INFO,
        run_id=run_id,
        timestamp=time.time(),
    )


def messages(storage: SqliteEventLogStorage, run_id: str) -> list[str]:
    return [each.user_message for each in storage.get_logs_for_run(run_id)]


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[PooledSqliteEventLogStorage]:
    storage = PooledSqliteEventLogStorage(str(tmp_path))
    yield storage
    storage.dispose()


def test_what_ours_has_written_dagsters_own_reads_and_says_the_same_of(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    assert isinstance(instance.event_log_storage, PooledSqliteEventLogStorage)
    make_history(instance)
    said = answers(instance)
    assert set(said["colours"].values()) == {"MATERIALIZED", "FAILED"}
    assert len(said["materializations"]) == 7
    with plain(tmp_path / "home") as other:
        assert type(other.event_log_storage) is SqliteEventLogStorage
        assert answers(other) == said


def test_what_dagsters_own_has_written_ours_reads_and_says_the_same_of(tmp_path: Path) -> None:
    with plain(tmp_path / "home") as other:
        make_history(other)
        said = answers(other)
    with instance_at(tmp_path / "home") as instance:
        assert answers(instance) == said
        run(instance, fills(*KEYS))
    with plain(tmp_path / "home") as other:
        assert set(colours(other, KEY, DAYS).values()) == {"MATERIALIZED"}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> list[dg.EventLogEntry]:
    """All events of some runs and of none, in the order in which Dagster has stored them."""
    with plain(tmp_path_factory.mktemp("history")) as instance:
        make_history(instance)
        runs = [run.run_id for run in reversed(instance.get_runs())]
        return [event for run_id in [*runs, RUNLESS] for event in instance.all_logs(run_id)]


TIMES = {"create_timestamp", "migration_completed"}
"""Columns that say when a row was written."""


def tables(storage: SqliteEventLogStorage) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of the index and of each run, without the times at which they were written."""
    rows = {}
    for path in sorted(Path(storage.path_for_shard("index")).parent.glob("*.db")):
        with closing(sqlite3.connect(path)) as db:
            names = [
                name
                for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            for name in names:
                columns = [row[1] for row in db.execute(f"PRAGMA table_info({name})")]
                kept = ", ".join(f'"{each}"' for each in columns if each not in TIMES)
                rows[f"{path.stem} {name}"] = db.execute(f"SELECT {kept} FROM {name}").fetchall()
    return rows


@pytest.mark.parametrize("size", [2, 7, 1_000])
def test_what_is_stored_together_leaves_the_rows_that_dagster_leaves_of_each_by_itself(
    tmp_path: Path, history: list[dg.EventLogEntry], size: int
) -> None:
    one_by_one = SqliteEventLogStorage(str(tmp_path / "dagsters" / "history" / "runs"))
    together = PooledSqliteEventLogStorage(str(tmp_path / "ours"))
    for event in history:
        one_by_one.store_event(event)
    for at in range(0, len(history), size):
        together.store_event_batch(history[at : at + size])
    ours, theirs = tables(together), tables(one_by_one)
    together.dispose()
    assert ours == theirs
    kinds = {event.dagster_event_type for event in history if event.is_dagster_event}
    assert {dg.DagsterEventType.ASSET_CHECK_EVALUATION, dg.DagsterEventType.RUN_FAILURE} <= kinds
    assert len(ours["index asset_check_executions"]) > 5


def of_assets(history: list[dg.EventLogEntry]) -> list[dg.EventLogEntry]:
    return [event for event in history if event.dagster_event and event.dagster_event.asset_key]


def test_what_is_gathered_is_seen_at_the_end_and_by_other_threads_never_waited_for(
    storage: PooledSqliteEventLogStorage, history: list[dg.EventLogEntry]
) -> None:
    first, second, *_ = of_assets(history)
    with storage.gathering():
        storage.store_event(first)
        storage.store_event(second)
        assert storage.get_logs_for_run(first.run_id) == []
        other = threading.Thread(target=storage.store_event, args=(entry("other", 0),))
        other.start()
        other.join()
        assert messages(storage, "other") == ["0"]
    assert storage.get_logs_for_run(first.run_id) == [first, second]
    storage.store_event(entry("later", 1))
    assert messages(storage, "later") == ["1"]


def test_what_is_no_event_of_an_asset_does_not_wait_and_comes_after_what_did(
    storage: PooledSqliteEventLogStorage, history: list[dg.EventLogEntry]
) -> None:
    first, second, *_ = of_assets(history)
    failure = entry(first.run_id, 4711)
    with storage.gathering():
        for event in (first, second, failure):
            storage.store_event(event)
        assert storage.get_logs_for_run(first.run_id) == [first, second, failure]


def test_a_step_that_breaks_off_has_reported_what_it_had_yielded(
    instance: dg.DagsterInstance,
) -> None:
    def breaks_off(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with stored_together(context.instance):
            yield dg.AssetMaterialization(KEY, partition=KEYS[0])
            yield dg.AssetMaterialization(KEY, partition=KEYS[1])
            raise dg.Failure("in the middle")

    run_id = run(instance, breaks_off)
    assert instance.get_materialized_partitions(KEY) == {KEYS[0], KEYS[1]}
    types = [event.dagster_event_type for event in instance.all_logs(run_id)]
    last = len(types) - 1 - types[::-1].index(dg.DagsterEventType.ASSET_MATERIALIZATION)
    assert last < types.index(dg.DagsterEventType.STEP_FAILURE)


def test_what_one_writes_the_other_sees_at_once(
    tmp_path: Path, storage: PooledSqliteEventLogStorage
) -> None:
    other = PooledSqliteEventLogStorage(str(tmp_path))
    for number in range(20):
        writer, reader = (storage, other) if number % 2 else (other, storage)
        writer.store_event(entry("run", number))
        # A reader that stops in the middle must not hold on to what it saw.
        assert len(reader.get_records_for_run("run", limit=1).records) == 1
        assert messages(reader, "run") == [str(each) for each in range(number + 1)]
    other.dispose()


def test_whoever_watches_a_run_hears_of_each_event_while_the_run_goes_on(
    tmp_path: Path, storage: PooledSqliteEventLogStorage
) -> None:
    # The run has its log open for as long as it goes on,
    # and the UI, which is another process, watches.
    storage.store_event(entry("run", 0))
    ui = PooledSqliteEventLogStorage(str(tmp_path))
    heard: list[str] = []
    complete = threading.Event()

    def hear(event: dg.EventLogEntry, _cursor: str) -> None:
        heard.append(event.user_message)
        if len(heard) == 3:
            complete.set()

    ui.watch("run", ui.get_records_for_run("run").cursor, hear)
    for number in range(1, 4):
        storage.store_event(entry("run", number))
    assert complete.wait(20), heard
    assert heard == ["1", "2", "3"]
    ui.end_watch("run", hear)
    ui.dispose()


def test_threads_of_one_process_share_it(storage: PooledSqliteEventLogStorage) -> None:
    def write(thread: int) -> None:
        for number in range(25):
            storage.store_event(entry(f"run {number % 3}", thread * 100 + number))
            storage.get_maximum_record_id()

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = [message for number in range(3) for message in messages(storage, f"run {number}")]
    assert sorted(map(int, written)) == [
        thread * 100 + number for thread in range(4) for number in range(25)
    ]


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="counts the open files that Linux lists"
)
def test_however_many_runs_there_are_few_files_are_open_and_none_after_the_end(
    tmp_path: Path, storage: PooledSqliteEventLogStorage
) -> None:
    def opened() -> set[str]:
        links = (link for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
        return {link.readlink().name for link in links if link.readlink().is_relative_to(tmp_path)}

    for number in range(40):
        storage.store_event(entry(f"run{number}", number))
        storage.get_maximum_record_id()
        assert len({name for name in opened() if name.endswith(".db")}) <= 17
    assert "index.db" in opened()
    # A run whose file was closed meanwhile is read and written as before.
    storage.store_event(entry("run0", 100))
    assert messages(storage, "run0") == ["0", "100"]
    storage.dispose()
    assert opened() == set()


def test_a_deleted_run_is_gone_and_its_file_is_closed(
    instance: dg.DagsterInstance, storage: PooledSqliteEventLogStorage
) -> None:
    run_id = run(instance, fills(*KEYS))
    instance.delete_run(run_id)
    assert instance.all_logs(run_id) == []
    storage.store_event(entry("run", 0))
    storage.delete_events("run")
    assert set(storage._engines) == {"index"}
    storage.store_event(entry("run", 1))
    assert messages(storage, "run") == ["1"]


def test_after_everything_was_wiped_a_run_begins_in_a_file_of_its_own(
    tmp_path: Path, storage: PooledSqliteEventLogStorage
) -> None:
    storage.store_event(entry("run", 0))
    storage.wipe()
    assert messages(storage, "run") == []
    storage.store_event(entry("run", 1))
    other = SqliteEventLogStorage(str(tmp_path / "history" / "runs"))
    assert messages(other, "run") == ["1"]


@dataclass
class Aftermath:
    """A home that three processes wrote into at once while a fourth was killed in the middle."""

    home: Path
    killed: list[int]
    """What the killed one had said that it had written."""


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    home = tmp_path_factory.mktemp("home")
    with instance_at(home):
        pass
    environment = {**os.environ, "DAGSTER_HOME": str(home)}

    def start(name: str, count: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", WRITER, str(home), name, str(count)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    processes = [start("killed", 10**9), *(start(f"writer{number}", 40) for number in range(3))]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    # All begin at the same moment, in a file that none of them has made yet.
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    victim, *others = processes
    assert victim.stdout is not None
    said = [int(victim.stdout.readline()) for _ in range(10)]
    victim.kill()
    rest, _ = victim.communicate()
    said += [int(line) for line in rest.splitlines() if line]
    assert [process.communicate() and process.returncode for process in others] == [0, 0, 0]
    return Aftermath(home, said)


def test_processes_that_write_at_once_lose_nothing(aftermath: Aftermath) -> None:
    with instance_at(aftermath.home) as instance:
        for number in range(3):
            key = dg.AssetKey(["toy", f"writer{number}"])
            records = instance.fetch_materializations(key, limit=1000, ascending=True).records
            assert [record.partition_key for record in records] == [str(each) for each in range(40)]


def test_a_killed_writer_loses_at_most_the_event_that_it_had_not_finished(
    aftermath: Aftermath,
) -> None:
    key = dg.AssetKey(["toy", "killed"])
    with instance_at(aftermath.home) as instance:
        kept = instance.get_materialized_partitions(key)
        said = {str(number) for number in aftermath.killed}
        assert said <= kept
        # It may have written more before the signal came than it was heard to say, but none is lost
        # in between.
        assert kept == {str(number) for number in range(len(kept))}
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition="after"))
        assert "after" in instance.get_materialized_partitions(key)
    for file in (aftermath.home / "history" / "runs").glob("*.db"):
        with sqlite3.connect(file) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


def test_our_dagster_yaml_boots_an_instance_with_our_log_where_dagster_would_put_its_own(
    tmp_path: Path,
) -> None:
    with instance_at(tmp_path / "home") as instance:
        log = instance.event_log_storage
        assert isinstance(log, PooledSqliteEventLogStorage)
        assert (
            Path(log.path_for_shard("index")) == tmp_path / "home" / "history" / "runs" / "index.db"
        )
        assert instance.managed_python_loggers == ["market_assets"]
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
    with plain(tmp_path / "other") as other:
        theirs = other.event_log_storage
        assert isinstance(theirs, SqliteEventLogStorage)
        assert (
            Path(theirs.path_for_shard("index"))
            == tmp_path / "other" / "history" / "runs" / "index.db"
        )


def test_the_dagster_yaml_of_the_repository_is_the_one_in_the_package() -> None:
    ours = Path(__file__).parents[3] / "dagster.yaml"
    assert ours.read_text() == files("market_assets").joinpath("dagster.yaml").read_text()


def test_one_process_works_with_several_homes(tmp_path: Path) -> None:
    with instance_at(tmp_path / "one") as one, instance_at(tmp_path / "two") as two:
        for instance, partition in ((one, KEYS[0]), (two, KEYS[1]), (one, KEYS[2])):
            instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=partition))
        assert one.get_materialized_partitions(KEY) == {KEYS[0], KEYS[2]}
        assert two.get_materialized_partitions(KEY) == {KEYS[1]}
    with instance_at(tmp_path / "one") as one:
        assert one.get_materialized_partitions(KEY) == {KEYS[0], KEYS[2]}


def test_without_a_dagster_home_the_log_lies_in_the_home_of_market_assets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_home(tmp_path / "config")
    monkeypatch.delenv("DAGSTER_HOME")
    monkeypatch.setenv("MARKET_ASSETS_HOME", str(tmp_path / "ours"))
    with dg.DagsterInstance.from_config(str(tmp_path / "config")) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=KEYS[0]))
    assert (tmp_path / "ours" / "history" / "runs" / "index.db").exists()


def test_a_base_dir_in_dagster_yaml_is_kept_to(tmp_path: Path) -> None:
    home = tmp_path / "home"
    prepare_home(home)
    text = (
        (home / "dagster.yaml")
        .read_text()
        .replace("config: {}", f"config: {{base_dir: {tmp_path / 'elsewhere'}}}")
    )
    (home / "dagster.yaml").write_text(text)
    with instance_at(home) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=KEYS[0]))
    assert (tmp_path / "elsewhere" / "history" / "runs" / "index.db").exists()
    shutil.rmtree(tmp_path / "elsewhere")


def test_a_run_in_the_queue_waits_until_a_code_server_is_there_again(tmp_path: Path) -> None:
    with instance_at(tmp_path) as instance:
        queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    waits = queue.max_user_code_failure_retries * queue.user_code_failure_retry_delay
    assert waits >= 300


def inside(file: Path) -> tuple[list[Any], list[Any], int]:
    """The tables and indexes of a file, its stamp, and the size of its pages."""
    with closing(sqlite3.connect(file)) as connection:
        made = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name")
        stamp = connection.execute("SELECT version_num FROM alembic_version")
        ((page,),) = connection.execute("PRAGMA page_size").fetchall()
        return made.fetchall(), stamp.fetchall(), page


def test_the_file_of_a_run_holds_what_dagster_makes_though_it_is_a_copy(
    tmp_path: Path, storage: PooledSqliteEventLogStorage
) -> None:
    with plain(tmp_path / "dagster") as other:
        other.event_log_storage.store_event(entry("run", 0))
    tables, stamp, _ = inside(tmp_path / "dagster" / "history" / "runs" / "run.db")

    for run_id in ("first", "second", "third"):
        storage.store_event(entry(run_id, 0))
        assert inside(Path(storage.path_for_shard(run_id))) == (tables, stamp, 1024)
        assert messages(storage, run_id) == ["0"]
        assert Path(storage.path_for_shard(run_id)).stat().st_mode & 0o077 == 0

    # What a killed process has begun is made whole.
    begun = Path(storage.path_for_shard("begun"))
    begun.touch()
    storage.store_event(entry("begun", 0))
    assert inside(begun)[:2] == (tables, stamp)
    assert messages(storage, "begun") == ["0"]


def test_a_file_that_is_there_is_opened_without_reading_the_history_of_dagsters_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with instance_at(tmp_path) as instance:
        instance.event_log_storage.store_event(entry("run", 0))
    read: list[str] = []
    monkeypatch.setattr(
        "alembic.script.ScriptDirectory.from_config", lambda config: read.append(str(config))
    )
    with instance_at(tmp_path) as instance:
        assert messages(instance.event_log_storage, "run") == ["0"]
        instance.get_runs()
        instance.all_instigator_state()
    assert read == []
