"""Limits that are kept on a Redis server.

What a server must do stands in `limit_server`.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING
from uuid import uuid4

from market_assets.sources.transport.limit_server import KEPT, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrate_limiter import Rate

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


class RedisServer:
    """A Redis server that counts: see `LimitServer`.

    Args:
        url: Where it is; it is asked when the first permit is.
    """

    def __init__(self, url: str) -> None:
        from redis import Redis, RedisError  # noqa: PLC0415 - an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415

        self.trouble: type[Exception] = RedisError
        self._redis = Redis.from_url(
            url,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            # A connection that lay idle may have been closed: once more, then it is trouble.
            retry=Retry(NoBackoff(), 1),
        )
        self._take = self._redis.register_script(_REDIS_TAKE)
        self._hold = self._redis.register_script(_REDIS_HOLD)

    def take(self, key: str, weight: int, rates: Sequence[Rate]) -> tuple[float, float]:
        """Count a request: see `LimitServer.take`."""
        numbers = [number for rate in rates for number in (rate.limit, rate.interval)]
        held, wait = self._take([_sent(key), _held(key)], [weight, uuid4().hex, KEPT, *numbers])
        return held / 1000, wait / 1000

    def hold(self, key: str, seconds: float) -> None:
        """Let nothing be counted for so long: see `LimitServer.hold`."""
        self._hold([_held(key)], [ceil(seconds * 1000)])

    def close(self) -> None:
        """Let go of the server."""
        self._redis.close()


def _sent(key: str) -> str:
    # In a cluster, what stands in braces decides which of its servers has it.
    return f"market-assets:{{{key}}}:sent"


def _held(key: str) -> str:
    return f"market-assets:{{{key}}}:hold"
