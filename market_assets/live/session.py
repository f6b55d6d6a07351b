"""A profile that is streamed: bars are stored as they close, and REST is asked for the rest.

A stream proves that a bar is there, and never that one is absent. So whenever a symbol is connected
anew, its bars wait while REST is asked for what may have been missed, and an answer for what was
stored before is compared with it. The schedule of updates goes on beside it.

Connections stand in `market_assets/stream`, what becomes of bars in `market_assets/fill/streamed`.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import SourceError, StoreBusyError
from market_assets.expected.counts import count_profile
from market_assets.fill.memory import Memory
from market_assets.fill.streamed import Streamed, StreamedFill
from market_assets.live.catch_up import CatchUp
from market_assets.live.choice import choose
from market_assets.live.claim import claimed
from market_assets.live.pump import Gathered, Pump, fault_words
from market_assets.live.report import StreamReport
from market_assets.live.update import follow_profile
from market_assets.market.timeframes import TS, Window, from_micros
from market_assets.market.timer import PresentTimer
from market_assets.store.database import naive, newest_opens
from market_assets.store.tables.streams import STATE_SCHEMA, STREAM_SCHEMA, StreamState
from market_assets.stream.health import Health, Quantiles
from market_assets.stream.limits import Limits
from market_assets.stream.stream import NewsKind, Stream
from market_assets.words import listed, many
from market_assets.work.run import Run, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from market_assets.config.universe import Profile, Universe
    from market_assets.live.catch_up import Build, CaughtUp
    from market_assets.live.update import Updated
    from market_assets.market.timeframes import Timeframe
    from market_assets.market.timer import Timer
    from market_assets.store import Store, Transaction
    from market_assets.work.outcome import PartitionOutcome

log = logging.getLogger("market_assets.live")

_LAST_TRIES = 3
"""How often the last bars are tried to be stored while the store is busy."""

_LOOK = 0.5
"""Real seconds between two looks at what is due, while nothing comes."""

_PATIENCE = timedelta(seconds=3)
"""How long a commit waits for the store before the bars go back to the buffer."""

_NOTE_EVERY = timedelta(seconds=10)
"""How often `ops.streams` is written while no bar is stored."""

_STATES = {
    NewsKind.CONNECTED: StreamState.LIVE,
    NewsKind.RECONNECTED: StreamState.LIVE,
    NewsKind.LOST: StreamState.LOST,
}
"""What the symbols of such news are from then on."""

_AGAIN = timedelta(seconds=30)
_AGAIN_CAP = timedelta(minutes=5)
"""The wait before REST is asked once more for bars that it did not give, and the longest one."""


@dataclass(frozen=True)
class StreamOptions:
    """How a session differs from what its profile says.

    Attributes:
        timeframe: Which fetched timeframe; None is the shortest.
        symbols: Only these; empty is all.
        total: After so long it ends; None is the profile's `stream.total_timeout`.
    """

    timeframe: Timeframe | None = None
    symbols: Sequence[str] = ()
    total: timedelta | None = None


def stream_profile(
    store: Store,
    build: Build,
    universe: Universe,
    profile: Profile,
    *,
    options: StreamOptions | None = None,
    timer: Timer | None = None,
    stop: threading.Event | None = None,
    run: Run | None = None,
) -> Iterator[StreamReport]:
    """Stream a profile until its time is over or it is stopped.

    One symbol or source that fails leaves the others alone. Closing the iterator keeps what was
    stored; setting `stop` stores what waits, too, and ends within seconds.

    Args:
        store: Where all is kept.
        build: Builds the sources that the profile names anew.
        universe: Which datasets there are.
        profile: Whose candles.
        options: How it differs from what the profile says.
        timer: Its time; waits on threads are real.
        stop: Ends the session once it is set, from any thread or a signal handler.
        run: Who has asked for it.

    Raises:
        SourceError: Nothing of the profile can be streamed, or every stream has ended by itself.
        StreamBusyError: Another session streams the same candles of this home.
        StoreError: The store cannot be written.
    """
    options, timer = options or StreamOptions(), timer or PresentTimer()
    run = run or Run(trigger=Trigger.STREAM)
    dataset = profile.candles(options.timeframe or profile.base_timeframe)
    with claimed(store.path.parent, dataset, run, timer.now()):
        session = Session(
            store,
            build,
            universe,
            profile,
            options=options,
            timer=timer,
            stop=stop or threading.Event(),
            run=run,
        )
        yield from session.reports()


@dataclass
class _Line:
    """How one symbol's stream is: see `StreamReport` and `ops.streams`."""

    source: str
    name: str
    since: datetime
    state: StreamState = StreamState.CONNECTING
    words: str = ""
    connected_at: datetime | None = None
    released_at: datetime | None = None
    last_bar: datetime | None = None
    past: list[tuple[StreamState, str, datetime, datetime]] = field(default_factory=list)
    """States that are over and not written yet, with words, begin and end."""

    @property
    def is_unserved(self) -> bool:
        """Whether no stream will bring a candle of it any more."""
        return self.state in {StreamState.REFUSED, StreamState.FAILED}

    def become(self, state: StreamState, at: datetime, words: str = "") -> None:
        if state != self.state:
            if at > self.since:
                self.past.append((self.state, self.words, naive(self.since), naive(at)))
            self.since = at
        self.state, self.words = state, words


@dataclass
class _Ask:
    """That REST is to be asked for a symbol.

    Attributes:
        due_at: Not before this.
        tries: How often it was asked in vain.
    """

    due_at: datetime
    tries: int = 0


@dataclass
class Session:
    """One session of a profile: see `stream_profile`, whose arguments it has."""

    store: Store
    build: Build
    universe: Universe
    profile: Profile
    _: KW_ONLY
    options: StreamOptions
    timer: Timer
    stop: threading.Event
    run: Run

    def __post_init__(self) -> None:
        self._timeframe = self.options.timeframe or self.profile.base_timeframe
        self._step = self._timeframe.duration
        self._settings = self.profile.stream
        now = self.timer.now()
        sources = self.build()
        self._choice = choose(
            self.profile, self._timeframe, sources, now, tuple(self.options.symbols)
        )
        memory = Memory()
        self._fill = StreamedFill(
            self.store,
            sources,
            self.profile,
            self._timeframe,
            names=self._choice.symbols,
            memory=memory,
        )
        self._lines = {
            symbol: _Line(source, name, now)
            for source, names in self._choice.symbols.items()
            for name, symbol in names.items()
        }
        self._noted_lines = self._lines | {
            symbol: _Line("", symbol, now, StreamState.REST, words)
            for symbol, words in self._choice.rest.items()
        }
        """Also the symbols that no source streams."""
        self._catch_up = CatchUp(
            self.store,
            self.build,
            self.universe,
            self.profile,
            self._timeframe,
            run=self.run,
            stop=self.stop,
            memory=memory,
        )
        self._held: set[str] = set()
        """Symbols whose bars wait until REST was asked."""
        self._asks: dict[str, _Ask] = {}
        self._asked_at = now
        """When that question was put to REST that is under way, or was answered last."""
        self._answered: dict[str, datetime] = {}
        """When REST was asked for a symbol: what came before and waits is older than its answer."""
        self._asking: Future[CaughtUp] | None = None
        self._tries: dict[str, int] = {}
        self._following: Future[Updated] | None = None
        self._followed_at = now
        self._noted_at = now
        self._frames: dict[str, tuple[int, datetime | None]] = {}
        self._health: dict[str, Health] = {}
        self._ended: dict[str, str] = {}
        self._lags = Quantiles()
        self._dropped = 0
        self._dropped_at: datetime | None = None
        self._is_noted = False
        self._late: list[tuple[float, float]] = []
        """Of each bar of the next report, the seconds since its end and since it came."""
        self._waits: list[float] = []
        """The same since the end of bars that have waited for REST."""
        self._is_behind = False
        self._news: list[str] = []
        self._totals = dict.fromkeys(("new", "revised", "rejected", "caught_up"), 0)

    def reports(self) -> Iterator[StreamReport]:
        """Stream, and say at each commit, and at least every ten seconds, how it is."""
        self._begin()
        with (
            ThreadPoolExecutor(2, thread_name_prefix="market-assets-live") as pool,
            Pump(self._streams(), self._settings.buffer) as pump,
        ):
            is_stopped = False
            reported_at = self.timer.now()
            while not pump.is_over:
                gathered = pump.gathered(_LOOK)
                self._hear(gathered)
                if self.stop.is_set() and not is_stopped:
                    is_stopped = True
                    pump.stop()
                    self._catch_up.hurry()
                self._collect()
                if not is_stopped:
                    self._ask(pool, pump)
                outcomes = self._commit(pump)
                self._follow(pool)
                is_due = self.timer.now() - reported_at >= _NOTE_EVERY
                if outcomes or self._news or is_due:
                    reported_at = self.timer.now()
                    yield self._report(pump, outcomes)
            yield self._end(pump)
        if self._ended.keys() >= self._choice.symbols.keys() and not self.stop.is_set():
            raise SourceError("; ".join(self._ended.values()), permanent=True)

    # What the streams say ------------------------------------------------------------------------

    def _begin(self) -> None:
        """Learn where the symbols stand, and take over what was noted of their streams."""
        dataset = self.profile.candles(self._timeframe)
        now = self.timer.now()
        since = Window(now - self._settings.catch_up, now)
        with self.store.reading(f"beginning to stream {dataset}") as view:
            if view.candles.has(dataset):
                opens = view.candles.opens(dataset, list(self._lines), since)
                for symbol, newest in newest_opens(opens).items():
                    self._lines[symbol].last_bar = newest
        if self._choice.rest:
            reasons = dict.fromkeys(self._choice.rest.values())
            names = listed(sorted(self._choice.rest), 5)
            self._news.append(f"left to REST: {names} ({'; '.join(reasons)})")

    def _streams(self) -> dict[str, Stream]:
        settings = self._settings
        limits = Limits(
            silent_bars=settings.silent_bars,
            buffer=settings.buffer,
            idle=None if settings.idle is None else settings.idle.total_seconds(),
            total=self.options.total or settings.total_timeout,
        )
        return {
            source: Stream(
                source,
                self._choice.makers[source],
                list(names),
                self._timeframe,
                timer=self.timer,
                limits=limits,
            )
            for source, names in self._choice.symbols.items()
        }

    def _hear(self, gathered: Mapping[str, Gathered]) -> None:
        """Take in what the streams have said beside bars."""
        now = self.timer.now()
        settled = now + self.profile.update.settle
        for source, report in gathered.items():
            names = self._choice.symbols[source]
            health = self._health[source] = report.health
            before, at = self._frames.get(source, (0, None))
            self._frames[source] = (health.frames, now if health.frames > before else at)

            for name in report.reconnected:
                symbol = names[name]
                self._lines[symbol].connected_at = now
                self._lines[symbol].released_at = None
                self._held.add(symbol)
                self._asks[symbol] = _Ask(now)
            for name in report.doubtful:
                # What has closed this moment REST has after a while only.
                self._asks.setdefault(names[name], _Ask(settled))
            # In their order: a connection may break and be there again within one look.
            for news in report.news:
                for name in news.symbols if news.kind in _STATES else ():
                    state = _STATES[news.kind]
                    reason = news.words if state is StreamState.LOST else ""
                    self._lines[names[name]].become(state, news.at, self.universe.redact(reason))
                words = self.universe.redact(news.words)
                self._news.append(f"{source} {news.kind.value}: {words}")
            self._judge_lines(source, health, now)
            if report.fault is not None:
                self._end_source(source, report.fault, now)

    def _judge_lines(self, source: str, health: Health, now: datetime) -> None:
        """Say of each symbol of a source whether it is silent or refused."""
        for name, symbol in self._choice.symbols[source].items():
            line = self._lines[symbol]
            if name in health.refused:
                if line.state != StreamState.REFUSED:
                    self._asks.setdefault(symbol, _Ask(now))
                words = self.universe.redact(health.refused[name])
                line.become(StreamState.REFUSED, now, words)
            elif name in health.silent and line.state == StreamState.LIVE:
                line.become(StreamState.SILENT, now, "there are frames, but no candle of it")
            elif name not in health.silent and line.state == StreamState.SILENT:
                line.become(StreamState.LIVE, now)

    def _end_source(self, source: str, fault: Exception, now: datetime) -> None:
        words = self._ended[source] = self.universe.redact(fault_words(fault))
        log.warning("%s", words)
        self._news.append(words)
        for symbol in self._choice.symbols[source].values():
            self._lines[symbol].become(StreamState.FAILED, now, words)
            self._asks.setdefault(symbol, _Ask(now))

    # Storing -------------------------------------------------------------------------------------

    def _commit(self, pump: Pump, *, is_last: bool = False) -> list[PartitionOutcome]:
        """Store the bars that wait for nothing."""
        held: dict[str, set[str]] = {}
        for symbol in () if is_last else self._held:
            line = self._lines[symbol]
            held.setdefault(line.source, set()).add(line.name)
        parts = pump.take(held)
        now = self.timer.now()
        self._count_dropped(pump, now)
        if not parts:
            if now - self._noted_at >= _NOTE_EVERY:
                self._note_alone()
            return []

        fresh, stale = self._parted(parts)
        try:
            outcomes = self._fill.commit(
                fresh,
                now - self.profile.update.settle,
                stale=stale,
                patience=_PATIENCE,
                note=lambda transaction: self._note(transaction, parts),
            )
        except StoreBusyError as error:
            pump.give_back(parts)
            self._news.append(f"{sum(len(part.bars) for part in parts)} bars wait: {error}")
            return []
        except BaseException:
            pump.give_back(parts)
            raise
        self._forget_past()
        for symbol, words in self._fill.unusable.items():
            self._asks.setdefault(symbol, _Ask(now))
            self._news.append(words)
        for symbol in self._fill.overtaken:
            self._asks.setdefault(symbol, _Ask(now))
        self._count(parts, self.timer.now())
        for name in ("new", "revised", "rejected"):
            self._totals[name] += sum(getattr(outcome, name) for outcome in outcomes)
        self._is_behind |= any(outcome.new or outcome.revised for outcome in outcomes)
        return outcomes

    def _count_dropped(self, pump: Pump, now: datetime) -> None:
        dropped = pump.dropped + sum(health.dropped for health in self._health.values())
        if dropped > self._dropped:
            self._dropped, self._dropped_at = dropped, now

    def _parted(self, parts: Sequence[Streamed]) -> tuple[list[Streamed], list[Streamed]]:
        """The bars that came after REST was asked for their symbols, and those that came before."""
        if not self._answered:
            return [*parts], []
        fresh: list[Streamed] = []
        stale: list[Streamed] = []
        for part in parts:
            names = self._choice.symbols[part.source]
            asked = {
                name: naive(self._answered[symbol])
                for name, symbol in names.items()
                if symbol in self._answered
            }
            asked_at = pl.col("symbol").replace_strict(asked, default=None, return_dtype=TS)
            is_stale = (pl.col("received_at") < asked_at).fill_null(value=False)
            fresh.append(Streamed(part.source, part.bars.filter(~is_stale)))
            stale.append(Streamed(part.source, part.bars.filter(is_stale)))
        return _filled(fresh), _filled(stale)

    def _count(self, parts: Sequence[Streamed], now: datetime) -> None:
        """Measure how late bars were stored that have ended while they were streamed."""
        for part in parts:
            names = self._choice.symbols[part.source]
            instants = pl.col("ts", "received_at").to_physical()
            rows = part.bars.select("symbol", instants, "is_revision")
            for name, ts, received, is_revision in rows.iter_rows():
                line = self._lines[names[name]]
                opened = from_micros(ts)
                end = opened + self._step
                if line.last_bar is not None and opened <= line.last_bar:
                    continue
                line.last_bar = opened
                if not is_revision and line.connected_at is not None and end >= line.connected_at:
                    lag = (now - end).total_seconds()
                    self._lags.add(lag)
                    if line.released_at is None or end < line.released_at:
                        self._waits.append(lag)
                    else:
                        self._late.append((lag, (now - from_micros(received)).total_seconds()))

    def _note_alone(self) -> None:
        """Write how the streams are, without a bar; a busy store is no fault."""
        self._noted_at = self.timer.now()
        try:
            purpose = f"noting how streams of {self.profile.name} are"
            with self.store.writing(purpose, patience=_PATIENCE) as transaction:
                self._note(transaction)
            self._forget_past()
        except StoreBusyError as error:
            log.info("%s", error)

    def _forget_past(self) -> None:
        """What was noted of the past is committed."""
        self._is_noted = True
        for line in self._noted_lines.values():
            line.past.clear()

    def _note(self, transaction: Transaction, parts: Sequence[Streamed] = ()) -> None:
        """Write how the streams are, with the bars that are stored in the same transaction."""
        now = self._noted_at = self.timer.now()
        newest: dict[str, datetime] = {}
        for part in parts:
            names = self._choice.symbols[part.source]
            newest |= {names[name]: ts for name, ts in newest_opens(part.bars).items()}

        def stored(instant: datetime | None) -> datetime | None:
            return None if instant is None else naive(instant)

        def row(symbol: str, line: _Line) -> tuple[object, ...]:
            last_bar = max(filter(None, (line.last_bar, newest.get(symbol))), default=None)
            _, framed_at = self._frames.get(line.source, (0, None))
            reconnects = self._health.get(line.source, Health()).reconnects
            return (
                *(self.profile.name, str(self._timeframe), symbol, line.source),
                *(line.state, line.words, naive(line.since), stored(line.connected_at)),
                *(stored(last_bar), stored(framed_at), reconnects, naive(now)),
                *(lag_p50, lag_p99, self._dropped, stored(self._dropped_at)),
            )

        lag_p50, lag_p99 = self._lags.at(0.5), self._lags.at(0.99)
        if not self._is_noted:
            dataset = self.profile.candles(self._timeframe)
            transaction.streams.retire(dataset, self._noted_lines, now)
        rows = [row(symbol, line) for symbol, line in self._noted_lines.items()]
        past = [
            (self.profile.name, str(self._timeframe), symbol, line.source, *state)
            for symbol, line in self._noted_lines.items()
            for state in line.past
        ]
        transaction.streams.put(
            pl.DataFrame(rows, schema=STREAM_SCHEMA, orient="row"),
            pl.DataFrame(past, schema=STATE_SCHEMA, orient="row"),
        )

    # Asking REST ---------------------------------------------------------------------------------

    def _ask(self, pool: ThreadPoolExecutor, pump: Pump) -> None:
        """Begin to ask REST for the symbols for which that is due, all at once."""
        now = self.timer.now()
        due = frozenset(symbol for symbol, ask in self._asks.items() if ask.due_at <= now)
        if not due or self._asking is not None:
            return
        self._tries = {symbol: self._asks.pop(symbol).tries for symbol in due}
        last_bars = {symbol: self._lines[symbol].last_bar for symbol in due}
        self._asked_at = now
        self._asking = pool.submit(self._catch_up.ask, last_bars, now)
        self._asking.add_done_callback(lambda _: pump.wake())

        # A bar that closed just before a symbol was served is in no stream, and not settled yet.
        settle = self.profile.update.settle
        is_unsettled = now - settle < _floor(now, self._step)
        for symbol in due & self._held if is_unsettled else ():
            self._asks[symbol] = _Ask(now + settle)

    def _collect(self) -> None:
        """Take in what REST has given, and release the bars that have waited for it."""
        if self._asking is not None and self._asking.done():
            asked, self._asking = self._asking.result(), None
            now = self.timer.now()
            self._answered |= dict.fromkeys(asked.symbols, self._asked_at)
            for symbol, newest in asked.newest.items():
                line = self._lines[symbol]
                line.last_bar = max(newest, line.last_bar or newest)
            # Those that were served anew once more meanwhile have to wait for the next answer.
            released = (self._held & asked.symbols) - {
                symbol for symbol, ask in self._asks.items() if ask.due_at <= now
            }
            self._held -= released
            for symbol in released:
                self._lines[symbol].released_at = now
            for symbol in asked.lacking:
                tries = self._tries.get(symbol, 0)
                wait = min(_AGAIN * 2**tries, _AGAIN_CAP)
                self._asks.setdefault(symbol, _Ask(now + wait, tries + 1))
            unserved = {symbol for symbol in asked.symbols if self._lines[symbol].is_unserved}
            for symbol in unserved:
                # Nothing but REST brings its bars, also where no schedule of updates runs.
                self._asks.setdefault(symbol, _Ask(now + self.profile.update.every))
            self._totals["caught_up"] += asked.new
            self._totals["revised"] += asked.revised
            self._is_behind |= bool(asked.new or asked.revised)
            if asked.new or asked.revised or asked.words:
                words = f"REST gave {many(asked.new, 'bar')} of {listed(sorted(asked.symbols), 5)}"
                words += f", {asked.revised:,} with other values" if asked.revised else ""
                self._news.append(asked.words or words)

    # What follows --------------------------------------------------------------------------------

    def _follow(self, pool: ThreadPoolExecutor) -> None:
        """Have made again what is made of candles, if some have changed and it is time."""
        now = self.timer.now()
        if self._following is not None and self._following.done():
            following, self._following = self._following, None
            fault = following.exception()
            if fault is not None:
                log.warning("what follows from candles could not be made: %s", fault)
                self._is_behind = True
            else:
                self._news += following.result().errors
        is_due = now - self._followed_at >= self._settings.follow
        if self._following is None and self._is_behind and is_due and not self.stop.is_set():
            self._is_behind, self._followed_at = False, now
            self._following = pool.submit(self._made, now)

    def _made(self, now: datetime) -> Updated:
        settled = now - self.profile.update.settle
        count_profile(self.store, self.profile, settled)
        return follow_profile(
            self.store, self.universe, self.profile, now=settled, is_over=self.stop.is_set
        )

    # Reports -------------------------------------------------------------------------------------

    def _end(self, pump: Pump) -> StreamReport:
        """Store what waits, and say for the last time how it is."""
        self._hear(pump.gathered(0))
        now = self.timer.now()
        outcomes: list[PartitionOutcome] = []
        for _ in range(_LAST_TRIES):
            outcomes += self._commit(pump, is_last=True)
            if not pump.waiting:
                break
        for line in self._noted_lines.values():
            if line.state != StreamState.FAILED:
                line.become(StreamState.ENDED, now, "the session is over")
        self._note_alone()
        return replace(self._report(pump, outcomes), is_last=True)

    def _report(self, pump: Pump, outcomes: Sequence[PartitionOutcome]) -> StreamReport:
        news, self._news = self._news, []
        late, self._late = self._late, []
        waits, self._waits = self._waits, []
        lines = self._lines
        return StreamReport(
            at=self.timer.now(),
            timeframe=self._timeframe,
            stored=sum(outcome.new for outcome in outcomes),
            revised=sum(outcome.revised for outcome in outcomes),
            stored_in_all=self._totals["new"],
            revised_in_all=self._totals["revised"],
            rejected_in_all=self._totals["rejected"],
            caught_up=self._totals["caught_up"],
            states={symbol: line.state for symbol, line in lines.items()}
            | dict.fromkeys(self._choice.rest, StreamState.REST),
            words={symbol: line.words for symbol, line in lines.items() if line.words}
            | self._choice.rest,
            last_bar={
                symbol: line.last_bar for symbol, line in lines.items() if line.last_bar is not None
            },
            sources=self._choice.streamed,
            lag_p50=self._lags.at(0.5),
            lag_p99=self._lags.at(0.99),
            lags=tuple(lag for lag, _ in late),
            delays=tuple(delay for _, delay in late),
            waits=tuple(waits),
            reconnects=sum(health.reconnects for health in self._health.values()),
            left_to_rest=self._dropped,
            waiting=pump.waiting,
            outcomes=tuple(outcomes),
            news=tuple(news),
        )


def _filled(parts: Sequence[Streamed]) -> list[Streamed]:
    """Those that hold a bar."""
    return [part for part in parts if not part.bars.is_empty()]


def _floor(instant: datetime, step: timedelta) -> datetime:
    """The last end of a bar of the day."""
    begin = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    return begin + (instant - begin) // step * step
