"""The one operation that brings candles in.

It asks the store what is absent, asks the sources for just that, commits and judges. Which bars
are asked for is in `wanted`, how sources are asked in `fetch`, how answers are judged in `judge`.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import SourceError
from market_assets.expected.counts import Basis, basis_of
from market_assets.fill.calendar_changes import follow_calendar
from market_assets.fill.chunks import Chunk
from market_assets.fill.compare import Comparer
from market_assets.fill.fetch import Fetcher
from market_assets.fill.flow import Flow, Pace
from market_assets.fill.heads import Heads
from market_assets.fill.judge import Judge
from market_assets.fill.options import USUAL, FillOptions
from market_assets.fill.terms import terms_of
from market_assets.fill.wanted import marked, pages_of
from market_assets.sources.contract import brief, omits_quiet, use_reserve
from market_assets.sources.transport.horizon import HORIZON_SCHEMA, Horizon
from market_assets.store.database import naive
from market_assets.work.job import target_of
from market_assets.work.run import BY_HAND, Trigger
from market_assets.work.work import Work

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from market_assets.expected.scope import Scope
    from market_assets.expected.series import Series
    from market_assets.fill.chunks import Batch
    from market_assets.fill.fetch import Tell
    from market_assets.fill.memory import Memory
    from market_assets.market.partitions import Partition
    from market_assets.market.timeframes import Window
    from market_assets.sources.contract import Source
    from market_assets.store import Store, Transaction
    from market_assets.work.job import Job
    from market_assets.work.outcome import PartitionOutcome
    from market_assets.work.run import Run

_CHUNK_BARS = 250_000
"""Bars of all symbols that are planned at once.

Two such chunks are in memory, however long the window is.
"""

_COMMIT_BARS = 250_000
"""Bars of all symbols that one transaction takes at most.

A reader waits for tenths of a second then.
"""

_HISTORY_EVERY, _PRESENT_EVERY = 10.0, 2.0
"""Seconds after which whole partitions are committed although more of their chunk is under way.

The first is for partitions that are over: of them many rows at once count more. See `Pace`.
"""

_URGENT = frozenset({Trigger.UPDATE, Trigger.REPAIR, Trigger.STREAM})
"""Who may use what sources have in reserve: a backfill of years leaves that to the present."""


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
        self._noted: list[Horizon] = []
        self._heads = Heads(store, scope, self._asked, self._sources, options)
        self._dead: frozenset[str] = frozenset()
        self._basis: Basis | None = None
        self._counted: pl.DataFrame | None = None

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
        if not self._store.size:
            # An empty store that is read would be made in memory, too.
            with self._store.writing(f"making the store for {self._scope}"):
                pass
        follow_calendar(self._store, self._scope.profile, self.now)

    def open(self, transaction: Transaction) -> None:
        """See `Work.open`."""
        reach = min(partition.window.start for partition in self.partitions)
        self._heads.read(transaction, reach)
        if self._options.only_due:
            # No source has them: asking for each new bar of them would never end.
            self._dead = frozenset(transaction.gaps.dead_symbols(self.dataset))

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
        genesis = self._heads.find(fetcher)
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
        asked = asked.without(self._dead)
        # Asked for at each answer that comes.
        size = lru_cache(maxsize=None)(self._scope.size)
        flow = Flow(
            map(Chunk, self._chunks()),
            plan=partial(self._plan, fetcher=fetcher, judge=judge, asked=asked, job=job),
            commit=partial(self._commit, fetcher=fetcher, judge=judge, job=job),
            pace=Pace(
                lambda partition: size(partition.window),
                _COMMIT_BARS,
                history=_HISTORY_EVERY,
                present=_PRESENT_EVERY,
                is_over=lambda partition: partition.window.end <= self.now,
            ),
        )
        with closing(flow.batches(self._count)) as batches:
            for outcomes in batches:
                yield outcomes if comparer is None else comparer.judged(outcomes)
        self._note_horizons(fetcher)

    def _count(self) -> None:
        """Count what the first chunk's plan has read of the series, before the first commit."""
        if self._basis is not None:
            self._counted = self._basis.count(self._scope.profile, self.now)

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

    def _plan(
        self, chunk: Chunk, tell: Tell, *, fetcher: Fetcher, judge: Judge, asked: Scope, job: Job
    ) -> None:
        """Find what is absent from a chunk, and start to ask for it."""
        window = chunk.window
        with self._store.reading(f"planning {self._scope} {window}") as view:
            states = judge.states(view, window)
            states = marked(view, self._scope, states, window, self._options)
            if self._basis is None:
                self._basis = basis_of(view, self._scope.profile)
        job.missing_before |= judge.missing(states)

        newest_first = self._options.newest_first
        pages = pages_of(asked, states, window, sources=self._sources, newest_first=newest_first)
        if self._fills_left is not None:
            pages = pages[: self._fills_left]
            self._fills_left -= len(pages)
        chunk.plan(pages)
        fetcher.submit(pages, tell)

    def _commit(
        self, batch: Batch, *, fetcher: Fetcher, judge: Judge, job: Job
    ) -> list[PartitionOutcome]:
        self._note_horizons(fetcher)
        with self._store.writing(f"filling {self._scope} {batch.window}") as transaction:
            outcomes = judge.commit(
                transaction, batch.partitions, batch.answers, newest=batch.newest
            )
            job.count(outcomes, transaction)
            # The completeness view is right from the first commit on, however the fill ends.
            if self._counted is not None:
                transaction.series.put(self._counted)
        self._counted = None
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
