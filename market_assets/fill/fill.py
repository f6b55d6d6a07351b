"""The one operation that brings candles in.

It asks the store what is absent, asks the sources for just that, commits and judges. Which bars
are asked for is in `wanted`, how sources are asked in `fetch`, how answers are judged in `judge`.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, replace
from queue import Empty
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import SourceError
from market_assets.expected.counts import count_profile
from market_assets.fill.calendar_changes import follow_calendar
from market_assets.fill.compare import Comparer
from market_assets.fill.fetch import Fetcher, raise_fault
from market_assets.fill.heads import Heads
from market_assets.fill.judge import Judge
from market_assets.fill.options import USUAL, FillOptions
from market_assets.fill.terms import terms_of
from market_assets.fill.wanted import marked, pages_of
from market_assets.market.partitions import Partition, hull
from market_assets.sources.contract import brief, omits_quiet, use_reserve
from market_assets.sources.transport.horizon import HORIZON_SCHEMA, Horizon
from market_assets.store.database import naive
from market_assets.work.job import target_of
from market_assets.work.run import BY_HAND, Trigger
from market_assets.work.work import Work

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from datetime import datetime
    from queue import SimpleQueue

    from market_assets.expected.scope import Scope
    from market_assets.expected.series import Series
    from market_assets.fill.answers import Answer, Page
    from market_assets.fill.memory import Memory
    from market_assets.market.timeframes import Window
    from market_assets.sources.contract import Source
    from market_assets.store import Store
    from market_assets.work.job import Job
    from market_assets.work.outcome import PartitionOutcome
    from market_assets.work.run import Run

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


_URGENT = frozenset({Trigger.UPDATE, Trigger.REPAIR, Trigger.STREAM})
"""Who may use what sources have in reserve: a backfill of years leaves that to the present."""


@dataclass
class _Chunk:
    """Some partitions, the pages that they need, and the queue of the answers."""

    partitions: list[Partition]
    pages: list[Page]
    answers: SimpleQueue[Answer | BaseException]


class Fill(Work):
    """One fill of a profile's timeframe over a window, to be iterated once.

    It yields a PartitionOutcome as soon as that partition is committed, oldest first unless
    `options.newest_first`. Closing the iterator early keeps what was committed; the next fill does
    the rest. Two fills may run at once.

    Args:
        store: Where candles and ledgers are kept.
        sources: The sources that the profile names, by name.
        scope: What must exist: candles of a fetched timeframe, of all symbols of the profile.
        window: Which partitions: all that overlap it, as far as the scope reaches.
        options: How it differs from one that asks for all that is absent.
        run: Who has asked for it.
        memory: What was judged before, so that what is still so is not judged again.
    """

    kind = "fill"

    def __init__(
        self,
        store: Store,
        sources: Mapping[str, Source],
        scope: Scope,
        window: Window,
        options: FillOptions = USUAL,
        *,
        run: Run = BY_HAND,
        memory: Memory | None = None,
    ) -> None:
        self._scope = scope
        self._memory = memory
        self._fetcher: Fetcher | None = None
        self._is_hurried = False
        self._options = options
        chosen = scope.only(options.symbols)
        self._asked = replace(chosen, series=tuple(_served(chosen, sources)))

        names = {reference.source for series in self._asked.series for reference in series.sources}
        if scope.profile.compares:
            names |= {
                choice.source
                for symbol in self._asked.symbols
                for choice in scope.profile.symbols[symbol].compared
            }
        self._sources = {name: sources[name] for name in names}
        self._brief_sources(is_urgent=run.trigger in _URGENT)
        self._quiet = omits_quiet(sources)
        self._fills_left = options.max_fills
        self._newest: datetime | None = None
        self._noted: list[Horizon] = []

        partitions = self._asked.partitions(window)
        if options.newest_first:
            partitions.reverse()
        super().__init__(store, target_of(self._asked, scope.dataset, partitions), run)

    @property
    def sources(self) -> Mapping[str, Source]:
        """See `Work.sources`."""
        return self._sources

    def hurry(self) -> None:
        """Ask for nothing more, and commit what was had until now; from any thread."""
        self._is_hurried = True
        fetcher = self._fetcher
        if fetcher is not None:
            fetcher.hurry()

    def begin(self) -> None:
        """See `Work.begin`: before the time for asking begins to run."""
        follow_calendar(self._store, self._scope.profile, self.now)

    def commits(self, job: Job) -> Generator[list[PartitionOutcome]]:
        """See `Work.commits`."""
        max_time = self._options.max_time
        with (
            Fetcher(
                self._sources,
                terms_of(self._scope),
                budget=None if max_time is None else max_time.total_seconds(),
            ) as fetcher,
            closing(self._filled(fetcher, job)) as outcomes,
        ):
            self._fetcher = fetcher
            try:
                if self._is_hurried:
                    fetcher.hurry()
                yield from outcomes
            finally:
                self._fetcher = None

    def _brief_sources(self, *, is_urgent: bool) -> None:
        """Say to each source which market and symbols it will be asked about, and whether now."""
        symbols = self._scope.profile.symbols
        choices = [choice for symbol in self._asked.symbols for choice in symbols[symbol].choices]
        for name, source in self._sources.items():
            names = {choice.symbol for choice in choices if choice.source == name}
            brief(source, self._scope.calendar, names)
            if is_urgent:
                use_reserve(source)

    def _filled(self, fetcher: Fetcher, job: Job) -> Generator[list[PartitionOutcome]]:
        options = self._options
        heads = Heads(self._store, self._scope, self._asked, self._sources, options)
        reach = min(partition.window.start for partition in self.partitions)
        genesis = heads.find(fetcher, reach)
        judge = Judge(
            self._scope,
            genesis=genesis,
            quiet=self._quiet,
            refetch=options.refetch,
            memory=self._memory,
        )
        asked = self._asked.since(genesis)
        comparer = None
        if self._scope.profile.compares:
            comparer = Comparer(
                self._store, self._sources, fetcher, scope=asked, refetch=options.refetch
            )
        asked = asked.without(self._dead_symbols() if options.only_due else ())
        waiting = deque(self._chunks())
        planned: deque[_Chunk] = deque()
        counted = False
        while waiting or planned:
            # One chunk is asked for while the one before it is committed.
            while waiting and len(planned) < 2:
                planned.append(self._plan(fetcher, judge, asked, waiting.popleft(), job))
            if not counted:
                # While the first answers are under way: the completeness view is right then,
                # however the fill ends.
                count_profile(self._store, self._scope.profile, self.now)
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
                naive(horizon.start),
                horizon.bars,
                horizon.words,
                naive(horizon.learned_at),
            )
            for horizon in learned
        ]
        frame = pl.DataFrame(rows, schema=HORIZON_SCHEMA, orient="row")
        profile = self._scope.profile.name
        with self._store.writing(f"noting how far back sources of {profile} serve") as transaction:
            transaction.horizons.put(profile, frame)

    def _chunks(self) -> list[list[Partition]]:
        """The partitions in pieces of about _CHUNK_BARS bars."""
        # Of a week: a Sunday evening or half a day alone would be too few bars.
        most = max(len(self._scope.grid(partition.window)) for partition in self.partitions[:7])
        size = max(1, _CHUNK_BARS // max(1, most * len(self._scope.series)))
        return [self.partitions[at : at + size] for at in range(0, len(self.partitions), size)]

    def _dead_symbols(self) -> frozenset[str]:
        """The symbols that no source has: asking for each new bar of them would never end."""
        with self._store.reading(f"looking for dead symbols of {self._scope}") as view:
            return frozenset(view.gaps.dead_symbols(self.dataset))

    def _plan(
        self,
        fetcher: Fetcher,
        judge: Judge,
        asked: Scope,
        partitions: list[Partition],
        job: Job,
    ) -> _Chunk:
        """Find what is absent from a chunk, and start to ask for it."""
        window = hull(partitions)
        with self._store.reading(f"planning {self._scope} {window}") as view:
            states = judge.states(view, window)
            states = marked(view, self._scope, states, window, self._options)
        job.missing_before |= judge.missing(states)

        newest_first = self._options.newest_first
        pages = pages_of(asked, states, window, sources=self._sources, newest_first=newest_first)
        if self._fills_left is not None:
            pages = pages[: self._fills_left]
            self._fills_left -= len(pages)
        return _Chunk(partitions, pages, fetcher.submit(pages))

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
        length = partition.window.end - partition.window.start
        return len(self._scope.series) * int(length / self._scope.timeframe.duration)

    def _still_needed(self, page: Window, next_partition: Window) -> bool:
        return (
            page.start < next_partition.end
            if self._options.newest_first
            else page.end > next_partition.start
        )

    def _commit(
        self, batch: list[Partition], answered: Sequence[Answer], judge: Judge, job: Job
    ) -> list[PartitionOutcome]:
        window = hull(batch)
        answers = [answer for answer in answered if answer.page.window.intersect(window)]
        with self._store.writing(f"filling {self._scope} {window}") as transaction:
            outcomes = judge.commit(transaction, batch, answers, newest=self._newest)
            job.count(outcomes, transaction)
        return outcomes


def _served(scope: Scope, sources: Mapping[str, Source]) -> Iterator[Series]:
    """The series of a scope, each with those of its sources that have the timeframe.

    Raises:
        SourceError: None of them has it.
    """
    kind = scope.profile.kind.value.lower()
    for series in scope.series:
        served = tuple(
            reference
            for reference in series.sources
            if scope.timeframe in sources[reference.source].traits.timeframes_for(kind)
        )
        if not served:
            names = ", ".join(reference.source for reference in series.sources)
            raise SourceError(
                f"{scope.profile.name} {series.symbol}: "
                f"none of its sources ({names}) has {scope.timeframe}; "
                "name one that has, or fetch another timeframe",
                permanent=True,
            )
        yield replace(series, sources=served)
