"""A practice vendor and a server that misbehaves on the wire, both on this machine's loopback."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.practice.book import Market
from market_assets.practice.simulate import Instrument
from market_assets.practice.vendor import PracticeVendor
from market_assets.sources.vendors.binance import BinanceSettings, BinanceSource
from market_assets_tests.support.wire import QUICK

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2024, 6, 1, tzinfo=UTC)
START = datetime(2024, 1, 1, tzinfo=UTC)

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="session")
def _running_vendor() -> Iterator[PracticeVendor]:
    symbols = {
        "BTCUSDT": Instrument(),
        "ETHUSDT": Instrument(genesis=datetime(2024, 1, 5, 7, 30, tzinfo=UTC)),
    }
    with PracticeVendor(Market(symbols=symbols), lambda: NOW) as vendor:
        yield vendor


@pytest.fixture
def vendor(_running_vendor: PracticeVendor) -> PracticeVendor:
    """A vendor without faults and with an empty log."""
    _running_vendor.set_faults([])
    _running_vendor.log.clear()
    return _running_vendor


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., BinanceSource]:
    """Build a Binance source that asks the given address and is quick to give up."""

    def build(url: str, **settings: object) -> BinanceSource:
        model = BinanceSettings.model_validate(QUICK | {"base_url": url} | settings)
        return BinanceSource("mine", model, base=tmp_path, kind="crypto")

    return build


@pytest.fixture
def ask(build: Callable[..., BinanceSource]) -> Callable[..., SimpleNamespace]:
    """Fetch so many bars from a start on; gives the frame and what it cost."""

    def ask(
        url: str,
        *,
        symbol: str = "BTCUSDT",
        timeframe: Timeframe = Timeframe.M1,
        start: datetime = START,
        bars: int = 100,
        **settings: object,
    ) -> SimpleNamespace:
        async def fetch() -> SimpleNamespace:
            source = build(url, **settings)
            async with source:
                frame = await source.fetch(
                    symbol, timeframe, start, start + bars * timeframe.duration
                )
            return SimpleNamespace(frame=frame, usage=source.usage)

        return asyncio.run(fetch())

    return ask


class RawServer:
    """Answers each request with whatever bytes the handler writes.

    The connection is closed after the answer.
    """

    def __init__(self, handler: Handler) -> None:
        self.requests: list[bytes] = []
        self.times: list[float] = []
        self.sent = 0
        self._handler = handler
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(request)
            self.times.append(self._loop.time())
            await self._handler(request, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def close(self) -> None:
        async def cancel_all() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._call(cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], RawServer]]:
    """Start a server that speaks exactly the bytes a handler writes."""
    servers: list[RawServer] = []

    def serve(handler: Handler) -> RawServer:
        servers.append(RawServer(handler))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def reply() -> Callable[..., Handler]:
    """Make a handler that gives one answer after another, and the last one forever.

    An answer is (status, headers, body).
    """

    def reply(*answers: tuple[int, dict[str, str], bytes]) -> Handler:
        left = list(answers)

        async def handler(_request: bytes, writer: asyncio.StreamWriter) -> None:
            status, headers, body = left.pop(0) if len(left) > 1 else left[0]
            lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

        return handler

    return reply
