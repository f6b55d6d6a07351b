"""One session at a time streams a profile's candles in a home.

It holds a lock, which is free once its process has ended, however that went. A note beside the lock
says who it is.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from market_assets.errors import StoreError, StreamBusyError
from market_assets.market.instants import to_second
from market_assets.private import private_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from market_assets.market.datasets import Dataset
    from market_assets.work.run import Run

_FOLDER = "streams"

_MOMENT = 1.0
"""Seconds that a lock is waited for: somebody may only look who streams."""


@contextmanager
def claimed(home: Path, dataset: Dataset, run: Run, now: datetime) -> Iterator[None]:
    """Be the only one that streams a dataset while the block runs.

    Args:
        home: The home folder.
        dataset: The candles that are streamed.
        run: Who streams them.
        now: Since when, aware.

    Raises:
        StreamBusyError: Another session streams them; the message names it.
        StoreError: The lock's file cannot be opened.
    """
    lock, note = _files(home, dataset)
    try:
        with private_files():
            note.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=_MOMENT)
    except Timeout:
        raise StreamBusyError(
            f"{dataset} is streamed already, by {_noted(note)}: end that one first, "
            f"or look at what it stores with market-assets tail {dataset.owner}."
        ) from None
    except OSError as error:
        raise StoreError(f"{note.parent}: cannot be written: {error.strerror}.") from error
    try:
        with suppress(OSError):
            note.write_text(json.dumps({"words": _words(run), "since": to_second(now)}))
        yield
    finally:
        with suppress(OSError):
            note.unlink()
        lock.release()


def claimant_of(home: Path, dataset: Dataset) -> str | None:
    """Who streams a dataset now, in words; None where nobody does."""
    lock, note = _files(home, dataset)
    if not note.parent.is_dir():
        return None
    try:
        with private_files(), lock.acquire(timeout=0):
            return None
    except Timeout:
        return _noted(note)
    except OSError:
        return None


def _files(home: Path, dataset: Dataset) -> tuple[FileLock, Path]:
    """The lock of a dataset, and the note beside it."""
    note = home / _FOLDER / f"{dataset.owner}.{dataset.name}.json"
    return FileLock(note.with_suffix(".lock")), note


def _words(run: Run) -> str:
    if run.id is not None:
        return f"Dagster's run {run.id} (process {os.getpid()})"
    return f"market-assets stream in a terminal (process {os.getpid()})"


def _noted(note: Path) -> str:
    try:
        return "{words} since {since}".format(**json.loads(note.read_text()))
    except (OSError, ValueError, LookupError, TypeError):
        return "a process that left no note"
