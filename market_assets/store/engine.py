"""Opens and closes a DuckDB file on an instance of DuckDB that the process keeps.

An instance per opening would take ten times as long as the file does.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import duckdb

from market_assets.store.signals import forget, watch

if TYPE_CHECKING:
    from pathlib import Path

STORAGE_VERSION = "v1.2.0"
"""The form of files that are made here: every DuckDB since 1.2 reads it, 1.5 and 2.0 alike.

A file in the form before it opens four times as slowly (3 ms in place of 0.8), because DuckDB reads
the statistics of all columns uncompressed.
"""

SETTINGS: dict[str, str | bool | int | float | list[str]] = {}
"""DuckDB's settings of the instances that this process makes from now on, beside ours."""

_engines: dict[Path, duckdb.DuckDBPyConnection] = {}
"""This process's instances by the file that each opens: with nothing in them while it is closed."""

_narrowed: dict[int, int] = {}
"""The connections that write with one thread, by id, and how many their instance has else."""

_guard = threading.Lock()

# An instance's threads do not live on in a child.
os.register_at_fork(after_in_child=_engines.clear)


def open_file(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Connect to a file, which is created if it does not exist.

    Unqualified names mean the file's tables.

    Raises:
        duckdb.Error: It cannot be opened, by this process or at all.
    """
    connection = _engine(path).cursor()
    file = str(path).replace("'", "''")
    if read_only:
        options = "(READ_ONLY)"
    elif path.exists():
        # A file that is there keeps its form.
        options = ""
    else:
        options = f"(STORAGE_VERSION '{STORAGE_VERSION}')"
    try:
        connection.execute(f"ATTACH '{file}' AS {_catalog(path)} {options}")
        connection.execute(f"USE {_catalog(path)}")
    except duckdb.Error:
        connection.close()
        raise
    watch(connection)
    return connection


def narrow(connection: duckdb.DuckDBPyConnection) -> None:
    """Write with one thread from here on, until the file is closed.

    Several threads compress twice what is inserted in bulk: 1.2 M candles, committed by fives of
    250,000, take 1.06 s of CPU with one thread and 2.0 s with two.
    """
    if id(connection) not in _narrowed:
        ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
        _narrowed[id(connection)] = int(threads)
        connection.execute("SET threads = 1")


def close_file(path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    """Let go of a file that was opened; what was not committed is rolled back."""
    forget(connection)
    with suppress(duckdb.Error):
        connection.rollback()
    try:
        connection.execute("USE memory")
        connection.execute(f"DETACH {_catalog(path)}")
        if threads := _narrowed.get(id(connection)):
            connection.execute(f"SET threads = {threads}")
    except duckdb.Error:
        # After an error that DuckDB takes for fatal its instance does nothing any more: it goes,
        # and the file with it.
        with _guard:
            engine = _engines.pop(path, None)
        if engine is not None:
            engine.close()
    finally:
        _narrowed.pop(id(connection), None)
        connection.close()


def _engine(path: Path) -> duckdb.DuckDBPyConnection:
    with _guard:
        if path not in _engines:
            # Where DuckDB itself would put it for this file.
            settings = {"temp_directory": f"{path}.tmp", **SETTINGS}
            _engines[path] = duckdb.connect(":memory:", config=settings)
        return _engines[path]


def _catalog(path: Path) -> str:
    """What the file is called as a database: as when it is opened by itself."""
    return '"' + path.name.partition(".")[0].replace('"', '""') + '"'
