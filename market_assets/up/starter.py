"""The supervisor's side of the fork server: starts it, watches it and asks it for processes."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from market_assets.up.forks import READY, Request, fork, start_anew
from market_assets.up.leash import ALIVE_VARIABLE, live_at
from market_assets.up.processes import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from market_assets.up.forks import Child

LOADED = "market_assets.defs.internals.preload"
"""What the fork server loads."""


class Starter:
    """Starts the processes of the platform: as forks where that can be, else each anew.

    Args:
        environment: The environment of the fork server. It names the file by which the processes
            notice that who binds them has ended: the fork server, or this process without one.
        on_output: Called with its name and the number of the file to read its output from.
        module: What the fork server loads.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        on_output: Callable[[str, int], None],
        module: str = LOADED,
    ) -> None:
        self._environment = environment
        self._module = module
        self._on_output = on_output
        self._process = Process("fork server", (), environment, launch=self._start_server)
        self._channel: socket.socket | None = None
        self._ready = False
        self._alive: IO[bytes] | None = None

    def start(self) -> None:
        """Begin to load; see `is_ready`."""
        if sys.platform != "linux":
            self._do_without()
            return
        try:
            self._process.start(self._on_output)
        except OSError:
            self._do_without()

    def is_ready(self) -> bool:
        """Whether processes can be started."""
        if self._channel is None or self._ready:
            return self._ready
        try:
            text = self._channel.recv(4096)
        except BlockingIOError:
            return False
        if text != READY:
            # It has ended, and the log has its reason.
            self._do_without()
        else:
            self._channel.settimeout(None)
        self._ready = True
        return True

    def watch(self, now: float) -> str | None:
        """How the fork server has ended, in words; None while it lives.

        It is started again after a while, and then processes can be.
        """
        if self._alive is not None:
            return None
        why = self._process.watch(now)
        if why:
            self._close()
        if self._process.due is not None and self._process.due <= now:
            self.start()
        return why

    def launch(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        streams: tuple[int, int, int],
        fds: Sequence[int] = (),
        asks: bool = False,
    ) -> Child:
        """Start a process; see `Launch`."""
        if self._channel is None:
            return start_anew(arguments, environment, streams=streams, fds=fds)
        request = Request(arguments, environment, asks=asks)
        return fork(self._channel, request, streams=streams, fds=fds)

    def end(self) -> None:
        """End the fork server, once what it has started has ended."""
        self._close()
        if self._alive is not None:
            self._alive.close()
        self._process.end(signal.SIGTERM)

    def has_ended(self) -> bool:
        """Whether nothing of the fork server is left."""
        return self._process.has_ended()

    def _start_server(
        self,
        _arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        streams: tuple[int, int, int],
        fds: Sequence[int] = (),
        asks: bool = False,  # noqa: ARG002 - it is the one that is asked
    ) -> Child:
        near_end, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        number = far_end.fileno()
        command = [sys.executable, "-m", "market_assets.up.forkserver", str(number), self._module]
        stdin, stdout, stderr = streams
        with far_end:
            try:
                process = subprocess.Popen(  # noqa: S603 - no shell, our own words
                    command,
                    env=dict(environment),
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    pass_fds=[number, *fds],
                    start_new_session=True,
                )
            except OSError:
                near_end.close()
                raise
        near_end.settimeout(0)
        self._channel = near_end
        return process

    def _do_without(self) -> None:
        self._close()
        self._ready = True
        self._alive = live_at(Path(self._environment[ALIVE_VARIABLE]))

    def _close(self) -> None:
        self._ready = False
        if self._channel is not None:
            with suppress(OSError):
                self._channel.close()
        self._channel = None
