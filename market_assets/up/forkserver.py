"""The process that loads Dagster once, and forks all the others of `up`.

`python -m market_assets.up.forkserver CHANNEL MODULE`: it imports MODULE, says on the socket
CHANNEL that it is ready, and serves the requests of `forks` until nobody holds the other end. A
fork runs its module as `market_assets.up.child` does, and sees the same pages of memory until it
writes to them.

It never has a second thread: a fork would have the locks of the others, and nobody to open them.
Therefore MODULE must start none, and nothing of ours is run here. What depends on the universe is
made after the fork.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from market_assets.up.child import begin
from market_assets.up.forks import CHANNEL_VARIABLE, MOST_FILES, READY, Request, report
from market_assets.up.leash import ALIVE_VARIABLE, hold_on, live_at

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = 15
"""Letters that Linux keeps of a process's name."""


@dataclass(frozen=True)
class Task:
    """What a fork is there for: its module, and what follows that."""

    arguments: list[str]


class ForkServer:
    """Forks for those who ask, and tells them how their processes have ended.

    Args:
        channel: Where the first of them asks.
        alive: A file that is held as a sign of life, and is none of the forks' business.
    """

    def __init__(self, channel: socket.socket, alive: IO[bytes]) -> None:
        self._alive = alive
        self._first = channel
        self._groups = {channel: 0}
        self._statuses: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()
        self._woken, self._wakes = os.pipe()
        for end in (self._woken, self._wakes):
            os.set_blocking(end, False)
        self._selector.register(channel, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def serve(self) -> Task | None:
        """Serve requests, until the process that started the server is gone.

        Returns:
            In each fork what the fork has to do; in the server None, at its end.
        """
        # The signal of a child's end wakes the loop by itself.
        signal.set_wakeup_fd(self._wakes)
        signal.signal(signal.SIGCHLD, _nothing)
        # A Ctrl-C is the supervisor's, which ends all in good order.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == self._woken:
                    self._collect()
                    continue
                channel = key.fileobj
                assert isinstance(channel, socket.socket)  # noqa: S101 - nothing else is registered
                text, fds, _, _ = socket.recv_fds(channel, 16, MOST_FILES)
                if text:
                    if task := self._fork(channel, fds):
                        return task
                elif channel is self._first:
                    return None
                else:
                    self._selector.unregister(channel)
                    del self._groups[channel]
                    channel.close()

    def _collect(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                report(self._statuses[pid], os.waitstatus_to_exitcode(status))
                os.close(self._statuses.pop(pid))

    def _fork(self, channel: socket.socket, fds: list[int]) -> Task | None:
        status, file, *rest = fds
        request = Request.of_file(file)
        near_end, far_end = _pair() if request.asks else (None, None)
        try:
            pid = os.fork()
        except OSError as error:
            report(status, -(error.errno or 1))
            os.close(status)
            pid = -1
        if pid == 0:
            for end in (near_end, status):
                _close(end)
            return self._become(request, far_end, rest)
        for end in (far_end, *rest):
            _close(end)
        if pid < 0:
            _close(near_end)
            return None
        # Before anybody hears of it, so that its group can be ended.
        with suppress(OSError):
            os.setpgid(pid, 0 if request.leads else self._groups[channel])
        if near_end is not None:
            self._groups[near_end] = pid
            self._selector.register(near_end, selectors.EVENT_READ)
        self._statuses[pid] = status
        report(status, pid)
        return None

    def _become(self, request: Request, channel: socket.socket | None, fds: list[int]) -> Task:
        """Leave all that is the server's, in the fork."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        self._alive.close()
        for asker in self._groups:
            asker.close()
        for number in (*self._statuses.values(), self._woken, self._wakes):
            os.close(number)
        for stream, fd in enumerate(fds[:3]):
            os.dup2(fd, stream)
            os.close(fd)
        os.environ.clear()
        os.environ.update(request.environment)
        if channel is not None:
            os.environ[CHANNEL_VARIABLE] = str(channel.detach())
        _name(request.arguments)
        return Task([*request.arguments, *map(str, fds[3:])])


def threads() -> list[str]:
    """The names of the threads of this process, also of those that Python does not know.

    Raises:
        OSError: This system does not tell.
    """
    return [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]


def _pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _close(end: socket.socket | int | None) -> None:
    if isinstance(end, int):
        os.close(end)
    elif end is not None:
        end.close()


def _name(arguments: Sequence[str]) -> None:
    """Let `ps` and `top` tell the forks apart, whose command line is that of the server."""
    words = [arguments[0].rpartition(".")[2], *arguments[1:2]]
    with suppress(OSError):
        Path("/proc/self/comm").write_text(" ".join(words)[:_NAME])


def _nothing(*_: object) -> None: ...


def main(number: str, module: str) -> None:
    """Load a module, and serve; in a fork, do its task.

    Raises:
        SystemExit: What was loaded has started threads, so that nothing can be forked.
    """
    channel = socket.socket(fileno=int(number))
    importlib.import_module(module)
    if len(names := threads()) > 1:
        # The log shows it, and whoever waits at the other end sees that nobody is there.
        sys.exit(
            f"each process is started anew, and takes more memory: libraries have started threads, "
            f"{', '.join(names[1:])}"
        )
    # Garbage is thrown away, and the rest is no garbage: to look for some would write to each
    # object.
    gc.collect()
    gc.freeze()
    server = ForkServer(channel, live_at(Path(os.environ[ALIVE_VARIABLE])))
    channel.send(READY)
    if task := server.serve():
        leave(task)


def leave(task: Task) -> NoReturn:
    """Do the task of a fork and end it, as `multiprocessing` ends its processes.

    An interpreter that ends lets go of each object, and writes to all the memory that is shared to
    do so: 60 MB of a run were copied, a moment before it was gone.
    """
    code = 1
    try:
        begin()
        sys.argv = task.arguments
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=False)
        code = 0
    except SystemExit as error:
        code = _code_of(error)
    except BaseException:  # noqa: BLE001 - nobody is above
        traceback.print_exc()
    finally:
        # What an interpreter does before it lets go.
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
        atexit._run_exitfuncs()  # noqa: SLF001
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _code_of(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return (end.code or 0) & 0xFF
    print(end.code, file=sys.stderr)  # noqa: T201 - the log shows it
    return 1


if __name__ == "__mp_main__":
    # A process that a fork starts by `multiprocessing`, which imports its parent's main module.
    hold_on()
if __name__ == "__main__":
    main(*sys.argv[1:])
