"""Dagster's storages on SQLite, made by one process at a time; the event log stays open.

Two processes that make the same file at once, as the first two commands over an empty home do,
stamp it twice, and Dagster refuses it from then on. A process that makes one therefore holds a lock
in the home.

Dagster's own event log opens and closes a connection for every statement group, some sixteen per
event, and stores each event by itself, which costs more than all the rest of a partition.
dagster.yaml names these classes; a home folder written by either can be read by the other.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from contextlib import contextmanager, nullcontext
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import dagster as dg
import sqlalchemy as db
from dagster._core.events import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    EVENT_TYPE_TO_PIPELINE_RUN_STATUS,
)
from dagster._core.storage.event_log import SqlPollingEventWatcher
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
)
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS, create_db_conn_string
from filelock import FileLock
from sqlalchemy.pool import NullPool, StaticPool

from market_assets.defs.internals.indexed_event import PUT_EVALUATION, IndexedEvent
from market_assets.home import home
from market_assets.private import OURS_ALONE, private_files, put_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from dagster._config import UserConfigSchema
    from dagster._serdes import ConfigurableClassData

_RUN_PAGE = 1024
"""Bytes of a page in the file of a run; SQLite's own is 4096."""

_OPEN_RUNS = 16
"""Runs whose log file is kept open at once; the index is always open."""


_PATIENCE = 120
"""Seconds to wait for another process that makes the storages; on a slow disk it takes a few."""


_BATCH = "DAGSTER_EVENT_BATCH_SIZE"
"""Dagster stores the events that announce a run's partitions by so many, where this is set."""

_MOST_GATHERED = 1_000
"""Events that are stored together at most."""

_KEPT = ASSET_EVENTS | ASSET_CHECK_EVENTS
"""The types of events that may wait for others."""

_INDEXED = _KEPT | EVENT_TYPE_TO_PIPELINE_RUN_STATUS.keys()
"""The types of events that the index has, too."""


_empty_runs: list[bytes] = []
"""The first file of a run that this process has made, before its first event.

The others are copies of it.
"""


def _is_made(engine: db.Engine) -> bool:
    """Whether Dagster has made all tables of a file, which it notes in the file at the end.

    Dagster asks alembic, which reads a module per release of Dagster's tables to answer.
    """
    try:
        with engine.connect() as connection:
            return connection.execute(db.text("SELECT 1 FROM alembic_version")).first() is not None
    except db.exc.DatabaseError:
        return False


@contextmanager
def making(folder: Path) -> Iterator[None]:
    """Make Dagster's files in a folder: one process at a time, and for their owner alone.

    A thread may enter it twice.
    """
    folder.mkdir(OURS_ALONE, parents=True, exist_ok=True)
    with private_files(), FileLock(folder / ".storage.lock", timeout=_PATIENCE, is_singleton=True):
        yield


def _dagster_home(base_dir: str | None) -> Path:
    """The folder that was named, else the Dagster home, or without one (`dg dev` alone) ours."""
    return Path(base_dir or os.environ.get("DAGSTER_HOME") or home())


_CONFIG: UserConfigSchema = {"base_dir": dg.Field(dg.StringSource, is_required=False)}


class _InHome:
    """A storage of Dagster's with its files in a folder of the home.

    One process at a time makes it.
    """

    folder: ClassVar[str]
    file: ClassVar[str]

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """What dagster.yaml may say of it."""
        return _CONFIG

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Any,  # noqa: ANN401 - Dagster's
    ) -> Any:  # noqa: ANN401 - each of Dagster's storages names itself
        """Make the storage from its block in dagster.yaml."""
        base = _dagster_home(config_value.get("base_dir"))
        folder = base / cls.folder
        address = create_db_conn_string(str(folder), cls.file)
        with making(base):
            if (folder / f"{cls.file}.db").exists() and _is_made(
                db.create_engine(address, poolclass=NullPool)
            ):
                return cls(address, inst_data)  # type: ignore[call-arg]
            # Dagster's.
            return cls.from_local(str(folder), inst_data)  # type: ignore[attr-defined]


class HomeRunStorage(_InHome, SqliteRunStorage):
    """Dagster's SqliteRunStorage; the file is `history/runs.db`."""

    folder = "history"
    file = "runs"


class HomeScheduleStorage(_InHome, SqliteScheduleStorage):
    """Dagster's SqliteScheduleStorage; the file is `schedules/schedules.db`."""

    folder = "schedules"
    file = "schedules"


class _Gathering(threading.local):
    """The events that a thread keeps to store them together; None where it stores each at once."""

    events: list[dg.EventLogEntry] | None = None


class PooledSqliteEventLogStorage(SqliteEventLogStorage):
    """SqliteEventLogStorage that keeps connections open.

    It has one connection for the index, and one for each of the last few runs.

    Args:
        base_dir: The log lies in `history/runs` below it, where Dagster puts it too. Without it, it
            is the Dagster home, or where there is none (`dg dev` by itself) the home folder of
            market_assets.
        inst_data: What Dagster passes to make the object again in another process.
    """

    def __init__(
        self, base_dir: str | None = None, inst_data: ConfigurableClassData | None = None
    ) -> None:
        self._engines: OrderedDict[str, db.Engine] = OrderedDict()
        self._open: dict[str, db.Connection] = {}
        self._gathering = _Gathering()
        self._tables: set[str] = set()
        self._has_index_columns = False
        os.environ.setdefault(_BATCH, str(_MOST_GATHERED))
        self._home = _dagster_home(base_dir)
        with making(self._home):
            super().__init__(str(self._home / "history" / "runs"), inst_data)
        # Dagster's own cannot be had twice by a thread, which a transaction of several events is.
        self._db_lock = threading.RLock()  # type: ignore[assignment] # it has the same methods
        self._watcher = SqlPollingEventWatcher(self)

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """What dagster.yaml may say of it."""
        return _CONFIG

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Any,  # noqa: ANN401 - Dagster's
    ) -> Self:
        """Make the storage from its block in dagster.yaml."""
        return cls(inst_data=inst_data, **config_value)

    @cached_property
    def supports_asset_checks(self) -> bool:  # Dagster looks the table up for every evaluation
        """Whether the log has the table of check evaluations.

        Every log of this release has it from the start.
        """
        return bool(super().supports_asset_checks)

    def has_table(self, table_name: str) -> bool:
        """Whether the index has a table; one that is there stays.

        Dagster asks for each event with tags.
        """
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _has_asset_key_index_cols_on_connection(self, conn: db.Connection) -> bool:
        if not self._has_index_columns:
            self._has_index_columns = super()._has_asset_key_index_cols_on_connection(conn)
        return self._has_index_columns

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Store the events of this thread at its end, together: see `store_event_batch`.

        Until then nobody sees them, this thread included. It may be entered once at a time.

        Raises:
            Exception: They could not be stored, as `store_event` does.
        """
        self._gathering.events = []
        try:
            yield
        finally:
            events, self._gathering.events = self._gathering.events, None
            self.store_event_batch(events)

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store an event, or keep it for `gathering`, where this thread is within one.

        What is no event of an asset or a check, as the failure of a step, is stored at once, after
        all that was kept.
        """
        events = self._gathering.events
        if events is None:
            super().store_event(event)
            return
        is_kept = event.is_dagster_event and event.dagster_event_type in _KEPT
        if is_kept and len(events) < _MOST_GATHERED:
            events.append(event)
            return
        self._gathering.events = []
        self.store_event_batch([*events, event])

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events in the order given, in one transaction of each file.

        What is stored is what `store_event` stores of each.
        """
        for run_id, of_run in groupby(events, key=lambda event: event.run_id):
            self._store_together(run_id, list(of_run))

    def _store_together(self, run_id: str, events: Sequence[dg.EventLogEntry]) -> None:
        rows = [self._event_to_row(event) for event in events]
        insert = SqlEventLogStorageTable.insert()
        with self.run_connection(run_id) as connection:
            connection.execute(insert, rows)

        indexed = [
            (event, row)
            for event, row in zip(events, rows, strict=True)
            if event.is_dagster_event and event.dagster_event_type in _INDEXED
        ]
        if not indexed:
            return
        with self._lasting(INDEX_SHARD_NAME) as connection:
            connection.execute(insert, [row for _, row in indexed])
            # Nobody else writes within the transaction: its rows follow one another.
            last = connection.exec_driver_sql("SELECT last_insert_rowid()").scalar_one()
            first = last - len(indexed) + 1
            stored = [IndexedEvent(first + at, *pair) for at, pair in enumerate(indexed)]
            self._index(connection, stored)

    def _index(self, connection: db.Connection, stored: Sequence[IndexedEvent]) -> None:
        """Write what the index has beside the events: tags, the newest of each asset, checks."""
        of_assets = [entry for entry in stored if entry.kind in ASSET_EVENTS]
        self._store_asset_event_tags(
            connection, [entry.event for entry in of_assets], [entry.at for entry in of_assets]
        )

        # The table of assets has the last one of each kind, which would overwrite the others.
        newest = {(entry.row["asset_key"], entry.kind): entry for entry in of_assets}
        for entry in sorted(newest.values(), key=lambda entry: entry.at):
            self._store_asset_event(connection, entry.event, entry.at)

        of_checks = [entry for entry in stored if entry.kind in ASSET_CHECK_EVENTS]
        evaluations = [entry for entry in of_checks if entry.is_of_partition_and_run]
        for entry in of_checks:
            if not entry.is_of_partition_and_run:
                self.store_asset_check_event(entry.event, entry.at)
        if evaluations:
            connection.execute(PUT_EVALUATION, [entry.evaluation for entry in evaluations])

    @contextmanager
    def _connect(self, shard: str) -> Iterator[db.Connection]:
        with self._db_lock:
            if shard in self._open:
                yield self._open[shard]
                return
            engine = self._engine(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    @contextmanager
    def _lasting(self, shard: str) -> Iterator[db.Connection]:
        """A connection that whoever connects within it has, too: one transaction for all."""
        with self._connect(shard) as connection:
            self._open[shard] = connection
            try:
                yield connection
            finally:
                del self._open[shard]

    def _engine(self, shard: str) -> db.Engine:
        if shard in self._engines:
            self._engines.move_to_end(shard)
            return self._engines[shard]
        engine = db.create_engine(
            self.conn_string_for_shard(shard),
            poolclass=StaticPool,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )
        if shard != INDEX_SHARD_NAME:
            db.event.listen(engine, "connect", _use_small_pages)
        db.event.listen(engine, "connect", _tune)
        if shard not in self._initialized_dbs:
            with making(self._home):
                self._make(shard, engine)
            self._initialized_dbs.add(shard)
        self._engines[shard] = engine
        if len(self._engines) > _OPEN_RUNS:
            oldest = next(name for name in self._engines if name != INDEX_SHARD_NAME)
            self._engines.pop(oldest).dispose()
        return engine

    def _make(self, shard: str, engine: db.Engine) -> None:
        """Make the file of a shard where there is none, or only a part of one."""
        path = Path(self.path_for_shard(shard))
        is_run = shard != INDEX_SHARD_NAME
        if path.exists():
            if _is_made(engine):
                return
        elif is_run and _empty_runs:
            put_private(path, _empty_runs[0])
            return

        self._initdb(engine)
        if is_run and not _empty_runs:
            # SQLite moves all that it wrote into the file when its last connection is closed.
            engine.dispose()
            if not path.with_name(f"{path.name}-wal").exists():
                _empty_runs.append(path.read_bytes())

    def delete_events(self, run_id: str) -> None:
        """Delete a run's events, with its file, which Dagster's own class leaves behind."""
        super().delete_events(run_id)
        self.remove_run_log(run_id)

    def remove_run_log(self, run_id: str) -> None:
        """Remove a run's file, and leave its events in the index: partitions stay what they are."""
        self._close_run(run_id)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path_for_shard(run_id)}{suffix}").unlink(missing_ok=True)

    def _close_run(self, run_id: str) -> None:
        with self._db_lock:
            self._initialized_dbs.discard(run_id)
            if (engine := self._engines.pop(run_id, None)) is not None:
                engine.dispose()

    def wipe(self) -> None:
        """Delete everything.

        The files of the runs are closed first: an open connection would go on in a file that is
        gone.
        """
        self._close()
        super().wipe()

    def watch(
        self, run_id: str, cursor: str | None, callback: Callable[[dg.EventLogEntry, str], Any]
    ) -> None:
        """Call back for each new event of a run.

        Dagster's own class waits until the run's file changes. Here new events are in the log
        beside it for as long as a connection is open, so the run is asked again and again, as
        Dagster does on PostgreSQL.
        """
        self._watcher.watch_run(run_id, cursor, callback)

    def end_watch(self, run_id: str, handler: Callable[[dg.EventLogEntry, str], Any]) -> None:
        """Call back no more."""
        self._watcher.unwatch_run(run_id, handler)

    def dispose(self) -> None:
        """Close every file."""
        self._watcher.close()
        self._close()
        super().dispose()

    def _close(self) -> None:
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()


def stored_together(instance: dg.DagsterInstance) -> AbstractContextManager[None]:
    """Store the events of this thread together, where the log of the instance can.

    Nobody sees them before the end, and a process that is killed before has stored none of them.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, PooledSqliteEventLogStorage):
        return nullcontext()
    return storage.gathering()


def _use_small_pages(connection: Any, _record: object) -> None:  # noqa: ANN401 - sqlite3's
    # Two thirds of a small run's file are the empty pages of tables and indexes that only the
    # index uses. It has an effect only before the file's first page is written.
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA page_size={_RUN_PAGE}")
    cursor.close()


def _tune(connection: Any, _record: object) -> None:  # noqa: ANN401 - sqlite3's own connection
    # WAL with synchronous=NORMAL loses nothing when a process is killed, and at worst the last
    # events when the power fails.
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
