"""Limits that are kept on a Redis server.

What a server must do stands in `limit_server`.
"""

from __future__ import annotations

from dataclasses import asdict
from math import ceil
from typing import TYPE_CHECKING

import msgspec

from market_assets.sources.transport.limit_server import KEPT, PATIENCE, Count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.sources.transport.limit_server import Answer, Request

_REDIS_NOTES = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

local function row(id)
    local text = redis.call('HGET', KEYS[2], id)
    if not text then return nil end
    local start, weight, requests = string.match(text, '(%S+) (%S+) (%S+)')
    return tonumber(start), tonumber(weight), tonumber(requests)
end

local function put(id, start, finish, weight, requests)
    redis.call('ZADD', KEYS[1], string.format('%.6f', finish), id)
    redis.call('HSET', KEYS[2], id, string.format('%.6f %d %d', start, weight, requests))
end

local function rows(since)
    local found, ids = {}, redis.call('ZRANGEBYSCORE', KEYS[1], since, '+inf', 'WITHSCORES')
    for place = 1, #ids, 2 do
        local start, weight, requests = row(ids[place])
        table.insert(found, {
            id = ids[place], start = start, ['end'] = tonumber(ids[place + 1]),
            weight = weight, requests = requests
        })
    end
    return found
end

local function note(answers, reports, kept)
    for _, answer in ipairs(answers) do
        local start, weight, requests = row(answer[1])
        if start then
            local at = now - answer[3]
            local earlier, more, further = row(answer[2])
            if earlier then
                start = math.max(start, earlier)
                at = math.max(at, redis.call('ZSCORE', KEYS[1], answer[2]))
                weight, requests = weight + more, requests + further
            end
            put(answer[2], start, at, weight, requests)
            redis.call('ZREM', KEYS[1], answer[1])
            redis.call('HDEL', KEYS[2], answer[1])
        end
    end
    for _, report in ipairs(reports) do
        local total, past = 0, 0
        for _, sent in ipairs(rows(report[2])) do
            total = total + sent.weight
            if sent['end'] <= now and sent.id ~= report[1] then past = past + sent.weight end
        end
        if total < report[4] then put(report[1], report[3], report[3], report[4] - past, 0) end
    end
    local stale = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - kept, 'LIMIT', 0, 1000)
    for _, id in ipairs(stale) do
        redis.call('ZREM', KEYS[1], id)
        redis.call('HDEL', KEYS[2], id)
    end
    for place = 1, 2 do redis.call('PEXPIRE', KEYS[place], kept * 1000) end
end

"""
"""What the scripts have in common: KEYS are the ends of requests, and all else of them."""

_REDIS_TAKE = f"""{_REDIS_NOTES}
local request = cjson.decode(ARGV[1])
note(request.answers, request.reports, request.kept)

local held = redis.call('PTTL', KEYS[3])
if held > 0 then return cjson.encode({{hold = held / 1000, ages = {{}}, now = now}}) end

local earliest = now
for _, bound in ipairs(request.bounds) do
    if bound.since == cjson.null then bound.since = now - bound.span end
    earliest = math.min(earliest, bound.since)
end
local sent = rows(string.format('%.6f', earliest))

local ages, is_full = {{}}, false
for place, bound in ipairs(request.bounds) do
    local at = bound.by_start and 'start' or 'end'
    local cost = bound.unit == 'weight' and request.weight or 1
    table.sort(sent, function (one, other) return one[at] > other[at] end)
    local total = 0
    ages[place] = -1
    for _, other in ipairs(sent) do
        if other[at] < bound.since then break end
        total = total + other[bound.unit]
        if total > bound.most - cost then
            ages[place], is_full = math.max(0, now - other[at]), true
            break
        end
    end
end
if not is_full and #request.bounds > 0 then
    put(request.id, now, now + request.longest, request.weight, 1)
    for place = 1, 2 do redis.call('PEXPIRE', KEYS[place], request.kept * 1000) end
end
return cjson.encode({{hold = 0, ages = ages, now = now}})
"""

_REDIS_SETTLE = f"""{_REDIS_NOTES}
local request = cjson.decode(ARGV[1])
note(request.answers, {{}}, request.kept)
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
        self._settle = self._redis.register_script(_REDIS_SETTLE)
        self._hold = self._redis.register_script(_REDIS_HOLD)

    def now(self) -> float:
        """The server's clock: see `LimitServer.now`."""
        seconds, micros = self._redis.time()
        return float(seconds + micros / 1e6)

    def take(self, key: str, request: Request) -> Count:
        """Count a request: see `LimitServer.take`."""
        text = msgspec.json.encode({**asdict(request), "kept": KEPT})
        counts = msgspec.json.decode(self._take(_keys(key), [text]))
        ages = [None if age < 0 else float(age) for age in counts["ages"] or ()]
        return Count(float(counts["hold"]), ages, float(counts["now"]))

    def settle(self, key: str, answers: Sequence[Answer]) -> None:
        """Note what was answered: see `LimitServer.settle`."""
        self._settle(_keys(key), [msgspec.json.encode({"answers": answers, "kept": KEPT})])

    def hold(self, key: str, seconds: float) -> None:
        """Let nothing be counted for so long: see `LimitServer.hold`."""
        self._hold([_keys(key)[2]], [ceil(seconds * 1000)])

    def close(self) -> None:
        """Let go of the server."""
        self._redis.close()


def _keys(key: str) -> list[str]:
    # In a cluster, what stands in braces decides which of its servers has it.
    return [f"market-assets:{{{key}}}:{part}" for part in ("ends", "requests", "hold")]
