"""Starts the processes of the platform, and ends them with all that they have started."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from market_assets.up.backoff import QUIET, wait_before
from market_assets.up.forks import start_anew

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from market_assets.up.forks import Child, Launch


_MOMENT = 0.01
"""Seconds between two looks at what was killed."""

REFUSED = 3
"""The exit code of an errand that says on standard error, in words for people, why it cannot be."""


MAKES_WAY = 4
"""The exit code of a process that has worked for long, and lets a fresh one take its place."""


@dataclass
class Process:
    """One process of the platform, which is started again when it ends.

    It leads a group of its own, so that a Ctrl-C in the terminal does not reach it, and so that the
    runs that it starts can be ended with it. All its times are seconds of a clock that nobody sets.

    Attributes:
        name: What it is called in messages.
        arguments: What follows `python -m market_assets.up.child`.
        environment: Its environment.
        fds: Files that it inherits; their numbers there follow the arguments.
        launch: What starts it.
        asks: Whether it may ask the fork server for processes.
        restarts: When it was started again, in the last minutes.
        due: When it is to be started; None while it runs.
        stopping: It was told to end, and that it does is no trouble.
        patience: When it is killed if it has not made way by then.
        made_way: It has made way by itself; who notes that takes it back.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    fds: Sequence[int] = ()
    launch: Launch = start_anew
    asks: bool = False
    restarts: list[float] = field(default_factory=list)
    due: float | None = None
    stopping: bool = False
    patience: float | None = None
    made_way: bool = False
    _child: Child | None = None
    _groups: set[int] = field(default_factory=set)

    def start(self, on_output: Callable[[str, int], None]) -> None:
        """Start it.

        Args:
            on_output: Called with its name and the number of the file to read its output from.

        Raises:
            OSError: The machine has no room for another process.
        """
        read, write = os.pipe()
        try:
            with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - its number is wanted
                self._child = self.launch(
                    self.arguments,
                    self.environment,
                    streams=(nothing.fileno(), write, write),
                    fds=self.fds,
                    asks=self.asks,
                )
        except OSError:
            os.close(read)
            raise
        finally:
            os.close(write)
        self.due, self.stopping, self.patience = None, False, None
        self._groups.add(self._child.pid)
        on_output(self.name, read)

    def watch(self, now: float) -> str | None:
        """How it has ended, in words, if nobody told it to; then it is due again after a while.

        One that makes way for another, or was told to, is due at once.
        """
        if self._child is None:
            return None
        if (code := self._child.poll()) is None:
            if self.patience is not None and now >= self.patience:
                self._child.kill()
            return None
        self._child = None
        self.made_way = code == MAKES_WAY
        makes_way = self.stopping or self.made_way
        self.stopping = False
        self.restarts = [at for at in self.restarts if now - at < QUIET.total_seconds()]
        self.due = now if makes_way else now + wait_before(self.restarts, now)
        if makes_way:
            return None
        self.restarts.append(now)
        return ending(code)

    def replace(self, patience: float) -> None:
        """Have it make way for another one; what it has started, such as runs, goes on.

        Args:
            patience: When it is killed if it has not ended by then.
        """
        if self._child is not None and self._child.poll() is None:
            self.stopping, self.patience = True, patience
            self._child.terminate()

    def end(self, number: int) -> None:
        """Send a signal to it and all that it, or one that was here before it, has started."""
        self.stopping = True
        for group in tuple(self._groups):
            with suppress(PermissionError):
                try:
                    os.killpg(group, number)
                except ProcessLookupError:
                    self._groups.discard(group)

    def has_ended(self) -> bool:
        """Whether nothing of it is left."""
        if self._child is not None:
            self._child.poll()
        self.end(0)
        return not self._groups


def ending(code: int) -> str:
    """How a process ended, in words.

    Args:
        code: What `subprocess` gives: minus the signal's number, or the exit code.
    """
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return f"ended with exit code {code}"


class Errand:
    """A short-lived process of `market_assets.defs.errands`, for what needs Dagster or the store.

    Args:
        name: Which errand.
        environment: Its environment.
        launch: What starts it.

    Raises:
        OSError: The machine has no room for another process.
    """

    def __init__(
        self, name: str, environment: Mapping[str, str], launch: Launch = start_anew
    ) -> None:
        # Files, not pipes: nobody reads them before the end.
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 - it is read and closed at the end
        self._err = tempfile.TemporaryFile()  # noqa: SIM115 - this too
        read, self._in = os.pipe()
        try:
            self._child = launch(
                ["market_assets.defs.errands", name],
                environment,
                streams=(read, self._out.fileno(), self._err.fileno()),
            )
        except OSError:
            os.close(self._in)
            raise
        finally:
            os.close(read)
        self._code: int | None = None

    def go(self) -> None:
        """Send the line that the errand waits for, if it does."""
        with suppress(OSError):
            os.write(self._in, b"\n")

    def is_done(self) -> bool:
        """Whether it has ended."""
        self._code = self._child.poll()
        return self._code is not None

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()
        while not self.is_done():
            time.sleep(_MOMENT)

    def answer(self) -> tuple[dict[str, Any] | None, str, str]:
        """The answer of the process; to be called once, after the process has ended.

        Returns:
            What the process has found out, or None; why it has found nothing out, in words for
            people; and everything else that it printed.
        """
        os.close(self._in)
        texts = []
        for file in (self._out, self._err):
            file.seek(0)
            texts.append(file.read().decode(errors="backslashreplace").strip())
            file.close()
        out, err = texts
        code = self._code
        if code == 0:
            return json.loads(out.splitlines()[-1]), "", err
        if code == REFUSED:
            return None, err, ""
        last = err.splitlines()[-1] if err else ending(code or 0)
        return None, f"{last} (all of it is in the log)", err
