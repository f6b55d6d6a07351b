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
import heapq
import threading
from datetime import timedelta
from decimal import Decimal
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, Any, Self

import msgspec
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from market_assets.market.timeframes import Timeframe, Window, from_micros, to_micros
from market_assets.market.timer import PresentTimer
from market_assets.practice.book import simulation_of
from market_assets.practice.stream_faults import StreamFault, StreamFaultName, StreamFaults
from market_assets.practice.stream_formats import SPOKEN, Print, SpokenStream, StreamRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from datetime import datetime
    from types import TracebackType

    from websockets.asyncio.server import Server, ServerConnection
    from websockets.http11 import Request, Response

    from market_assets.market.timer import Timer
    from market_assets.practice.book import Market
    from market_assets.practice.simulate import Simulation

_BLOCK = 240
"""Bars that are simulated at once."""

_BLOCKS = 3
_CENT = Decimal("0.00000001")
_AT = (7_000, 21_000, 36_000, 52_000)
"""Milliseconds of a minute at which its trades are made."""

_STRANGER = "STRANGERUSD"
_FRAME_FAULTS: frozenset[StreamFaultName] = frozenset(
    {
        *("mute", "heartbeats", "unclosed", "duplicate", "late", "swap", "revision"),
        *("empty", "truncated", "wrong_types", "stranger", "slow"),
    }
)


class Truth:
    """What a market's bars are in the end, and how they stand before.

    Args:
        market: What is traded. Symbols of a data folder alone are not streamed.
    """

    def __init__(self, market: Market) -> None:
        self._market = market
        self._simulations: dict[str, Simulation] = {}
        self._blocks: dict[tuple[str, Timeframe], dict[int, dict[int, StreamRow]]] = {}

    def has(self, symbol: str) -> bool:
        """Whether there is such a symbol."""
        return symbol in self._market.symbols or self._market.kind is not None

    def final(self, symbol: str, timeframe: Timeframe, ts: int) -> StreamRow | None:
        """The bar that opens at a millisecond, as it is in the end; None where there is none."""
        span = _BLOCK * timeframe.micros // 1000
        blocks = self._blocks.setdefault((symbol, timeframe), {})
        if ts // span not in blocks:
            blocks[ts // span] = self._simulated(symbol, timeframe, ts // span * span, span)
            if len(blocks) > _BLOCKS:
                del blocks[min(blocks)]
        return blocks[ts // span].get(ts)

    def standing(self, symbol: str, timeframe: Timeframe, ts: int, now: int) -> StreamRow | None:
        """The bar that opens at a millisecond, as it stands at another."""
        row = self.final(symbol, timeframe, ts)
        if row is None or now >= row.ends_at:
            return row
        share = max(now - ts, 0) / (row.ends_at - ts)
        return row._replace(
            high=row.open,
            low=row.open,
            close=row.open,
            volume=round(row.volume * share, 8),
            quote_volume=round(row.quote_volume * share, 2),
            trades=int(row.trades * share),
            taker_volume=round(row.taker_volume * share, 8),
        )

    def trades(self, symbol: str, minute: int) -> list[Print]:
        """The trades of the minute that opens at a millisecond; they add up to its bar."""
        row = self.final(symbol, Timeframe.M1, minute)
        if row is None:
            return []
        whole = Decimal(str(row.volume))
        part = (whole / len(_AT)).quantize(_CENT)
        sizes = [part, part, part, whole - 3 * part]
        prices = (row.open, row.high, row.low, row.close)
        number = minute // 60_000 * len(_AT)
        return [
            Print(number + place, minute + at, price, f"{size:f}")
            for place, (at, price, size) in enumerate(zip(_AT, prices, sizes, strict=True))
        ]

    def last_trade(self, symbol: str, now: int) -> Print:
        """The last trade until a millisecond."""
        minute = now - now % 60_000
        trades = self.trades(symbol, minute - 60_000) + self.trades(symbol, minute)
        return [trade for trade in trades if trade.at <= now][-1]

    def _simulated(
        self, symbol: str, timeframe: Timeframe, start: int, span: int
    ) -> dict[int, StreamRow]:
        if symbol not in self._simulations:
            self._simulations[symbol] = simulation_of(self._market, symbol)
        window = Window.of_micros(start * 1000, (start + span) * 1000)
        finished = window.end + timedelta(days=40)
        candles = self._simulations[symbol].candles(timeframe, window, finished)
        names = (
            *("ts", "closes_at", "open", "high", "low", "close", "volume"),
            *("quote_volume", "trades", "taker_volume"),
        )
        return {row[0]: StreamRow(*row) for row in candles.select(names).iter_rows()}


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


class _Frame(msgspec.Struct, gc=False):
    """A frame that is to be sent.

    Attributes:
        text: It.
        symbol: Whose.
        is_closing: True where it closes a bar.
        wrong: The same with other values; empty where it has none.
    """

    text: str
    symbol: str
    is_closing: bool = False
    wrong: str = ""


class Client:
    """One connection of the vendor.

    Attributes:
        spoken: The vendor's side of it: what is subscribed.
    """

    def __init__(
        self, vendor: StreamVendor, socket: ServerConnection, spoken: SpokenStream
    ) -> None:
        self.spoken = spoken
        self._vendor = vendor
        self._socket = socket
        self._opened_at = self._ticked_at = vendor.now()
        self._order = count()
        self._later: list[tuple[int, int, _Frame]] = []
        """Frames that are sent at a later millisecond."""
        self._closes_at: int | None = None

    async def serve(self) -> None:
        """Answer and send until the connection ends."""
        for text in self.spoken.greeting():
            await self._socket.send(text)
        ticking = asyncio.create_task(self._tick())
        try:
            async for message in self._socket:
                decoded = msgspec.json.decode(message)
                self._vendor.asked.append(decoded)
                for text in self.spoken.answer(decoded):
                    await self._socket.send(text)
                if self.spoken.is_of_trades:
                    await self._show_last_trades(decoded)
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)

    async def send(self, text: str) -> None:
        """Send a frame that is no candle of the simulation."""
        await self._socket.send(text)

    def drop(self) -> None:
        """Break the connection without a word."""
        self._socket.transport.abort()

    async def _show_last_trades(self, message: Any) -> None:  # noqa: ANN401 - JSON
        for symbol in message["product_ids"]:
            if message["type"] == "subscribe" and symbol in self.spoken.asked:
                last = self._vendor.truth.last_trade(symbol, self._vendor.now())
                await self._socket.send(self.spoken.trade(symbol, last, is_last=True))

    async def _tick(self) -> None:
        """Send what is due, one instant after another: none is left out if it is late."""
        vendor = self._vendor
        while True:
            before = self._ticked_at
            self._ticked_at = now = min(
                before - before % vendor.update + vendor.update,
                before - before % 60_000 + 60_000,
                *(due for due, _, _ in self._later[:1]),
            )
            now = self._ticked_at = max(now, before + 1)
            await vendor.timer.sleep((now - vendor.now()) / 1000)
            if not await self._goes_on(now):
                return
            await self._send_due(before, now)

    async def _goes_on(self, now: int) -> bool:
        """Carry out the faults of the whole connection; False where it is over."""
        instant = from_micros(now * 1000)
        faults = self._vendor.faults
        age = (now - self._opened_at) / 1000
        if any(faults.striking(instant, {"cut"}, age=age)):
            await self._socket.close(1001, "the connection is too old")
            return False
        for _ in faults.striking(instant, {"drop"}):
            self.drop()
            return False
        for fault in faults.striking(instant, {"shutdown"}):
            notice = self.spoken.shutdown()
            if notice is not None and self._closes_at is None:
                await self._socket.send(notice)
            self._closes_at = self._closes_at or now + round(fault.seconds * 1000)
        if self._closes_at is not None and now >= self._closes_at:
            await self._socket.close(1012, "service restart")
            return False
        return True

    async def _send_due(self, before: int, now: int) -> None:
        instant = from_micros(now * 1000)
        if any(self._vendor.faults.striking(instant, {"silence"})):
            self._later.clear()
            return
        frames = list(self._frames(before, now))
        while self._later and self._later[0][0] <= now:
            frames.append(heapq.heappop(self._later)[2])
            frames[-1].is_closing = False
        for frame in frames:
            await self._send(frame, instant)
        for beat in self.spoken.beats(now, self._last_trade(now)):
            await self._socket.send(beat)

    def _last_trade(self, now: int) -> Callable[[str], int]:
        return lambda symbol: self._vendor.truth.last_trade(symbol, now).number

    def _frames(self, before: int, now: int) -> Iterator[_Frame]:
        """What is there to send of what happened between two milliseconds."""
        for symbol, timeframe in self.spoken.asked.items():
            if self.spoken.is_of_trades:
                yield from self._prints(symbol, before, now)
            else:
                yield from self._bars(symbol, timeframe, now)

    def _bars(self, symbol: str, timeframe: Timeframe, now: int) -> Iterator[_Frame]:
        truth, step = self._vendor.truth, timeframe.micros // 1000
        opened = now - now % step
        if opened == now:
            last = truth.final(symbol, timeframe, now - step)
            if last is not None:
                yield self._closing(symbol, timeframe, last)
        row = truth.standing(symbol, timeframe, opened, now)
        if row is not None:
            yield _Frame(self.spoken.candle(symbol, timeframe, row, closed=False), symbol)

    def _closing(self, symbol: str, timeframe: Timeframe, row: StreamRow) -> _Frame:
        flagged = self.spoken.is_flagged
        wrong = row._replace(close=row.open, volume=row.volume / 2)
        return _Frame(
            self.spoken.candle(symbol, timeframe, row, closed=flagged),
            symbol,
            is_closing=True,
            wrong=self.spoken.candle(symbol, timeframe, wrong, closed=flagged),
        )

    def _prints(self, symbol: str, before: int, now: int) -> Iterator[_Frame]:
        for minute in range(before - before % 60_000, now + 1, 60_000):
            for place, trade in enumerate(self._vendor.truth.trades(symbol, minute)):
                if before < trade.at <= now:
                    text = self.spoken.trade(symbol, trade)
                    yield _Frame(text, symbol, is_closing=place == 0)

    async def _send(self, frame: _Frame, instant: datetime) -> None:
        """Send a frame, as the faults leave it."""
        faults = [*self._vendor.faults.striking(instant, _FRAME_FAULTS, frame.symbol)]
        if any(self._holds_back(fault, frame) for fault in faults):
            return
        texts = [frame.text]
        for fault in faults:
            texts = self._spoil(fault, frame, texts, instant)
        pause = max((fault.seconds for fault in faults if fault.fault == "slow"), default=0.0)
        for text in texts:
            await self._socket.send(self._pieces(text, pause) if pause else text)

    def _holds_back(self, fault: StreamFault, frame: _Frame) -> bool:
        """Whether a fault keeps a frame from being sent now."""
        match fault.fault:
            case "mute" | "heartbeats":
                return True
            case "late" | "swap" if frame.is_closing:
                self._postpone(frame, fault.seconds if fault.fault == "late" else 0.001)
                return True
            case "unclosed":
                return frame.is_closing
        return False

    def _spoil(
        self, fault: StreamFault, frame: _Frame, texts: list[str], instant: datetime
    ) -> list[str]:
        """What is sent in place of a frame."""
        match fault.fault:
            case "revision" if frame.is_closing and frame.wrong:
                self._postpone(frame, fault.seconds)
                texts = [frame.wrong]
            case "duplicate":
                texts = texts * 2
            case "empty":
                texts = ["", *texts]
            case "truncated":
                texts = [text[: len(text) // 2] for text in texts]
            case "wrong_types":
                texts = [_mistyped(text) for text in texts]
            case "stranger":
                texts = [*texts, self._stranger(instant)]
        return texts

    def _postpone(self, frame: _Frame, seconds: float) -> None:
        due = self._ticked_at + round(seconds * 1000)
        heapq.heappush(self._later, (due, next(self._order), frame))

    def _stranger(self, instant: datetime) -> str:
        now = to_micros(instant) // 1000
        opened = now - now % 60_000
        row = StreamRow(opened, opened + 60_000, *(1.0,) * 6, 1, 1.0)
        return self.spoken.candle(_STRANGER, Timeframe.M1, row, closed=False)

    async def _pieces(self, text: str, pause: float) -> AsyncIterator[str]:
        half = len(text) // 2
        yield text[:half]
        await self._vendor.timer.sleep(pause)
        yield text[half:]


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


def _mistyped(text: str) -> str:
    """A frame with an object in place of each price, and of each number as text."""
    return msgspec.json.encode(_spoilt(msgspec.json.decode(text))).decode()


def _spoilt(value: Any) -> Any:  # noqa: ANN401 - JSON
    match value:
        case dict():
            return {name: _spoilt(part) for name, part in value.items()}
        case list():
            return [_spoilt(part) for part in value]
        case float():
            return {}
        case str() if value[:1].isdigit():
            return {}
    return value
