"""Live candles of many symbols as batches of closed bars.

```python
async with Stream("binance", make, ["BTCUSDT"], Timeframe.M1) as stream:
    async for batch in stream.batches():
        ...  # ask REST for batch.reconnected and batch.doubtful, then commit batch.bars
```

A stream proves that a bar is there, never that one is absent. So it says of which symbols REST
should be asked: those that were connected anew, and those of which something may be missing.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

import polars as pl

from market_assets.errors import SourceError, printable
from market_assets.market.columns import EXTRA_SCHEMA
from market_assets.market.timeframes import TS, from_micros, to_micros
from market_assets.market.timer import PresentTimer
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets.sources.streaming import Beat, Candle, Closing, Trade
from market_assets.stream.bars import Bars, Minutes
from market_assets.stream.health import Meter, Silence
from market_assets.stream.limits import Limits
from market_assets.stream.line import Line
from market_assets.stream.subscriptions import Gate, shares_of
from market_assets.words import listed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from market_assets.market.timeframes import Timeframe
    from market_assets.market.timer import Timer
    from market_assets.sources.streaming import StreamFormat
    from market_assets.stream.bars import Bar
    from market_assets.stream.health import Health
    from market_assets.stream.listener import Ending

_NEWS = 1_000
"""News that wait to be told; the oldest give way. What is counted is in `Health`."""

_OPENS = 8
"""So many of the last opens of bars are remembered, to know when all symbols have given a bar."""

_WORDS = 500
"""Letters of a reason that are told."""

BAR_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        **CANDLE_SCHEMA,
        **EXTRA_SCHEMA,
        "received_at": TS,
        "is_revision": pl.Boolean(),
    }
)
"""The columns of a batch: those of fetched candles, when the bar was known to be closed, and
whether it was passed on before with other values."""


class NewsKind(StrEnum):
    """What there is to tell of a stream."""

    CONNECTED = "connected"
    RECONNECTED = "reconnected"
    LOST = "lost"
    REPLACING = "replacing"
    HANDED_OVER = "handed over"
    REFUSED = "refused"
    SILENT = "silent"
    FAULT = "fault"


@dataclass(frozen=True)
class News:
    """Something that happened to a stream.

    Attributes:
        at: When, aware UTC.
        kind: What.
        symbols: Whose, in the source's own names; empty where it is nobody's alone.
        words: The reason.
    """

    at: datetime
    kind: NewsKind
    symbols: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class Batch:
    """What has come since the batch before.

    Attributes:
        bars: Closed bars in the columns of BAR_SCHEMA, sorted by symbol and time; no bar twice.
        reconnected: Symbols that are served anew: bars may be missing from the last one that was
            committed until now. REST is to be asked before these bars are taken for the whole.
        doubtful: By symbol, why a bar of the last minutes may be missing that the stream will not
            give: REST is to be asked.
        news: What there is to tell.
        health: How the stream is now.
    """

    bars: pl.DataFrame
    reconnected: frozenset[str]
    doubtful: Mapping[str, str]
    news: tuple[News, ...]
    health: Health


class Stream:
    """The live candles of symbols, kept up until it is stopped.

    It is an async context manager: connections live inside it, and are closed within a second at
    its end or when it is cancelled.

    Args:
        name: The source's name, for messages.
        make: Gives a format for one more connection, such as `partial(source.stream, timeframe)`.
        symbols: What is asked for, in the source's own names.
        timeframe: The timeframe of the candles.
        timer: Its time.
        limits: Its guards.
        generator: Draws the jitter of waits.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], StreamFormat],
        symbols: Sequence[str],
        timeframe: Timeframe,
        *,
        timer: Timer | None = None,
        limits: Limits | None = None,
        generator: random.Random | None = None,
    ) -> None:
        self._name = name
        self._timer = timer or PresentTimer()
        self._limits = limits or Limits()
        traits = make().traits
        shares, rest = shares_of(symbols, traits)
        grace = self._limits.grace
        self._bars = Bars(
            timeframe, traits.closing, grace=grace, is_gapless=traits.emits_empty_bars
        )
        self._minutes = Minutes(timeframe, grace=grace)
        self._meter = Meter(timeframe.micros)
        self._silences = [Silence(timeframe.micros / 1e6, self._limits.silent_bars) for _ in shares]
        self._timeframe = timeframe
        self._is_of_trades = traits.closing is Closing.TRADES
        gate = Gate(*traits.opening)
        self._shares = shares
        self._lines = [
            Line(
                make,
                share,
                timer=self._timer,
                limits=self._limits,
                silence=silence,
                gate=gate,
                # Jitter guards nothing.
                generator=generator or random.Random(),  # noqa: S311
                listener=self,
            )
            for share, silence in zip(shares, self._silences, strict=True)
        ]
        self._tasks: list[asyncio.Task[Ending]] = []
        self._waiting: dict[tuple[str, int], Bar] = {}
        self._new: set[str] = {symbol for share in shares for symbol in share}
        """Symbols that are served anew and have not been told of."""
        self._met: set[str] = set()
        """Symbols that were served before."""
        self._served: set[str] = set()
        self._reconnected: set[str] = set()
        self._doubtful: dict[str, str] = {}
        self._news: deque[News] = deque(maxlen=_NEWS)
        self._kept = 0
        self._heard: Counter[int] = Counter()
        """How many symbols have given a bar, by its open."""
        self._is_whole = asyncio.Event()
        """Set once every symbol that is served has the same bar."""
        self._stirred = asyncio.Event()
        self._stopping = asyncio.Event()
        if rest:
            self._doubt(rest, "the vendor allows no more connections")
            self._tell(NewsKind.REFUSED, rest, "the vendor allows no more connections")

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(line.run()) for line in self._lines]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def health(self) -> Health:
        """How the stream is now."""
        silent = (symbol for silence in self._silences for symbol in silence.silent)
        connections = sum(not self._served.isdisjoint(share) for share in self._shares)
        return self._meter.health(self._bars.counts, silent, connections)

    def stop(self) -> None:
        """Let `batches` give what is there, and end. It may be called from a signal handler."""
        self._stopping.set()

    async def batches(self) -> AsyncIterator[Batch]:
        """Give what comes, until the stream is stopped or its time is over.

        A batch follows when there is something to say, and else every `limits.pulse` seconds. The
        last one has all that came.

        Raises:
            SourceError: Another attempt cannot help: the address is wrong, or every symbol is
                refused. What came before has been given.
        """
        begun_at = self._timer.seconds()
        while True:
            ending = self._ending()
            if ending is not None or self._stopping.is_set() or not self._pulse(begun_at):
                break
            await self._stir(self._stirred, self._pulse(begun_at))
            await self._gather()
            self._look()
            yield self._batch()
        self._look()
        yield self._batch()
        if ending is not None:
            raise SourceError(
                f"source {self._name}: the stream of {self._timeframe} candles has ended: "
                f"{ending.words}; the schedule of updates over REST goes on",
                permanent=True,
            )

    # What the lines say: see `listener.Listener` -------------------------------------------------

    def count_frame(self) -> None:
        """See `Listener.count_frame`."""
        self._meter.counts["frames"] += 1

    def hear(self, event: Candle | Trade | Beat, now: int) -> None:
        """See `Listener.hear`."""
        match event:
            case Candle():
                self._take([event], now)
            case Trade():
                self._take(self._minutes.trade(event, now), now)
            case Beat() if self._is_of_trades:
                self._take(self._minutes.beat(event, now), now)

    def accept(self, symbols: Collection[str], now: int) -> None:
        """See `Listener.accept`."""
        new = [symbol for symbol in symbols if symbol in self._new]
        if not new:
            return
        again = [symbol for symbol in new if symbol in self._met]
        self._new.difference_update(new)
        self._met.update(new)
        self._served.update(new)
        self._reconnected.update(new)
        self._meter.connect(new, now)
        for symbol in new:
            self._meter.refused.pop(symbol, None)
        kind = NewsKind.RECONNECTED if again else NewsKind.CONNECTED
        self._tell(kind, new, "served")

    def refuse(self, symbols: Collection[str], words: str, *, permanent: bool) -> None:
        """See `Listener.refuse`."""
        words = printable(words[:_WORDS])
        self._meter.refused |= dict.fromkeys(symbols, words)
        self._new.update(symbols)
        self._doubt(symbols, f"the vendor refuses it: {words}")
        suffix = "" if permanent else "; it is asked again"
        self._tell(NewsKind.REFUSED, symbols, f"{words}{suffix}")

    def complain(self, words: str, symbols: Collection[str] = ()) -> None:
        """See `Listener.complain`."""
        self._meter.counts["faults"] += 1
        self._bars.distrust_unfinished(symbols)
        self._doubt(symbols, "a frame could not be read")
        self._tell(NewsKind.FAULT, (), words)

    def fall_silent(self, symbols: Collection[str]) -> None:
        """See `Listener.fall_silent`."""
        self._doubt(symbols, "no candle has come for several bars")
        self._tell(NewsKind.SILENT, symbols, "there are frames, but no candle")

    def break_silence(self, symbol: str) -> None:
        """See `Listener.break_silence`."""
        self._doubt([symbol], "candles come again after a silence")

    def warn(self, words: str) -> None:
        """See `Listener.warn`."""
        self._tell(NewsKind.REPLACING, (), words)

    def hand_over(self, symbols: Collection[str]) -> None:
        """See `Listener.hand_over`."""
        self._meter.counts["hand_overs"] += 1
        self._tell(NewsKind.HANDED_OVER, symbols, "another connection was ready before")

    def lose(self, symbols: Collection[str], ending: Ending) -> None:
        """See `Listener.lose`."""
        if not ending.is_final:
            self._meter.counts["reconnects"] += 1
        self._bars.forget_unfinished(symbols)
        self._new.update(symbols)
        self._served.difference_update(symbols)
        self._tell(NewsKind.LOST, symbols, ending.words)

    # Within --------------------------------------------------------------------------------------

    async def _stir(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for an event, for so many seconds at most, or until a line or the stream ends."""
        waits = [
            asyncio.create_task(wait)
            for wait in (event.wait(), self._stopping.wait(), self._timer.sleep(seconds))
        ]
        running = [task for task in self._tasks if not task.done()]
        try:
            await asyncio.wait([*running, *waits], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _pulse(self, begun_at: float) -> float:
        """The seconds until a batch is given even if nothing comes; 0 once the time is over."""
        total = self._limits.total
        if total is None:
            return self._limits.pulse
        left = begun_at + total.total_seconds() - self._timer.seconds()
        return max(0.0, min(self._limits.pulse, left))

    async def _gather(self) -> None:
        """Wait until a burst is over: the bars of all symbols close at once."""
        until = self._timer.seconds() + self._limits.gather
        while self._waiting and not self._is_whole.is_set() and not self._stopping.is_set():
            kept = self._kept
            left = until - self._timer.seconds()
            if left <= 0 or self._ending() is not None:
                return
            await self._stir(self._is_whole, min(self._limits.lull, left))
            if self._kept == kept:
                return

    def _ending(self) -> Ending | None:
        """Why nothing more can come, None where it can."""
        endings = [task.result() for task in self._tasks if task.done()]
        if len(endings) == len(self._tasks) and endings:
            return endings[-1]
        # What is wrong with one connection but its symbols is wrong with all.
        return next((ending for ending in endings if not ending.is_refusal), None)

    def _take(self, candles: Iterable[Candle], now: int) -> None:
        for candle in candles:
            words = self._bars.fault(candle, now)
            if words is not None:
                self.complain(words)
                continue
            for bar in self._bars.take(candle, now):
                self._keep(bar)

    def _keep(self, bar: Bar) -> None:
        self._meter.count(bar)
        opened = bar.candle.ts
        self._kept += 1
        self._waiting[bar.candle.symbol, opened] = bar
        self._heard[opened] += not bar.is_revision
        if self._heard[opened] >= len(self._served):
            self._is_whole.set()
        if len(self._heard) > _OPENS:
            del self._heard[min(self._heard)]
        if len(self._waiting) > self._limits.buffer:
            symbol, _ = oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            self._meter.counts["dropped"] += 1
            self._doubt([symbol], "its bars were not fetched in time")
        self._stirred.set()

    def _look(self) -> None:
        """Find what should have come by now."""
        now = to_micros(self._timer.now())
        self._take(self._minutes.overdue(now), now)
        self._doubt(self._minutes.lost(), "trades are missing")
        self._doubt(self._bars.lost(), "a bar was missed")
        self._doubt(self._bars.overdue(now), "a bar is over, and nothing says that it is closed")

    def _doubt(self, symbols: Iterable[str], reason: str) -> None:
        self._doubtful |= dict.fromkeys(symbols, reason)

    def _tell(self, kind: NewsKind, symbols: Collection[str], words: str) -> None:
        if symbols:
            words = f"{listed(symbols, 5)}: {words}"
        # Some of the words are a vendor's.
        text = printable(words[:_WORDS])
        self._news.append(News(self._timer.now(), kind, tuple(symbols), text))
        self._stirred.set()

    def _batch(self) -> Batch:
        batch = Batch(
            frame_of(self._waiting.values()),
            frozenset(self._reconnected),
            dict(self._doubtful),
            tuple(self._news),
            self.health,
        )
        self._waiting.clear()
        self._is_whole.clear()
        self._reconnected.clear()
        self._doubtful.clear()
        self._news.clear()
        self._stirred.clear()
        return batch


def frame_of(bars: Iterable[Bar]) -> pl.DataFrame:
    """Closed bars as a frame of BAR_SCHEMA, sorted by symbol and time."""
    rows = [
        (
            *(bar.candle.symbol, from_micros(bar.candle.ts).replace(tzinfo=None)),
            *bar.candle.values,
            *(from_micros(bar.received).replace(tzinfo=None), bar.is_revision),
        )
        for bar in bars
    ]
    return pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row").sort("symbol", "ts")
