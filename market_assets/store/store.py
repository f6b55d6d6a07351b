"""The DuckDB store: short transactions behind a lock.

The file is never held open between two of them. What the tables hold is in `tables`.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import duckdb

from market_assets.errors import StoreBusyError, StoreError, first_line
from market_assets.private import OURS_ALONE
from market_assets.store.compact import remove_draft, worth_compacting, write_compacted
from market_assets.store.completeness import candle_tables, renew_completeness_view
from market_assets.store.database import naive
from market_assets.store.engine import close_file, open_file
from market_assets.store.holders import Hindrance, Holders
from market_assets.store.lock import TELL_AFTER, TELL_AGAIN, StoreLock
from market_assets.store.prune import free_bytes
from market_assets.store.published import Copy, Published, replace_by_copy
from market_assets.store.schema import (
    MIGRATIONS,
    VERSION,
    add_extras,
)
from market_assets.store.signals import HeldBack
from market_assets.store.snapshot import Snapshot, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


log = logging.getLogger("market_assets.store")

_POLL = 0.02
READERS_PATIENCE, _COPIED_PER_SECOND = 5.0, 20e6
"""Seconds for which other programs may read the file before a writer goes on in a copy of it, and
one more per so many bytes: a program that opens it again and again causes no more writing."""

_BRIEFLY = timedelta(seconds=3)
"""How long a reader who has an older copy waits for a newer one."""

_OPENINGS = 5
"""How often a copy is opened: two newer ones may remove it after its name was read."""


@dataclass
class _Wait:
    """One wait for programs that have the file open."""

    purpose: str
    path: Path
    patience: timedelta
    start: float = field(default_factory=time.monotonic)
    look_at: float = 0.0
    tell_at: float = TELL_AFTER
    hindrance: Hindrance | None = None
    failed: bool = False

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self.start

    @property
    def told(self) -> bool:
        """Whether the log says that there was a wait."""
        return self.tell_at > TELL_AFTER


class Store:
    """One DuckDB file in the home folder.

    The file is opened for one block at a time and closed at its end: `with store.reading("...") as
    view` or `with store.writing("...") as transaction`. Blocks of all threads and processes come
    one after the other; the purpose given is shown to a process that waits.

    Args:
        home: The folder that holds `market.duckdb`; the first write creates it.
        clock: Gives the present instant (aware).
        patience: How long a block waits for its turn before it raises StoreError.
    """

    def __init__(
        self,
        home: Path,
        *,
        clock: Callable[[], datetime],
        patience: timedelta = timedelta(minutes=10),
    ) -> None:
        self.path = home / "market.duckdb"
        self._clock = clock
        self._patience = patience
        self._verified: int | None = None
        # The first write creates a folder that is not there.
        folder = next(
            candidate for candidate in (home, *home.absolute().parents) if candidate.exists()
        )
        if not folder.is_dir() or (folder != home and not os.access(folder, os.W_OK | os.X_OK)):
            why = "not writable" if folder.is_dir() else "no folder"
            raise StoreError(
                f"{home} cannot be made: {folder} is {why}. "
                "Set MARKET_ASSETS_HOME to a folder of yours."
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(
                f"{home} cannot be written to. Give this user write access, "
                "or set MARKET_ASSETS_HOME to a folder of yours."
            )
        self._holders = Holders(self.path, clock)
        self._lock = StoreLock(
            home / "market.duckdb.lock", timeout=patience, clock=clock, behind=self._holders.noted
        )
        self._published = Published(self.path)
        self._signals = HeldBack()

    @contextmanager
    def reading(self, purpose: str) -> Iterator[Snapshot]:
        """Open the store to read; where there is none, an empty one in memory is read.

        Nothing is created.

        Raises:
            StoreError: The file is no store of ours, is newer than this program, or stayed busy.
        """
        if not self.path.exists() and not _log_of(self.path).exists():
            with self._nothing(purpose) as connection:
                yield Snapshot(connection)
            return
        with self._lock.held(purpose), self._signals:
            self._prepare(purpose)
            connection = self._connect(self.path, purpose, read_only=True)
            try:
                yield Snapshot(connection)
            except duckdb.Error as error:
                self._verified = None
                raise StoreError(
                    f"{purpose}: {self.path} could not be read: {first_line(error)}"
                ) from error
            finally:
                close_file(self.path, connection)

    @property
    def link(self) -> Path:
        """The name under which the newest copy for readers is found."""
        return self._published.link

    def hindrance(self) -> Hindrance | None:
        """The programs that have the file open while another waits; None where none waits."""
        return self._holders.noted()

    @contextmanager
    def reading_copy(self, purpose: str) -> Iterator[Snapshot]:
        """Read a copy of the store: no writer waits, however long the block takes.

        Raises:
            StoreError: As `copy`, or the copy cannot be read.
        """
        connection = self.connect_to_copy(purpose)
        try:
            yield Snapshot(connection)
        except duckdb.Error as error:
            raise StoreError(
                f"{purpose}: a copy of {self.path} could not be read: {first_line(error)}"
            ) from error
        finally:
            connection.close()

    def connect_to_copy(self, purpose: str) -> duckdb.DuckDBPyConnection:
        """A read-only connection to a copy of the store, for the caller to keep and to close.

        Raises:
            StoreError: As `copy`.
        """
        for left in reversed(range(_OPENINGS)):
            copy = self.copy(purpose)
            try:
                return duckdb.connect(copy.path, read_only=True)
            except duckdb.Error as error:
                if left == 0 or copy == self._published.newest():
                    raise StoreError(
                        f"{purpose}: {copy.path} cannot be opened: {first_line(error)}"
                    ) from error
        raise AssertionError("the last opening returns or raises")

    def copy(self, purpose: str) -> Copy:
        """The newest copy for readers: of what is committed now, or older while the store is busy.

        Raises:
            StoreBusyError: There is no copy yet and the store stayed busy.
            StoreError: There is no store, it is none of ours, or the copy cannot be written.
        """
        if not self.path.exists():
            raise StoreError(
                f"{purpose}: there is no {self.path}: nothing was stored in this home yet, "
                "market-assets backfill does it"
            )
        self._published.ask(self._clock())
        copy = self._published.newest()
        if copy is None:
            return self.publish(purpose, self._patience)
        try:
            return self.publish(purpose, min(_BRIEFLY, self._patience))
        except StoreBusyError as error:
            as_of = f"{copy.as_of:%Y-%m-%d %H:%M:%S} UTC"
            log.warning("%s: as of %s, because %s", purpose, as_of, error)
            return copy

    def publish(self, purpose: str, patience: timedelta) -> Copy:
        """Make a copy for readers of what is committed now, unless there is one.

        The store is held while the blocks that have changed are copied: 20 ms for 100 MB, 250 ms
        for 1 GB.

        Raises:
            StoreBusyError: The store, or a copy, stayed busy for longer than the patience.
            StoreError: The store is none of ours, or the copy cannot be written.
        """
        published = self._published
        if (copy := published.newest()) and published.is_current(copy):
            return copy
        try:
            with published.alone(patience):
                # Somebody else may have made it meanwhile.
                if (copy := published.newest()) and published.is_current(copy):
                    return copy
                with self._lock.held(purpose, patience), self._signals:
                    as_of = self._clock()
                    stamp = self._draft(purpose, patience)
                return published.publish(stamp, as_of)
        except OSError as error:
            raise StoreError(
                f"{purpose}: {error.filename or published.folder} cannot be written: "
                f"{error.strerror}. Make room there, or give this user write access."
            ) from error

    def renew_copy(self) -> Copy | None:
        """Renew the copy for readers, or remove it if no reader asks for it any more.

        To be called every minute.

        Returns:
            The newest copy, also an older one while the store is busy; None where no reader has
            asked for one for a week, or there is no store.

        Raises:
            StoreError: The copy cannot be written.
        """
        published = self._published
        if not published.folder.exists():
            return None
        try:
            if self.path.exists() and published.is_wanted(self._clock()):
                return self.publish("renewing the copy for readers", _BRIEFLY)
            with published.alone(_BRIEFLY):
                published.clear()
        except StoreBusyError as error:
            log.info("%s", error)
        return published.newest()

    def _draft(self, purpose: str, patience: timedelta) -> str:
        self._prepare(purpose)
        # What a killed process has committed lies in its log until somebody opens it to write.
        unfinished = _log_of(self.path).exists()
        connection = self._connect(self.path, purpose, read_only=not unfinished, patience=patience)
        try:
            if unfinished:
                connection.execute("CHECKPOINT")
            return self._published.draft()
        finally:
            close_file(self.path, connection)

    @contextmanager
    def writing(self, purpose: str) -> Iterator[Transaction]:
        """Open the store for one transaction.

        An exception inside the block leaves the store as it was.

        Raises:
            StoreError: The file is no store of ours, is newer than this program, stayed busy, or
                could not be written.
        """
        self._make_home()
        with self._lock.held(purpose), self._signals:
            self._prepare(purpose)
            connection = self._connect(self.path, purpose, read_only=False)
            try:
                connection.begin()
                yield Transaction(connection, self._clock())
                connection.commit()
            except duckdb.Error as error:
                self._verified = None
                raise StoreError(
                    f"{purpose}: {self.path} could not be written: {first_line(error)}. "
                    "Nothing of this step was stored; mend the cause and run it again."
                ) from error
            finally:
                # Closing without a commit rolls back.
                close_file(self.path, connection)

    @property
    def size(self) -> int:
        """How many bytes the file has; 0 where there is none."""
        return self.path.stat().st_size if self.path.exists() else 0

    def can_compact(self) -> bool:
        """Whether much of the file is free, so that `compact` would make it shorter."""
        with self.reading("looking for free room") as view:
            return worth_compacting(min(view.catalog.free_bytes(), self.size), self.size)

    def compact(self) -> int:
        """Write the file anew without the room that is free in it, where that is much of it.

        The new file is moved into place whole: a process that dies meanwhile leaves the old one.

        Returns:
            How many bytes shorter the file is; 0 where little was free, or the disk has no room
            for a second file.

        Raises:
            StoreError: As `writing`; nothing was changed then.
        """
        purpose = "compacting the store"
        # What a link names, on whatever disk that is.
        target = self.path.resolve()
        draft = target.with_name(f"{target.name}.compact")
        with self._lock.held(purpose), self._signals:
            self._prepare(purpose)
            before = self.path.stat().st_size
            connection = self._connect(self.path, purpose, read_only=False)
            try:
                written = worth_compacting(free_bytes(connection), before) and write_compacted(
                    connection, target, draft
                )
            except duckdb.Error as error:
                raise StoreError(
                    f"{purpose}: {self.path} could not be written anew: {first_line(error)}. "
                    "Nothing was changed; make room on its disk, and run it again."
                ) from error
            finally:
                close_file(self.path, connection)

            # A write-ahead log belongs to the old file: beside the new one it would spoil it.
            if not written or _log_of(target).exists() or _log_of(draft).exists():
                remove_draft(draft)
                return 0
            shutil.copymode(target, draft)
            draft.replace(target)
            return before - self.path.stat().st_size

    def _connect(
        self, path: Path, purpose: str, *, read_only: bool, patience: timedelta | None = None
    ) -> duckdb.DuckDBPyConnection:
        """Connect, and wait while a program that does not know our lock has the file open."""
        wait = _Wait(purpose, path, self._patience if patience is None else patience)
        while True:
            try:
                connection = open_file(path, read_only=read_only)
            except duckdb.Error as error:
                hindrance = self._refused(wait, error)
                long = not read_only and self._have_read_for_long(wait, hindrance)
                if long and self._leave_to_readers(wait, hindrance):
                    # At once: a program that reads again and again may open the copy as well.
                    continue
                self._signals.deliver()
                time.sleep(_POLL)
            else:
                if wait.hindrance or not read_only:
                    self._holders.clear()
                if wait.told:
                    log.info("%s: got the store after %.1f s", purpose, wait.seconds)
                return connection

    def _refused(self, wait: _Wait, error: duckdb.Error) -> Hindrance:
        """The programs that have the file open, as long as it is worth waiting for them."""
        if "Could not set lock on file" not in str(error):
            self._verified = None
            raise StoreError(
                f"{wait.path} cannot be opened: {first_line(error)}. Give this user access to it, "
                "make room on its disk or move it away, or set MARKET_ASSETS_HOME to another "
                "folder. Nothing was changed."
            ) from error
        hindrance, waited = wait.hindrance, wait.seconds
        if hindrance is None or waited >= wait.look_at:
            hindrance = wait.hindrance = self._holders.look(str(error))
            wait.look_at = waited + TELL_AFTER
        if waited > wait.patience.total_seconds():
            raise StoreBusyError(
                f"{wait.purpose}: gave up after {waited:.0f} s, "
                f"another program has {wait.path} open ({hindrance}). "
                "Close it there and run this again: what was committed is kept."
            ) from error
        if waited > wait.tell_at:
            words = "%s: waiting, another program has %s open (%s)"
            log.warning(words, wait.purpose, wait.path, hindrance)
            wait.tell_at = waited + TELL_AGAIN
        return hindrance

    def _have_read_for_long(self, wait: _Wait, hindrance: Hindrance) -> bool:
        """Whether other programs have had the file open for long enough."""
        since = (self._clock() - hindrance.since).total_seconds()
        enough = READERS_PATIENCE + wait.path.stat().st_size / _COPIED_PER_SECOND
        return max(wait.seconds, since) >= enough

    def _leave_to_readers(self, wait: _Wait, hindrance: Hindrance) -> bool:
        """Leave the file to the programs that read it, as it is now, and go on in a copy of it.

        Nothing is done where one of them may write to it, or where there is no room.

        Returns:
            Whether the file is now a copy that no program had open a moment ago.
        """
        try:
            replaced = replace_by_copy(wait.path.resolve())
        except OSError as error:
            if not wait.failed:
                log.warning("%s: %s cannot be copied: %s", wait.purpose, wait.path, error.strerror)
            wait.failed = True
            return False
        if replaced:
            log.warning(
                "%s: %s is left as it is to those who read it (%s), "
                "and the store goes on in a copy. "
                "To read without that, use market_assets.connect() or %s",
                wait.purpose,
                wait.path,
                hindrance,
                self._published.link,
            )
        return replaced

    def _prepare(self, purpose: str) -> None:
        """Check once per process that the file is ours, and create or upgrade it.

        The check comes before anything in the file is touched.
        """
        present = _inode(self.path)
        if present is not None and self._verified == present:
            return
        if present is not None:
            version = self._version(purpose)
            if version > VERSION:
                raise StoreError(
                    f"{self.path} was written by a newer market_assets (store version {version}, "
                    f"this one knows {VERSION}). "
                    "Upgrade market_assets, or set MARKET_ASSETS_HOME to another folder. "
                    "Nothing was changed."
                )
            if version < VERSION:
                self._migrate(self.path, purpose, version)
        else:
            self._make(purpose)
        # What is left of a copy that a killed process had begun.
        self.path.resolve().with_name(f"{self.path.name}.new").unlink(missing_ok=True)
        # Another file may take its place, such as an older copy.
        self._verified = _inode(self.path)

    def _make(self, purpose: str) -> None:
        """Create an empty store beside its place and move it there whole.

        A process that dies meanwhile leaves no half-made store.
        """
        if (log_ahead := _log_of(self.path)).exists():
            raise StoreError(
                f"{log_ahead} holds the last changes of a {self.path.name} that is gone. "
                "Put that file back beside it, "
                f"or remove {log_ahead.name} to begin with an empty store."
            )
        draft = self.path.with_name(f"{self.path.name}.new")
        for leftover in (draft, _log_of(draft)):
            leftover.unlink(missing_ok=True)
        self._migrate(draft, purpose, 0)
        draft.replace(self.path)

    def _migrate(self, path: Path, purpose: str, version: int) -> None:
        connection = self._connect(path, purpose, read_only=False)
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
        connection.execute(
            "INSERT INTO ops.store VALUES (?, ?, ?, ?, ?)",
            [
                VERSION,
                naive(self._clock()),
                store_id or uuid.uuid4().hex,
                commits or 0,
                committed_at,
            ],
        )
        connection.commit()

    @contextmanager
    def _nothing(self, purpose: str) -> Iterator[duckdb.DuckDBPyConnection]:
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

    def _make_home(self) -> None:
        try:
            self.path.parent.mkdir(OURS_ALONE, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{self.path.parent} cannot be made: {error.strerror}. "
                "Set MARKET_ASSETS_HOME to a folder of yours."
            ) from error

    def _version(self, purpose: str) -> int:
        connection = self._connect(self.path, purpose, read_only=True)
        try:
            tables = connection.execute(
                "SELECT schema_name || '.' || table_name FROM duckdb_tables()"
            ).fetchall()
            if ("ops.store",) in tables:
                ((version,),) = connection.execute("SELECT max(version) FROM ops.store").fetchall()
                return int(version or 0)
        finally:
            close_file(self.path, connection)
        if tables:
            raise StoreError(
                f"{self.path} is a DuckDB file of another program "
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


def _log_of(path: Path) -> Path:
    """The path of DuckDB's write-ahead log beside a file.

    It exists after a crash; DuckDB replays it when the file is opened next.
    """
    return path.with_name(f"{path.name}.wal")
