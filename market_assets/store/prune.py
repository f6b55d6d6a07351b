"""Which rows of the store's ledgers are removed, and how large the tables are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from market_assets.market.timeframes import Timeframe
from market_assets.store.answers import COVERAGE_COLUMNS, merge_coverage
from market_assets.store.database import naive
from market_assets.store.literals import literal, written_out
from market_assets.store.schema import identifier, text_literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from market_assets.config.services import RetentionSettings
    from market_assets.market.durations import Age

_OLD_ROWS = {
    # The last job of each day and status stays as long as any other job. The newest of each kind
    # and status stays forever: alerts and audits go by it. So does the first of a profile: it says
    # since when the profile is kept.
    "jobs": """
        SELECT rowid FROM (
            SELECT rowid, status, trigger, started_at, profile,
                row_number() OVER (
                    PARTITION BY profile, kind, timeframe, status ORDER BY started_at DESC, job_id
                ) AS newest,
                row_number() OVER (
                    PARTITION BY profile, kind, timeframe, status, started_at::DATE
                    ORDER BY started_at DESC, job_id
                ) AS of_day,
                row_number() OVER (PARTITION BY profile ORDER BY started_at, job_id) AS place
            FROM ops.jobs
        )
        WHERE status <> 'RUNNING' AND newest > 1 AND place > 1 AND (
            started_at < {jobs}
            OR (trigger = 'update' AND of_day > 1 AND started_at < $update_jobs)
        )
    """,
    "alerts": """
        SELECT rowid FROM ops.alerts
        WHERE over_at < {alerts} AND (told_at IS NULL OR over_told_at IS NOT NULL)
    """,
    # A stream that breaks each minute does not fill the store meanwhile.
    "stream_states": """
        SELECT rowid FROM (
            SELECT rowid, profile, ended_at,
                row_number() OVER (
                    PARTITION BY profile, timeframe, symbol ORDER BY since DESC
                ) AS place
            FROM ops.stream_states
        )
        WHERE ended_at < {jobs} OR place > 1000
    """,
    "revisions": "SELECT rowid FROM ops.revisions WHERE revised_at < {revisions}",
    "repairs": "SELECT rowid FROM ops.repairs WHERE repaired_at < {revisions}",
}
"""SQL of the rows of each table of the schema `ops` that are kept no longer.

In braces stands before which instant a row is old: see `_limit`.
"""

NO_AGES: Mapping[str, Age] = MappingProxyType({})

_NEVER = datetime(1, 1, 2, tzinfo=UTC)

SPENT_BY_JOBS = """
    SELECT profile, entry.key AS source,
        sum(entry.value.requests)::BIGINT AS requests,
        sum(entry.value.retries)::BIGINT AS retries,
        sum(entry.value.waits)::DOUBLE AS waits,
        sum(entry.value.bytes)::BIGINT AS bytes
    FROM (
        SELECT profile, unnest(map_entries((detail->'$.requests')::MAP(
            VARCHAR, STRUCT(requests BIGINT, retries BIGINT, waits DOUBLE, bytes BIGINT)
        ))) AS entry
        FROM ops.jobs
        {where}
    )
    GROUP BY ALL
"""
"""What the jobs have cost that `where` leaves: the columns of `ops.spent`."""

_AGES = {
    "jobs": "started_at",
    "coverage": "answered_at",
    "gaps": "first_seen",
    "repairs": "repaired_at",
    "revisions": "revised_at",
    "alerts": "opened_at",
    "agreement": "checked_at",
    "stream_states": "since",
}
"""The column that says how old a row of a ledger is."""

_THIS_FILE = "database_name = current_database()"


class Pruned(NamedTuple):
    """Rows that were removed from a table of the schema `ops`, or would be.

    `bytes` is about how long they are.
    """

    table: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class TableSize:
    """How large a table of the schema `ops` is.

    Attributes:
        table: Its name.
        rows: How many rows it has.
        bytes: How long the blocks of the file are in which they lie.
        days: How many rows each day has (00:00 UTC); empty where that is unknown.
    """

    table: str
    rows: int
    bytes: int
    days: Mapping[datetime, int]


def prune_ledgers(
    connection: duckdb.DuckDBPyConnection,
    settings: RetentionSettings,
    now: datetime,
    ops: Mapping[str, Age] = NO_AGES,
    *,
    dry_run: bool,
) -> list[Pruned]:
    """Remove the old rows of the ledgers, and merge what sources have answered for.

    Args:
        connection: An open transaction, or a read-only connection for a dry run.
        settings: How long rows are kept.
        now: The present instant, aware.
        ops: By profile, how long its rows are kept at most, whatever the settings say.
        dry_run: Remove nothing.

    Returns:
        What was removed, or would be; tables without such rows are left out.
    """
    early = {"update_jobs": _before(now, settings.update_jobs)}
    removals = [
        _prune(
            connection,
            table,
            condition,
            early if table == "jobs" else {},
            dry_run=dry_run,
        )
        for table, condition in old_rows(settings, now, ops).items()
    ]
    removals.append(_merge_all(connection, dry_run=dry_run))
    return [removal for removal in removals if removal.rows]


def old_rows(settings: RetentionSettings, now: datetime, ops: Mapping[str, Age]) -> dict[str, str]:
    """SQL of the row ids of each ledger that are kept no longer; see `prune_ledgers`.

    That of `jobs` has the parameter update_jobs.
    """
    limits = {
        name: _limit(getattr(settings, name), ops, now) for name in ("jobs", "alerts", "revisions")
    }
    return {table: condition.format(**limits) for table, condition in _OLD_ROWS.items()}


def _limit(kept: timedelta | None, ops: Mapping[str, Age], now: datetime) -> str:
    """SQL of the instant before which a row of a profile is old."""
    general = naive(_NEVER) if kept is None else _before(now, kept)
    bounds = {profile: max(general, naive(age.before(now))) for profile, age in ops.items()}
    cases = " ".join(
        f"WHEN {text_literal(profile)} THEN TIMESTAMP '{bound}'"
        for profile, bound in sorted(bounds.items())
    )
    general_sql = f"TIMESTAMP '{general}'"
    return f"CASE profile {cases} ELSE {general_sql} END" if cases else general_sql


def _prune(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    old_rows: str,
    limits: Mapping[str, datetime],
    *,
    dry_run: bool,
) -> Pruned:
    old_rows = written_out(old_rows, limits)
    ((rows, every),) = connection.execute(
        f"SELECT (SELECT count(*) FROM ({old_rows})), (SELECT count(*) FROM ops.{table})"
    ).fetchall()
    size = round(bytes_of(connection, f"ops.{table}") * rows / every) if rows else 0
    if rows and not dry_run:
        if table == "jobs":
            _keep_spent(connection, old_rows)
        connection.execute(f"DELETE FROM ops.{table} WHERE rowid IN ({old_rows})")
    return Pruned(table, rows, size)


def _keep_spent(connection: duckdb.DuckDBPyConnection, old_rows: str) -> None:
    """Add what the jobs have cost that are about to go: a counter of a source must not shrink."""
    going = SPENT_BY_JOBS.format(where=f"WHERE rowid IN ({old_rows})")
    connection.execute(f"INSERT INTO ops.spent BY NAME {going}")
    connection.execute(
        """
        CREATE TEMP TABLE spent AS
        SELECT profile, source, sum(requests) AS requests, sum(retries) AS retries,
            sum(waits) AS waits, sum(bytes) AS bytes
        FROM ops.spent
        GROUP BY ALL;
        DELETE FROM ops.spent;
        INSERT INTO ops.spent BY NAME SELECT * FROM spent;
        DROP TABLE spent;
        """
    )


def _merge_all(connection: duckdb.DuckDBPyConnection, *, dry_run: bool) -> Pruned:
    """Merge the coverage of all series, which releases before this one wrote a row per answer."""
    rows = pl.DataFrame(connection.sql("SELECT * FROM ops.coverage"))
    if rows.is_empty():
        return Pruned("coverage", 0, 0)

    series = ["profile", "timeframe"]
    groups = []
    for (profile, timeframe), group in rows.group_by(series, maintain_order=True):
        bar = Timeframe(str(timeframe)).duration
        fewer_rows = merge_coverage(group.select(COVERAGE_COLUMNS), bar)
        named = {"profile": pl.lit(profile), "timeframe": pl.lit(timeframe)}
        groups.append(fewer_rows.with_columns(**named))
    merged = pl.concat(groups)

    fewer = len(rows) - len(merged)
    size = round(bytes_of(connection, "ops.coverage") * fewer / len(rows))
    if fewer and not dry_run:
        connection.execute("DELETE FROM ops.coverage")
        connection.register("merged_coverage", merged.__arrow_c_stream__(None))
        connection.execute("INSERT INTO ops.coverage BY NAME SELECT * FROM merged_coverage")
        connection.unregister("merged_coverage")
    return Pruned("coverage", fewer, size)


def table_sizes(connection: duckdb.DuckDBPyConnection) -> list[TableSize]:
    """How large each table of the schema `ops` is, in the order of their names."""
    tables = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'ops' ORDER BY table_name"
    ).fetchall()
    return [_table_size(connection, table) for (table,) in tables]


def _table_size(connection: duckdb.DuckDBPyConnection, table: str) -> TableSize:
    ((rows,),) = connection.execute(f"SELECT count(*) FROM ops.{table}").fetchall()
    days: dict[datetime, int] = {}
    if table in _AGES:
        counted = connection.execute(
            f"""
            SELECT date_trunc('day', {_AGES[table]})::TIMESTAMP, count(*)
            FROM ops.{table}
            WHERE {_AGES[table]} IS NOT NULL
            GROUP BY ALL
            """
        ).fetchall()
        days = {day.replace(tzinfo=UTC): count for day, count in counted}
    return TableSize(table, rows, bytes_of(connection, f"ops.{table}"), days)


def free_bytes(connection: duckdb.DuckDBPyConnection) -> int:
    """How many bytes of the file hold nothing: free blocks, and deleted rows in other blocks."""
    ((free,),) = connection.execute(
        f"SELECT block_size * free_blocks FROM pragma_database_size() d WHERE {_THIS_FILE}",
    ).fetchall()
    tables = connection.execute(
        f"SELECT schema_name, table_name FROM duckdb_tables() WHERE {_THIS_FILE}",
    ).fetchall()
    names = [f"{identifier(schema)}.{identifier(table)}" for schema, table in tables]
    return int(free) + sum(_deleted_bytes(connection, name) for name in names)


def _deleted_bytes(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """How many bytes the deleted rows of a table still take, by their share in its rows."""
    ((written, rows),) = connection.execute(
        f"""
        SELECT (
            SELECT sum(count)
            FROM pragma_storage_info({literal(table)})
            WHERE column_id = 0 AND segment_type NOT IN ('VALIDITY')
        ),
        (
            SELECT count(*)
            FROM {table}
        )
        """
    ).fetchall()
    if not written or written <= rows:
        return 0
    dead = 1 - float(rows) / float(written)
    return round(bytes_of(connection, table) * dead)


def bytes_of(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """How long the blocks are that a table lies in; small ones share a block with others."""
    ((size,),) = connection.execute(
        f"""
        SELECT count(DISTINCT s.block_id) * any_value(d.block_size)
        FROM pragma_database_size() d
        LEFT JOIN pragma_storage_info({literal(table)}) s ON s.persistent AND s.block_id >= 0
        WHERE d.database_name = current_database()
        """
    ).fetchall()
    return int(size or 0)


def _before(now: datetime, limit: timedelta) -> datetime:
    return naive(now - limit)
