"""The DuckDB store: short transactions behind a lock.

The file is never held open between two of them. How it is opened is in `opening`, how it is made
and upgraded in `upgrade`, what the tables hold in `tables`.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import duckdb

from market_assets.errors import StoreBusyError, StoreError, first_line
from market_assets.market.instants import with_zone
from market_assets.private import OURS_ALONE
from market_assets.store.compact import remove_draft, worth_compacting, write_compacted
from market_assets.store.engine import close_file
from market_assets.store.holders import Hindrance, Holders
from market_assets.store.lock import StoreLock
from market_assets.store.opening import Opener
from market_assets.store.prune import free_bytes
from market_assets.store.published import Copy, Published
from market_assets.store.signals import HeldBack
from market_assets.store.snapshot import Snapshot, Transaction
from market_assets.store.upgrade import Upgrader, log_of
from market_assets.store.waits import Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


log = logging.getLogger("market_assets.store")

_BRIEFLY = timedelta(seconds=3)
"""How long a reader who has an older copy waits for a newer one."""

_OPENINGS = 5
"""How often a copy is opened: two newer ones may remove it after its name was read."""


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
        self._waits = Waits()
        self._lock = StoreLock(
            home / "market.duckdb.lock",
            timeout=patience,
            clock=clock,
            behind=self._holders.noted,
            waited=self._waits.add,
        )
        self._published = Published(self.path)
        self._signals = HeldBack()
        self._opener = Opener(
            self._holders,
            self._signals,
            clock=clock,
            patience=patience,
            link=self._published.link,
            waited=self._waits.add,
        )
        self._upgrader = Upgrader(self.path, self._opener, clock)

    @contextmanager
    def reading(self, purpose: str) -> Iterator[Snapshot]:
        """Open the store to read; where there is none, an empty one in memory is read.

        Nothing is created.

        Raises:
            StoreError: The file is no store of ours, is newer than this program, or stayed busy.
        """
        if not self.path.exists() and not log_of(self.path).exists():
            with self._upgrader.nothing(purpose) as connection:
                yield Snapshot(connection)
            return
        with self._lock.held(purpose), self._signals:
            connection = self._upgrader.read(purpose)
            try:
                yield Snapshot(connection)
            except duckdb.Error as error:
                self._opener.verified = None
                raise StoreError(
                    f"{purpose}: {self.path} could not be read: {first_line(error)}"
                ) from error
            finally:
                close_file(self.path, connection)

    @property
    def link(self) -> Path:
        """The name under which the newest copy for readers is found."""
        return self._published.link

    def stamp(self) -> str | None:
        """A text that another one takes the place of at each commit, by a look at the file alone.

        Returns:
            None where the file alone does not tell: there is none, or a commit is under way.
        """
        published = self._published
        try:
            return None if log_of(self.path).exists() else published.stamp()
        except FileNotFoundError:
            return None

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
            log.warning("%s: as of %s, because %s", purpose, with_zone(copy.as_of), error)
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
        self._upgrader.prepare(purpose)
        # What a killed process has committed lies in its log until somebody opens it to write.
        unfinished = log_of(self.path).exists()
        connection = self._opener.connect(
            self.path, purpose, read_only=not unfinished, patience=patience
        )
        try:
            if unfinished:
                connection.execute("CHECKPOINT")
            return self._published.draft()
        finally:
            close_file(self.path, connection)

    @contextmanager
    def writing(self, purpose: str, *, patience: timedelta | None = None) -> Iterator[Transaction]:
        """Open the store for one transaction.

        An exception inside the block leaves the store as it was.

        Args:
            purpose: What for, in words.
            patience: How long to wait for it; by default the store's own.

        Raises:
            StoreBusyError: It stayed busy for longer than that.
            StoreError: The file is no store of ours, is newer than this program, stayed busy, or
                could not be written.
        """
        self._make_home()
        with self._lock.held(purpose, patience), self._signals:
            self._upgrader.prepare(purpose)
            connection = self._opener.connect(
                self.path, purpose, read_only=False, patience=patience
            )
            try:
                connection.begin()
                yield Transaction(connection, self._clock())
                written = self._waits.write(connection)
                connection.commit()
                self._waits.forget(written)
            except duckdb.Error as error:
                self._opener.verified = None
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
            self._upgrader.prepare(purpose)
            before = self.path.stat().st_size
            connection = self._opener.connect(self.path, purpose, read_only=False)
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
            if not written or log_of(target).exists() or log_of(draft).exists():
                remove_draft(draft)
                return 0
            shutil.copymode(target, draft)
            draft.replace(target)
            return before - self.path.stat().st_size

    def _make_home(self) -> None:
        try:
            self.path.parent.mkdir(OURS_ALONE, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{self.path.parent} cannot be made: {error.strerror}. "
                "Set MARKET_ASSETS_HOME to a folder of yours."
            ) from error
