"""Removes what is old of Dagster's runs, events and ticks; what the UI shows stays.

Dagster has functions to delete a run with all its events, and to purge ticks. The first would make
partitions look missing whose newest materialization it takes along; the second leaves the ticks of
automations that are gone, and takes the newest one along. So the rows are chosen by the queries of
`sweeps`. The last row of a table stays: SQLite would give its id again, and cursors would miss what
has it.

Ids are looked up without a lock and deleted in short transactions, so that nobody waits; whatever
was old remains so while new rows come. A prune that is killed is taken up by the next one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import sqlalchemy as db

from market_assets.defs.automation.sweeps import (
    BACKFILLS,
    CONDITIONS,
    DETAILED,
    HAS_DETAILS,
    INDEX,
    KEPT_JOBS,
    NEEDED,
    RUNLESS,
    SNAPSHOTS,
    TICKS,
    Sweep,
)
from market_assets.defs.internals.adapter import FINISHED, database_of, sharded_log, without_details
from market_assets.imports import late_imports
from market_assets.market.clock import stamped

with late_imports():
    from market_assets.defs.internals.event_log import PooledSqliteEventLogStorage
    from market_assets.keeping.parts import Removed


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager

    from dagster._core.storage.event_log import SqliteEventLogStorage
    from sqlalchemy.engine import Connection

    from market_assets.config.services import RetentionSettings

    Connect = Callable[[], AbstractContextManager[Connection]]

_BATCH = 500
"""Rows of one transaction: some milliseconds, so that a run that writes its events hardly waits."""

_SLOW_BATCH = 50
"""Events of one transaction that are read and written again."""

_YOUNG = timedelta(hours=1)
"""What is younger is left alone, whatever the settings say."""


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
        *(pruning.sweep(log.index_connection, target) for target in INDEX),
        *(pruning.shorten(log.index_connection, *target) for target in DETAILED),
        *([pruning.sweep(lambda: log.run_connection(""), RUNLESS)] if pruning.has_runless else []),
        pruning.sweep(runs, BACKFILLS),
        pruning.sweep(runs, SNAPSHOTS, parents=json.dumps(pruning.parents(runs))),
    ]
    if (schedules := database_of(instance.schedule_storage)) is not None:
        removals += [pruning.sweep(schedules, target) for target in (TICKS, CONDITIONS)]
    return [removal for removal in removals if removal.count]


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
            needed = {run_id for (run_id,) in connection.execute(db.text(NEEDED))}
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
            jobs = connection.execute(db.text(KEPT_JOBS), self._values).fetchall()
        lineages = [self._instance.get_job_snapshot(job).lineage_snapshot for (job,) in jobs]
        return [lineage.parent_snapshot_id for lineage in lineages if lineage is not None]

    def sweep(self, connect: Connect, sweep: Sweep, **values: object) -> Removed:
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
        chosen = query.format(detailed=f"({HAS_DETAILS.format(column=column)})")
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
        sweep: Sweep,
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


def _delete(connection: Connection, sweep: Sweep, ids: Sequence[int]) -> None:
    listed = ",".join(map(str, ids))
    for statement in sweep.also:
        connection.execute(db.text(statement.format(ids=listed)))
    delete = f"DELETE FROM {sweep.table} WHERE id IN ({listed})"  # noqa: S608 - ours
    connection.execute(db.text(delete))
