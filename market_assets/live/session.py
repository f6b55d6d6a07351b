"""A profile that is streamed: bars are stored as they close, and REST is asked for the rest.

A stream proves that a bar is there, and never that one is absent. So whenever a symbol is connected
anew, its bars wait while REST is asked for what may have been missed, and an answer for what was
stored before is compared with it. The schedule of updates goes on beside it.

Connections stand in `market_assets/stream`, what becomes of bars in `market_assets/fill/streamed`.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import SourceError, StoreBusyError
from market_assets.fill.memory import Memory
from market_assets.fill.streamed import Streamed, StreamedFill
from market_assets.live.catch_up import CatchUp
from market_assets.live.choice import choose
from market_assets.live.claim import claimed
from market_assets.live.follow_up import FollowUp
from market_assets.live.lags import Lags
from market_assets.live.pump import Gathered, Pump, fault_words
from market_assets.live.questions import Questions
from market_assets.live.report import StreamReport
from market_assets.live.states import SymbolStreams, stored
from market_assets.market.timeframes import TS, Window
from market_assets.market.timer import PresentTimer
from market_assets.store.database import naive, newest_opens
from market_assets.store.tables.streams import StreamState
from market_assets.stream.limits import Limits
from market_assets.stream.stream import Stream
from market_assets.words import listed, many
from market_assets.work.run import Run, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from market_assets.config.universe import Profile, Universe
    from market_assets.live.catch_up import Build
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

_NOTE_EVERY = 10.0
"""Seconds after which `ops.streams` is written while no bar is stored."""


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
        dataset = self.profile.candles(self._timeframe)
        self._streams = SymbolStreams(dataset, self._choice, now, self.universe.redact)
        catch_up = CatchUp(
            self.store,
            self.build,
            self.universe,
            self.profile,
            self._timeframe,
            run=self.run,
            stop=self.stop,
            memory=memory,
        )
        self._questions = Questions(
            catch_up, self.profile.update, self._timeframe.duration, self.timer
        )
        self._follow_up = FollowUp(
            self.store, self.universe, self.profile, stop=self.stop, timer=self.timer
        )
        self._noted_at = self.timer.seconds()
        self._ended: dict[str, str] = {}
        self._lags = Lags(self._timeframe.duration)
        self._dropped = 0
        self._dropped_at: datetime | None = None
        self._news: list[str] = []
        self._totals = dict.fromkeys(("new", "revised", "rejected", "caught_up"), 0)

    def reports(self) -> Iterator[StreamReport]:
        """Stream, and say at each commit, and at least every ten seconds, how it is."""
        self._begin()
        with (
            ThreadPoolExecutor(2, thread_name_prefix="market-assets-live") as pool,
            Pump(self._sources(), self._settings.buffer) as pump,
        ):
            is_stopped = False
            reported_at = self.timer.seconds()
            while not pump.is_over:
                gathered = pump.gathered(_LOOK)
                self._hear(gathered)
                if self.stop.is_set() and not is_stopped:
                    is_stopped = True
                    pump.stop()
                    self._questions.hurry()
                self._collect()
                if not is_stopped:
                    self._questions.put(pool, self._streams, pump.wake)
                outcomes = self._commit(pump)
                self._news += self._follow_up.step(pool)
                is_due = self.timer.seconds() - reported_at >= _NOTE_EVERY
                if outcomes or self._news or is_due:
                    reported_at = self.timer.seconds()
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
                opens = view.candles.opens(dataset, list(self._streams), since)
                for symbol, newest in newest_opens(opens).items():
                    self._streams[symbol].last_bar = newest
        if self._choice.rest:
            reasons = dict.fromkeys(self._choice.rest.values())
            names = listed(sorted(self._choice.rest), 5)
            self._news.append(f"left to REST: {names} ({'; '.join(reasons)})")

    def _sources(self) -> dict[str, Stream]:
        """The stream of each source."""
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
        for source, report in gathered.items():
            names = self._choice.symbols[source]
            refused = self._streams.hear(source, report, now)
            self._questions.hold(names[name] for name in report.reconnected)
            # What has closed this moment REST has after a while only.
            doubtful = [names[name] for name in report.doubtful]
            self._questions.add(doubtful, self.profile.update.settle)
            self._questions.add(refused)
            for news in report.news:
                words = self.universe.redact(news.words)
                self._news.append(f"{source} {news.kind.value}: {words}")
            if report.fault is not None:
                self._end_source(source, report.fault, now)

    def _end_source(self, source: str, fault: Exception, now: datetime) -> None:
        words = self._ended[source] = self.universe.redact(fault_words(fault))
        log.warning("%s", words)
        self._news.append(words)
        self._questions.add(self._streams.fail(source, now, words))

    def _collect(self) -> None:
        """Take in what REST has given."""
        answer = self._questions.answer(self._streams)
        if answer is None:
            return
        self._totals["caught_up"] += answer.new
        self._totals["revised"] += answer.revised
        self._follow_up.is_behind |= bool(answer.new or answer.revised)
        if answer.new or answer.revised or answer.words:
            words = f"REST gave {many(answer.new, 'bar')} of {listed(sorted(answer.symbols), 5)}"
            words += f", {answer.revised:,} with other values" if answer.revised else ""
            self._news.append(answer.words or words)

    # Storing -------------------------------------------------------------------------------------

    def _commit(self, pump: Pump, *, is_last: bool = False) -> list[PartitionOutcome]:
        """Store the bars that wait for nothing."""
        held = set() if is_last else self._questions.held
        parts = pump.take(self._streams.by_source(held))
        now = self.timer.now()
        self._count_dropped(pump, now)
        if not parts:
            if self.timer.seconds() - self._noted_at >= _NOTE_EVERY:
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
            self._news.append(f"{sum(len(part.bars) for part in parts)} bars wait: {error.reason}")
            return []
        except BaseException:
            pump.give_back(parts)
            raise
        self._streams.forget_past()
        self._news += self._fill.unusable.values()
        self._questions.add([*self._fill.unusable, *self._fill.overtaken])
        stored_at = self.timer.now()
        for part in parts:
            names = self._choice.symbols[part.source]
            self._lags.count(part, names, self._streams, stored_at)
        for name in ("new", "revised", "rejected"):
            self._totals[name] += sum(getattr(outcome, name) for outcome in outcomes)
        self._follow_up.is_behind |= any(outcome.new or outcome.revised for outcome in outcomes)
        return outcomes

    def _count_dropped(self, pump: Pump, now: datetime) -> None:
        dropped = pump.dropped + self._streams.dropped
        if dropped > self._dropped:
            self._dropped, self._dropped_at = dropped, now

    def _parted(self, parts: Sequence[Streamed]) -> tuple[list[Streamed], list[Streamed]]:
        """The bars that came after REST was asked for their symbols, and those that came before."""
        answered = self._questions.answered
        if not answered:
            return [*parts], []
        fresh: list[Streamed] = []
        stale: list[Streamed] = []
        for part in parts:
            names = self._choice.symbols[part.source]
            asked = {
                name: naive(answered[symbol])
                for name, symbol in names.items()
                if symbol in answered
            }
            asked_at = pl.col("symbol").replace_strict(asked, default=None, return_dtype=TS)
            is_stale = (pl.col("received_at") < asked_at).fill_null(value=False)
            fresh.append(Streamed(part.source, part.bars.filter(~is_stale)))
            stale.append(Streamed(part.source, part.bars.filter(is_stale)))
        return _filled(fresh), _filled(stale)

    def _note_alone(self) -> None:
        """Write how the streams are, without a bar; a busy store is no fault."""
        self._noted_at = self.timer.seconds()
        try:
            purpose = f"noting how streams of {self.profile.name} are"
            with self.store.writing(purpose, patience=_PATIENCE) as transaction:
                self._note(transaction)
            self._streams.forget_past()
        except StoreBusyError as error:
            log.info("%s", error)

    def _note(self, transaction: Transaction, parts: Sequence[Streamed] = ()) -> None:
        """Write how the streams are, with the bars that are stored in the same transaction."""
        self._noted_at = self.timer.seconds()
        newest: dict[str, datetime] = {}
        for part in parts:
            names = self._choice.symbols[part.source]
            newest |= {names[name]: ts for name, ts in newest_opens(part.bars).items()}
        of_session = (
            *(self._lags.at(0.5), self._lags.at(0.99)),
            *(self._dropped, stored(self._dropped_at)),
        )
        self._streams.note(transaction, self.timer.now(), newest=newest, of_session=of_session)

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
        self._streams.end(now)
        self._note_alone()
        return replace(self._report(pump, outcomes), is_last=True)

    def _report(self, pump: Pump, outcomes: Sequence[PartitionOutcome]) -> StreamReport:
        news, self._news = self._news, []
        lags, delays, waits = self._lags.taken()
        return StreamReport(
            at=self.timer.now(),
            timeframe=self._timeframe,
            stored=sum(outcome.new for outcome in outcomes),
            revised=sum(outcome.revised for outcome in outcomes),
            stored_in_all=self._totals["new"],
            revised_in_all=self._totals["revised"],
            rejected_in_all=self._totals["rejected"],
            caught_up=self._totals["caught_up"],
            states=self._streams.states | dict.fromkeys(self._choice.rest, StreamState.REST),
            words=self._streams.words | self._choice.rest,
            last_bar=self._streams.last_bars,
            sources=self._choice.streamed,
            lag_p50=self._lags.at(0.5),
            lag_p99=self._lags.at(0.99),
            lags=lags,
            delays=delays,
            waits=waits,
            reconnects=self._streams.reconnects,
            left_to_rest=self._dropped,
            waiting=pump.waiting,
            outcomes=tuple(outcomes),
            news=tuple(news),
        )


def _filled(parts: Sequence[Streamed]) -> list[Streamed]:
    """Those that hold a bar."""
    return [part for part in parts if not part.bars.is_empty()]
