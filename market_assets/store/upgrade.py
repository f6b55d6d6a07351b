"""The version of a store's file: whether it is ours, its making and its upgrade.

The statements of each version are in `market_assets/store/schema.py`.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import duckdb

from market_assets.errors import StoreError, first_line
from market_assets.store.database import naive
from market_assets.store.engine import close_file
from market_assets.store.literals import written_out
from market_assets.store.schema import MIGRATIONS, VERSION, add_extras
from market_assets.store.tables.completeness import candle_tables, renew_completeness_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from market_assets.store.opening import Opener


class Upgrader:
    """Makes the file of one store, or brings it to the version that this program knows.

    Args:
        path: The file.
        opener: Opens it.
        clock: Gives the present instant (aware).
    """

    def __init__(self, path: Path, opener: Opener, clock: Callable[[], datetime]) -> None:
        self._path = path
        self._opener = opener
        self._clock = clock

    def read(self, purpose: str) -> duckdb.DuckDBPyConnection:
        """Open the file to read, after the check of `prepare`.

        The version is read over the connection that is given back, where the file is up to date.

        Raises:
            StoreError: As `prepare`, or the file cannot be opened.
        """
        if not self._is_checked() and self._path.exists():
            connection = self._opener.connect(self._path, purpose, read_only=True)
            try:
                is_current = version_in(connection, self._path) == VERSION
            except BaseException:
                close_file(self._path, connection)
                raise
            if is_current:
                self._note_checked()
                return connection
            close_file(self._path, connection)
        self.prepare(purpose)
        return self._opener.connect(self._path, purpose, read_only=True)

    def prepare(self, purpose: str) -> None:
        """Check once per store that the file is ours, and create or upgrade it.

        The check comes before anything in the file is touched.

        Raises:
            StoreError: The file is none of ours, is newer than this program, or cannot be made.
        """
        if self._is_checked():
            return
        if self._path.exists():
            version = self._version(purpose)
            if version > VERSION:
                raise StoreError(
                    f"{self._path} was written by a newer market_assets (store version {version}, "
                    f"this one knows {VERSION}). "
                    "Upgrade market_assets, or set MARKET_ASSETS_HOME to another folder. "
                    "Nothing was changed."
                )
            if version < VERSION:
                self._migrate(self._path, purpose, version)
        else:
            self._make(purpose)
        self._note_checked()

    def _is_checked(self) -> bool:
        present = _inode(self._path)
        return present is not None and self._opener.verified == present

    def _note_checked(self) -> None:
        # What is left of a copy that a killed process had begun.
        self._path.resolve().with_name(f"{self._path.name}.new").unlink(missing_ok=True)
        # Another file may take its place, such as an older copy.
        self._opener.verified = _inode(self._path)

    def _make(self, purpose: str) -> None:
        """Create an empty store beside its place and move it there whole.

        A process that dies meanwhile leaves no half-made store.
        """
        if (log_ahead := log_of(self._path)).exists():
            raise StoreError(
                f"{log_ahead} holds the last changes of a {self._path.name} that is gone. "
                "Put that file back beside it, "
                f"or remove {log_ahead.name} to begin with an empty store."
            )
        draft = self._path.with_name(f"{self._path.name}.new")
        for leftover in (draft, log_of(draft)):
            leftover.unlink(missing_ok=True)
        self._migrate(draft, purpose, 0)
        draft.replace(self._path)

    def _migrate(self, path: Path, purpose: str, version: int) -> None:
        connection = self._opener.connect(path, purpose, read_only=False)
        try:
            self._upgrade(connection, version)
        except duckdb.Error as error:
            raise StoreError(
                f"{purpose}: {path} could not be brought to store version {VERSION}: "
                f"{first_line(error)}. Nothing was changed; mend the cause and run it again."
            ) from error
        finally:
            close_file(path, connection)

    def _upgrade(self, connection: duckdb.DuckDBPyConnection, version: int) -> None:
        connection.begin()
        for script in MIGRATIONS[version:]:
            connection.execute(script)
        for dataset in candle_tables(connection):
            connection.execute(add_extras(dataset))
        # Its text is this version's, too.
        renew_completeness_view(connection)
        rows = connection.execute(
            "SELECT store_id, commits, committed_at FROM ops.store"
        ).fetchall()
        store_id, commits, committed_at = rows[0] if rows else (None, None, None)
        connection.execute("DELETE FROM ops.store")
        store = (
            VERSION,
            naive(self._clock()),
            store_id or uuid.uuid4().hex,
            commits or 0,
            committed_at,
        )
        connection.execute(written_out("INSERT INTO ops.store VALUES (?, ?, ?, ?, ?)", store))
        connection.commit()

    @contextmanager
    def nothing(self, purpose: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """An empty store in memory, with all its tables."""
        connection = duckdb.connect(":memory:")
        try:
            self._upgrade(connection, 0)
            # It is no store that could be told from another.
            connection.execute("UPDATE ops.store SET store_id = ''")
            connection.execute("BEGIN TRANSACTION READ ONLY")
            yield connection
        except duckdb.Error as error:
            raise StoreError(
                f"{purpose}: an empty store could not be read: {first_line(error)}"
            ) from error
        finally:
            connection.close()

    def _version(self, purpose: str) -> int:
        connection = self._opener.connect(self._path, purpose, read_only=True)
        try:
            return version_in(connection, self._path)
        finally:
            close_file(self._path, connection)


def version_in(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """The version of an open store; 0 where nothing is in it.

    Args:
        connection: The file, open.
        path: Its path, for messages.

    Raises:
        StoreError: It is a file of another program.
    """
    # A list of all tables costs several times as much.
    with suppress(duckdb.CatalogException):
        ((version,),) = connection.execute("SELECT max(version) FROM ops.store").fetchall()
        return int(version or 0)
    tables = connection.execute(
        "SELECT schema_name || '.' || table_name FROM duckdb_tables()"
    ).fetchall()
    if tables:
        raise StoreError(
            f"{path} is a DuckDB file of another program "
            f"(it has {tables[0][0]} and no ops.store). "
            "Move it away, or set MARKET_ASSETS_HOME to another folder. Nothing was changed."
        )
    return 0


def _inode(path: Path) -> int | None:
    """Which file lies at a path; None where there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def log_of(path: Path) -> Path:
    """The path of DuckDB's write-ahead log beside a file.

    It exists after a crash; DuckDB replays it when the file is opened next.
    """
    return path.with_name(f"{path.name}.wal")
