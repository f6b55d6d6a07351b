"""One WebSocket of a vendor, from its opening to its end: subscribed, read, watched.

It says why it ended. What follows from that is in `line`.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

from market_assets.errors import error_words, printable
from market_assets.hosts import LOOPBACK
from market_assets.market.timeframes import to_micros
from market_assets.sources.streaming import (
    Beat,
    Candle,
    Event,
    Fault,
    Refused,
    Shutdown,
    Subscribed,
    Trade,
)
from market_assets.stream.listener import Ending
from market_assets.stream.waits import first_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from websockets.asyncio.client import ClientConnection

    from market_assets.market.timer import Timer
    from market_assets.sources.streaming import StreamFormat
    from market_assets.stream.health import Silence
    from market_assets.stream.limits import Limits
    from market_assets.stream.listener import Listener

_FINAL = frozenset({400, 401, 403, 404, 405, 410, 451})
"""HTTP statuses of a refused connection that another attempt does not cure."""

_LARGEST = 4 * 1024**2
_QUEUE = 256
_LOOK = 1.0
"""Seconds between two looks at whether a connection is as it should be."""


class Connection:
    """One WebSocket, from its opening to its end.

    Args:
        stream: How the vendor speaks; this connection's own.
        symbols: What is asked for.
        timer: Its time.
        limits: Its guards.
        silence: Which symbols are silent, over all connections of the line.
        life: Seconds after which it should be replaced; None is never.
        listener: Who hears what comes.

    Attributes:
        symbols: What it serves: those that the vendor refuses for good are left out.
        ready: Set once the vendor has answered for every symbol.
        leaving: Set once it should be replaced.
    """

    def __init__(
        self,
        stream: StreamFormat,
        symbols: Sequence[str],
        *,
        timer: Timer,
        limits: Limits,
        silence: Silence,
        life: float | None,
        listener: Listener,
    ) -> None:
        self.symbols = dict.fromkeys(symbols)
        self.ready = asyncio.Event()
        self.leaving = asyncio.Event()
        self._stream = stream
        self._timer = timer
        self._limits = limits
        self._silence = silence
        self._listener = listener
        self._life = life
        self._outbox: asyncio.Queue[str] = asyncio.Queue()
        self._unanswered = dict.fromkeys(symbols)
        self._again: dict[str, float] = {}
        """By symbol that was refused for now, when it is asked for again."""
        self._opened_at = self._heard_at = self._asked_at = self._pinged_at = timer.seconds()

    async def run(self) -> Ending:
        """Serve until the connection ends, and say why it did. A cancellation closes it."""
        try:
            async with asyncio.timeout(self._limits.answer):
                socket = await self._open()
        except TimeoutError:
            return Ending(f"no connection within {self._limits.answer:g} s")
        except (OSError, WebSocketException, ValueError) as error:
            return _refusal(error, self._stream)
        try:
            return await self._serve(socket)
        finally:
            await socket.close()

    async def _open(self) -> ClientConnection:
        url = self._stream.url([*self.symbols])
        is_local = urlsplit(url).hostname in LOOPBACK
        return await connect(
            url,
            compression=None,
            ping_interval=None,  # `idle` ends a dead connection
            open_timeout=None,
            close_timeout=self._limits.close,
            max_size=_LARGEST,
            max_queue=_QUEUE,
            proxy=None if is_local else True,
        )

    async def _serve(self, socket: ClientConnection) -> Ending:
        self._opened_at = self._heard_at = self._asked_at = self._pinged_at = self._timer.seconds()
        self._ask([*self.symbols])
        return await first_of(self._read(socket), self._write(socket), self._watch())

    async def _read(self, socket: ClientConnection) -> Ending:
        try:
            async for frame in socket:
                self._heard_at = self._timer.seconds()
                self._now = to_micros(self._timer.now())
                self._listener.count_frame()
                for event in self._stream.read(frame):
                    ending = self._hear(event)
                    if ending is not None:
                        return ending
        except ConnectionClosed as error:
            return Ending(f"the connection broke: {printable(str(error))}")
        return Ending(f"the vendor closed the connection: {_close_words(socket)}")

    async def _write(self, socket: ClientConnection) -> Ending:
        pause = 1 / self._stream.traits.messages
        try:
            while True:
                await socket.send(await self._outbox.get())
                self._asked_at = self._timer.seconds()
                await self._timer.sleep(pause)
        except ConnectionClosed as error:
            return Ending(f"the connection broke: {printable(str(error))}")

    def _ask(self, symbols: Sequence[str]) -> None:
        for message in self._stream.subscribe(symbols):
            self._outbox.put_nowait(message)

    # What comes ---------------------------------------------------------------------------------

    def _hear(self, event: Event) -> Ending | None:
        match event:
            case Candle() | Trade():
                self._hear_data(event)
            case Beat():
                self._listener.hear(event, self._now)
            case Subscribed(symbols):
                self._accept(symbols)
            case Refused(symbols, words, permanent):
                return self._refuse(symbols, words, permanent=permanent)
            case Shutdown(words):
                self._listener.warn(f"the vendor is about to end the connection: {words}")
                self.leaving.set()
            case Fault(words, is_fatal, is_unreadable):
                self._listener.complain(words, self.symbols if is_unreadable else ())
                return Ending(words, is_final=True) if is_fatal else None
        return None

    def _hear_data(self, event: Candle | Trade) -> None:
        if event.symbol not in self.symbols:
            self._listener.complain(f"a candle of {event.symbol}, which nobody asked for")
            return
        if event.symbol in self._unanswered:
            self._accept((event.symbol,))
        if self._silence.hear(event.symbol, self._heard_at):
            self._listener.break_silence(event.symbol)
        self._listener.hear(event, self._now)

    def _accept(self, symbols: Sequence[str]) -> None:
        accepted = [symbol for symbol in symbols if symbol in self._unanswered]
        for symbol in accepted:
            del self._unanswered[symbol]
        self._silence.begin(accepted, self._heard_at)
        self._listener.accept(accepted, self._now)
        self._is_answered()

    def _refuse(self, symbols: Sequence[str], words: str, *, permanent: bool) -> Ending | None:
        asked = [symbol for symbol in symbols if symbol in self.symbols]
        if not asked:
            self._listener.complain(f"a subscription was refused: {words}")
            return None
        if permanent and asked[1:]:
            # The vendor does not say which of them it is: each is asked for alone.
            for symbol in asked:
                self._unanswered[symbol] = None
                self._ask([symbol])
            return None
        for symbol in asked:
            self._unanswered.pop(symbol, None)
            if permanent:
                del self.symbols[symbol]
            else:
                self._again[symbol] = self._heard_at + self._limits.backoff_cap
        if permanent:
            self._silence.end(asked)
        self._listener.refuse(asked, words, permanent=permanent)
        if not self.symbols:
            return Ending(f"every symbol is refused: {words}", is_final=True, is_refusal=True)
        self._is_answered()
        return None

    def _is_answered(self) -> None:
        if not self._unanswered:
            self.ready.set()

    # What does not come -------------------------------------------------------------------------

    async def _watch(self) -> Ending:
        while True:
            await self._timer.sleep(_LOOK)
            now = self._timer.seconds()
            ending = self._idle(now) or self._no_answer(now) or self._no_candles(now)
            if ending is not None:
                return ending
            self._ask_again(now)
            self._ping(now)
            if self._life is not None and now - self._opened_at >= self._life:
                self._life = None
                self._listener.warn("its time is nearly over")
                self.leaving.set()

    def _idle(self, now: float) -> Ending | None:
        longest = self._limits.idle or self._stream.traits.idle
        quiet = now - self._heard_at
        return Ending(f"no frame for {quiet:.0f} s") if quiet > longest else None

    def _no_answer(self, now: float) -> Ending | None:
        is_due = self._outbox.empty() and now - self._asked_at > self._limits.answer
        if not self._unanswered or not is_due:
            return None
        words = f"no answer to the subscription within {self._limits.answer:g} s"
        if len(self._unanswered) == len(self.symbols):
            return Ending(words)
        silent = [*self._unanswered]
        self._unanswered.clear()
        self._listener.refuse(silent, words, permanent=False)
        self._again |= dict.fromkeys(silent, now + self._limits.backoff_cap)
        self._is_answered()
        return None

    def _no_candles(self, now: float) -> Ending | None:
        due = [symbol for symbol in self._silence.due(now) if symbol in self.symbols]
        if not due:
            return None
        self._listener.fall_silent(due)
        if self._silence.silent >= self.symbols.keys():
            return Ending("there are frames, but no candle of any symbol")
        for message in self._stream.unsubscribe(due):
            self._outbox.put_nowait(message)
        self._ask(due)
        return None

    def _ask_again(self, now: float) -> None:
        due = [symbol for symbol, instant in self._again.items() if instant <= now]
        for symbol in due:
            del self._again[symbol]
        self._unanswered |= dict.fromkeys(due)
        self._ask(due)

    def _ping(self, now: float) -> None:
        every = self._stream.traits.ping
        if every is not None and now - self._pinged_at >= every:
            self._pinged_at = now
            self._outbox.put_nowait(self._stream.ping())


def _refusal(error: Exception, stream: StreamFormat) -> Ending:
    """What a connection that cannot be opened means."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        wait = stream.traits.holds.get(status)
        words = f"the vendor refuses the connection with HTTP {status}"
        is_final = status in _FINAL and wait is None
        asked = _retry_after(error.response.headers.get("Retry-After"))
        return Ending(words, is_final=is_final, wait=max(wait or 0.0, asked))
    is_final = isinstance(error, InvalidURI | ssl.SSLCertVerificationError) or (
        isinstance(error, ValueError) and not isinstance(error, InvalidHandshake)
    )
    return Ending(f"no connection: {error_words(error)}", is_final=is_final)


def _retry_after(text: str | None) -> float:
    return float(text) if text is not None and text.isdecimal() else 0.0


def _close_words(socket: ClientConnection) -> str:
    return printable(f"{socket.close_code} {socket.close_reason or ''}").strip()
