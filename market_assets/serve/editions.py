"""The store as requests read it: the newest copy, kept open for all of them.

A copy is renewed when a request finds that something was committed since: by a look at the file, so
that no answer is older than the last commit before its request. While the store is held for longer
than requests wait, the last copy is read, and the answer says as of when.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import duckdb

from market_assets.errors import ServeError, StoreBusyError, StoreError, first_line
from market_assets.store import Snapshot, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from market_assets.store import Transaction
    from market_assets.store.published import Copy

log = logging.getLogger("market_assets.serve")

_PATIENCE = timedelta(seconds=2)
"""How long a request waits for a copy of what was just committed."""

_OPENINGS = 3
"""How often a copy is opened before a request is told that the store is busy."""

_NEXT_TRY = 1.0
"""Seconds after which a store that was busy is asked for a newer copy again."""


@dataclass(eq=False)
class Edition:
    """A copy of the store that requests have open.

    Attributes:
        stamp: What the store's file looked like: another one after each commit.
        as_of: It has what was committed by then (UTC).
        connection: Each request has a cursor of it.
        store_id: Which store it is of.
        readers: How many requests read it now.
        is_newest: Whether later requests may read it.
    """

    stamp: str
    as_of: datetime
    connection: duckdb.DuckDBPyConnection
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
        self._guard = threading.Lock()
        self._renewal = threading.Lock()
        self._newest: Edition | None = None
        self._busy_until = 0.0

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
        with self._guard:
            edition, self._newest = self._newest, None
        if edition is not None:
            self._retire(edition)

    def _take(self, purpose: str) -> Edition:
        if (edition := self._current()) is not None:
            return edition
        # One request renews, the others wait for it.
        with self._renewal:
            if (edition := self._current()) is not None:
                return edition
            return self._renewed(purpose)

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
        connection = duckdb.connect(copy.path, read_only=True)
        connection.execute(f"SET memory_limit = '{self._memory}B'")
        store_id = Snapshot(connection).mark().store_id
        return Edition(copy.stamp, copy.as_of, connection, store_id)

    def _retire(self, edition: Edition) -> None:
        with self._guard:
            edition.is_newest = False
            is_over = edition.readers == 0
        if is_over:
            edition.connection.close()

    def _leave(self, edition: Edition) -> None:
        with self._guard:
            edition.readers -= 1
            is_over = edition.readers == 0 and not edition.is_newest
        if is_over:
            edition.connection.close()
