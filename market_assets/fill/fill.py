"""The one operation that brings candles in.

It asks the store what is absent, asks the sources for just that, commits and judges. How sources
are asked is in `fetch`, how answers are judged in `judge`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from queue import Empty
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from market_assets.errors import SourceError
from market_assets.expected.series import (
    Series,
    calendar_of,
    count_profile,
    partitions_of,
    prepare,
    series_of,
)
from market_assets.fill.answers import Answer, Page
from market_assets.fill.compare import Comparer
from market_assets.fill.fetch import Fetcher, raise_fault
from market_assets.fill.judge import Judge
from market_assets.fill.recalendar import follow_calendar
from market_assets.fill.terms import Terms
from market_assets.market.gaps import plan_requests
from market_assets.market.partitions import Partition, hull
from market_assets.market.timeframes import Timeframe, Window, literal
from market_assets.plan.repair import resting
from market_assets.sources.contract import brief
from market_assets.sources.transport.horizon import HORIZON_SCHEMA, Horizon
from market_assets.verdicts.evidence import State
from market_assets.verdicts.ledger import LEDGER_SCHEMA, askable
from market_assets.verdicts.stretches import as_stretches, within
from market_assets.work.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from datetime import datetime
    from queue import SimpleQueue

    from market_assets.config.universe import Profile
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.sources.contract import Source
    from market_assets.store import Snapshot, Store, Transaction
    from market_assets.work.outcome import PartitionOutcome

log = logging.getLogger("market_assets.fill")

_CHUNK_BARS = 250_000
"""Bars of all symbols that are planned at once.

Two such chunks are in memory, however long the window is.
"""

_COMMIT_EVERY = 2.0
"""Seconds after which whole partitions are committed although more of their chunk is under way.

DuckDB rewrites what it has of a row group at each commit, so that many small commits cost more time
and room than the candles.
"""

_COMMIT_BARS = 250_000
"""Bars of all symbols that one transaction takes at most.

A reader waits for tenths of a second then.
"""

_AROUND = timedelta(days=7)
"""Longer than any market stays closed: within it after a series' start there is a bar."""


@dataclass
class _Chunk:
    """Some partitions, the pages that they need, and the queue of the answers."""

    partitions: list[Partition]
    pages: list[Page]
    answers: SimpleQueue[Answer | BaseException]


class Fill:
    """One fill of a profile's timeframe over a window, to be iterated once.

    It yields a PartitionOutcome as soon as that partition is committed, oldest first unless
    `newest_first`. Closing the iterator early keeps what was committed; the next fill does the
    rest. Two fills may run at once.

    Args:
        store: Where candles and ledgers are kept.
        sources: The sources that the profile names, by name.
        profile: What to keep.
        timeframe: A fetched timeframe of the profile.
        window: Which partitions: all that overlap it, as far as the profile and the present reach.
        clock: Gives the present instant; asked once, so that one fill has one present.
        symbols: Ask only for these; None for all. Every symbol of the profile is judged all the
            same.
        newest_first: Newest partition first.
        refetch: Ask also for what is stored or explained, to find revisions and a moved genesis.
        only_due: Leave out gaps that were asked for and whose waiting time is not over, and symbols
            that no source has ever had.
        recheck: Ask also for so many of the newest closed bars, whatever is known of them, to find
            late rows and revisions.
        max_fills: At most so many requests, of each chunk's pages the newest; None for no limit.
        max_time: After this nothing more is asked; the answers until then are kept.
        run_id: Names the caller's run in `ops.jobs`.
        trigger: How it came about: manual, backfill, update, repair, automation.
    """

    def __init__(
        self,
        store: Store,
        sources: Mapping[str, Source],
        profile: Profile,
        timeframe: Timeframe,
        window: Window,
        *,
        clock: Callable[[], datetime],
        symbols: Sequence[str] | None = None,
        newest_first: bool = False,
        refetch: bool = False,
        only_due: bool = False,
        recheck: int = 0,
        max_fills: int | None = None,
        max_time: timedelta | None = None,
        run_id: str | None = None,
        trigger: str = "manual",
    ) -> None:
        self._store = store
        self._profile = profile
        self._timeframe = timeframe
        self._dataset = profile.candles(timeframe)
        self._now = clock()
        self._series = series_of(profile, self._now)
        self._asked = [
            self._served(series, sources) for series in series_of(profile, self._now, symbols)
        ]
        names = {reference.source for series in self._asked for reference in series.sources}
        if profile.compares:
            names |= {
                choice.source
                for series in self._asked
                for choice in profile.symbols[series.symbol].compared
            }
        self._sources = {name: sources[name] for name in names}
        self._calendar: SessionCalendar = calendar_of(profile)
        self._brief_sources()
        self._quiet = any(not source.traits.emits_empty_bars for source in sources.values())
        self._newest_first = newest_first
        self._refetch = refetch
        self._only_due = only_due
        self._recheck = recheck
        self._fills_left = max_fills
        self._max_time = max_time
        self._run_id = run_id
        self._trigger = trigger
        self._job: Job | None = None
        self._newest: datetime | None = None
        self._noted: list[Horizon] = []
        self.partitions = partitions_of(profile, timeframe, self._asked, window)
        if newest_first:
            self.partitions.reverse()

    def _brief_sources(self) -> None:
        """Say to each source which market and which symbols it will be asked about."""
        for name, source in self._sources.items():
            choices = [
                choice
                for series in self._asked
                for choice in self._profile.symbols[series.symbol].choices
            ]
            brief(
                source,
                self._calendar,
                {choice.symbol for choice in choices if choice.source == name},
            )

    def _served(self, series: Series, sources: Mapping[str, Source]) -> Series:
        """A series with those of its sources that have the timeframe."""
        kind = self._profile.kind.value.lower()
        served = [
            reference
            for reference in series.sources
            if self._timeframe in sources[reference.source].traits.timeframes_for(kind)
        ]
        if not served:
            names = ", ".join(reference.source for reference in series.sources)
            raise SourceError(
                f"{self._profile.name} {series.symbol}: "
                f"none of its sources ({names}) has {self._timeframe}; "
                "name one that has, or fetch another timeframe",
                permanent=True,
            )
        return replace(series, sources=tuple(served))

    def __iter__(self) -> Generator[PartitionOutcome]:
        with closing(self.batches()) as batches:
            for batch in batches:
                yield from batch

    @property
    def audit(self) -> Mapping[str, object]:
        """The fill so far, as its row of `ops.jobs` says it; empty where nothing was due."""
        return {} if self._job is None else self._job.record

    def batches(self) -> Generator[list[PartitionOutcome]]:
        """The outcomes of each commit together, for a caller with work of its own per commit."""
        if not self.partitions:
            return
        # Before the time for asking begins to run.
        follow_calendar(self._store, self._profile, self._now)
        with (
            Job(
                self._store,
                kind="fill",
                profile=self._profile.name,
                timeframe=self._timeframe,
                symbols=[series.symbol for series in self._asked],
                partitions=self.partitions,
                sources=self._sources,
                run_id=self._run_id,
                trigger=self._trigger,
            ) as self._job,
            Fetcher(
                self._sources,
                Terms(
                    self._timeframe,
                    self._calendar,
                    self._now,
                    rules=self._profile.prices,
                    jitter=self._profile.checks.jitter,
                    quiet_bars=self._profile.evidence.quiet_bars(self._timeframe),
                    kind=self._profile.kind.value.lower(),
                ),
                budget=None if self._max_time is None else self._max_time.total_seconds(),
            ) as fetcher,
            closing(self._run(fetcher, self._job)) as outcomes,
        ):
            yield from outcomes

    def _run(self, fetcher: Fetcher, job: Job) -> Generator[list[PartitionOutcome]]:
        genesis = self._find_genesis(fetcher)
        judge = Judge(
            self._profile,
            self._timeframe,
            self._profile.partitions.of(self._timeframe),
            self._calendar,
            self._series,
            known_genesis=genesis,
            quiet=self._quiet,
            refetch=self._refetch,
            now=self._now,
        )
        comparer = None
        if self._profile.compares:
            comparer = Comparer(
                self._store,
                self._sources,
                fetcher,
                profile=self._profile,
                timeframe=self._timeframe,
                calendar=self._calendar,
                series=[
                    symbol_series.since(genesis.get(symbol_series.symbol))
                    for symbol_series in self._asked
                ],
                refetch=self._refetch,
                now=self._now,
            )
        dead = self._dead_symbols() if self._only_due else frozenset()
        series = {
            symbol_series.symbol: symbol_series.since(genesis.get(symbol_series.symbol))
            for symbol_series in self._asked
            if symbol_series.symbol not in dead
        }
        waiting = deque(self._chunks())
        planned: deque[_Chunk] = deque()
        counted = False
        while waiting or planned:
            # One chunk is asked for while the one before it is committed.
            while waiting and len(planned) < 2:
                planned.append(self._plan(fetcher, judge, series, waiting.popleft(), job))
            if not counted:
                # While the first answers are under way: the completeness view is right then,
                # however the fill ends.
                count_profile(self._store, self._profile, self._now)
                counted = True
            for outcomes in self._finish(planned.popleft(), judge, job):
                yield outcomes if comparer is None else comparer.judged(outcomes)
            self._note_horizons(fetcher)

    def _note_horizons(self, fetcher: Fetcher) -> None:
        """Record since when sources serve, as far as this fill has learned it anew."""
        learned = [horizon for horizon in fetcher.horizons() if horizon not in self._noted]
        if not learned:
            return
        self._noted += learned
        rows = [
            (
                horizon.source,
                horizon.symbol,
                str(horizon.timeframe),
                _naive(horizon.start),
                horizon.bars,
                horizon.words,
                _naive(horizon.learned_at),
            )
            for horizon in learned
        ]
        frame = pl.DataFrame(rows, schema=HORIZON_SCHEMA, orient="row")
        with self._store.writing(
            f"noting how far back sources of {self._profile.name} serve"
        ) as transaction:
            transaction.horizons.put(self._profile.name, frame)

    def _chunks(self) -> list[list[Partition]]:
        """The partitions in pieces of about _CHUNK_BARS bars."""
        # Of a week: a Sunday evening or half a day alone would be too few bars.
        most = max(
            len(self._calendar.bars(self._timeframe, partition.window))
            for partition in self.partitions[:7]
        )
        size = max(1, _CHUNK_BARS // max(1, most * len(self._series)))
        return [self.partitions[at : at + size] for at in range(0, len(self.partitions), size)]

    def _find_genesis(self, fetcher: Fetcher) -> dict[str, datetime]:
        """The recorded genesis of each symbol.

        The sources are asked where a series begins that seems to begin late.
        """
        profile, timeframe = self._profile.name, self._timeframe
        with self._store.writing(f"preparing {profile} {timeframe}") as transaction:
            prepare(transaction, self._profile)
            genesis = transaction.genesis.of(self._dataset)
            series = (
                self._asked
                if self._refetch
                else [
                    symbol_series
                    for symbol_series in self._asked
                    if symbol_series.symbol not in genesis
                ]
            )
            stored = (
                transaction.candles.first(
                    self._dataset,
                    [symbol_series.symbol for symbol_series in series],
                )
                if series
                else {}
            )
            looked_for = series if self._refetch else self._headless(transaction, series, stored)
        first_bars = fetcher.earliest(looked_for) if looked_for else {}
        starts = {symbol_series.symbol: symbol_series.window.start for symbol_series in looked_for}
        changed = {
            symbol: (ts, source)
            for symbol, (ts, source) in first_bars.items()
            # A symbol that was there when its series starts needs a record only to correct one.
            if ts != genesis.get(symbol, starts[symbol])
            # Stored bars count more than a search, which looks at few pages; a source that names
            # its first bar is sure.
            and (self._sources[source].traits.earliest_probe or ts <= stored.get(symbol, ts))
        }
        if changed:
            with self._store.writing(
                f"recording the genesis of {', '.join(changed)}"
            ) as transaction:
                for symbol, (ts, source) in changed.items():
                    transaction.genesis.put(self._dataset, symbol, ts, source)
                    self._forget_before(transaction, symbol, ts)
                    genesis[symbol] = ts
        return genesis

    def _headless(
        self, view: Snapshot, series: Sequence[Series], stored: Mapping[str, datetime]
    ) -> list[Series]:
        """The given series whose sources must be asked where they begin.

        These are series without their first bar, as long as nothing says why it is absent and it is
        due to be asked for. For a symbol that no source has, the question ends once one of its bars
        was abandoned or explained.

        Args:
            view: The store.
            series: Of which no genesis is recorded.
            stored: The open of the oldest stored bar of each symbol that has one.
        """
        profile, timeframe = self._profile, self._timeframe
        late = [
            symbol_series
            for symbol_series in series
            if not self._has_head(symbol_series, stored.get(symbol_series.symbol))
        ]
        if not late:
            return []
        ledger = view.gaps.of(
            profile.name,
            timeframe,
            symbols=[symbol_series.symbol for symbol_series in late],
            who=True,
        )
        settled = set(ledger.filter(pl.col("status") != State.OPEN)["symbol"])
        if not self._only_due:
            settled -= set(askable(ledger)["symbol"])
        oldest = ledger.unique("symbol", keep="first", maintain_order=True)
        rests = (
            set(resting(oldest, profile.evidence, profile.repair, self._now)["symbol"])
            if self._only_due
            else set()
        )
        heads = {gap["symbol"]: gap for gap in oldest.iter_rows(named=True)}
        reach = min(partition.window.start for partition in self.partitions)

        def is_due(symbol: str) -> bool:
            first, head = stored.get(symbol), heads.get(symbol)
            if first is None:
                return symbol not in settled | rests
            if head is None or head["first_ts"].replace(tzinfo=UTC) > first:
                # The head was never asked for.
                return reach < first
            if head["status"] == State.OPEN:
                return symbol not in rests
            # A bar younger than the last question about a settled head is one of a new listing.
            asked_at: datetime | None = head["asked_at"]
            return asked_at is None or asked_at.replace(tzinfo=UTC) < first + timeframe.duration

        return [symbol_series for symbol_series in late if is_due(symbol_series.symbol)]

    def _has_head(self, series: Series, first: datetime | None) -> bool:
        """Whether no bar of a series is expected before its oldest stored one."""
        if first is None or first <= series.window.start:
            return first is not None or series.window.empty
        week = Window(series.window.start, min(first, series.window.start + _AROUND))
        return self._calendar.bars(self._timeframe, week).is_empty()

    def _forget_before(self, transaction: Transaction, symbol: str, genesis: datetime) -> None:
        """Remove what was open or explained before a genesis: nothing is expected there."""
        before = Window(min(genesis, *(series.window.start for series in self._series)), genesis)
        transaction.gaps.put(self._dataset, [symbol], before, LEDGER_SCHEMA.to_frame())
        older = (pl.col("symbol") == symbol) & (pl.col("partition") <= genesis.date().isoformat())
        counts = transaction.partitions.counts(self._dataset).filter(older)
        nothing = (pl.lit(0).alias(name) for name in ("expected", "stored", "explained", "missing"))
        transaction.partitions.put(self._dataset, counts.drop("judged_at").with_columns(*nothing))

    def _dead_symbols(self) -> frozenset[str]:
        """The symbols that no source has: asking for each new bar of them would never end."""
        profile, timeframe = self._profile.name, self._timeframe
        with self._store.reading(f"looking for dead symbols of {profile} {timeframe}") as view:
            return frozenset(view.gaps.dead_symbols(self._dataset))

    def _plan(
        self,
        fetcher: Fetcher,
        judge: Judge,
        series: Mapping[str, Series],
        partitions: list[Partition],
        job: Job,
    ) -> _Chunk:
        """Find what is absent from a chunk, and start to ask for it."""
        window = hull(partitions)
        with self._store.reading(
            f"planning {self._profile.name} {self._timeframe} {window}"
        ) as view:
            states = self._marked(judge.classified(view, window), view, window)
        job.missing_before |= judge.missing(states)
        grid = self._calendar.bars(self._timeframe, window)
        is_closed = pl.col("closes_at") <= literal(self._now)
        closed, unfinished = grid.filter(is_closed)["ts"], grid.filter(~is_closed)["ts"]
        pages: list[Page] = []
        for (symbol,), symbol_states in states.partition_by("symbol", as_dict=True).items():
            symbol_series = series.get(str(symbol))
            if symbol_series is None:
                continue
            wanted = symbol_states["ts"].filter(symbol_states["wanted"])
            if wanted.is_empty():
                continue
            page_size = self._sources[symbol_series.sources[0].source].traits.page_size
            stretches = plan_requests(
                wanted, self._timeframe, page_size, newest_first=self._newest_first
            )
            parts = (_cut(opens, stretches) for opens in (wanted, closed, unfinished))
            pages += [
                Page(
                    symbol_series.symbol,
                    symbol_series.sources,
                    stretch,
                    wanted=own_wanted,
                    bars=bars.to_frame(),
                    unfinished=still_open,
                    apart=symbol_series.apart,
                )
                for stretch, own_wanted, bars, still_open in zip(stretches, *parts, strict=True)
            ]
        pages.sort(key=lambda page: page.window.start, reverse=self._newest_first)
        if self._fills_left is not None:
            pages = pages[: self._fills_left]
            self._fills_left -= len(pages)
        return _Chunk(partitions, pages, fetcher.submit(pages))

    def _marked(self, states: pl.DataFrame, view: Snapshot, window: Window) -> pl.DataFrame:
        """The states of a window's bars with the mark `wanted`: which of them to ask for."""
        if self._refetch:
            return states.with_columns(wanted=pl.lit(value=True))
        wanted = pl.col("state") == State.OPEN
        if self._only_due:
            profile = self._profile
            ledger = view.gaps.of(profile.name, self._timeframe, window=window)
            rests = resting(ledger, profile.evidence, profile.repair, self._now)
            states = within(states, as_stretches(rests, "due_at"))
            wanted &= pl.col("due_at").is_null()
        elif (states["state"] == State.ABANDONED).any():
            again = askable(
                view.gaps.of(self._profile.name, self._timeframe, window=window, who=True)
            )
            states = within(states, as_stretches(again, again=pl.lit(value=True)))
            wanted |= pl.col("again").fill_null(value=False) & (pl.col("state") == State.ABANDONED)
        if self._recheck:
            newest = self._calendar.bars(self._timeframe, self._since(self._recheck)).filter(
                pl.col("closes_at") <= literal(self._now)
            )
            recent = newest["ts"].tail(self._recheck)
            wanted |= (pl.col("state") != State.HALTED) & pl.col("ts").is_in(recent.implode())
        return states.with_columns(wanted=wanted)

    def _since(self, bars: int) -> Window:
        """A stretch up to the present that holds so many bars."""
        return Window(self._now - bars * self._timeframe.duration * 2 - _AROUND, self._now)

    def _finish(self, chunk: _Chunk, judge: Judge, job: Job) -> Iterator[list[PartitionOutcome]]:
        """Commit the partitions of a chunk, each when the pages that touch it are answered."""
        touching = {
            p.key: sum(1 for page in chunk.pages if page.window.intersect(p.window))
            for p in chunk.partitions
        }
        answered: list[Answer] = []
        outstanding = len(chunk.pages)
        todo = deque(chunk.partitions)
        while todo:
            due = time.monotonic() + _COMMIT_EVERY
            while outstanding:
                waits = None if touching[todo[0].key] else max(0.0, due - time.monotonic())
                try:
                    answer = chunk.answers.get(timeout=waits)
                except Empty:
                    break
                if isinstance(answer, BaseException):
                    raise_fault(answer)
                answered.append(answer)
                self._newest = max(filter(None, (self._newest, answer.newest)), default=None)
                outstanding -= 1
                for partition in chunk.partitions:
                    if answer.page.window.intersect(partition.window):
                        touching[partition.key] -= 1
            batch = [todo.popleft()]
            bars = self._bars_in(batch[0])
            while (
                todo and not touching[todo[0].key] and bars + self._bars_in(todo[0]) <= _COMMIT_BARS
            ):
                batch.append(todo.popleft())
                bars += self._bars_in(batch[-1])
            yield self._commit(batch, answered, judge, job)
            left = todo[0].window if todo else None
            if left is not None:
                answered = [a for a in answered if self._still_needed(a.page.window, left)]

    def _bars_in(self, partition: Partition) -> int:
        return len(self._series) * int(
            (partition.window.end - partition.window.start) / self._timeframe.duration
        )

    def _still_needed(self, page: Window, next_partition: Window) -> bool:
        return (
            page.start < next_partition.end
            if self._newest_first
            else page.end > next_partition.start
        )

    def _commit(
        self, batch: list[Partition], answered: Sequence[Answer], judge: Judge, job: Job
    ) -> list[PartitionOutcome]:
        window = hull(batch)
        answers = [answer for answer in answered if answer.page.window.intersect(window)]
        with self._store.writing(
            f"filling {self._profile.name} {self._timeframe} {window}"
        ) as transaction:
            outcomes = judge.commit(transaction, batch, answers, newest=self._newest)
            job.count(outcomes, transaction)
        return outcomes


def _naive(instant: datetime) -> datetime:
    """An instant as the store holds it: UTC, without a zone."""
    return instant.astimezone(UTC).replace(tzinfo=None)


def _cut(opens: pl.Series, windows: Sequence[Window]) -> list[pl.Series]:
    """The parts of a sorted series of opens that lie in some windows."""
    edges = np.searchsorted(opens.to_physical().to_numpy(), [window.micros for window in windows])
    return [opens.slice(int(first), int(after - first)) for first, after in edges]
