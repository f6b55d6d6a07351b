"""The locks of a home folder, tried without waiting and let go at once."""

from __future__ import annotations

import fcntl
import json
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from market_assets.doctor.facts import Lock
from market_assets.store.process import is_alive, this_host
from market_assets.up.state import read_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def look_at_locks(home: Path) -> list[Lock]:
    """Look at the locks of the store, of streams and of `up`, and at the notes beside them."""
    return [
        _lock_of_store(home),
        *(_lock_of_stream(home, path) for path in sorted((home / "streams").glob("*.lock"))),
        _lock_of_up(home),
    ]


@contextmanager
def turn_at(path: Path) -> Iterator[bool]:
    """Have the lock of a file for the block, if nobody has it; the file is not touched.

    Gives whether it is so; a file that is not there, or cannot be opened, is nobody's.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        yield True
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_free = True
    except OSError:
        is_free = False
    try:
        yield is_free
    finally:
        # This lets go of it, too.
        os.close(descriptor)


def is_in_use(path: Path) -> bool:
    """Whether a process has the lock of a file."""
    with turn_at(path) as is_free:
        return not is_free


def _lock_of_store(home: Path) -> Lock:
    lock, note = home / "market.duckdb.lock", home / "market.duckdb.holder.json"
    in_use = is_in_use(lock)
    try:
        facts = json.loads(note.read_text(encoding="utf-8"))
        words = "{command}, process {pid} on {host}, {purpose} since {since}".format(**facts)
        process, host = int(facts["pid"]), facts["host"]
    except (OSError, ValueError, LookupError, TypeError):
        return Lock(lock.name, in_use)
    alive = is_alive(process) if host == this_host() else None
    return Lock(lock.name, in_use, words, process, alive)


def _lock_of_stream(home: Path, lock: Path) -> Lock:
    name, in_use = str(lock.relative_to(home)), is_in_use(lock)
    try:
        facts = json.loads(lock.with_suffix(".json").read_text(encoding="utf-8"))
        words = "{words} since {since}".format(**facts)
    except (OSError, ValueError, LookupError, TypeError):
        return Lock(name, in_use)
    number = re.search(r"\(process (\d+)\)", words)
    process = int(number[1]) if number else None
    return Lock(name, in_use, words, process, is_alive(process) if process else None)


def _lock_of_up(home: Path) -> Lock:
    name, in_use, state = "up.lock", is_in_use(home / "up.lock"), read_state(home)
    if state is None or state.ended_at is not None:
        return Lock(name, in_use)
    words = f"market-assets up, process {state.process}"
    return Lock(name, in_use, words, state.process, is_alive(state.process))
