"""A vendor's connection, kept up: opened, subscribed, watched, replaced, opened again.

A `Connection` is one WebSocket from its opening to its end, and says why it ended. A `Line` keeps
one share of the symbols connected by one connection after another.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

from market_assets.errors import error_words, printable
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

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Collection, Coroutine, Sequence
    from datetime import datetime

    from websockets.asyncio.client import ClientConnection

    from market_assets.market.timer import Timer
    from market_assets.sources.streaming import StreamFormat
    from market_assets.stream.health import Silence
    from market_assets.stream.subscriptions import Gate

_FINAL = frozenset({400, 401, 403, 404, 405, 410, 451})
"""HTTP statuses of a refused connection that another attempt does not cure."""

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_LARGEST = 4 * 1024**2
_QUEUE = 256
_LOOK = 1.0
"""Seconds between two looks at whether a connection is as it should be."""


@dataclass(frozen=True)
class Limits:
    """The guards of a stream. Seconds are those of its timer, if nothing else is said.

    Attributes:
        idle: Seconds without a frame after which a connection is dead; None is the vendor's own.
        silent_bars: So many bars without a candle of a symbol are silence.
        answer: Real seconds for the opening of a connection, and seconds for the answer to a
            subscription.
        backoff: The longest wait before the second attempt; doubled with each one.
        backoff_cap: The longest wait of all.
        steady: A connection that lasted so many seconds makes the next wait short again.
        ahead: A connection is replaced so many seconds before the vendor cuts it, and up to twice
            as many, so that not all are replaced at once.
        close: Real seconds that the end of a connection may take.
        grace: Seconds after its end in which a bar has to be closed.
        buffer: So many closed bars wait for whoever fetches them; then the oldest are dropped.
        gather: Seconds in which bars are gathered for one batch, at most.
        lull: Seconds without a bar after which a batch is given before that.
        pulse: A batch comes at least every so many seconds, if need be without bars.
        total: After so long the stream ends by itself; None is never.
    """

    idle: float | None = None
    silent_bars: int = 3
    answer: float = 30.0
    backoff: float = 1.0
    backoff_cap: float = 60.0
    steady: float = 60.0
    ahead: float = 300.0
    close: float = 0.5
    grace: float = 5.0
    buffer: int = 50_000
    gather: float = 1.0
    lull: float = 0.2
    pulse: float = 10.0
    total: timedelta | None = None


class Ending(msgspec.Struct, frozen=True):
    """Why a connection ended.

    Attributes:
        words: The reason.
        is_final: True where another attempt cannot help.
        is_refusal: True where only the symbols are refused: others may still be served.
        wait: Seconds for which the vendor wants to be left alone.
    """

    words: str
    is_final: bool = False
    is_refusal: bool = False
    wait: float = 0.0


class Listener(Protocol):
    """Who hears what comes over the connections. Instants are in microseconds since 1970."""

    def count_frame(self) -> None:
        """A frame came."""
        ...

    def hear(self, event: Candle | Trade | Beat, now: int) -> None:
        """A candle, a trade, or a heartbeat came."""
        ...

    def accept(self, symbols: Collection[str], now: int) -> None:
        """The vendor serves these symbols."""
        ...

    def refuse(self, symbols: Collection[str], words: str, *, permanent: bool) -> None:
        """The vendor does not serve these symbols."""
        ...

    def complain(self, words: str, symbols: Collection[str] = ()) -> None:
        """A frame was not as it should be; of these symbols a change may have been in it."""
        ...

    def fall_silent(self, symbols: Collection[str]) -> None:
        """There are frames, but for too long no candle of these symbols."""
        ...

    def break_silence(self, symbol: str) -> None:
        """A candle of a symbol comes that was silent for too long."""
        ...

    def warn(self, words: str) -> None:
        """The vendor will end the connection, or its time is over: it is being replaced."""
        ...

    def hand_over(self, symbols: Collection[str]) -> None:
        """Another connection serves these symbols, without a gap."""
        ...

    def lose(self, symbols: Collection[str], ending: Ending) -> None:
        """No connection serves these symbols any more, for now or for good."""
        ...


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
        self._opened_at = self._heard_at = self._asked_at = self._pinged_at = timer.now()

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
        is_local = urlsplit(url).hostname in _LOOPBACK
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
        self._opened_at = self._heard_at = self._asked_at = self._pinged_at = self._timer.now()
        self._ask([*self.symbols])
        return await _first_of(self._read(socket), self._write(socket), self._watch())

    async def _read(self, socket: ClientConnection) -> Ending:
        try:
            async for frame in socket:
                self._heard_at = self._timer.now()
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
                self._asked_at = self._timer.now()
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
                self._listener.hear(event, to_micros(self._heard_at))
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
        self._listener.hear(event, to_micros(self._heard_at))

    def _accept(self, symbols: Sequence[str]) -> None:
        accepted = [symbol for symbol in symbols if symbol in self._unanswered]
        for symbol in accepted:
            del self._unanswered[symbol]
        self._silence.begin(accepted, self._heard_at)
        self._listener.accept(accepted, to_micros(self._heard_at))
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
                self._again[symbol] = self._heard_at.timestamp() + self._limits.backoff_cap
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
            now = self._timer.now()
            ending = self._idle(now) or self._no_answer(now) or self._no_candles(now)
            if ending is not None:
                return ending
            self._ask_again(now)
            self._ping(now)
            if self._life is not None and _seconds(self._opened_at, now) >= self._life:
                self._life = None
                self._listener.warn("its time is nearly over")
                self.leaving.set()

    def _idle(self, now: datetime) -> Ending | None:
        longest = self._limits.idle or self._stream.traits.idle
        quiet = _seconds(self._heard_at, now)
        return Ending(f"no frame for {quiet:.0f} s") if quiet > longest else None

    def _no_answer(self, now: datetime) -> Ending | None:
        is_due = self._outbox.empty() and _seconds(self._asked_at, now) > self._limits.answer
        if not self._unanswered or not is_due:
            return None
        words = f"no answer to the subscription within {self._limits.answer:g} s"
        if len(self._unanswered) == len(self.symbols):
            return Ending(words)
        silent = [*self._unanswered]
        self._unanswered.clear()
        self._listener.refuse(silent, words, permanent=False)
        self._again |= dict.fromkeys(silent, now.timestamp() + self._limits.backoff_cap)
        self._is_answered()
        return None

    def _no_candles(self, now: datetime) -> Ending | None:
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

    def _ask_again(self, now: datetime) -> None:
        due = [symbol for symbol, instant in self._again.items() if instant <= now.timestamp()]
        for symbol in due:
            del self._again[symbol]
        self._unanswered |= dict.fromkeys(due)
        self._ask(due)

    def _ping(self, now: datetime) -> None:
        every = self._stream.traits.ping
        if every is not None and _seconds(self._pinged_at, now) >= every:
            self._pinged_at = now
            self._outbox.put_nowait(self._stream.ping())


@dataclass
class _Running:
    """A connection and the task that serves it."""

    connection: Connection
    task: asyncio.Task[Ending]

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Line:
    """One share of the symbols, kept connected.

    A connection that breaks is opened again after a wait that doubles, with full jitter. One that
    is about to end is replaced: the second is ready before the first is closed.

    Args:
        make: Gives a format for one more connection.
        symbols: What it serves.
        timer: Its time.
        limits: Its guards.
        silence: Remembers which symbols are silent.
        gate: Says when a connection may be opened; all lines of a stream share it.
        generator: Draws the jitter.
        listener: Who hears what comes.
    """

    def __init__(
        self,
        make: Callable[[], StreamFormat],
        symbols: Sequence[str],
        *,
        timer: Timer,
        limits: Limits,
        silence: Silence,
        gate: Gate,
        generator: random.Random,
        listener: Listener,
    ) -> None:
        self._make = make
        self._symbols = list(symbols)
        self._timer = timer
        self._limits = limits
        self._silence = silence
        self._gate = gate
        self._generator = generator
        self._listener = listener

    async def run(self) -> Ending:
        """Serve until another attempt cannot help, and say why. A cancellation ends it."""
        failures = 0
        while True:
            await self._pass_gate()
            opened_at = self._timer.now()
            ending = await self._hold(self._start())
            self._listener.lose(self._symbols, ending)
            if ending.is_final:
                return ending
            is_steady = _seconds(opened_at, self._timer.now()) >= self._limits.steady
            failures = 0 if is_steady else failures + 1
            await self._timer.sleep(max(ending.wait, self._jitter(failures)))

    def _start(self) -> _Running:
        stream = self._make()
        connection = Connection(
            stream,
            self._symbols,
            timer=self._timer,
            limits=self._limits,
            silence=self._silence,
            life=self._life(stream.traits.life),
            listener=self._listener,
        )
        return _Running(connection, asyncio.create_task(connection.run()))

    async def _hold(self, running: _Running) -> Ending:
        """Serve by this connection and those that replace it, until one of them breaks."""
        failures = 0
        try:
            while True:
                await _until_any([running.task], running.connection.leaving.wait())
                self._symbols = [*running.connection.symbols]
                if running.task.done():
                    return running.task.result()
                successor = await self._replacement(running)
                if successor is None:
                    failures += 1
                    await _until_any([running.task], self._timer.sleep(self._jitter(failures)))
                    continue
                failures = 0
                await running.end()
                running = successor
                self._listener.hand_over(self._symbols)
        finally:
            await running.end()

    async def _replacement(self, running: _Running) -> _Running | None:
        """Open the second connection; give it once it is ready, None where it does not become so.

        Where the first breaks meanwhile, the second is given up with it: its symbols are connected
        anew, so that the gap is told.
        """
        await _until_any([running.task], self._pass_gate())
        successor = self._start()
        try:
            await _until_any(
                [running.task, successor.task],
                successor.connection.ready.wait(),
                self._timer.sleep(2 * self._limits.answer),
            )
        except asyncio.CancelledError:
            await successor.end()
            raise
        is_ready = successor.connection.ready.is_set() and not successor.task.done()
        if is_ready and not running.task.done():
            return successor
        await successor.end()
        return None

    async def _pass_gate(self) -> None:
        while (wait := self._gate.wait(self._timer.now())) > 0:
            await self._timer.sleep(wait)

    def _jitter(self, failures: int) -> float:
        """A wait between nothing and the longest, which doubles with each failure."""
        longest = self._limits.backoff * 2.0 ** min(failures, 30)
        return self._generator.uniform(0, min(longest, self._limits.backoff_cap))

    def _life(self, life: timedelta | None) -> float | None:
        """The seconds after which a connection is replaced."""
        if life is None:
            return None
        ahead = min(self._limits.ahead, life.total_seconds() / 4)
        return life.total_seconds() - self._generator.uniform(ahead, 2 * ahead)


async def _first_of(*work: Coroutine[Any, Any, Ending]) -> Ending:
    """Do all at once, give the result of the first that ends, and end the rest."""
    tasks = [asyncio.create_task(part) for part in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task.result() for task in tasks if task in done)
    finally:
        await _end(tasks)


async def _until_any(
    tasks: Collection[asyncio.Task[Ending]], *waits: Coroutine[Any, Any, object]
) -> None:
    """Wait until a task or one of the waits is over. The tasks go on, the waits are ended."""
    waiting = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait([*tasks, *waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(waiting)


async def _end(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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


def _seconds(start: datetime, end: datetime) -> float:
    return (end - start) / timedelta(seconds=1)
