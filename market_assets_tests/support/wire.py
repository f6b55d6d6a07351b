"""A server that speaks the format of whichever vendor it is given.

It gives exactly the bars that a test wants.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from market_assets.market.timeframes import Timeframe, from_micros
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets.sources.testing import Question, Request
from market_assets_tests.support.doubles import BinanceFutures, Bitfinex, Bybit, Coinbase, Kraken

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from market_assets.practice.formats import Format
    from market_assets.sources.contract import Traits
    from market_assets.sources.transport.rest import PagedSource
    from market_assets_tests.support.doubles import Spoken

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
QUICK = {
    "rate": None,
    "backoff": 0,
    "retries": 2,
    "timeout": 2,
    "total_timeout": 2,
    "max_elapsed": 5,
}
"""Settings of a source that is quick to give up."""


@dataclass(frozen=True)
class Wire:
    """One vendor, by its double for the conformance kit."""

    double: type[Spoken]

    @property
    def source(self) -> type[PagedSource]:
        """Its adapter."""
        return self.double.source  # type: ignore[return-value]

    @property
    def symbol(self) -> str:
        """A symbol that it has."""
        return self.double.symbol

    @property
    def spoken(self) -> Format:
        """Its format."""
        return self.double.form

    @property
    def settings(self) -> Mapping[str, object]:
        """The adapter's settings."""
        return self.double.settings

    @property
    def traits(self) -> Traits:
        """Those of the adapter with these settings."""
        return build(self, "http://127.0.0.1:9", Path()).traits

    def row(self, ts: int) -> Any:
        """The bar that opens at a second, as the vendor writes it."""
        _, *numbers = candle(ts)
        return self.spoken.row([ts * 1000, *map(str, numbers), ts * 1000 + 59_999, "1", 3])

    def answer(self, opens: list[int]) -> Any:
        """These bars, as the vendor answers with them."""
        return self.spoken.answer("XXBTZUSD", [self.row(ts) for ts in opens])


BINANCE_USDM = Wire(BinanceFutures)
BYBIT = Wire(Bybit)
BITFINEX = Wire(Bitfinex)
COINBASE = Wire(Coinbase)
KRAKEN = Wire(Kraken)
WIRES = {
    "binance-usdm": BINANCE_USDM,
    "bybit": BYBIT,
    "bitfinex": BITFINEX,
    "coinbase": COINBASE,
    "kraken": KRAKEN,
}


def candle(ts: int) -> tuple[int, float, float, float, float, float]:
    """The bar that opens at a second, each of its numbers another one."""
    low = 100 + ts // 60 % 1000
    return ts, low + 1.5, low + 3.25, low, low + 2.75, low / 8


@dataclass
class Exchange:
    """What a vendor has and how it behaves; an instance is a handler of the server.

    Attributes:
        bars: The opens that it has of its symbol, in seconds, sorted.
        cap: Rows in an answer at most, where that is less than the vendor says.
        wider: So many bars more on either side than were asked for.
        fixed: It gives all its bars whatever is asked for.
        log: The queries, decoded.
    """

    wire: Wire
    bars: list[int]
    cap: int = 10**9
    wider: int = 0
    fixed: bool = False
    log: list[dict[str, str]] = field(default_factory=list)

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        status, answer = self.answer(request.split()[1].decode())
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + body)

    def answer(self, target: str) -> tuple[int, Any]:
        spoken, double = self.wire.spoken, self.wire.double()
        url = urlsplit(target)
        query = dict(parse_qsl(url.query))
        self.log.append(query)
        request = Request("GET", unquote(url.path), url.path, query, {}, target)
        question = double.read(request)
        assert isinstance(question, Question), target
        assert question.first is not None
        if question.symbol != self.wire.symbol:
            reply = double.unknown(question)
            return reply.status, reply.body
        step = question.timeframe.micros // 1_000_000
        start = question.first.timestamp()
        end = 10**12 if question.last is None else question.last.timestamp()
        if double.widest is not None and (end - start) // step + 1 > double.widest:
            return 400, {"message": f"Count of aggregations requested exceeds {double.widest}"}
        bars = [
            ts for ts in self.bars if start - self.wider * step <= ts <= end + self.wider * step
        ]
        bars = self.bars if self.fixed else bars
        most = min(question.limit or self.cap, self.cap)
        if spoken.latest is not None:
            return 200, self.wire.answer(bars[-most:])
        return 200, self.wire.answer(bars[-most:][::-1] if question.newest else bars[:most])


def every(count: int, *, start: datetime = START, step: timedelta = MINUTE) -> list[int]:
    """The opens of so many bars in a row, in seconds."""
    return [int((start + step * place).timestamp()) for place in range(count)]


def ask(
    source: PagedSource,
    symbol: str,
    *,
    bars: int,
    start: datetime = START,
    timeframe: Timeframe = Timeframe.M1,
) -> pl.DataFrame:
    """Fetch so many bars from a start on."""

    async def fetch() -> pl.DataFrame:
        async with source:
            return await source.fetch(symbol, timeframe, start, start + bars * timeframe.duration)

    return asyncio.run(fetch())


def build(wire: Wire, url: str, base: Path, **settings: object) -> PagedSource:
    """Build a source that asks the given address and is quick to give up."""
    model = wire.source.Settings.model_validate(
        QUICK | {"base_url": url} | dict(wire.settings) | settings
    )
    return wire.source("mine", model, base=base, kind="crypto")  # type: ignore[arg-type]


def opens(frame: pl.DataFrame) -> list[int]:
    """The opens of a frame in seconds, in the order of its rows."""
    return [int(from_micros(micros).timestamp()) for micros in frame["ts"].to_physical()]


def rows(frame: pl.DataFrame) -> list[tuple[float, ...]]:
    """The rows of a frame, times in seconds, sorted.

    They are without the extra columns, which not every vendor has.
    """
    values = frame.select(CANDLE_SCHEMA.names()[1:])
    return sorted(
        (ts, *numbers) for ts, numbers in zip(opens(frame), values.iter_rows(), strict=True)
    )


def tell(wire: Wire, *opens: int) -> bytes:
    """An answer with the bars that open at these seconds."""
    return json.dumps(wire.answer([*opens])).encode()
