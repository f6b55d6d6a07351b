"""How long this process has waited for the store; the next commit writes it down."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_NOTABLE = 0.1
"""Seconds of waiting that count: shorter ones are those of two blocks that follow each other."""


@dataclass
class Waits:
    """Waits that no commit has written down yet; may be used by any thread.

    A process that only reads never writes its own: it has no commit.
    """

    _count: int = 0
    _seconds: float = 0.0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def add(self, seconds: float) -> None:
        """Count a wait, if it was long enough to matter."""
        if seconds >= _NOTABLE:
            with self._guard:
                self._count += 1
                self._seconds += seconds

    def write(self, connection: duckdb.DuckDBPyConnection) -> tuple[int, float]:
        """Add them to `ops.waits` in the transaction of a commit.

        Returns:
            What was added, for `forget` once that is committed.
        """
        with self._guard:
            count, seconds = self._count, self._seconds
        if count:
            connection.execute(
                f"UPDATE ops.waits SET waits = waits + {count}, seconds = seconds + {seconds!r}"
            )
        return count, seconds

    def forget(self, written: tuple[int, float]) -> None:
        """Count no more what a commit has written down."""
        with self._guard:
            self._count -= written[0]
            self._seconds -= written[1]
