"""What a vendor allows, kept by every machine that shares a Redis or PostgreSQL server.

What the processes of one machine share stands in `limit`.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from math import ceil
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

from pydantic import AfterValidator, SecretStr

from market_assets.errors import SourceError
from market_assets.sources.transport.limit import LONGEST_HOLD, rates_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import Connection
    from pyrate_limiter import Rate

T = TypeVar("T")

_PATIENCE = 5  # seconds for the server to answer
_KEPT = 3_600_000 + 60_000  # ms: the longest period that a rate can have, and some
_SHORT = 1.0
_log = logging.getLogger(__name__)


class _Server(Protocol):
    """A server that counts; one thread at a time asks it, except for `hold`.

    Attributes:
        trouble: What its library raises.
    """

    trouble: type[Exception]

    def take(self, key: str, weight: int, rates: Sequence[Rate]) -> tuple[float, float]:
        """Count a request, if nothing speaks against it.

        Returns:
            Seconds for which the vendor is to be left alone, and seconds until the rate has room;
            it is counted where both are 0.
        """
        ...

    def hold(self, key: str, seconds: float) -> None:
        """Let nothing be counted for so long, or longer where that is known already."""
        ...

    def close(self) -> None: ...


# pyrate-limiter has a bucket for either server. But the one for Redis goes by each machine's own
# clock, and the one for PostgreSQL writes the times of a zone that has an hour twice in a year,
# reads its whole table for every permit, and spins while another holds it.
#
# Here one step on the server looks at its own clock, at the hold and at the counts, and neither
# grants what a hold forbids.

_REDIS_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local weight = tonumber(ARGV[1])
local held = redis.call('PTTL', KEYS[2])
if held > 0 then return {held, 0} end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + 1000, '+inf') -- of a clock that was ahead
local wait = 0
for place = 4, #ARGV, 2 do
    local most, span = tonumber(ARGV[place]), tonumber(ARGV[place + 1])
    if redis.call('ZCOUNT', KEYS[1], '(' .. now - span, '+inf') + weight > most then
        local blocking = redis.call(
            'ZREVRANGE', KEYS[1], most - weight, most - weight, 'WITHSCORES'
        )
        wait = math.max(wait, blocking[2] + span - now)
    end
end
if wait > 0 then return {0, wait} end
if #ARGV < 4 then return {0, 0} end
for unit = 1, weight do redis.call('ZADD', KEYS[1], now, ARGV[2] .. ':' .. unit) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {0, 0}
"""
_REDIS_HOLD = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
end
"""


class _Redis:
    def __init__(self, url: str) -> None:
        from redis import Redis, RedisError  # noqa: PLC0415 - an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415

        self.trouble: type[Exception] = RedisError
        self._redis = Redis.from_url(
            url,
            socket_timeout=_PATIENCE,
            socket_connect_timeout=_PATIENCE,
            # A connection that lay idle may have been closed: once more, then it is trouble.
            retry=Retry(NoBackoff(), 1),
        )
        self._take = self._redis.register_script(_REDIS_TAKE)
        self._hold = self._redis.register_script(_REDIS_HOLD)

    def take(self, key: str, weight: int, rates: Sequence[Rate]) -> tuple[float, float]:
        numbers = [number for rate in rates for number in (rate.limit, rate.interval)]
        held, wait = self._take([_sent(key), _held(key)], [weight, uuid4().hex, _KEPT, *numbers])
        return held / 1000, wait / 1000

    def hold(self, key: str, seconds: float) -> None:
        self._hold([_held(key)], [ceil(seconds * 1000)])

    def close(self) -> None:
        self._redis.close()


def _sent(key: str) -> str:
    # In a cluster, what stands in braces decides which of its servers has it.
    return f"market-assets:{{{key}}}:sent"


def _held(key: str) -> str:
    return f"market-assets:{{{key}}}:hold"


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


class _Postgres:
    def __init__(self, url: str) -> None:
        from psycopg import Error, OperationalError  # noqa: PLC0415 - an extra

        self.trouble: type[Exception] = Error
        self._lost = OperationalError
        self._url = url
        self._connection: Connection | None = None
        self._lock = Lock()

    def take(self, key: str, weight: int, rates: Sequence[Rate]) -> tuple[float, float]:
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
        self._do(lambda connection: connection.execute(_HOLD, (key, seconds)))

    def close(self) -> None:
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
            connect_timeout=_PATIENCE,
            tcp_user_timeout=_PATIENCE * 1000,
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
                connection.execute(_FORGET, (_KEPT,))
        except BaseException:
            connection.close()
            raise
        return connection


def _lock(connection: Connection, key: str) -> None:
    """Be alone until the transaction ends, or give up."""
    number = int.from_bytes(sha256(key.encode()).digest()[:8], signed=True)
    connection.execute(
        (
            f"SET LOCAL statement_timeout = '{_PATIENCE}s'; SELECT pg_advisory_xact_lock({number})"
        ).encode()
    )


def _check_redis(url: str) -> None:
    import_module("redis").Redis.from_url(url)


def _check_postgres(url: str) -> None:
    import_module("psycopg.conninfo").conninfo_to_dict(url)


@dataclass(frozen=True)
class _Kind:
    extra: str
    server: Callable[[str], _Server]
    check: Callable[[str], None]


_REDIS = _Kind("redis", _Redis, _check_redis)
_POSTGRES = _Kind("postgres", _Postgres, _check_postgres)
_KINDS = {"redis": _REDIS, "rediss": _REDIS, "postgresql": _POSTGRES, "postgres": _POSTGRES}


def check_limits_url(url: str) -> None:
    """See whether limits can be kept at an address; no connection is made.

    Raises:
        ValueError: It is none, or the library that it needs is missing. The text has nothing of the
            address.
    """
    kind = _KINDS.get(url.partition("://")[0])
    example = (
        "write redis://user:password@host:6379/0 or postgresql://user:password@host:5432/database"
    )
    if kind is None:
        raise ValueError(f"is no address of a server that limits can be kept on: {example}")
    try:
        kind.check(url)
    except ImportError:
        raise ValueError(
            f"needs a library that is not installed: pip install 'market-assets[{kind.extra}]'"
        ) from None
    except Exception:  # noqa: BLE001 - whatever the library says may hold the password
        raise ValueError(
            f"cannot be understood: {example}, with %XX for other signs than letters and digits"
        ) from None


def _checked(secret: SecretStr) -> SecretStr:
    check_limits_url(secret.get_secret_value())
    return secret


LimitsUrl = Annotated[SecretStr, AfterValidator(_checked)]
"""The address of a Redis or PostgreSQL server, which may hold a password."""


class SharedLimit:
    """How often a source may ask, and whether it may ask now, on all machines together.

    It is as `Limit`, but all machines that use the server count together. The server's clock
    counts. Without the server nothing is sent: that no limit is known is no permit.

    Args:
        name: The source's, for errors.
        rate: The most requests in a time; None is unlimited, except for holds.
        url: Where the server is; its password is shown nowhere.
        key: What the limit is kept under; the same for all who share it.
    """

    def __init__(self, name: str, rate: str | None, url: SecretStr, key: str) -> None:
        self._name = name
        self._rates = rates_of(rate) if rate else []
        self._key = key
        self._url = url.get_secret_value()
        self._server = _KINDS[self._url.partition("://")[0]].server(self._url)
        self._until = 0.0
        self._queue = asyncio.Lock()

    def open(self) -> None:
        """Make ready to count, in the running event loop.

        The server is asked when the first permit is.
        """
        self._queue = asyncio.Lock()  # one that has waited belongs to the loop it waited in

    def close(self) -> None:
        """Let go of the server."""
        self._server.close()

    async def permit(self, weight: int = 1) -> float:
        """Wait until a request of this weight may be sent; returns the seconds that it took.

        There is no permit while the vendor is to be left alone: `held` then says for how long, and
        the permit is to be asked for again.

        Raises:
            SourceError: The weight is more than the rate ever allows, or the server does not
                answer.
        """
        most = min((rate.limit for rate in self._rates), default=weight)
        if weight > most:
            raise SourceError(
                f"source {self._name}: a request weighs {weight}, "
                f"and its rate allows {most} at once; raise the rate",
                permanent=True,
            )
        began = monotonic()
        async with self._queue:
            while True:
                held, wait = await self._take(weight)
                if held:
                    self._until = max(self._until, monotonic() + held)
                # The end of a hold is waited for here: a moment later it would look like a permit.
                if held > _SHORT or not (held or wait):
                    return monotonic() - began
                await asyncio.sleep(held or wait)

    def held(self) -> float:
        """Give the seconds for which nothing may be sent, 0.0 where something may.

        It says what is known here; the server is not asked.
        """
        return max(0.0, self._until - monotonic())

    def hold(self, seconds: float) -> None:
        """Let nobody who shares the server send anything for so long."""
        if seconds <= 0:
            return
        seconds = min(seconds, LONGEST_HOLD)
        self._until = max(self._until, monotonic() + seconds)
        try:
            self._server.hold(self._key, seconds)
        except self._server.trouble as error:
            _log.warning(
                "source %s: other machines will not know "
                "that it is to be left alone for %.0f s: %s",
                self._name,
                seconds,
                self._told(error),
            )

    async def _take(self, weight: int) -> tuple[float, float]:
        try:
            return await asyncio.to_thread(self._server.take, self._key, weight, self._rates)
        except self._server.trouble as error:
            # The library's own error may hold the address: it goes no further than here.
            raise SourceError(
                f"source {self._name}: its limit cannot be shared: {self._told(error)}; "
                "see whether the server of `limits` (or `limiter`) runs "
                "and lets this machine in, and fill again"
            ) from None

    def _told(self, error: Exception) -> str:
        """What is wrong, and where: on one line, without the password."""
        url = urlsplit(self._url)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        for secret in {
            self._url,
            url.password,
            unquote(url.password or ""),
            *(word for _, word in parse_qsl(url.query)),
        }:
            if secret:
                text = text.replace(secret, "***")
        return f"{url.scheme}://{url.hostname}{url.path}: {text[:300]}"
