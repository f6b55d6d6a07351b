"""Limits that are kept on a PostgreSQL server.

What a server must do stands in `limit_server`.
"""

from __future__ import annotations

from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from market_assets.sources.transport.limit_server import KEPT, PATIENCE, Count, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import Connection, Cursor

    from market_assets.sources.transport.limit_server import Answer, Request

T = TypeVar("T")

_TABLES = """
CREATE TABLE IF NOT EXISTS market_assets_requests (
    name text NOT NULL,
    id text NOT NULL,
    start_at float8 NOT NULL,
    end_at float8 NOT NULL,
    weight int NOT NULL,
    requests int NOT NULL,
    PRIMARY KEY (name, id)
);
CREATE INDEX IF NOT EXISTS market_assets_requests_end ON market_assets_requests (name, end_at);
CREATE TABLE IF NOT EXISTS market_assets_holds (
    name text PRIMARY KEY,
    until timestamptz NOT NULL
)
"""

_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"

_FORGET = """
DELETE FROM market_assets_requests
WHERE end_at < extract(epoch FROM clock_timestamp()) - %(kept)s
    OR start_at > extract(epoch FROM clock_timestamp()) + 1
"""

_ANSWERS = """
WITH answers AS (
    SELECT id, slot, extract(epoch FROM clock_timestamp())::float8 - age AS at
    FROM unnest(%(ids)s::text[], %(slots)s::text[], %(ages)s::float8[]) AS answer (id, slot, age)
),
gone AS (
    DELETE FROM market_assets_requests AS sent
    USING answers
    WHERE sent.name = %(name)s AND sent.id = answers.id
    RETURNING slot, at, start_at, weight, requests
)
INSERT INTO market_assets_requests AS sent
SELECT %(name)s, slot, max(start_at), max(at), sum(weight), sum(requests)
FROM gone
GROUP BY slot
ON CONFLICT (name, id) DO UPDATE SET
    start_at = greatest(sent.start_at, excluded.start_at),
    end_at = greatest(sent.end_at, excluded.end_at),
    weight = sent.weight + excluded.weight,
    requests = sent.requests + excluded.requests
"""

_REPORT = """
INSERT INTO market_assets_requests AS sent
SELECT %(name)s, %(id)s, %(at)s, %(at)s, %(weight)s - past, 0
FROM (
    SELECT
        coalesce(sum(weight), 0) AS total,
        coalesce(sum(weight) FILTER (
            WHERE end_at <= extract(epoch FROM clock_timestamp()) OR id = %(id)s
        ), 0) AS past
    FROM market_assets_requests
    WHERE name = %(name)s AND end_at >= %(since)s
) AS counts
WHERE total < %(weight)s
ON CONFLICT (name, id) DO UPDATE SET weight = sent.weight + excluded.weight
"""

_TAKE = """
WITH present AS MATERIALIZED (
    SELECT extract(epoch FROM clock_timestamp())::float8 AS now
),
held AS (
    SELECT extract(epoch FROM until)::float8 - now AS seconds
    FROM market_assets_holds, present
    WHERE name = %(name)s AND extract(epoch FROM until) > now
),
bounds AS (
    SELECT place, most, by_weight, by_start, coalesce(since, now - span) AS since
    FROM present, unnest(
        %(most)s::int[], %(spans)s::float8[], %(since)s::float8[],
        %(by_weight)s::bool[], %(by_start)s::bool[]
    ) WITH ORDINALITY AS bound (most, span, since, by_weight, by_start, place)
),
verdicts AS (
    SELECT place, (
        SELECT at
        FROM (
            SELECT at, sum(units) OVER (ORDER BY at DESC) AS total
            FROM (
                SELECT
                    CASE WHEN by_start THEN start_at ELSE end_at END AS at,
                    CASE WHEN by_weight THEN weight ELSE requests END AS units
                FROM market_assets_requests
                WHERE name = %(name)s AND end_at >= bounds.since
            ) AS sent
            WHERE at >= bounds.since
        ) AS totals
        WHERE total > most - CASE WHEN by_weight THEN %(weight)s ELSE 1 END
        ORDER BY at DESC
        LIMIT 1
    ) AS at
    FROM bounds
),
verdict AS (
    SELECT
        coalesce((SELECT seconds FROM held), 0) AS hold,
        count(at) AS full_bounds,
        coalesce(
            array_agg(CASE WHEN at < now THEN now - at WHEN at >= now THEN 0 END ORDER BY place),
            '{}'
        ) AS ages,
        count(*) AS bounds
    FROM verdicts, present
),
taken AS (
    INSERT INTO market_assets_requests
    SELECT %(name)s, %(id)s, now, now + %(longest)s, %(weight)s, 1
    FROM present, verdict
    WHERE hold = 0 AND full_bounds = 0 AND bounds > 0
)
SELECT hold::float8, ages, now
FROM verdict, present
"""

_HOLD = """
INSERT INTO market_assets_holds AS known
VALUES (%s, clock_timestamp() + %s * interval '1 s')
ON CONFLICT (name) DO UPDATE
SET until = greatest(known.until, excluded.until)
"""


class PostgresServer:
    """A PostgreSQL server that counts: see `LimitServer`.

    Args:
        url: Where it is; it is asked when the first permit is.
    """

    def __init__(self, url: str) -> None:
        from psycopg import Error, OperationalError  # noqa: PLC0415 - an extra

        self.trouble: type[Exception] = Error
        self._lost = OperationalError
        self._url = url
        self._connection: Connection | None = None
        self._lock = Lock()

    def now(self) -> float:
        """The server's clock: see `LimitServer.now`."""
        return self._do(lambda connection: _first(connection.execute(_NOW)))

    def take(self, key: str, request: Request) -> Count:
        """Count a request: see `LimitServer.take`."""
        bounds = request.bounds
        parameters = {
            "name": key,
            "id": request.id,
            "weight": request.weight,
            "longest": request.longest,
            "most": [bound.most for bound in bounds],
            "spans": [float(bound.span) for bound in bounds],
            "since": [bound.since for bound in bounds],
            "by_weight": [bound.unit is Unit.WEIGHT for bound in bounds],
            "by_start": [bound.by_start for bound in bounds],
        }

        def take(connection: Connection) -> Count:
            with connection.transaction():
                # The next statement sees what all who had the lock before have counted.
                _lock(connection, key)
                _note_answers(connection, key, request.answers)
                for report in request.reports:
                    connection.execute(_REPORT, {"name": key, **report._asdict()})
                hold, ages, now = connection.execute(_TAKE, parameters).fetchone() or (0.0, [], 0.0)
            return Count(hold, ages, now)

        return self._do(take)

    def settle(self, key: str, answers: Sequence[Answer]) -> None:
        """Note what was answered: see `LimitServer.settle`."""

        def settle(connection: Connection) -> None:
            with connection.transaction():
                _lock(connection, key)
                _note_answers(connection, key, answers)

        self._do(settle)

    def hold(self, key: str, seconds: float) -> None:
        """Let nothing be counted for so long: see `LimitServer.hold`."""
        self._do(lambda connection: connection.execute(_HOLD, (key, seconds)))

    def close(self) -> None:
        """Let go of the server."""
        with self._lock:
            self._let_go()

    def _do(self, work: Callable[[Connection], T]) -> T:
        with self._lock:
            if self._connection is not None:
                try:
                    return work(self._connection)
                except self._lost:
                    self._let_go()  # a connection that lay idle may have been closed
            self._connection = self._connected()
            return work(self._connection)

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _connected(self) -> Connection:
        from psycopg import connect  # noqa: PLC0415 - an extra

        connection = connect(
            self._url,
            autocommit=True,
            # A pooler in between may give each transaction to another session.
            prepare_threshold=None,
            connect_timeout=PATIENCE,
            tcp_user_timeout=PATIENCE * 1000,
            application_name="market-assets",
        )
        try:
            with connection.transaction():
                # Two who make a table at once would be in each other's way.
                _lock(connection, "market-assets")
                (table,) = connection.execute(
                    "SELECT to_regclass('market_assets_requests')"
                ).fetchone() or (None,)
                if table is None:
                    connection.execute(_TABLES)
                connection.execute(_FORGET, {"kept": KEPT})
        except BaseException:
            connection.close()
            raise
        return connection


def _lock(connection: Connection, key: str) -> None:
    """Be alone until the transaction ends, or give up."""
    number = int.from_bytes(sha256(key.encode()).digest()[:8], signed=True)
    connection.execute(
        (
            f"SET LOCAL statement_timeout = '{PATIENCE}s'; SELECT pg_advisory_xact_lock({number})"
        ).encode()
    )


def _note_answers(connection: Connection, key: str, answers: Sequence[Answer]) -> None:
    if not answers:
        return
    ids, slots, ages = (list(column) for column in zip(*answers, strict=True))
    connection.execute(_ANSWERS, {"name": key, "ids": ids, "slots": slots, "ages": ages})


def _first(cursor: Cursor) -> float:
    (value,) = cursor.fetchone() or (0.0,)
    return float(value)
