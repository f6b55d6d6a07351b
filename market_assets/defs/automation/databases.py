"""Dagster's SQLite files: how large they are, and what is written anew to make them shorter."""

from __future__ import annotations

import shutil
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from market_assets.defs.internals.adapter import database_of, sharded_log
from market_assets.store.compact import worth_compacting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    import dagster as dg
    from sqlalchemy.engine import Connection

    Connect = Callable[[], AbstractContextManager[Connection]]

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
