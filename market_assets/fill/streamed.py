"""Commits bars that a stream gave, by the path of a fill: clean, merge, judge, record.

A stream proves that a bar is there, never that one is absent. So its bars leave no coverage and
explain no gap, and no source is asked here. Connections stand in `market_assets/stream`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import SourceError
from market_assets.expected.scope import scope_of
from market_assets.expected.series import prepare
from market_assets.fill.answers import Answer, Page
from market_assets.fill.intake import Delivery, take
from market_assets.fill.judge import Judge
from market_assets.fill.stumble import naming
from market_assets.fill.terms import terms_of
from market_assets.market.columns import extras_in
from market_assets.market.timeframes import TS, Window, from_micros, literal
from market_assets.sources.contract import omits_quiet
from market_assets.verdicts.clean import CANDLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile, SourceSymbol
    from market_assets.expected.scope import Scope
    from market_assets.expected.series import Series
    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.contract import Source
    from market_assets.store import Store, Transaction
    from market_assets.work.outcome import PartitionOutcome

_NO_OPENS = pl.Series(dtype=TS)
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Streamed:
    """Closed bars that a stream gave.

    Attributes:
        source: The source's name in the universe.
        bars: The columns of `stream.stream.BAR_SCHEMA`, symbols in the source's own names; unique
            by symbol and ts.
    """

    source: str
    bars: pl.DataFrame


class StreamedFill:
    """Commits the closed bars of a profile's timeframe, each batch in one transaction.

    A bar that is stored with other values is a revision, a row that cannot be is refused: both are
    recorded as a fill does it. No source is asked, and no job is opened. It remembers up to where
    each symbol has come, and is to be used by one thread at a time.

    Args:
        store: Where candles and ledgers are kept.
        sources: The sources that the profile names, by name.
        profile: Whose candles.
        timeframe: A fetched timeframe of it.

    Attributes:
        unusable: Why bars of the last batch could not be read at all, by symbol: they are left to
            REST.
    """

    def __init__(
        self,
        store: Store,
        sources: Mapping[str, Source],
        profile: Profile,
        timeframe: Timeframe,
    ) -> None:
        self._store = store
        self._sources = sources
        self._profile = profile
        self._timeframe = timeframe
        self._quiet = omits_quiet(sources)
        self._ends: dict[str, datetime] = {}
        self.unusable: dict[str, str] = {}

    def commit(
        self,
        batches: Sequence[Streamed],
        now: datetime,
        *,
        patience: timedelta | None = None,
        note: Callable[[Transaction], None] = lambda _: None,
    ) -> list[PartitionOutcome]:
        """Store bars, and judge the partitions that hold them.

        Args:
            batches: The bars.
            now: The instant up to which bars are expected (aware): the present less
                `update.settle`. Of a symbol with a newer bar, up to the end of that bar.
            patience: How long to wait for the store; by default the store's own.
            note: What else is to be written in the same transaction.

        Returns:
            The outcome of each partition that holds a bar; none without bars.

        Raises:
            StoreBusyError: The store was not had in time; nothing was committed.
        """
        scope, answers, ends = self._answers(batches, now)
        if not answers:
            return []
        first = min(answer.page.window.start for answer in answers)
        last = max(answer.page.window.end for answer in answers)
        partitions = scope.partitions(Window(first, last))
        newest = max((answer.newest for answer in answers if answer.newest), default=None)

        purpose = f"storing streamed bars of {scope}"
        with self._store.writing(purpose, patience=patience) as transaction:
            prepare(transaction, self._profile)
            genesis = transaction.genesis.of(scope.dataset)
            judge = Judge(scope, genesis=genesis, quiet=self._quiet)
            outcomes = judge.commit(
                transaction,
                partitions,
                answers,
                newest=newest,
                heard_until=_heard_until(scope, now),
            )
            note(transaction)
        self._ends = ends
        return outcomes

    def _answers(
        self, batches: Sequence[Streamed], now: datetime
    ) -> tuple[Scope, list[Answer], dict[str, datetime]]:
        """The bars as answers of their sources.

        Returns:
            What must exist as of the newest bars; the answers; and up to where each symbol has
            come.
        """
        step = self._timeframe.duration
        newest = [
            from_micros(int(batch.bars["ts"].to_physical().max())) + step  # type: ignore[arg-type]
            for batch in batches
            if not batch.bars.is_empty()
        ]
        scope = scope_of(self._profile, self._timeframe, max([now, *newest]))
        terms = terms_of(scope)
        answers: list[Answer] = []
        ends = dict(self._ends)
        grids: dict[tuple[int, int], tuple[pl.DataFrame, pl.Series]] = {}
        self.unusable = {}
        for series, reference, rows in self._rows(scope, batches):
            window = Window(*(from_micros(edge) for edge in _edges(rows, step)))
            if window.micros not in grids:
                grid = scope.grid(window)
                is_closed = pl.col("closes_at") <= literal(scope.now)
                bars, unfinished = (
                    grid.filter(is_closed).select("ts"),
                    grid.filter(~is_closed)["ts"],
                )
                # Most symbols have the same one bar.
                grids[window.micros] = bars, unfinished
            bars, unfinished = grids[window.micros]
            page = Page(
                series.symbol,
                series.sources,
                window,
                wanted=_NO_OPENS,
                bars=bars,
                unfinished=unfinished,
            )
            answer = Answer(page, is_stream=True)
            delivery = Delivery(
                self._sources[reference.source].traits, reference, window, spans=(), rows=rows
            )
            try:
                with naming(f"the stream of {reference.source}: {reference.symbol} {window}"):
                    take(answer, delivery, terms, _NO_OPENS, fallback=False)
            except SourceError as error:
                self.unusable[series.symbol] = str(error)
                continue
            answers.append(answer)
            ends[series.symbol] = max(window.end, ends.get(series.symbol, window.end))
        return _expecting(scope, ends, now), answers, ends

    def _rows(
        self, scope: Scope, batches: Sequence[Streamed]
    ) -> Iterator[tuple[Series, SourceSymbol, pl.DataFrame]]:
        """The rows of each series, as far as the universe keeps them, with where they are from."""
        for batch in batches:
            parts = batch.bars.partition_by("symbol", as_dict=True)
            for series in scope.series:
                for reference in series.sources:
                    rows = parts.get((reference.symbol,))
                    if reference.source != batch.source or rows is None:
                        continue
                    rows = rows.filter(series.window.holds())
                    if not rows.is_empty():
                        yield series, reference, _candles(rows)


def _candles(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as a source's answer has them: extra columns that say nothing are left out."""
    extras = [name for name in extras_in(rows.columns) if rows[name].null_count() < len(rows)]
    return rows.select(*CANDLE, *extras)


def _edges(rows: pl.DataFrame, step: timedelta) -> tuple[int, int]:
    """From the open of the first row to the end of the last, in microseconds since 1970."""
    opens = rows["ts"].to_physical().to_numpy()
    return int(opens.min()), int(opens.max()) + round(step.total_seconds() * 1_000_000)


def _expecting(scope: Scope, ends: Mapping[str, datetime], now: datetime) -> Scope:
    """The scope with each series up to the end of its own newest bar, or up to `now`.

    Bars of the other symbols that closed this second are on their way, and not missing.
    """
    # The first open of a bar that has not closed by then.
    usual = now - scope.timeframe.duration + _TICK

    def cut(series: Series) -> Series:
        window = series.window
        end = min(window.end, max(usual, ends.get(series.symbol, usual)))
        return replace(series, window=Window(window.start, max(window.start, end)))

    return replace(scope, series=tuple(map(cut, scope.series)))


def _heard_until(scope: Scope, now: datetime) -> datetime:
    """Until when bars of every series are expected."""
    unfinished = [
        series.window.end
        for series in scope.series
        # What has ended is complete, and what is still to begin has nothing.
        if scope.profile.symbols[series.symbol].window(scope.now).end == scope.now
    ]
    earliest = min(unfinished, default=scope.now)
    return scope.now if earliest >= scope.now else min(now, scope.now)
