"""One connection of the practice vendor: what is sent when, and what faults make of it."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from market_assets.market.timeframes import Timeframe, from_micros, to_micros
from market_assets.practice.stream_formats import StreamRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from datetime import datetime

    from websockets.asyncio.server import ServerConnection

    from market_assets.market.timer import Timer
    from market_assets.practice.stream_faults import StreamFault, StreamFaultName, StreamFaults
    from market_assets.practice.stream_formats import SpokenStream
    from market_assets.practice.stream_truth import Truth

_STRANGER = "STRANGERUSD"
_FRAME_FAULTS: frozenset[StreamFaultName] = frozenset(
    {
        *("mute", "heartbeats", "unclosed", "duplicate", "late", "swap", "revision"),
        *("empty", "truncated", "wrong_types", "stranger", "slow"),
    }
)


class Vendor(Protocol):
    """What a connection needs of its vendor.

    Attributes:
        truth: What the bars are.
        timer: The vendor's time.
        faults: What goes wrong.
        update: Milliseconds between two messages of a bar that is open.
        asked: The messages that clients have sent, decoded.
    """

    truth: Truth
    timer: Timer
    faults: StreamFaults
    update: int
    asked: list[Any]

    def now(self) -> int:
        """The vendor's time in milliseconds since 1970."""
        ...


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

    def __init__(self, vendor: Vendor, socket: ServerConnection, spoken: SpokenStream) -> None:
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
