"""Limits that are kept on a PostgreSQL server.

What a server must do stands in `limit_server`.
"""

from __future__ import annotations

from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from market_assets.sources.transport.limit_server import KEPT, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import Connection
    from pyrate_limiter import Rate

T = TypeVar("T")

_TABLES = """
CREATE TABLE IF NOT EXISTS market_assets_sent (
    name text NOT NULL,
    at timestamptz NOT NULL,
    weight int NOT NULL
);
CREATE INDEX IF NOT EXISTS market_assets_sent_at ON market_assets_sent (name, at);
CREATE TABLE IF NOT EXISTS market_assets_holds (
    name text PRIMARY KEY,
    until timestamptz NOT NULL
)
"""

_FORGET = """
DELETE FROM market_assets_sent
WHERE at NOT BETWEEN clock_timestamp() - %s * interval '1 ms'
    AND clock_timestamp() + interval '1 s'
"""

_TAKE = """
WITH present AS MATERIALIZED (
    SELECT clock_timestamp() AS now
),
held AS (
    SELECT extract(epoch FROM until - now) AS seconds
    FROM market_assets_holds, present
    WHERE name = %(name)s AND until > now
),
full_rates AS (
    SELECT max(extract(epoch FROM at - now) + span / 1000.0) AS seconds
    FROM present, unnest(%(most)s::int[], %(spans)s::int[]) AS rate (most, span), LATERAL (
        SELECT at
        FROM (
            SELECT at, sum(weight) OVER (ORDER BY at DESC) AS since
            FROM market_assets_sent
            WHERE name = %(name)s AND at > now - span * interval '1 ms'
        ) AS sent
        WHERE since > most - %(weight)s
        ORDER BY at DESC
        LIMIT 1
    ) AS blocking
),
verdict AS (
    SELECT coalesce((SELECT seconds FROM held), 0) AS held, coalesce(seconds, 0) AS wait
    FROM full_rates
),
taken AS (
    INSERT INTO market_assets_sent
    SELECT %(name)s, now, %(weight)s
    FROM present, verdict
    WHERE held = 0 AND wait = 0 AND cardinality(%(most)s::int[]) > 0
)
SELECT held::float8, wait::float8
FROM verdict
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

    def take(self, key: str, weight: int, rates: Sequence[Rate]) -> tuple[float, float]:
        """Count a request: see `LimitServer.take`."""
        parameters = {
            "name": key,
            "weight": weight,
            "most": [rate.limit for rate in rates],
            "spans": [rate.interval for rate in rates],
        }

        def take(connection: Connection) -> tuple[float, float]:
            with connection.transaction():
                # The next statement sees what all who had the lock before have counted.
                _lock(connection, key)
                held, wait = connection.execute(_TAKE, parameters).fetchone() or (0.0, 0.0)
            return held, wait

        return self._do(take)

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
                    "SELECT to_regclass('market_assets_holds')"
                ).fetchone() or (None,)
                if table is None:
                    connection.execute(_TABLES)
                connection.execute(_FORGET, (KEPT,))
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
