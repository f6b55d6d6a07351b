"""The store as requests read it: the newest copy, kept open for all of them.

A copy is renewed when a request finds that something was committed since: by a look at the file, so
that no answer is older than the last commit before its request. While the store is held for longer
than requests wait, the last copy is read, and the answer says as of when.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from market_assets.errors import ServeError, StoreBusyError, StoreError, first_line
from market_assets.store import Snapshot, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from market_assets.store import Transaction
    from market_assets.store.published import Copy

log = logging.getLogger("market_assets.serve")

_PATIENCE = timedelta(seconds=2)
"""How long a request waits for a copy of what was just committed."""

_OPENINGS = 3
"""How often a copy is opened before a request is told that the store is busy."""

_LOOK = 0.02
"""Seconds between two looks at whether something was committed, while there are requests."""

_LONGEST_COMMIT = 1.0
"""Seconds for which a commit may be under way; after that a process has died in it, or is slow."""

_LATELY = 5.0
"""Seconds after a request for which the next copy is made before somebody asks for it."""

_NEXT_TRY = 1.0
"""Seconds after which a store that was busy is asked for a newer copy again."""


@dataclass(eq=False)
class Edition:
    """A copy of the store that requests have open.

    Attributes:
        stamp: What the store's file looked like: another one after each commit.
        as_of: It has what was committed by then (UTC).
        connection: Each request has a cursor of it, in which names mean this copy's tables.
        catalog: What the copy is called in this process.
        store_id: Which store it is of.
        readers: How many requests read it now.
        is_newest: Whether later requests may read it.
    """

    stamp: str
    as_of: datetime
    connection: duckdb.DuckDBPyConnection
    catalog: str
    store_id: str
    readers: int = 0
    is_newest: bool = True


class Editions(Store):
    """The store of a home folder for many requests at a time; nothing can be written through it.

    Args:
        home: The folder that holds `market.duckdb`.
        clock: Gives the present instant (aware).
        memory: Bytes that all queries together may take before they go to the disk.
        longest: After so long a request's query is broken off.
    """

    def __init__(
        self, home: Path, *, clock: Callable[[], datetime], memory: int, longest: timedelta
    ) -> None:
        super().__init__(home, clock=clock, patience=_PATIENCE)
        self._longest = longest.total_seconds()
        self._memory = memory
        self._instance: duckdb.DuckDBPyConnection | None = None
        self._count = 0
        self._guard = threading.Lock()
        self._renewal = threading.Lock()
        self._newest: Edition | None = None
        self._busy_until = 0.0
        self._asked_at = 0.0
        self._untold_since = 0.0
        self._is_over = threading.Event()
        self._follower: threading.Thread | None = None

    def stamp(self) -> str | None:
        """What the store's file looks like; while a commit is under way, how it looked before.

        Nobody was told of that commit yet: a request that comes meanwhile is answered without it.

        Returns:
            None where the file alone does not tell, and has not for a second.
        """
        stamp = super().stamp()
        now = time.monotonic()
        if stamp is not None:
            self._untold_since = now
            return stamp
        edition = self._newest
        is_brief = now - self._untold_since < _LONGEST_COMMIT
        return edition.stamp if edition is not None and is_brief else None

    @property
    def newest_stamp(self) -> str | None:
        """The stamp of the copy that is open now; None where none is."""
        edition = self._newest
        return None if edition is None else edition.stamp

    @contextmanager
    def reading(self, purpose: str) -> Iterator[Snapshot]:
        """Read the newest copy.

        Raises:
            StoreError: There is no store, or it cannot be read.
        """
        with self.edition(purpose) as (_, view):
            yield view

    @contextmanager
    def edition(self, purpose: str) -> Iterator[tuple[Edition, Snapshot]]:
        """Read the newest copy, and know which one it is.

        Raises:
            StoreBusyError: The store stayed busy, and there is no copy of it yet.
            StoreError: There is no store, or it cannot be read.
        """
        edition = self._take(purpose)
        cursor = edition.connection.cursor()
        cursor.execute(f"USE {edition.catalog}")
        watch = threading.Timer(self._longest, cursor.interrupt)
        watch.daemon = True
        watch.start()
        try:
            yield edition, Snapshot(cursor)
        except duckdb.InterruptException:
            raise ServeError(
                f"{purpose}: it took longer than serve.max_time allows; ask for less", key="limit"
            ) from None
        except duckdb.Error as error:
            if isinstance(error, duckdb.FatalException):
                self._leave_instance(edition)
            raise StoreError(
                f"{purpose}: a copy of {self.path} could not be read: {first_line(error)}"
            ) from error
        finally:
            watch.cancel()
            with suppress(duckdb.Error):
                cursor.close()
            self._leave(edition)

    @contextmanager
    def writing(self, purpose: str, *, patience: timedelta | None = None) -> Iterator[Transaction]:
        """Refuse to write.

        Raises:
            StoreError: Always.
        """
        del patience
        raise StoreError(f"{purpose}: the HTTP API reads only")
        yield  # pragma: no cover

    def close(self) -> None:
        """Let go of the copy; requests that still read it end it themselves."""
        self._is_over.set()
        if self._follower is not None:
            self._follower.join()
        with self._guard:
            edition, self._newest = self._newest, None
        if edition is not None:
            self._retire(edition)
        with self._guard:
            instance, self._instance = self._instance, None
        if instance is not None:
            instance.close()

    def _take(self, purpose: str) -> Edition:
        self._asked_at = time.monotonic()
        self._follow()
        if (edition := self._current()) is not None:
            return edition
        # One request renews, the others wait for it.
        with self._renewal:
            if (edition := self._current()) is not None:
                return edition
            return self._renewed(purpose)

    def _follow(self) -> None:
        """Have copies made as soon as something is committed, for as long as there are requests."""
        with self._guard:
            if self._follower is not None and self._follower.is_alive():
                return
            self._follower = threading.Thread(target=self._renew, name="editions", daemon=True)
            self._follower.start()

    def _renew(self) -> None:
        while time.monotonic() - self._asked_at < _LATELY and not self._is_over.wait(_LOOK):
            # While a commit is under way the file does not tell.
            if self.newest_stamp is None or self.stamp() in {None, self.newest_stamp}:
                continue
            try:
                with self._renewal:
                    if (edition := self._current()) is None:
                        edition = self._renewed("making the next copy for requests")
                    self._leave(edition)
            except StoreError as error:
                # Who asks is told.
                log.info("%s", error)
                self._is_over.wait(_NEXT_TRY)

    def _current(self) -> Edition | None:
        """The newest edition, where nothing was committed since, or the store is known as busy."""
        stamp = self.stamp()
        with self._guard:
            edition = self._newest
            if edition is None:
                return None
            if edition.stamp != stamp and time.monotonic() >= self._busy_until:
                return None
            edition.readers += 1
            return edition

    def _renewed(self, purpose: str) -> Edition:
        begun = time.monotonic()
        before = self._newest
        for left in reversed(range(_OPENINGS)):
            copy = self.copy(purpose)
            if before is not None and before.stamp == copy.stamp:
                edition = before
                break
            try:
                edition = self._opened(copy)
                break
            except duckdb.Error as error:
                # Two newer copies may have removed it after its name was read.
                if left == 0:
                    raise StoreBusyError(
                        f"{purpose}: {copy.path} cannot be opened: {first_line(error)}"
                    ) from error
        if time.monotonic() - begun >= _PATIENCE.total_seconds():
            # Every request would wait as long, one behind the other.
            self._busy_until = time.monotonic() + _NEXT_TRY
        with self._guard:
            edition.readers += 1
            self._newest = edition
        if before is not None and before is not edition:
            self._retire(before)
        return edition

    def _opened(self, copy: Copy) -> Edition:
        """Open a copy in the instance of DuckDB that all of them share.

        An instance for each would take three times as long as the file does.
        """
        with self._guard:
            if self._instance is None:
                self._instance = self._made_instance()
            self._count += 1
            catalog = f"edition_{self._count}"
            connection = self._instance.cursor()
        file = str(copy.path).replace("'", "''")
        connection.execute(f"ATTACH '{file}' AS {catalog} (READ_ONLY)")
        connection.execute(f"USE {catalog}")
        store_id = Snapshot(connection).mark().store_id
        return Edition(copy.stamp, copy.as_of, connection, catalog, store_id)

    def _made_instance(self) -> duckdb.DuckDBPyConnection:
        # What memory does not hold goes beside the copies; each process has its own place.
        for leftover in self.link.parent.glob(".serve-*.tmp"):
            if not Path(f"/proc/{leftover.stem.rpartition('-')[2]}").exists():
                shutil.rmtree(leftover, ignore_errors=True)
        room = self.link.parent / f".serve-{os.getpid()}.tmp"
        return duckdb.connect(
            ":memory:",
            config={"memory_limit": f"{self._memory}B", "temp_directory": str(room)},
        )

    def _leave_instance(self, edition: Edition) -> None:
        """Begin anew with another instance: after a fatal error one does nothing any more."""
        with self._guard:
            self._instance = None
            if self._newest is edition:
                self._newest = None
                edition.is_newest = False

    def _retire(self, edition: Edition) -> None:
        with self._guard:
            edition.is_newest = False
            is_over = edition.readers == 0
        if is_over:
            _close(edition)

    def _leave(self, edition: Edition) -> None:
        with self._guard:
            edition.readers -= 1
            is_over = edition.readers == 0 and not edition.is_newest
        if is_over:
            _close(edition)


def _close(edition: Edition) -> None:
    """Let go of a copy that nobody reads any more."""
    with suppress(duckdb.Error):
        edition.connection.execute("USE memory")
        edition.connection.execute(f"DETACH {edition.catalog}")
    edition.connection.close()
