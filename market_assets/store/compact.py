"""Writes a DuckDB file anew without the room that is free in it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from market_assets.errors import StoreError
from market_assets.store.engine import STORAGE_VERSION
from market_assets.store.prune import free_bytes

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

FREE_SHARE = 0.3
"""A file with a smaller free share is left as it is: new rows use the room again."""

FREE_BYTES = 16 * 1024 * 1024
"""Fewer free bytes are not worth the time either."""

_SPARE = 64 * 1024 * 1024
"""Bytes that stay free on the disk beside the new file."""


def worth_compacting(free: int, size: int) -> bool:
    """Whether enough of a file is free to write it anew."""
    return free >= FREE_BYTES and free >= FREE_SHARE * size


def write_compacted(connection: duckdb.DuckDBPyConnection, path: Path, draft: Path) -> bool:
    """Copy a file's tables, views and macros into a new file, if there is room for it.

    Args:
        connection: An open connection to the file, outside a transaction.
        path: The file.
        draft: Where the new one is written; what is left there of an earlier try is removed.

    Returns:
        Whether it was written; False where the disk has no room for a second file.

    Raises:
        StoreError: The copy does not hold what the file holds.
        duckdb.Error: It could not be written.
    """
    remove_draft(draft)
    size = path.stat().st_size
    needed = size - free_bytes(connection) + _SPARE
    if shutil.disk_usage(path.parent).free < needed:
        return False

    ((source,),) = connection.execute("SELECT current_database()").fetchall()
    target = draft.as_posix().replace("'", "''")
    connection.execute(f"ATTACH '{target}' AS compacted (STORAGE_VERSION '{STORAGE_VERSION}')")
    try:
        connection.execute(f'COPY FROM DATABASE "{source}" TO compacted')
        if _inventory(connection, source) != _inventory(connection, "compacted"):
            raise StoreError(
                f"{path} was not compacted: the copy does not hold what it holds. Nothing was "
                "changed; report this with the output of market-assets usage."
            )
    finally:
        connection.execute("DETACH compacted")
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    return True


def remove_draft(draft: Path) -> None:
    """Remove the files that an interrupted compaction has left."""
    for leftover in (draft, draft.with_name(f"{draft.name}.wal")):
        leftover.unlink(missing_ok=True)


def _inventory(connection: duckdb.DuckDBPyConnection, database: str) -> list[tuple[object, ...]]:
    """Every table with its definition and number of rows, and every view and macro."""
    tables = connection.execute(
        "SELECT schema_name, table_name, sql FROM duckdb_tables() WHERE database_name = ?",
        [database],
    ).fetchall()
    counts: list[tuple[object, ...]] = []
    for schema, table, sql in tables:
        name = ".".join('"' + part.replace('"', '""') + '"' for part in (database, schema, table))
        ((rows,),) = connection.execute(f"SELECT count(*) FROM {name}").fetchall()
        counts.append((schema, table, sql, rows))

    condition = "database_name = ? AND NOT internal"
    views = connection.execute(
        f"SELECT schema_name, view_name, sql FROM duckdb_views() WHERE {condition}",
        [database],
    ).fetchall()
    macros = connection.execute(
        f"""
        SELECT schema_name, function_name, macro_definition
        FROM duckdb_functions()
        WHERE {condition}
        """,
        [database],
    ).fetchall()
    return sorted([*counts, *views, *macros], key=str)
