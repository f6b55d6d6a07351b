"""All SQL against Dagster's own SQLite files: what is old is removed, and what the UI shows stays.

Dagster has functions to delete a run with all its events, and to purge ticks. The first would make
partitions look missing whose newest materialization it takes along; the second leaves the ticks of
automations that are gone, and takes the newest one along. So the rows are chosen here:

- The newest materialization of each partition stays, the newest evaluation of each check of a
  partition, and the newest attempt of a partition that failed, with its run.
- What a run that goes on has written stays, and all that is younger than an hour.
- The last row of a table stays: SQLite would give its id again, and cursors would miss what has it.

Ids are looked up without a lock and deleted in short transactions, so that nobody waits; whatever
was old remains so while new rows come. A prune that is killed is taken up by the next one.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg
import sqlalchemy as db

from market_assets.defs.internals.adapter import FINISHED, database_of, sharded_log, without_details
from market_assets.imports import late_imports
from market_assets.market.clock import stamped

with late_imports():
    from market_assets.defs.internals.event_log import PooledSqliteEventLogStorage
    from market_assets.keeping.parts import Removed
    from market_assets.store.compact import worth_compacting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager

    from dagster._core.storage.event_log import SqliteEventLogStorage
    from sqlalchemy.engine import Connection

    from market_assets.config.settings import RetentionSettings

    Connect = Callable[[], AbstractContextManager[Connection]]

_BATCH = 500
"""Rows of one transaction: some milliseconds, so that a run that writes its events hardly waits."""

_SLOW_BATCH = 50
"""Events of one transaction that are read and written again."""

_YOUNG = timedelta(hours=1)
"""What is younger is left alone, whatever the settings say."""


@dataclass(frozen=True)
class _Sweep:
    """Rows of one table that have had their time.

    Attributes:
        part: The part of the home that they belong to.
        what: What they are, in the plural.
        table: Their table, of which the newest row always stays.
        body: An expression of how many bytes a row has.
        chosen: A query of their ids.
        also: Statements that remove what hangs on some of them, `{ids}` being a list of ids.
    """

    part: str
    what: str
    table: str
    body: str
    chosen: str
    also: tuple[str, ...] = ()


_EVENT_TAGS = ("DELETE FROM asset_event_tags WHERE event_id IN ({ids})",)

_MATERIALIZATIONS = _Sweep(
    "events",
    "materializations",
    "event_logs",
    "length(event)",
    """
    SELECT id FROM (
        SELECT id, partition, timestamp, tagged,
            row_number() OVER (PARTITION BY asset_key, partition ORDER BY id DESC) AS place,
            row_number() OVER (
                PARTITION BY asset_key, partition, tagged ORDER BY id DESC
            ) AS version
        FROM (
            SELECT id, asset_key, partition, timestamp, EXISTS (
                SELECT 1 FROM asset_event_tags t
                WHERE t.event_id = e.id AND t.key = 'dagster/data_version'
            ) AS tagged
            FROM event_logs e WHERE dagster_event_type = 'ASSET_MATERIALIZATION'
        )
    )
    WHERE place > 1 AND timestamp < :young AND NOT (tagged AND version = 1)
        AND (place > iif(partition IS NULL, :observations, :events) OR timestamp < :runs)
    """,
    _EVENT_TAGS,
)
"""The newest with a data version stays as well: Dagster compares the next one with it."""

_OBSERVATIONS = _Sweep(
    "events",
    "observations",
    "event_logs",
    "length(event)",
    """
    SELECT id FROM (
        SELECT id, timestamp,
            row_number() OVER (PARTITION BY asset_key ORDER BY id DESC) AS place,
            row_number() OVER (PARTITION BY asset_key, partition ORDER BY id DESC) AS own
        FROM event_logs WHERE dagster_event_type = 'ASSET_OBSERVATION'
    )
    WHERE place > 1 AND timestamp < :young
        AND (place > :observations OR (timestamp < :runs AND own > 1))
    """,
    _EVENT_TAGS,
)

_ATTEMPTS = _Sweep(
    "events",
    "planned materializations",
    "event_logs",
    "length(event)",
    """
    SELECT id FROM (
        SELECT id, run_id, timestamp,
            row_number() OVER (PARTITION BY asset_key ORDER BY id DESC) AS newest,
            row_number() OVER (PARTITION BY asset_key, partition ORDER BY id DESC) AS place,
            (
                SELECT max(m.id) FROM event_logs m
                WHERE m.asset_key = e.asset_key AND m.partition IS e.partition
                    AND m.dagster_event_type = 'ASSET_MATERIALIZATION'
            ) AS filled
        FROM event_logs e WHERE dagster_event_type = 'ASSET_MATERIALIZATION_PLANNED'
    )
    WHERE newest > 1 AND timestamp < :young AND (place > 1 OR (filled > id AND timestamp < :runs))
        AND run_id NOT IN (SELECT value FROM json_each(:unfinished))
    """,
)
"""The newest attempt stays until it was filled: without it a failed partition would not be red."""

_COPIES = _Sweep(
    "events",
    "copies of evaluations",
    "event_logs",
    "length(event)",
    """
    SELECT id FROM event_logs
    WHERE dagster_event_type IN ('ASSET_CHECK_EVALUATION', 'ASSET_CHECK_EVALUATION_PLANNED')
        AND timestamp < :young AND run_id NOT IN (SELECT value FROM json_each(:unfinished))
    """,
)
"""Nobody reads them: the UI has evaluations from their own table, and from the log of their run."""

_STATES = _Sweep(
    "events",
    "other events",
    "event_logs",
    "length(event)",
    """
    SELECT id FROM (
        SELECT id, run_id, timestamp, asset_key,
            row_number() OVER (
                PARTITION BY asset_key, dagster_event_type, partition ORDER BY id DESC
            ) AS place
        FROM event_logs WHERE dagster_event_type NOT IN (
            'ASSET_MATERIALIZATION', 'ASSET_OBSERVATION', 'ASSET_MATERIALIZATION_PLANNED',
            'ASSET_CHECK_EVALUATION', 'ASSET_CHECK_EVALUATION_PLANNED'
        )
    )
    WHERE timestamp < :runs AND (asset_key IS NULL OR place > 1)
        AND run_id NOT IN (SELECT value FROM json_each(:unfinished))
    """,
)

_EVALUATIONS = _Sweep(
    "events",
    "check evaluations",
    "asset_check_executions",
    "length(evaluation_event)",
    """
    SELECT id FROM (
        SELECT id, run_id, partition, pending,
            coalesce(evaluation_event_timestamp, create_timestamp) AS timestamp,
            row_number() OVER (
                PARTITION BY asset_key, check_name, partition ORDER BY id DESC
            ) AS place,
            row_number() OVER (
                PARTITION BY asset_key, check_name, partition, pending ORDER BY id DESC
            ) AS own
        FROM (
            SELECT *, execution_status = 'PLANNED' OR evaluation_event_storage_id IS NULL AS pending
            FROM asset_check_executions
        )
    )
    WHERE place > 1 AND timestamp < :young AND NOT (NOT pending AND own = 1)
        AND (place > iif(partition IS NULL, :observations, :events) OR timestamp < :runs)
        AND run_id NOT IN (SELECT value FROM json_each(:unfinished))
    """,
)
"""The newest verdict stays beside the newest attempt, which may never have come to one."""

_INDEX = (_MATERIALIZATIONS, _OBSERVATIONS, _ATTEMPTS, _COPIES, _STATES, _EVALUATIONS)

_DETAILED = (
    (
        "details of materializations",
        "event_logs",
        "event",
        """
        SELECT id, event FROM event_logs
        WHERE dagster_event_type = 'ASSET_MATERIALIZATION' AND partition IS NOT NULL
            AND timestamp < :details AND {detailed}
        """,
    ),
    (
        "details of check evaluations",
        "asset_check_executions",
        "evaluation_event",
        """
        SELECT id, evaluation_event FROM asset_check_executions
        WHERE execution_status <> 'PLANNED' AND partition IS NOT NULL
            AND coalesce(evaluation_event_timestamp, create_timestamp) < :details AND {detailed}
        """,
    ),
)
"""Events that stay because they are the newest of their partition: what, table, column, query."""

_DETAIL_KINDS = ("Table", "Markdown", "Json")
_HAS_DETAILS = " OR ".join(
    f"instr({{column}}, '\"{kind}MetadataEntryData\"') > 0" for kind in _DETAIL_KINDS
)

_RUNLESS = _Sweep(
    "events",
    "events without a run",
    "event_logs",
    "length(event)",
    "SELECT id FROM event_logs WHERE timestamp < :runs",
    _EVENT_TAGS,
)

_TICKS = _Sweep(
    "ticks",
    "ticks",
    "job_ticks",
    "length(tick_body)",
    """
    SELECT id FROM (
        SELECT id, status, timestamp, row_number() OVER (
            PARTITION BY coalesce(selector_id, job_origin_id) ORDER BY timestamp DESC, id DESC
        ) AS place
        FROM job_ticks
    )
    WHERE place > 2 AND timestamp < iif(status = 'SKIPPED', :ticks, :busy_ticks)
    """,
)
"""The last two stay, by which the daemon and the alerts know that an automation is alive."""

_CONDITIONS = _Sweep(
    "ticks",
    "evaluations of automation conditions",
    "asset_daemon_asset_evaluations",
    "length(asset_evaluation_body)",
    """
    SELECT id FROM (
        SELECT id, create_timestamp, row_number() OVER (
            PARTITION BY asset_key ORDER BY evaluation_id DESC, id DESC
        ) AS place
        FROM asset_daemon_asset_evaluations
    )
    WHERE place > 1 AND create_timestamp < :evaluations
    """,
)

_BACKFILLS = _Sweep(
    "runs",
    "backfills",
    "bulk_actions",
    "length(body)",
    """
    SELECT id FROM bulk_actions WHERE timestamp < :failed_runs
        AND status NOT IN ('REQUESTED', 'CANCELING', 'FAILING')
    """,
    (
        """
        DELETE FROM backfill_tags
        WHERE backfill_id IN (SELECT key FROM bulk_actions WHERE id IN ({ids}))
        """,
    ),
)

_SNAPSHOTS = _Sweep(
    "runs",
    "snapshots of jobs and plans",
    "snapshots",
    "length(snapshot_body)",
    """
    WITH kept AS (
        SELECT snapshot_id AS job, json_extract(run_body, '$.execution_plan_snapshot_id') AS plan
        FROM runs WHERE run_id NOT IN (SELECT value FROM json_each(:removed))
    )
    SELECT id FROM snapshots WHERE snapshot_id NOT IN (
        SELECT job FROM kept WHERE job IS NOT NULL
        UNION ALL SELECT plan FROM kept WHERE plan IS NOT NULL
        UNION ALL SELECT value FROM json_each(:parents)
    )
    """,
)

_KEPT_JOBS = """
    SELECT DISTINCT snapshot_id FROM runs JOIN snapshots USING (snapshot_id)
    WHERE run_id NOT IN (SELECT value FROM json_each(:removed))
"""

_AGES = {
    "events": (
        "SELECT date(timestamp), sum(length(event)) FROM event_logs GROUP BY 1",
        """
        SELECT date(coalesce(evaluation_event_timestamp, create_timestamp)),
            sum(length(evaluation_event))
        FROM asset_check_executions GROUP BY 1
        """,
    ),
    "ticks": (
        "SELECT date(timestamp), sum(length(tick_body)) FROM job_ticks GROUP BY 1",
        """
        SELECT date(create_timestamp), sum(length(asset_evaluation_body))
        FROM asset_daemon_asset_evaluations GROUP BY 1
        """,
    ),
}
"""What the rows of a database say of their days."""

# Runs that say why a partition or an asset is what it is: the newest attempts of partitions that
# were not filled since, checks that never came to a verdict with the materializations they are
# compared with, and the last run of each asset.
_NEEDED = """
    WITH planned AS (
        SELECT asset_key, partition, run_id, max(id) AS id FROM event_logs
        WHERE dagster_event_type = 'ASSET_MATERIALIZATION_PLANNED' GROUP BY asset_key, partition
    ),
    filled AS (
        SELECT asset_key, partition, run_id, max(id) AS id FROM event_logs
        WHERE dagster_event_type = 'ASSET_MATERIALIZATION' GROUP BY asset_key, partition
    ),
    checked AS (
        SELECT asset_key, check_name, partition, run_id, execution_status, max(id) AS id
        FROM asset_check_executions GROUP BY asset_key, check_name, partition
    )
    SELECT p.run_id FROM planned p LEFT JOIN filled f
        ON f.asset_key = p.asset_key AND f.partition IS p.partition
    WHERE f.id IS NULL OR f.id < p.id
    UNION
    SELECT run_id FROM checked WHERE execution_status = 'PLANNED'
    UNION
    SELECT f.run_id FROM checked c JOIN filled f
        ON f.asset_key = c.asset_key AND f.partition IS c.partition
    WHERE c.execution_status = 'PLANNED'
    UNION
    SELECT last_run_id FROM asset_keys
"""


def prune_dagster(
    instance: dg.DagsterInstance,
    settings: RetentionSettings,
    now: datetime,
    *,
    dry_run: bool = False,
    go_on: Callable[[], bool] = lambda: True,
) -> list[Removed]:
    """Remove what is old of Dagster's runs, events and ticks.

    Args:
        instance: The instance; one whose storage is not SQLite is left alone.
        settings: How long things are kept.
        now: The present instant, aware.
        dry_run: Say what would be removed, and remove nothing.
        go_on: Asked between batches; where it says no, the rest is left to the next time.

    Returns:
        What was removed, or would be; kinds of which there was nothing are left out.
    """
    log, runs = sharded_log(instance), database_of(instance.run_storage)
    if log is None or runs is None:
        return []
    pruning = _Pruning(instance, log, settings, now, dry_run=dry_run, go_on=go_on)
    removals = [
        *pruning.remove_runs(),
        pruning.remove_orphans(),
        *(pruning.sweep(log.index_connection, target) for target in _INDEX),
        *(pruning.shorten(log.index_connection, *target) for target in _DETAILED),
        *([pruning.sweep(lambda: log.run_connection(""), _RUNLESS)] if pruning.has_runless else []),
        pruning.sweep(runs, _BACKFILLS),
        pruning.sweep(runs, _SNAPSHOTS, parents=json.dumps(pruning.parents(runs))),
    ]
    if (schedules := database_of(instance.schedule_storage)) is not None:
        removals += [pruning.sweep(schedules, target) for target in (_TICKS, _CONDITIONS)]
    return [removal for removal in removals if removal.count]


class Database(NamedTuple):
    """One of Dagster's SQLite files.

    Attributes:
        part: The part of the home that it is.
        path: Where it lies.
        bytes: How long it is, without its log of the last changes.
        free: How many of its bytes hold nothing any more.
        days: How many bytes its rows have by their day (00:00 UTC).
    """

    part: str
    path: Path
    bytes: int
    free: int
    days: Mapping[datetime, int]


def databases(instance: dg.DagsterInstance) -> list[Database]:
    """Dagster's SQLite files but for those of runs; none where its storage is another."""
    return [_database(part, connect) for part, connect in _connections(instance)]


def compact_databases(instance: dg.DagsterInstance, *, dry_run: bool = False) -> int:
    """Write those of Dagster's SQLite files anew that are free for a large part.

    Others go on reading meanwhile; whoever writes waits, a second for some 50 MB.

    Args:
        instance: The instance.
        dry_run: Say how much would be freed, and do nothing.

    Returns:
        How many bytes they are shorter, or would be.
    """
    freed = 0
    for part, connect in _connections(instance):
        before = _database(part, connect)
        room = shutil.disk_usage(before.path.parent).free
        if not worth_compacting(before.free, before.bytes) or room < 2 * before.bytes:
            continue
        if dry_run:
            freed += before.free
            continue
        with connect() as connection:
            connection.exec_driver_sql("VACUUM")
        with connect() as connection:
            _shorten_log(connection)
        freed += before.bytes - _database(part, connect).bytes
    return freed


def _shorten_log(connection: Connection) -> None:
    """Let the file become as short as it can be at once.

    As long as somebody reads what was before, SQLite waits for them and lets nobody write: not
    here. The log is emptied then by whoever writes later.
    """
    patience = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    connection.exec_driver_sql("PRAGMA busy_timeout = 100")
    try:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(patience)}")


def _connections(instance: dg.DagsterInstance) -> list[tuple[str, Connect]]:
    log = sharded_log(instance)
    every: list[tuple[str, Connect | None]] = [
        ("events", None if log is None else log.index_connection),
        ("runs", database_of(instance.run_storage)),
        ("ticks", database_of(instance.schedule_storage)),
    ]
    return [(part, connect) for part, connect in every if connect is not None]


def _database(part: str, connect: Connect) -> Database:
    with connect() as connection:
        path = Path(connection.exec_driver_sql("PRAGMA database_list").one()[2])
        pages, free, page = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
            for name in ("page_count", "freelist_count", "page_size")
        )
        rows = [row for query in _AGES.get(part, ()) for row in connection.exec_driver_sql(query)]

    days: defaultdict[datetime, int] = defaultdict(int)
    for day, size in rows:
        if day is not None:
            days[datetime.fromisoformat(day).replace(tzinfo=UTC)] += size or 0
    return Database(part, path, pages * page, free * page, days)


class _Pruning:
    """One prune of an instance."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        log: SqliteEventLogStorage,
        settings: RetentionSettings,
        now: datetime,
        *,
        dry_run: bool,
        go_on: Callable[[], bool],
    ) -> None:
        self._instance = instance
        self._log = log
        self._settings = settings
        self._now = now
        self._dry_run = dry_run
        self._go_on = go_on
        # Before anything is chosen: a run that begins later has written nothing that is old.
        self._unfinished = set(self._runs_of(set(dg.DagsterRunStatus) - FINISHED, None))
        self._removed: list[str] = []
        self._gone: defaultdict[str, set[int]] = defaultdict(set)
        self.has_runless = Path(log.path_for_shard("")).exists()

    def remove_runs(self) -> Iterator[Removed]:
        """Remove finished runs, the files of their logs and what they have printed."""
        with self._log.index_connection() as connection:
            needed = {run_id for (run_id,) in connection.execute(db.text(_NEEDED))}
        failed = {dg.DagsterRunStatus.FAILURE}
        old = [
            *self._runs_of(FINISHED - failed, self._settings.runs),
            *self._runs_of(failed, self._settings.failed_runs),
        ]

        removed = files = size = 0
        for run_id in old:
            if run_id in needed:
                continue
            if not self._go_on():
                break
            paths = list(self._files_of(run_id))
            removed, files = removed + 1, files + len(paths)
            size += sum(path.stat().st_size for path in paths)
            self._removed.append(run_id)
            if not self._dry_run:
                self._remove_run(run_id)
        yield Removed("runs", "runs", removed, 0)
        yield Removed("runs", "files of runs", files, size)

    def remove_orphans(self) -> Removed:
        """Remove the logs of runs that are gone, which a prune that was killed may have left."""
        run_ids = {*self._instance.get_run_ids(), *self._removed, ""}
        before = self._before(self._settings.runs).timestamp()
        count = size = 0
        for run_id in sorted({*self._log.get_all_run_ids()} - run_ids):
            stats = [path.stat() for path in self._files_of(run_id)]
            if not self._go_on() or any(stat.st_mtime > before for stat in stats):
                continue
            count, size = count + len(stats), size + sum(stat.st_size for stat in stats)
            if not self._dry_run:
                self._remove_files(run_id)
        return Removed("runs", "files of runs that are gone", count, size)

    def _runs_of(
        self,
        statuses: AbstractSet[dg.DagsterRunStatus],
        limit: timedelta | None,
    ) -> Iterator[str]:
        """The ids of the runs of some statuses, or of those that are older than a limit."""
        before = None if limit is None else self._before(limit)
        chosen = dg.RunsFilter(statuses=sorted(statuses, key=str), updated_before=before)
        yield from self._instance.get_run_ids(chosen)

    def _before(self, limit: timedelta) -> datetime:
        """The instant before which what Dagster has stamped is older than a limit."""
        return stamped(self._now - max(limit, _YOUNG))

    def _files_of(self, run_id: str) -> Iterator[Path]:
        shard = self._log.path_for_shard(run_id)
        yield from (path for end in ("", "-wal", "-shm") if (path := Path(shard + end)).exists())
        folder = Path(self._instance.storage_directory()) / run_id
        yield from (path for path in folder.rglob("*") if path.is_file())

    def _remove_run(self, run_id: str) -> None:
        # The run's row goes last: as long as it is there, the next prune finds what is left.
        self._log.free_concurrency_slots_for_run(run_id)
        self._remove_files(run_id)
        self._instance.run_storage.delete_run(run_id)

    def _remove_files(self, run_id: str) -> None:
        self._instance.compute_log_manager.delete_logs(prefix=[run_id])
        if isinstance(self._log, PooledSqliteEventLogStorage):
            self._log.remove_run_log(run_id)
        else:
            for path in self._files_of(run_id):
                path.unlink(missing_ok=True)

    def parents(self, connect: Connect) -> list[str]:
        """The snapshots that those of the runs which stay are a part of."""
        with connect() as connection:
            jobs = connection.execute(db.text(_KEPT_JOBS), self._values).fetchall()
        lineages = [self._instance.get_job_snapshot(job).lineage_snapshot for (job,) in jobs]
        return [lineage.parent_snapshot_id for lineage in lineages if lineage is not None]

    def sweep(self, connect: Connect, sweep: _Sweep, **values: object) -> Removed:
        """Remove the rows of a sweep, a batch per transaction."""
        with connect() as connection:
            rows = list(self._chosen(connection, sweep, values))

        count = size = 0
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            if not self._go_on():
                break
            if not self._dry_run:
                with connect() as connection:
                    _delete(connection, sweep, [id_ for id_, _ in batch])
            self._gone[sweep.table].update(id_ for id_, _ in batch)
            count += len(batch)
            size += sum(length for _, length in batch)
        return Removed(sweep.part, sweep.what, count, size)

    def shorten(self, connect: Connect, what: str, table: str, column: str, query: str) -> Removed:
        """Take the details out of old events that stay."""
        words = f"removed after {self._settings.details.days} days (retention.details)"
        chosen = query.format(detailed=f"({_HAS_DETAILS.format(column=column)})")
        update = f"UPDATE {table} SET {column} = :event WHERE id = :id"  # noqa: S608 - ours
        with connect() as connection:
            events = connection.execute(db.text(f"{chosen} ORDER BY id"), self._values).fetchall()
        rows = [(id_, event) for id_, event in events if id_ not in self._gone[table]]

        count = size = 0
        for start in range(0, len(rows), _SLOW_BATCH):
            if not self._go_on():
                break
            batch = rows[start : start + _SLOW_BATCH]
            shorter = [{"id": id_, "event": without_details(event, words)} for id_, event in batch]
            if not self._dry_run:
                with connect() as connection:
                    connection.execute(db.text(update), shorter)
            count += len(batch)
            size += sum(len(event) for _, event in batch)
            size -= sum(len(record["event"]) for record in shorter)
        return Removed("events", what, count, size)

    def _chosen(
        self,
        connection: Connection,
        sweep: _Sweep,
        values: Mapping[str, object],
    ) -> Iterator[tuple[int, int]]:
        """The ids of the rows that have had their time, oldest first, and how long each is."""
        rows = f"SELECT id, {sweep.body} FROM {sweep.table} "  # noqa: S608 - names of this module
        chosen = f"{rows} WHERE id IN ({sweep.chosen}) AND id < :newest ORDER BY id"
        newest = connection.scalar(db.text(f"SELECT max(id) FROM {sweep.table}"))  # noqa: S608
        bound = {**self._values, **values, "newest": newest or 0}
        for id_, size in connection.execute(db.text(chosen), bound):
            yield int(id_), int(size or 0)

    @property
    def _values(self) -> Mapping[str, object]:
        def before(limit: timedelta) -> str:
            return f"{self._before(limit).astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"

        limits = ("runs", "failed_runs", "details", "ticks", "busy_ticks", "evaluations")
        return {
            **{name: before(getattr(self._settings, name)) for name in limits},
            "young": before(_YOUNG),
            "events": self._settings.events,
            "observations": self._settings.observations,
            "unfinished": json.dumps(sorted(self._unfinished)),
            "removed": json.dumps(self._removed),
        }


def _delete(connection: Connection, sweep: _Sweep, ids: Sequence[int]) -> None:
    listed = ",".join(map(str, ids))
    for statement in sweep.also:
        connection.execute(db.text(statement.format(ids=listed)))
    delete = f"DELETE FROM {sweep.table} WHERE id IN ({listed})"  # noqa: S608 - ours
    connection.execute(db.text(delete))
