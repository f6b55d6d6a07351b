"""Tells when a process has worked so long that a fresh fork should take its place.

Python counts references in the objects themselves, so that a fork shares less of its memory the
longer it works, and what comes and goes leaves holes. A fresh one shares all of it again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SETTLING = timedelta(minutes=3)
"""How long a process takes until all that it needs each minute is there."""

_LEAST, _LONGEST = timedelta(minutes=12), timedelta(days=1)
"""How long a process goes on at least, whatever its memory, and at most."""

_GROWTH = 24 * 1024
"""KiB that a process may take more than when it had settled."""

_PAUSE = 10.0
"""Seconds between two looks at the memory: the kernel walks through all of it."""


def private_memory() -> int | None:
    """The memory that this process shares with no other, in KiB; None where nobody tells."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


@dataclass
class Wear:
    """How much a process has grown since it had settled.

    Attributes:
        memory: Gives its private memory in KiB.
        clock: Gives seconds of a clock that nobody sets.
    """

    memory: Callable[[], int | None] = private_memory
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _looked: float = field(init=False)
    _settled: int | None = None

    def __post_init__(self) -> None:
        self._began = self._looked = self.clock()

    def words(self) -> str:
        """Why another process should take its place; empty where it should go on."""
        now = self.clock()
        age = timedelta(seconds=now - self._began)
        if age < _SETTLING or now < self._looked + _PAUSE:
            return ""
        self._looked = now
        memory = self.memory()
        if memory is None:
            return ""
        if self._settled is None:
            self._settled = memory
        if age >= _LONGEST:
            return f"it has worked for {age.total_seconds() / 3600:.0f} hours"
        grown = memory - self._settled
        if age >= _LEAST and grown > _GROWTH:
            minutes = age.total_seconds() / 60
            return f"it has grown by {grown / 1024:.0f} MB in {minutes:.0f} minutes"
        return ""
