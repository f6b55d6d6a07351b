"""The practice vendor's streams: the candles of its REST side, over real WebSockets.

    ws://.../stream, /market/stream    as Binance has them, spot and USD-M futures
    ws://.../v5/public/spot            as Bybit
    ws://.../ws/2                      as Bitfinex
    ws://.../v2                        as Kraken
    ws://.../coinbase                  as Coinbase Exchange: trades

Time is that of a timer, which may run fast, and faults can be switched on. A minute's trades add up
to its candle, bit by bit. No candle is a market's.
"""

from __future__ import annotations

import asyncio
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from market_assets.market.timeframes import to_micros
from market_assets.market.timer import PresentTimer
from market_assets.practice.stream_client import Client
from market_assets.practice.stream_faults import StreamFault, StreamFaults
from market_assets.practice.stream_formats import SPOKEN
from market_assets.practice.stream_truth import Truth

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from websockets.asyncio.server import Server, ServerConnection
    from websockets.http11 import Request, Response

    from market_assets.market.timer import Timer
    from market_assets.practice.book import Market


class StreamVendor:
    """The streams, served by the running event loop while the context lasts.

    Args:
        market: What is traded.
        timer: Its time.
        update: Seconds between two messages of a bar that is open.
        host: The address that it listens on.

    Attributes:
        opened: How many connections have been opened.
        clients: The connections that are open.
        asked: The messages that clients have sent, decoded.
    """

    def __init__(
        self,
        market: Market,
        timer: Timer | None = None,
        *,
        update: float = 2.0,
        host: str = "127.0.0.1",
    ) -> None:
        self.truth = Truth(market)
        self.faults = StreamFaults()
        self.opened = 0
        self.clients: set[Client] = set()
        self.asked: list[Any] = []
        self.timer: Timer = timer or PresentTimer()
        self.update = round(update * 1000)
        self._host = host
        self._port = 0
        self._server: Server | None = None

    def url(self, vendor: str) -> str:
        """Where a vendor's stream is: a name of SPOKEN."""
        return f"ws://{self._host}:{self._port}{SPOKEN[vendor].path}"

    def set_faults(self, faults: Iterable[StreamFault]) -> None:
        """Put these faults in the place of those before."""
        self.faults = StreamFaults(faults)

    def now(self) -> int:
        """The vendor's time in milliseconds since 1970."""
        return to_micros(self.timer.now()) // 1000

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            self._host,
            0,
            process_request=self._admit,
            compression=None,
            ping_interval=None,
            close_timeout=0.2,
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        for fault in self.faults.striking(self.timer.now(), {"no_connection"}):
            return connection.respond(HTTPStatus(fault.status), "refused\n")
        if request.path not in {spoken.path for spoken in SPOKEN.values()}:
            return connection.respond(HTTPStatus.NOT_FOUND, "no such stream\n")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        path = socket.request.path if socket.request is not None else ""
        spoken = next(kind for kind in SPOKEN.values() if kind.path == path)
        client = Client(self, socket, spoken(self.truth.has, self._refusal))
        self.opened += 1
        self.clients.add(client)
        try:
            await client.serve()
        except ConnectionClosed:
            pass
        finally:
            self.clients.discard(client)

    def _refusal(self, symbol: str) -> bool | None:
        for fault in self.faults.striking(self.timer.now(), {"refuse"}, symbol):
            return fault.permanent
        return None


class PracticeStreams:
    """The streams on a port of this machine, in a thread of this process, while the context lasts.

    Args:
        market: What is traded.
        timer: Its time.
        update: See `StreamVendor`.
    """

    def __init__(self, market: Market, timer: Timer | None = None, *, update: float = 2.0) -> None:
        self._vendor = StreamVendor(market, timer, update=update)
        self._loop = asyncio.new_event_loop()
        self._is_ready = threading.Event()
        self._is_over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="practice-streams", daemon=True)

    def url(self, vendor: str) -> str:
        """See `StreamVendor.url`."""
        return self._vendor.url(vendor)

    def set_faults(self, faults: Iterable[StreamFault]) -> None:
        """Put these faults in the place of those before."""
        self._vendor.set_faults(faults)

    def start(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        self._is_ready.wait()
        return self

    def stop(self) -> None:
        """Break every connection, and be gone."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._is_over.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        async with self._vendor:
            self._is_ready.set()
            await self._is_over.wait()
