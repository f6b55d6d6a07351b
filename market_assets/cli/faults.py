"""What a person is told when a command breaks off.

That is one sentence with the cause and the next step, and never a trace.

The trace goes to the log of the home folder, which the sentence names.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from market_assets.errors import MarketAssetsError, first_line
from market_assets.market.clock import present
from market_assets.market.instants import to_second

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG_BYTES = 1_000_000
_ROOM = 1_000_000
"""A disk with fewer free bytes is full."""
_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_FOLDER = {errno.ENOTDIR, errno.EEXIST}
_TOO_MANY = {errno.EMFILE, errno.ENFILE}
_FULL_WORDS = ("no space left on device", "database or disk is full", "disk quota exceeded")
_REFUSED_WORDS = (
    "readonly database",
    "unable to open database file",
    "permission denied",
    "read-only file system",
)


def sentence_of(error: BaseException, home: Path) -> str | None:
    """The cause of an error and the next step; None where it is a fault of this program.

    Args:
        error: What a command raised.
        home: The home folder.
    """
    errors = list(_causes(error))
    for cause in errors:
        if (words := _of_the_disk(cause, home)) is not None:
            return words
    for cause in errors:
        if isinstance(cause, MarketAssetsError):
            return str(cause)
    for cause in errors:
        if (words := _of_the_machine(cause, home)) is not None:
            return words
    return None


def is_expected(error: BaseException) -> bool:
    """Whether the sentence says everything.

    That is so where the error was raised on purpose: its trace adds nothing.
    """
    return isinstance(error, MarketAssetsError)


def trace_of(error: BaseException) -> str:
    """The trace of an error."""
    return "".join(traceback.format_exception(error))


def keep_trace(text: str, home: Path) -> Path | None:
    """Write a trace to the log of a home folder.

    Where that cannot be, the trace goes to a log in the folder for temporary files.

    Returns:
        The log's file; None if it cannot be written anywhere.
    """
    folders = [home / "log"] if home.is_dir() else []
    for folder in (*folders, Path(tempfile.gettempdir())):
        with suppress(OSError):
            return _append(text, folder / "market-assets.log")
    return None


def _append(text: str, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    with path.open("a") as file:
        file.write(f"{to_second(present())} process {os.getpid()}: {text.rstrip()}\n")
    return path


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, the outermost first."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _of_the_disk(error: BaseException, home: Path) -> str | None:
    text = str(error).lower()
    code = error.errno if isinstance(error, OSError) else None
    # SQLite has one word for a disk that is full and for one that is broken.
    may_be_full = _is_database(error) and "disk i/o error" in text
    is_full = code in _FULL or any(words in text for words in _FULL_WORDS)
    if is_full or (may_be_full and _free(home) < _ROOM):
        return (
            f"the disk of {home} is full. What was committed is kept. "
            "Make room, or name another home folder with --home, and run the same command again."
        )
    return None


def _of_the_machine(error: BaseException, home: Path) -> str | None:
    """What a system or a database says of files, memory and locks, in other words."""
    text = str(error).lower()
    code = error.errno if isinstance(error, OSError) else None
    place = (error.filename if isinstance(error, OSError) else None) or home
    words = None
    if code in _REFUSED or (_is_database(error) and any(words in text for words in _REFUSED_WORDS)):
        words = (
            f"{place} cannot be written. Give this user access to it, "
            "or name another home folder with --home."
        )
    elif code in _NO_FOLDER:
        words = (
            f"{place} is in the way: a folder is needed there. Move it, "
            "or name another home folder with --home."
        )
    elif code in _TOO_MANY:
        words = (
            "this process may not open more files. "
            "Raise the limit (ulimit -n 4096) and run the same command again."
        )
    elif isinstance(error, MemoryError):
        words = (
            "there is not enough memory. "
            "Close other programs, or fill fewer days at a time (--from, --to)."
        )
    elif _is_database(error):
        words = (
            f"a bookkeeping file in {home} could not be read or written ({first_line(error)}). "
            "See that its disk has room "
            "and is in order, and run the same command again: what was committed is kept."
        )
    elif code is not None:
        words = (
            f"{place}: {first_line(error)}. Mend that, and run the same command again: "
            "what was committed is kept."
        )
    return words


def _free(home: Path) -> int:
    """The bytes that a home folder's disk has left."""
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    return shutil.disk_usage(place).free


def _is_database(error: BaseException) -> bool:
    return isinstance(error, sqlite3.DatabaseError)
