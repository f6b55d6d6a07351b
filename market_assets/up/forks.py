"""Starts processes as copies of one that has loaded what all of them need; see `forkserver`.

What is loaded before a fork is in memory once, however many processes there are. Linux alone has
what this needs; elsewhere, and where the loaded libraries have threads, processes are started anew.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHANNEL_VARIABLE = "MARKET_ASSETS_UP_FORKS"
"""Names the number of the socket by which a process may ask for others."""

READY = b"ready"
"""What the fork server says once it has loaded all."""

MOST_FILES = 32
"""How many files may go with a request."""

_NUMBER = struct.Struct("q")


class Child(Protocol):
    """A process that was started; what `subprocess.Popen` has of it."""

    pid: int

    def poll(self) -> int | None:
        """Its exit code once it has ended, or minus the number of the signal that killed it."""

    def terminate(self) -> None:
        """Tell it to end."""

    def kill(self) -> None:
        """End it at once."""


class Launch(Protocol):
    """Starts a process of `market_assets.up.child`."""

    def __call__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        /,
        *,
        streams: tuple[int, int, int],
        fds: Sequence[int] = (),
        asks: bool = False,
    ) -> Child:
        """Start it.

        Args:
            arguments: The module and what follows it; the numbers that its files have in the
                process follow these.
            environment: Its environment.
            streams: What it reads as standard input, and writes as standard output and error.
            fds: Files that it inherits.
            asks: Whether it may ask the fork server for processes.

        Raises:
            OSError: The machine has no room for another process.
        """


def start_anew(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    streams: tuple[int, int, int],
    fds: Sequence[int] = (),
    asks: bool = False,  # noqa: ARG001 - there is nobody to ask
) -> Child:
    """Start an interpreter, which loads all that it needs; see `Launch`."""
    stdin, stdout, stderr = streams
    numbers = [str(fd) for fd in fds]
    return subprocess.Popen(  # noqa: S603 - no shell, our own words
        [sys.executable, "-m", "market_assets.up.child", *arguments, *numbers],
        env=dict(environment),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=fds,
        start_new_session=True,
    )


@dataclass(frozen=True)
class Request:
    """What the fork server is asked for.

    Attributes:
        arguments: The module and what follows it.
        environment: The environment of the process.
        leads: Whether it leads a group of processes; else it belongs to that of who asks.
        asks: Whether it may ask for processes too.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    leads: bool = True
    asks: bool = False

    def to_file(self) -> int:
        """The number of a file that holds it, to be read from its beginning."""
        return file_of(json.dumps(asdict(self)).encode())

    @classmethod
    def of_file(cls, number: int) -> Request:
        """The request that a file holds, which is closed."""
        with os.fdopen(number, "rb") as file:
            return cls(**json.load(file))


class Fork:
    """A process of the fork server, as who asked for it sees it.

    Args:
        status: Where the fork server writes its number, and its exit code once it has ended.

    Raises:
        OSError: It was not started.
    """

    def __init__(self, status: int) -> None:
        self._status = status
        self._code: int | None = None
        pid = _read(status)
        if pid is None or pid <= 0:
            os.close(status)
            number = errno.ESRCH if pid is None else -pid
            raise OSError(number, os.strerror(number))
        self.pid = pid
        os.set_blocking(status, False)

    def poll(self) -> int | None:
        """Its exit code once it has ended, or minus the number of the signal that killed it.

        It is killed where the fork server has ended before it: nobody else would hear of its end.
        """
        if self._code is None:
            try:
                code = _read(self._status)
            except BlockingIOError:
                return None
            if code is None:
                self.kill()
                code = -signal.SIGKILL
            self._code = code
            os.close(self._status)
        return self._code

    def terminate(self) -> None:
        """Tell it to end."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        # Once it has ended, its number may be that of another process.
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def fork(
    channel: socket.socket,
    request: Request,
    *,
    streams: tuple[int, int, int],
    fds: Sequence[int] = (),
) -> Fork:
    """Ask the fork server for a process; several threads may.

    Args:
        channel: The socket to ask by.
        request: What for.
        streams: What it reads as standard input, and writes as standard output and error.
        fds: Files that it inherits; their numbers in the process follow the arguments.

    Raises:
        OSError: It was not started.
    """
    status, writer = os.pipe()
    with ExitStack() as sent:
        sent.callback(os.close, writer)
        file = request.to_file()
        sent.callback(os.close, file)
        try:
            socket.send_fds(channel, [b"fork"], [writer, file, *streams, *fds])
        except OSError:
            os.close(status)
            raise
    return Fork(status)


def file_of(content: bytes) -> int:
    """The number of a new file in memory, to be read from its beginning."""
    number = os.memfd_create("market_assets")
    with os.fdopen(number, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(number, 0, os.SEEK_SET)
    return number


def report(status: int, number: int) -> None:
    """Tell who asked for a process its number, or its exit code."""
    # Whoever asked may be gone, and the process goes on.
    with suppress(BrokenPipeError):
        os.write(status, _NUMBER.pack(number))


def _read(status: int) -> int | None:
    """The next number that was reported; None where nothing will come.

    Raises:
        BlockingIOError: Nothing has come yet.
    """
    text = os.read(status, _NUMBER.size)
    return _NUMBER.unpack(text)[0] if text else None
