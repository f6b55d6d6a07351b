"""Copies of the store for readers, who delay no writer and are never interrupted.

Each copy has a name of its own and never changes. A link names the newest copy, and older ones are
removed: a program that still has one open goes on reading it, and its bytes become free when the
program closes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import struct
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from market_assets.errors import StoreBusyError

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT = timedelta(days=7)
"""How long there is a copy after the last reader has asked for one."""

_HEADERS, _BLOCK = 3 << 12, 1 << 18
"""Where DuckDB's blocks begin and how long they are; one block is compared or written at once."""

_POLL = 0.01
_SPARE_ROOM = 200_000_000
"""Bytes that stay free on the disk when the store is copied."""

_STAMPED = "%Y%m%dT%H%M%S.%fZ"
_CLONE = 0x40049409
"""Linux's request to share a file's bytes until one of both changes: btrfs and xfs can."""


@dataclass(frozen=True)
class Copy:
    """A whole copy of the store that never changes.

    Attributes:
        path: Its file.
        as_of: It holds what was committed by then (UTC).
        stamp: What the store's file looked like then: another one after each commit.
    """

    path: Path
    as_of: datetime
    stamp: str


class Published:
    """The copies of one store, in the folder `published` beside it.

    `published/market.duckdb` is a link to the newest copy. The one before is kept as well, since
    the next copy is made of it where the file system cannot share blocks: only the blocks that
    changed are written then.

    Args:
        store: The store's file.
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        self.folder = store.parent / "published"
        self.link = self.folder / store.name
        self._draft = self.folder / ".draft"
        self._asked = self.folder / ".asked"
        # What a killed process has committed lies in it until somebody opens the file to write.
        self._log = store.with_name(f"{store.name}.wal")

    @contextmanager
    def alone(self, patience: timedelta) -> Iterator[None]:
        """Let no other program make or remove copies while the block runs.

        Raises:
            StoreBusyError: Another program has been making one for longer than that.
        """
        self.folder.mkdir(exist_ok=True)
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=patience.total_seconds(), poll_interval=_POLL)
        except Timeout:
            raise StoreBusyError("another program is making a copy for readers") from None
        try:
            yield
        finally:
            lock.release()

    def newest(self) -> Copy | None:
        """The newest copy; None where there is none."""
        try:
            path = self.folder / self.link.readlink()
            _, instant, stamp = path.stem.rsplit("-", 2)
            as_of = datetime.strptime(instant, _STAMPED).replace(tzinfo=UTC)
        except (OSError, ValueError):
            return None
        return Copy(path, as_of, stamp) if path.exists() else None

    def is_current(self, copy: Copy) -> bool:
        """Whether the store has not changed since a copy was made of it."""
        try:
            return not self._log.exists() and copy.stamp == self.stamp()
        except FileNotFoundError:
            return False

    def stamp(self) -> str:
        """What the store's file looks like now.

        By its inode alone: to open the file here and close it would take the locks away that DuckDB
        has on it in this process.
        """
        facts = self.store.stat()
        text = f"{facts.st_ino} {facts.st_size} {facts.st_mtime_ns}"
        return sha256(text.encode()).hexdigest()[:16]

    def draft(self) -> str:
        """Make the draft of the next copy like the store's file, which must not change meanwhile.

        Returns:
            The stamp of what was copied.
        """
        stamp = self.stamp()
        self._take_spare()
        if not _clone(self.store, self._draft):
            _patch(self.store, self._draft)
        return stamp

    def publish(self, stamp: str, as_of: datetime) -> Copy:
        """Make the draft the newest copy, and remove what is older than the one before."""
        instant = as_of.astimezone(UTC).strftime(_STAMPED)
        path = self.folder / f"{self.store.stem}-{instant}-{stamp}{self.store.suffix}"
        before = self.newest()
        _settle(self._draft, mode=self.store.stat().st_mode & 0o444)
        self._draft.replace(path)

        link = self.folder / ".link"
        link.unlink(missing_ok=True)
        link.symlink_to(path.name)
        link.replace(self.link)

        self._sweep({path, before.path if before else path})
        return Copy(path, as_of, stamp)

    def ask(self, now: datetime) -> None:
        """Record that copies are read, so that they are renewed."""
        # Where nothing can be written no copy can be made either, which is what is said then.
        with suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            self._asked.touch()
            os.utime(self._asked, (now.timestamp(), now.timestamp()))

    def is_wanted(self, now: datetime) -> bool:
        """Whether a program has asked for a copy within the time KEPT."""
        with suppress(OSError):
            return now.timestamp() - self._asked.stat().st_mtime < KEPT.total_seconds()
        return False

    def clear(self) -> None:
        """Remove all copies."""
        self._sweep(set())
        for path in (self.link, self._draft, self._asked):
            path.unlink(missing_ok=True)

    def _copies(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.store.stem}-*-*{self.store.suffix}"))

    def _take_spare(self) -> None:
        """Make the draft of the copy before the newest, unless some program reads it."""
        newest = self.newest()
        spares = [path for path in self._copies() if newest is None or path != newest.path]
        if not self._draft.exists() and spares:
            # A reader that has its name and has not opened it finds none, and looks for the newest.
            spares[-1].replace(self._draft)
        if self._draft.exists() and _is_open(self._draft):
            self._draft.unlink()
        self._draft.touch(mode=0o600)
        self._draft.chmod(0o600)

    def _sweep(self, kept: set[Path]) -> None:
        for path in self._copies():
            if path not in kept:
                path.unlink(missing_ok=True)
                # Where DuckDB puts what a reader's memory does not hold.
                shutil.rmtree(path.with_name(f"{path.name}.tmp"), ignore_errors=True)


def _is_open(path: Path) -> bool:
    """Whether a program has a copy open, this one included; True where that cannot be known.

    DuckDB holds a lock on what it reads. A program that only copies the file (cp, rsync) is seen
    among the open files of the processes that this user may look at.
    """
    if not Path("/proc/self/fd").exists():
        return True
    facts = path.stat()
    # First without opening it: closing it again would take this process's own locks away.
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            for link in folder.iterdir():
                with suppress(OSError):
                    other = link.stat()
                    if (other.st_dev, other.st_ino) == (facts.st_dev, facts.st_ino):
                        return True
    path.chmod(0o600)
    descriptor = os.open(path, os.O_RDWR)
    try:
        return not _lock(descriptor, shared=False)
    finally:
        os.close(descriptor)


def _clone(source: Path, target: Path) -> bool:
    """Let a file share its bytes with another; False where the file system cannot."""
    if os.uname().sysname != "Linux":
        return False
    with source.open("rb") as before, target.open("r+b") as after:
        try:
            fcntl.ioctl(after.fileno(), _CLONE, before.fileno())
        except OSError:
            return False
        os.ftruncate(after.fileno(), os.fstat(before.fileno()).st_size)
    return True


def _patch(source: Path, target: Path) -> int:
    """Make a file like another by writing only the blocks that differ; returns their number."""
    written = 0
    source_block, target_block = bytearray(_BLOCK), bytearray(_BLOCK)
    view = memoryview(source_block)
    with source.open("rb", buffering=0) as before, target.open("r+b", buffering=0) as after:
        size = os.fstat(before.fileno()).st_size
        for start in (0, *range(_HEADERS, size, _BLOCK)):
            length = os.preadv(before.fileno(), [source_block], start)
            if (
                os.preadv(after.fileno(), [target_block], start) != length
                or source_block != target_block
            ):
                os.pwrite(after.fileno(), view[:length], start)
                written += 1
        os.ftruncate(after.fileno(), size)
    return written


def replace_by_copy(path: Path) -> bool:
    """Put a copy in the place of a file that other programs read; these go on with the file.

    Returns:
        False where one of them may write to it, or where the system cannot tell.

    Raises:
        OSError: There is no room, or its folder cannot be written.
    """
    draft = path.with_name(f"{path.name}.new")
    with path.open("rb") as before:
        if not _lock(before.fileno(), shared=True):
            return False
        facts = os.fstat(before.fileno())
        if shutil.disk_usage(path.parent).free < facts.st_size + _SPARE_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        try:
            draft.unlink(missing_ok=True)
            draft.touch(mode=0o600)
            if not _clone(path, draft):
                shutil.copyfile(path, draft)
            with suppress(PermissionError):
                os.chown(draft, facts.st_uid, facts.st_gid)
            _settle(draft, mode=stat.S_IMODE(facts.st_mode))
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
    _settle(path.parent)
    return True


def _lock(descriptor: int, *, shared: bool) -> bool:
    """Lock a file for as long as a descriptor is open; False where it cannot be locked.

    It is a lock of the descriptor: the locks of this process exclude it, and do not release it.
    """
    if not hasattr(fcntl, "F_OFD_SETLK"):
        return False
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi", kind, os.SEEK_SET, 0, 0, 0))
    except OSError:
        return False
    return True


def _settle(path: Path, mode: int | None = None) -> None:
    """Write a file that changes no more, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if mode is not None:
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
