"""The lock that every process takes before it opens the DuckDB file.

A note beside it says who holds it.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from market_assets.errors import StoreBusyError, StoreError
from market_assets.market.instants import with_zone
from market_assets.private import private_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, timedelta
    from pathlib import Path

    from filelock import BaseFileLock

log = logging.getLogger("market_assets.store")

TELL_AFTER, TELL_AGAIN = 1.0, 60.0
"""Seconds of waiting before the log first reports a wait, and between two later reports."""

_POLL = 0.01


class StoreLock:
    """Mutual exclusion between threads and processes over one file.

    Beside the lock lies a small JSON note with the holder's process, host, command, purpose and
    start (UTC), so that a process that waits can name the holder. A second lock is the turn: it is
    held while waiting for the first, so that a process that commits without a pause cannot come
    again before one that waits.

    Args:
        path: The lock's file.
        timeout: How long to wait for it.
        clock: Gives the present instant.
        behind: Whom the holder itself waits for, in words; it is named in place of the holder.
        waited: Told how many seconds each wait took, also one that was in vain.
    """

    def __init__(
        self,
        path: Path,
        *,
        timeout: timedelta,
        clock: Callable[[], datetime],
        behind: Callable[[], object | None] = lambda: None,
        waited: Callable[[float], None] = lambda _: None,
    ) -> None:
        # Each thread has a lock of its own on the file: threads exclude each other as processes do.
        self._file = FileLock(path, poll_interval=_POLL)
        self._turn = FileLock(path.with_suffix(".turn"), poll_interval=_POLL)
        self._note = path.with_suffix(".holder.json")
        self._timeout = timeout.total_seconds()
        self._clock = clock
        self._behind = behind
        self._waited = waited

    @contextmanager
    def held(self, purpose: str, patience: timedelta | None = None) -> Iterator[None]:
        """Hold the lock while the block runs; the files that it makes are for their owner alone.

        Args:
            purpose: What for, in words.
            patience: How long to wait for it; by default the timeout.

        Raises:
            StoreBusyError: Another holder has had it for longer than that; the message names it.
            StoreError: The lock's file cannot be opened.
        """
        timeout = self._timeout if patience is None else patience.total_seconds()
        with private_files():
            waited = self._acquire(purpose, timeout)
            try:
                self._write_note(purpose)
                if waited > TELL_AFTER:
                    log.info("%s: got the store after %.1f s", purpose, waited)
                yield
            finally:
                with suppress(OSError):
                    self._note.unlink()
                self._file.release()

    def holder(self) -> str:
        """Who holds the store now, in words: the holder of the lock, or the one it waits for."""
        if behind := self._behind():
            return f"another program that has its file open ({behind})"
        try:
            note = json.loads(self._note.read_text())
            return "{command} (process {pid} on {host}) {purpose} since {since}".format(**note)
        except (OSError, ValueError, LookupError, TypeError):
            return "a process that left no note"

    def _acquire(self, purpose: str, timeout: float) -> float:
        start, tell_at = time.monotonic(), TELL_AFTER

        def wait_for(lock: BaseFileLock) -> None:
            nonlocal tell_at
            while True:
                left = timeout - (time.monotonic() - start)
                try:
                    lock.acquire(timeout=max(min(TELL_AFTER, left), 0.0))
                except Timeout:
                    waited = time.monotonic() - start
                    if waited >= timeout:
                        raise StoreBusyError(
                            f"{purpose}: gave up after {waited:.0f} s, "
                            f"the store is held by {self.holder()}.",
                            "Wait for it to end, or stop it, and run this again: "
                            "what was committed is kept.",
                        ) from None
                    if waited >= tell_at:
                        log.warning("%s: waiting for the store, held by %s", purpose, self.holder())
                        tell_at = waited + TELL_AGAIN
                except OSError as error:
                    raise StoreError(
                        f"{purpose}: {lock.lock_file} cannot be opened: {error.strerror}. "
                        "Give this user write access to it, "
                        "or set MARKET_ASSETS_HOME to a folder of yours."
                    ) from error
                else:
                    return

        try:
            wait_for(self._turn)
            try:
                wait_for(self._file)
            finally:
                self._turn.release()
        finally:
            seconds = time.monotonic() - start
            self._waited(seconds)
        return seconds

    def _write_note(self, purpose: str) -> None:
        note = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            # Argv[0] is a word, not a path to open.
            "command": os.path.basename(sys.argv[0]) or "python",  # noqa: PTH119
            "purpose": purpose,
            "since": with_zone(self._clock()),
        }
        # Without room for a note the work goes on; whether there is room for candles, DuckDB says.
        with suppress(OSError):
            self._note.write_text(json.dumps(note))
