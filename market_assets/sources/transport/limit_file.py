"""Counts in a SQLite file that the processes of a machine share, or in memory for one alone.

What a place must do stands in `limit_server`; the hold of a file lies beside it.
"""

from __future__ import annotations

import sqlite3
from time import time
from typing import TYPE_CHECKING

from filelock import FileLock

from market_assets.sources.transport.limit_server import KEPT, PATIENCE, Count, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from market_assets.sources.transport.limit_server import Answer, Bound, Report, Request

_TABLE = """
CREATE TABLE IF NOT EXISTS requests (
    id TEXT PRIMARY KEY,
    start REAL NOT NULL,
    "end" REAL NOT NULL,
    weight INTEGER NOT NULL,
    requests INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS requests_by_end ON requests ("end", start, weight, requests);
"""

_ANSWER = """
INSERT INTO requests
SELECT ?, start, ?, weight, requests FROM requests WHERE id = ?
ON CONFLICT (id) DO UPDATE SET
    start = max(start, excluded.start),
    "end" = max("end", excluded."end"),
    weight = weight + excluded.weight,
    requests = requests + excluded.requests
"""

_REPORT = """
INSERT INTO requests
SELECT :id, :at, :at, :weight - past, 0
FROM (
    SELECT
        coalesce(sum(weight), 0) AS total,
        coalesce(sum(weight) FILTER (WHERE "end" <= :now OR id = :id), 0) AS past
    FROM requests
    WHERE "end" >= :since
)
WHERE total < :weight
ON CONFLICT (id) DO UPDATE SET weight = weight + excluded.weight
"""
_TOTALS = {
    (unit, by_start): f"""
        SELECT coalesce(sum({unit}), 0) FROM requests
        WHERE "end" >= ?1 {"AND start >= ?1" if by_start else ""}
    """  # noqa: S608 - our own names
    for unit in Unit
    for by_start in (False, True)
}

_BLOCKING = {
    (unit, by_start): f"""
        SELECT at FROM (
            SELECT at, sum({unit}) OVER (ORDER BY at DESC) AS total
            FROM (
                SELECT {"start" if by_start else '"end"'} AS at, {unit}
                FROM requests WHERE "end" >= ?1
            )
            WHERE at >= ?1
        )
        WHERE total > ?2
        ORDER BY at DESC
        LIMIT 1
    """  # noqa: S608 - our own names
    for unit in Unit
    for by_start in (False, True)
}


class LimitFile:
    """Counts in a file.

    It is kept in SQLite's write-ahead log without a flush at each count: a process that is killed
    loses nothing, a machine that loses its power may lose the last counts.

    Args:
        path: The file; None for memory.
        clock: The machine's time, in seconds since 1970.

    Raises:
        sqlite3.Error: It is no such file.
        OSError: It cannot be made.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        if path is None:
            self._connection = _connected(":memory:")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=PATIENCE):
            self._connection = _connected(str(path))
            # Written by a clock that was ahead, they would count until this one has caught up.
            self._connection.execute("DELETE FROM requests WHERE start > ?", (clock() + 1,))

    def take(self, request: Request) -> Count:
        """Count a request: see `LimitServer.take`."""
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            now = self._clock()
            self._note(request.answers, request.reports, now)
            ages = [self._age(bound, request, now) for bound in request.bounds]
            count = Count(0.0, ages, now)
            if count.is_in:
                connection.execute(
                    "INSERT INTO requests VALUES (?, ?, ?, ?, 1)",
                    (request.id, now, now + request.longest, request.weight),
                )
        return count

    def settle(self, answers: Sequence[Answer]) -> None:
        """Note what was answered: see `LimitServer.settle`."""
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            self._note(answers, (), self._clock())

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _note(self, answers: Sequence[Answer], reports: Sequence[Report], now: float) -> None:
        run = self._connection.execute
        for answer in answers:
            run(_ANSWER, (answer.slot, now - answer.age, answer.id))
            run("DELETE FROM requests WHERE id = ?", (answer.id,))
        for report in reports:
            run(_REPORT, {**report._asdict(), "now": now})
        run('DELETE FROM requests WHERE "end" < ?', (now - KEPT,))

    def _age(self, bound: Bound, request: Request, now: float) -> float | None:
        since = now - bound.span if bound.since is None else bound.since
        rest = bound.most - (request.weight if bound.unit is Unit.WEIGHT else 1)
        kind = (bound.unit, bound.by_start)
        (total,) = self._connection.execute(_TOTALS[kind], (since,)).fetchone()
        if total <= rest:
            return None
        (at,) = self._connection.execute(_BLOCKING[kind], (since, rest)).fetchone()
        return max(0.0, now - float(at))


def _connected(place: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        place, timeout=PATIENCE, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(_TABLE)
    return connection
