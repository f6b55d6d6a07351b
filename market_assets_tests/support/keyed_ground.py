"""A vendor on the loopback that wants a key, for one test.

It answers with what a function makes of a request.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from market_assets.market.timeframes import Timeframe, from_micros
from market_assets_tests.support import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

QUICK = wire.QUICK | {"retries": 1, "hold": 0}
MINUTE = timedelta(minutes=1)
START = datetime(2024, 1, 3, 15, tzinfo=UTC)


@dataclass(frozen=True)
class Asked:
    """One request as the vendor sees it."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    line: str = field(repr=False)


@dataclass
class KeyedVendor:
    """Remembers what it was asked, and answers with `respond`.

    An answer is a status and what becomes JSON; bytes are sent as they are.
    """

    respond: Callable[[Asked], tuple[int, Any]]
    log: list[Asked] = field(default_factory=list)

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        first, *lines = request.decode().split("\r\n")
        url = urlsplit(first.split()[1])
        headers = {
            name.lower(): text for name, _, text in (line.partition(": ") for line in lines if line)
        }
        asked = Asked(unquote(url.path), dict(parse_qsl(url.query)), headers, first)
        self.log.append(asked)
        status, answer = self.respond(asked)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        writer.write(
            (
                f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            ).encode()
            + body
        )


def asker(serve: Any, build: Callable[..., Any], symbol: str) -> Callable[..., Any]:
    """Make what fetches a number of minutes from a vendor that answers with `respond`.

    It gives the frame, and the vendor.
    """

    def ask(
        respond: Callable[[Asked], tuple[int, Any]],
        *,
        symbol: str = symbol,
        timeframe: Timeframe = Timeframe.M1,
        start: datetime = START,
        end: datetime | None = None,
        bars: int = 100,
        **settings: object,
    ) -> tuple[pl.DataFrame, KeyedVendor]:
        vendor = KeyedVendor(respond)
        url = serve(vendor).url

        async def fetch() -> pl.DataFrame:
            source = build(url, **settings)
            async with source:
                return await source.fetch(
                    symbol, timeframe, start, end or start + bars * timeframe.duration
                )

        return asyncio.run(fetch()), vendor

    return ask


def opens(frame: pl.DataFrame) -> list[datetime]:
    return [from_micros(micros) for micros in frame["ts"].to_physical()]


def minutes(start: datetime, count: int) -> list[datetime]:
    return [start + MINUTE * place for place in range(count)]


def days(*texts: str) -> list[datetime]:
    return [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in texts]
