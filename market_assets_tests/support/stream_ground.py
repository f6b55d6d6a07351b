"""A stream that runs against the practice vendor, over real sockets, in time that a test moves."""

from __future__ import annotations

import asyncio
import functools
import random
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from market_assets.market.timeframes import Timeframe
from market_assets.practice.book import Market
from market_assets.practice.simulate import Instrument
from market_assets.practice.streams import StreamVendor
from market_assets.sources.vendors.binance_stream import BinanceStream, BinanceUsdmStream
from market_assets.sources.vendors.bitfinex_stream import BitfinexStream
from market_assets.sources.vendors.bybit_stream import BybitStream
from market_assets.sources.vendors.coinbase_stream import CoinbaseStream
from market_assets.sources.vendors.kraken_stream import KrakenStream
from market_assets.stream.limits import Limits
from market_assets.stream.stream import Batch, NewsKind, Stream
from market_assets_tests.support.manual_timer import START, ManualTimer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from datetime import datetime

    from market_assets.practice.stream_faults import StreamFault
    from market_assets.sources.streaming import StreamFormat
    from market_assets.stream.stream import News

MINUTE = 60_000
FORMATS: dict[str, type[StreamFormat]] = {
    "binance": BinanceStream,
    "binance-usdm": BinanceUsdmStream,
    "bybit": BybitStream,
    "bitfinex": BitfinexStream,
    "kraken": KrakenStream,
    "coinbase": CoinbaseStream,
}
EVERY = tuple(name for name in FORMATS if name != "binance-usdm")
"""The formats that differ in their messages."""

SYMBOLS = {
    **dict.fromkeys(("binance", "binance-usdm", "bybit"), ("BTCUSDT", "ETHUSDT")),
    "bitfinex": ("tBTCUSD", "tETHUSD"),
    "kraken": ("SOLUSD", "ETHUSD"),
    "coinbase": ("BTC-USD", "ETH-USD"),
}
FIRST = round(START.timestamp() * 1000)
"""The open of the first minute, in milliseconds."""

QUICK = Limits(gather=0, pulse=10)


def at(seconds: float) -> datetime:
    """The instant so many seconds after the first minute opens."""
    return START + timedelta(seconds=seconds)


def run(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def wrapper(*args: object, **kwargs: object) -> None:
        asyncio.run(test(*args, **kwargs))

    return wrapper


@dataclass
class Ground:
    """A running stream, what it gave, and its vendor."""

    name: str
    timer: ManualTimer
    vendor: StreamVendor
    stream: Stream
    symbols: Sequence[str]
    batches: list[Batch] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    failure: Exception | None = None
    ended_at: datetime | None = None

    @property
    def health(self):
        return self.stream.health

    @property
    def news(self) -> list[News]:
        return [news for batch in self.batches for news in batch.news]

    def told(self, kind: NewsKind) -> list[str]:
        return [news.words for news in self.news if news.kind is kind]

    @property
    def reconnected(self) -> list[str]:
        return sorted(symbol for batch in self.batches for symbol in batch.reconnected)

    @property
    def doubtful(self) -> dict[str, str]:
        doubtful: dict[str, str] = {}
        for batch in self.batches:
            doubtful |= batch.doubtful
        return doubtful

    def is_asked(self, symbol: str, minute: int) -> bool:
        """Whether REST is to be asked for a symbol within five minutes after a minute's end."""
        end = START + timedelta(minutes=minute + 1)
        return any(
            end <= at <= end + timedelta(minutes=5)
            for at, batch in zip(self.times, self.batches, strict=True)
            if symbol in batch.doubtful or symbol in batch.reconnected
        )

    def bars(self, symbol: str) -> dict[int, tuple[float, ...]]:
        """The bars of a symbol as they are after all batches, by minutes since the start."""
        return {
            (round(row[1].timestamp() * 1000) - FIRST) // MINUTE: row[2:7]
            for batch in self.batches
            for row in _utc(batch)
            if row[0] == symbol
        }

    def true_bars(self, symbol: str, minutes) -> dict[int, tuple[float, ...]]:
        return {minute: self.true_bar(symbol, minute) for minute in minutes}

    def true_bar(self, symbol: str, minute: int) -> tuple[float, ...]:
        row = self.vendor.truth.final(symbol, Timeframe.M1, FIRST + minute * MINUTE)
        return tuple(row[2:7])

    async def collect(self) -> None:
        try:
            async for batch in self.stream.batches():
                self.batches.append(batch)
                self.times.append(self.timer.now())
        except Exception as error:  # noqa: BLE001 - a test looks at it
            self.failure = error
        self.ended_at = self.timer.now()

    async def connected(self, times: int = 1) -> None:
        """Let the seconds pass that it takes until all symbols are served."""
        for _ in range(200):
            if len(self.reconnected) >= times * len(self.symbols):
                return
            await self.timer.advance(0.5)
        raise AssertionError(f"not served: {self.health}, {self.news}")


def _utc(batch: Batch):
    return batch.bars.with_columns(batch.bars["ts"].dt.replace_time_zone("UTC")).iter_rows()


@asynccontextmanager
async def streaming(
    name: str,
    *faults: StreamFault,
    symbols: Sequence[str] = (),
    limits: Limits = QUICK,
    update: float = 20,
    traits: dict[str, object] | None = None,
    **changes: object,
) -> AsyncIterator[Ground]:
    """Run a stream of a vendor's format; `traits` are what is special of the vendor."""
    asked = symbols or SYMBOLS[name]
    timer = ManualTimer()
    market = Market(symbols={symbol: Instrument() for symbol in asked if "NOPE" not in symbol})
    async with StreamVendor(market, timer, update=update) as vendor:
        vendor.set_faults(faults)
        kind = FORMATS[name]
        if traits:
            kind = type(
                kind.__name__, (kind,), {"traits": msgspec.structs.replace(kind.traits, **traits)}
            )
        async with Stream(
            name,
            lambda: kind(Timeframe.M1, vendor.url(name)),
            asked,
            Timeframe.M1,
            timer=timer,
            limits=replace(limits, **changes),
            generator=random.Random(7),  # noqa: S311
        ) as stream:
            ground = Ground(name, timer, vendor, stream, asked)
            collecting = asyncio.create_task(ground.collect())
            try:
                yield ground
            finally:
                collecting.cancel()
                with suppress(asyncio.CancelledError):
                    await collecting
