"""Ctrl-C and a run's termination wait until DuckDB is done: mostly tenths of a second.

The wait is bounded: a statement may never end, for instance where the machine has no threads left.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

import duckdb

if TYPE_CHECKING:
    from types import FrameType

log = logging.getLogger("market_assets.store")

_STOPPING = (signal.SIGINT, signal.SIGTERM)

HELD_FOR = 30.0
"""Seconds for which a signal is held back at most; a second signal ends that at once."""

GRACE = 5.0
"""Seconds that DuckDB has to interrupt a statement before the process ends without it."""

LONGEST = 900.0
"""Seconds that a file may be open before the statement in it is interrupted."""


class HeldBack:
    """Holds back the signals that stop a program while its block runs.

    They are delivered when the block ends.

    DuckDB runs Python's signal handlers in the middle of a statement. One that raises, as Ctrl-C
    does, is lost, or breaks a commit off so that the file can never be opened again in this
    process, which then waits for itself forever.

    Only the main thread runs handlers, so that in any other one this does nothing. Blocks do not
    nest.

    Args:
        is_stopping: Such a signal has come already, and what another thread runs is waited for: the
            wait is bounded from now on.
    """

    def __init__(self, *, is_stopping: bool = False) -> None:
        self._is_stopping = is_stopping
        self._pending: list[int] = []
        self._handlers: dict[int, object] = {}

    def __enter__(self) -> Self:
        if _in_main_thread():
            for number in _STOPPING:
                # None is a handler that Python has not installed and cannot put back.
                if signal.getsignal(number) is not None:
                    self._handlers[number] = signal.signal(number, self._note)
            _watcher().listen(is_stopping=self._is_stopping)
        return self

    def __exit__(self, *_: object) -> None:
        if not _in_main_thread():
            return
        _watcher().ignore()
        while self._handlers:
            number, handler = self._handlers.popitem()
            # What signal.signal has returned.
            signal.signal(number, handler)  # type: ignore[arg-type]
        while self._pending:
            signal.raise_signal(self._pending.pop())

    def deliver(self) -> None:
        """Deliver the signals that came so far: for a block that waits for long."""
        if _in_main_thread() and self._pending:
            self.__exit__()
            self.__enter__()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._pending.append(number)


def watch(connection: duckdb.DuckDBPyConnection) -> None:
    """Interrupt what a connection runs if it is open too long, or the process must stop."""
    _watcher().add(connection)


def forget(connection: duckdb.DuckDBPyConnection) -> None:
    """Stop watching a connection: it is about to be closed."""
    _watcher().remove(connection)


class _Watcher:
    """A thread that bounds what DuckDB takes, also while the main thread runs no handler.

    The interpreter writes the number of each signal to a socket as it arrives, whatever its threads
    are doing.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._opened: dict[int, tuple[duckdb.DuckDBPyConnection, float]] = {}
        self._listening = False
        self._first: tuple[int, float] | None = None
        self._deadline: float | None = None
        self._ears, self._mouth = socket.socketpair()
        for end in (self._ears, self._mouth):
            end.settimeout(0)
        self._thread: threading.Thread | None = None

    def add(self, connection: duckdb.DuckDBPyConnection) -> None:
        with self._guard:
            self._opened[id(connection)] = (connection, time.monotonic() + LONGEST)
            self._start()

    def remove(self, connection: duckdb.DuckDBPyConnection) -> None:
        with self._guard:
            self._opened.pop(id(connection), None)

    def listen(self, *, is_stopping: bool = False) -> None:
        """Hear of signals from now on, unless another does, such as an event loop.

        One that came before is heard of again where the program is stopping.
        """
        fileno = self._mouth.fileno()
        before = signal.set_wakeup_fd(fileno, warn_on_full_buffer=False)
        if before not in {-1, fileno}:
            signal.set_wakeup_fd(before)
            return
        with self._guard:
            self._listening = True
        if is_stopping:
            self._mouth.send(bytes([signal.SIGINT]))

    def ignore(self) -> None:
        """Hear of no more signals: those that came are delivered now."""
        with self._guard:
            if not self._listening:
                return
            self._listening, self._first, self._deadline = False, None, None
        signal.set_wakeup_fd(-1)

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="market-assets-watch", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # Without a thread to spare the work goes on, and the next block tries again.
                log.warning("statements are not watched: %s", error)
            else:
                self._thread = thread

    def _run(self) -> None:
        while True:
            heard, _, _ = select.select(
                [self._ears], [], [], _IDLE if self._first is None else _TICK
            )
            numbers = self._ears.recv(4096) if heard else b""
            with self._guard:
                self._hear([number for number in numbers if number in _STOPPING])
                self._look(time.monotonic())

    def _hear(self, numbers: list[int]) -> None:
        for number in numbers if self._listening else ():
            now = time.monotonic()
            if self._first is None:
                self._first = (number, now)
                self._deadline = now + HELD_FOR
            else:
                self._deadline = min(now, self._deadline or now)

    def _look(self, now: float) -> None:
        if self._first is not None and self._deadline is not None and now >= self._deadline:
            self._interrupt(list(self._opened))
            if now >= self._deadline + GRACE:
                number, _ = self._first
                log.error(
                    "DuckDB did not end after signal %d; this process ends without it", number
                )
                os._exit(128 + number)
        late = [key for key, (_, until) in self._opened.items() if now >= until]
        if late:
            log.error(
                "what runs in the store has not ended within %.0f s, and is broken off", LONGEST
            )
            self._interrupt(late)
            for key in late:
                connection, _ = self._opened[key]
                self._opened[key] = (connection, now + HELD_FOR)

    def _interrupt(self, keys: list[int]) -> None:
        for key in keys:
            with contextlib.suppress(duckdb.Error):
                self._opened[key][0].interrupt()


_TICK, _IDLE = 0.25, 30.0
"""Seconds between two looks once a signal has come, and before; a signal is heard at once."""

_watchers: list[_Watcher] = []

# A watcher's thread does not live on in a child.
os.register_at_fork(after_in_child=_watchers.clear)


def _watcher() -> _Watcher:
    if not _watchers:
        _watchers.append(_Watcher())
    return _watchers[0]


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
