"""For how long a vendor wants to be left alone, known to all who share a file.

Machines that share a server know it from there: see `shared_limit`.
"""

from __future__ import annotations

import logging
from time import monotonic, time
from typing import TYPE_CHECKING

import msgspec
from filelock import FileLock, Timeout

from market_assets.sources.transport.settings import LONGEST_HOLD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PATIENCE = 1.0
_log = logging.getLogger(__name__)


class _Note(msgspec.Struct):
    """What a hold's file says, in seconds; instants are the machine's, since 1970."""

    until: float
    asked: float
    written: float

    def left(self, now: float) -> float:
        return min(self.until - now, self.asked, LONGEST_HOLD)


class Hold:
    """For how long a vendor wants to be left alone, known to all processes that share a file.

    Who has seen a hold counts its seconds by a clock that nobody sets. For who comes later the file
    has the machine's time. A hold is never longer than what was asked for, and one from the future,
    written before the clock was set back, starts anew. A file that cannot be read or written is
    logged and left alone: the worst that comes of it is one more refusal.

    Args:
        name: The source's, for the log.
        path: The file; None where only this object has to wait.
        clock: The machine's time, in seconds since 1970.
    """

    def __init__(self, name: str, path: Path | None, *, clock: Callable[[], float] = time) -> None:
        self._name = name
        self._path = path
        self._clock = clock
        self._until = 0.0
        self._seen: tuple[int, int] | None = None

    def left(self) -> float:
        """Give the seconds that are left of it; costs one look at the file's times."""
        if self._path is not None:
            self._look(self._path)
        return max(0.0, self._until - monotonic())

    def noted(self) -> float:
        """Give the seconds that are left by the file alone, and touch nothing."""
        note = None if self._path is None else self._read(self._path)
        return 0.0 if note is None else max(0.0, note.left(self._clock()))

    def ask(self, seconds: float) -> None:
        """Hold for so long from now on, if it is not held for longer already."""
        if seconds <= 0:
            return
        seconds = min(seconds, LONGEST_HOLD)
        self._until = max(self._until, monotonic() + seconds)
        if self._path is not None:
            self._write(self._path, seconds)

    def _look(self, path: Path) -> None:
        try:
            status = path.stat()
        except OSError:
            return
        if (mark := (status.st_mtime_ns, status.st_ino)) == self._seen:
            return
        self._seen = mark
        if (note := self._read(path)) is None:
            return
        now = self._clock()
        self._until = max(self._until, monotonic() + note.left(now))
        if note.written > now + 1:
            self._write(path, note.left(now))

    def _read(self, path: Path) -> _Note | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Note)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning(
                "source %s: the file %s, where a Retry-After is kept, is not heeded: %s",
                self._name,
                path,
                error,
            )
            return None

    def _write(self, path: Path, seconds: float) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock", timeout=_PATIENCE):
                now, note = self._clock(), self._read(path)
                if note is not None and note.written <= now + 1 and note.left(now) >= seconds:
                    return
                fresh = path.with_name(f"{path.name}.new")
                fresh.write_bytes(
                    msgspec.json.encode(_Note(until=now + seconds, asked=seconds, written=now))
                )
                fresh.replace(path)
        except (OSError, Timeout) as error:
            _log.warning(
                "source %s: other processes will not know "
                "that it is to be left alone for %.0f s: %s cannot be written: %s",
                self._name,
                seconds,
                path,
                error,
            )
