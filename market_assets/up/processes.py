"""Starts the processes of the platform, and ends them with all that they have started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from market_assets.up.backoff import QUIET, wait_before

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


REFUSED = 3
"""The exit code of an errand that says on standard error, in words for people, why it cannot be."""


@dataclass
class Process:
    """One process of the platform, which is started again when it ends.

    It leads a group of its own, so that a Ctrl-C in the terminal does not reach it, and so that the
    runs that it starts can be ended with it. All its times are seconds of a clock that nobody sets.

    Attributes:
        name: What it is called in messages.
        arguments: What follows `python -m market_assets.up.child`.
        environment: Its environment.
        fds: Files that it inherits.
        restarts: When it was started again, in the last minutes.
        due: When it is to be started; None while it runs.
        stopping: It was told to end, and that it does is no trouble.
        patience: When it is killed if it has not made way by then.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    fds: Sequence[int] = ()
    restarts: list[float] = field(default_factory=list)
    due: float | None = None
    stopping: bool = False
    patience: float | None = None
    _popen: subprocess.Popen[bytes] | None = None
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
            self._popen = subprocess.Popen(  # noqa: S603 - no shell, our own words
                [sys.executable, "-m", "market_assets.up.child", *self.arguments],
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                pass_fds=self.fds,
                start_new_session=True,
            )
        except OSError:
            os.close(read)
            raise
        finally:
            os.close(write)
        self.due, self.stopping, self.patience = None, False, None
        self._groups.add(self._popen.pid)
        on_output(self.name, read)

    def watch(self, now: float) -> str | None:
        """How it has ended, in words, if nobody told it to; then it is due again after a while."""
        if self._popen is None:
            return None
        if (code := self._popen.poll()) is None:
            if self.patience is not None and now >= self.patience:
                self._popen.kill()
            return None
        self._popen = None
        told, self.stopping = self.stopping, False
        self.restarts = [at for at in self.restarts if now - at < QUIET.total_seconds()]
        self.due = now if told else now + wait_before(self.restarts, now)
        if told:
            return None
        self.restarts.append(now)
        return ending(code)

    def replace(self, patience: float) -> None:
        """Have it make way for another one; what it has started, such as runs, goes on.

        Args:
            patience: When it is killed if it has not ended by then.
        """
        if self._popen is not None and self._popen.poll() is None:
            self.stopping, self.patience = True, patience
            self._popen.terminate()

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
        if self._popen is not None:
            self._popen.poll()
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
    """A short-lived process of `market_assets.errands`, for what needs Dagster or the store.

    Args:
        name: Which errand.
        environment: Its environment.

    Raises:
        OSError: The machine has no room for another process.
    """

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        # Files, not pipes: nobody reads them before the end.
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 - it is read and closed at the end
        self._err = tempfile.TemporaryFile()  # noqa: SIM115 - this too
        self._popen = subprocess.Popen(  # noqa: S603 - no shell, our own words
            [
                sys.executable,
                "-m",
                "market_assets.up.child",
                "market_assets.errands",
                name,
            ],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=self._out,
            stderr=self._err,
            start_new_session=True,
        )

    def go(self) -> None:
        """Send the line that the errand waits for, if it does."""
        if self._popen.stdin is not None:
            with suppress(OSError):
                self._popen.stdin.write(b"\n")
                self._popen.stdin.flush()

    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._popen.poll() is not None

    def kill(self) -> None:
        """End it at once."""
        self._popen.kill()
        self._popen.wait()

    def answer(self) -> tuple[dict[str, Any] | None, str, str]:
        """What it has found out, or None; why not, in words for people; and all that it printed beside.

        To be asked once, after it has ended.
        """
        if self._popen.stdin is not None:
            with suppress(OSError):
                self._popen.stdin.close()
        texts = []
        for file in (self._out, self._err):
            file.seek(0)
            texts.append(file.read().decode(errors="backslashreplace").strip())
            file.close()
        out, err = texts
        code = self._popen.returncode
        if code == 0:
            return json.loads(out.splitlines()[-1]), "", err
        if code == REFUSED:
            return None, err, ""
        last = err.splitlines()[-1] if err else ending(code)
        return None, f"{last} (all of it is in the log)", err
