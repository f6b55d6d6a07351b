"""What a vendor allows, kept by every process that shares a file.

So many requests per minute, and none while the vendor wants to be left alone. Limits that several
machines share stand in `shared_limit`.
"""

from __future__ import annotations

import logging
import sqlite3
from math import ceil
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, Annotated

import msgspec
from filelock import FileLock, Timeout
from pydantic import Field
from pyrate_limiter import AbstractBucket, InMemoryBucket, Limiter, Rate, SQLiteBucket

from market_assets.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

RateText = Annotated[str, Field(pattern=r"^[1-9][0-9]*/[smh]$")]
"""Requests per second, minute or hour, like "50/s"; weights where the vendor counts in those."""

CAREFUL: RateText = "150/m"
"""For a vendor that publishes no figure: 2.5 requests per second."""

LONGEST_HOLD = 7 * 86_400.0
"""Seconds. A vendor's longest ban is three days; what is longer is a vendor's mistake."""

_PERIODS = {"s": 1_000, "m": 60_000, "h": 3_600_000}
_BURST = 10
# Ms by which one request is longer on its way than another: the vendor counts when they arrive.
_JITTER = 50
_PATIENCE = 1.0
_log = logging.getLogger(__name__)


def rates_of(text: str) -> list[Rate]:
    """Give the windows that a rate is kept in: its own, and a shorter one of a tenth of it.

    A fast process would use up a minute's requests in some seconds, and one that comes after it
    would find none for the rest of the minute. So a tenth of them, and no fewer than ten, may go at
    once; after a tenth of the time the next ones may.
    """
    count_text, period = text.split("/")
    count, whole = int(count_text), _PERIODS[period] + _JITTER
    burst = max(_BURST, ceil(count / 10))
    rates = [Rate(count, whole)]
    return rates if burst >= count else [Rate(burst, whole * burst // count), *rates]


class Limit:
    """How often a source may ask, and whether it may ask now.

    With a file, all processes that use it count together, and a hold holds them all; without, this
    object counts for itself. Open it inside the running event loop.

    Args:
        name: The source's, for errors.
        rate: The most requests in a time; None is unlimited.
        path: The file for the counts; the hold lies beside it, as `<path>.hold`. None of them holds
            a secret.
    """

    def __init__(self, name: str, rate: str | None, path: Path | None) -> None:
        self._name = name
        self._rates = rates_of(rate) if rate else []
        self._path = path
        self._memory: AbstractBucket | None = None
        self._limiter: Limiter | None = None
        self._hold = Hold(name, None if path is None else Path(f"{path}.hold"))

    def open(self) -> None:
        """Make ready to count.

        Raises:
            SourceError: The file cannot be used.
        """
        if not self._rates:
            return
        if self._path is None:
            self._memory = self._memory or InMemoryBucket(self._rates)
            self._limiter = Limiter(self._memory, buffer_ms=1)
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._limiter = Limiter(_Bucket.at(self._path, self._rates), buffer_ms=1)
        except (OSError, sqlite3.Error) as error:
            raise SourceError(
                f"source {self._name}: the rate limit's file {self._path} cannot be used: "
                f"{error}; delete it if it is no such file",
                permanent=True,
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        if self._limiter is not None:
            self._limiter.close()
        self._limiter = None

    async def permit(self, weight: int = 1) -> float:
        """Wait until a request of this weight may be sent; returns the seconds that it took.

        A process waits for one permit at a time, and reserves none: who needs few of them takes
        turns with who needs many.

        Raises:
            SourceError: The weight is more than the rate ever allows, or the file cannot be used
                any more.
        """
        if self._limiter is None:
            return 0.0
        began = monotonic()
        try:
            granted = await self._limiter.try_acquire_async(self._name, weight)
        except (OSError, sqlite3.Error) as error:
            raise SourceError(
                f"source {self._name}: the rate limit's file {self._path} cannot be used: {error}"
            ) from error
        if not granted:
            most = min(rate.limit for rate in self._rates)
            raise SourceError(
                f"source {self._name}: a request weighs {weight}, "
                f"and its rate allows {most} at once; raise the rate",
                permanent=True,
            )
        return monotonic() - began

    def held(self) -> float:
        """Give the seconds for which nothing may be sent, 0.0 where something may."""
        return self._hold.left()

    def hold(self, seconds: float) -> None:
        """Let nobody who shares the file send anything for so long."""
        self._hold.ask(seconds)


class _Bucket(SQLiteBucket):
    """Counts in a file, behind a file lock."""

    @classmethod
    def at(cls, path: Path, rates: list[Rate]) -> SQLiteBucket:
        made = cls.init_from_file(rates, db_path=str(path), use_file_lock=True)
        # The lock is held for a tenth of a millisecond, and a wait for it holds up requests that
        # have their permit.
        bucket = cls(
            rates, made.conn, made.table, lock=FileLock(f"{path}.lock", poll_interval=0.001)
        )
        with bucket.lock:
            # Written by a clock that was ahead, they would count until this one has caught up.
            ahead = f"DELETE FROM {bucket.table} WHERE item_timestamp > ?"  # noqa: S608 - our name
            bucket.conn.execute(ahead, (_millis() + 1_000,))
            bucket.conn.commit()
        return bucket

    def leak(self, current_timestamp: int | None = None) -> int:
        """Forget what nobody counts any more.

        Another source on this file may count over a longer time than this one.
        """
        now = _millis() if current_timestamp is None else current_timestamp
        return super().leak(now - max(_PERIODS.values()) - _JITTER + self.rates[-1].interval)


def _millis() -> int:
    """The machine's time as the counts have it."""
    return int(time() * 1_000)


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
