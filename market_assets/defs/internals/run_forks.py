"""Runs as forks: what the code server uses in place of `multiprocessing` to start them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import socket
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from market_assets.up.forks import CHANNEL_VARIABLE, Request, file_of, fork

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from market_assets.up.forks import Fork

ENTRY = ("market_assets.defs.internals.serve", "run")
"""What a fork executes, followed by the numbers of three files: see `execute`."""


class Reports:
    """What a run says of its start, as the code server reads it; stands for a queue."""

    def __init__(self) -> None:
        self._read, self.write = multiprocessing.Pipe(duplex=False)

    def get_nowait(self) -> object:
        """The next report.

        Raises:
            queue.Empty: There is none.
        """
        with suppress(EOFError):
            if self._read.poll():
                return self._read.recv()
        raise queue.Empty

    def close(self) -> None:
        """Forget it: its run has ended."""
        self._read.close()


class Stop:
    """Tells a run to end; stands for an event."""

    def __init__(self) -> None:
        self.read, self._write = multiprocessing.Pipe(duplex=False)
        self._is_set = False

    def set(self) -> None:
        """Tell it; a run that has ended does not mind."""
        self._is_set = True
        with suppress(OSError):
            self._write.send_bytes(b"stop")

    def is_set(self) -> bool:
        """Whether it was told."""
        return self._is_set


class RunProcess:
    """The process of a run, as the code server sees it; stands for a `multiprocessing.Process`.

    Args:
        channel: Where to ask for it.
        target: What it executes.
        args: What that is given: two values, the reports, and what tells it to end.
    """

    def __init__(
        self,
        channel: socket.socket,
        target: Callable[..., None],
        args: Sequence[Any],
    ) -> None:
        self._channel = channel
        self._target = target
        self._values: tuple[object, object] = (args[0], args[1])
        self._reports: Reports = args[2]
        self._stop: Stop = args[3]
        self._fork: Fork | None = None

    def start(self) -> None:
        """Start it.

        Raises:
            OSError: The machine has no room for another process.
        """
        file = file_of(pickle.dumps((self._target, *self._values)))
        try:
            self._fork = fork(
                self._channel,
                Request(ENTRY, dict(os.environ), leads=False),
                streams=(0, 1, 2),
                fds=(file, self._reports.write.fileno(), self._stop.read.fileno()),
            )
        finally:
            os.close(file)
            self._reports.write.close()
            self._stop.read.close()

    def is_alive(self) -> bool:
        """Whether it executes the run."""
        return self._fork is not None and self._fork.poll() is None

    @property
    def exitcode(self) -> int | None:
        """Its exit code once it has ended."""
        return None if self._fork is None else self._fork.poll()


class RunContext:
    """Makes what the code server needs for a run, as a context of `multiprocessing` does.

    Args:
        channel: Where to ask for processes.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    @classmethod
    def of_environment(cls) -> RunContext | None:
        """The one of this process; None where runs are to be started as Dagster does."""
        # Nothing that this process starts may take the number for its own.
        number = os.environ.pop(CHANNEL_VARIABLE, None)
        return None if number is None else cls(socket.socket(fileno=int(number)))

    Queue = Reports
    Event = Stop

    def Process(self, target: Callable[..., None], args: Sequence[Any]) -> RunProcess:  # noqa: N802
        """A process that is to be started."""
        return RunProcess(self._channel, target, args)


def execute(content: str, reports: str, stop: str) -> None:
    """Execute a run in this fork.

    Args:
        content: The number of the file that holds what is to be executed.
        reports: The number of the file for what it says.
        stop: The number of the file that tells it to end.
    """
    with os.fdopen(int(content), "rb") as file:
        # It comes from the code server, by a file that nobody else has.
        target, arguments, job = pickle.load(file)  # noqa: S301
    # Dagster insists on an event of multiprocessing.
    stop_event = multiprocessing.Event()
    listener = Connection(int(stop), writable=False)

    def follow() -> None:
        # The code server may be replaced, and the run goes on.
        with suppress(EOFError, OSError):
            listener.recv_bytes()
            stop_event.set()

    threading.Thread(target=follow, name="stop", daemon=True).start()
    target(arguments, job, _Sender(Connection(int(reports), readable=False)), stop_event)


class _Sender:
    """The reports, as the run sees them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, value: object) -> None:
        # Nobody reads them after the start.
        with suppress(OSError):
            self._connection.send(value)
