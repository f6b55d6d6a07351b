"""Commits bars that a stream gave, by the path of a fill: clean, merge, judge, record.

A stream proves that a bar is there, never that one is absent. So its bars leave no coverage and
explain no gap, and no source is asked here. Connections stand in `market_assets/stream`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.config.universe import SourceSymbol
from market_assets.errors import SourceError
from market_assets.expected.scope import scope_of
from market_assets.expected.series import prepare
from market_assets.fill.answers import Answer, Page, StreamedBars
from market_assets.fill.intake import Delivery, take
from market_assets.fill.judge import Judge
from market_assets.fill.memory import Memory
from market_assets.fill.stumble import naming
from market_assets.fill.terms import terms_of
from market_assets.market.columns import extras_in, sound
from market_assets.market.timeframes import TS, Window, from_micros, literal
from market_assets.sources.contract import omits_quiet
from market_assets.verdicts.clean import CANDLE, price_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile
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
        names: By source, its own names of the symbols that it streams, each with what the universe
            calls it: another symbol that the same source may fill has nothing of these bars. All
            that the universe names if not given.
        memory: What was judged before; its own if not given.

    Attributes:
        unusable: Why bars of the last batch could not be read at all, by symbol: they are left to
            REST.
        overtaken: The symbols of which a bar of the last batch was stored with other values since
            it came: REST has the last word on them.
    """

    def __init__(
        self,
        store: Store,
        sources: Mapping[str, Source],
        profile: Profile,
        timeframe: Timeframe,
        *,
        names: Mapping[str, Mapping[str, str]] | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._store = store
        self._names = names
        self._sources = sources
        self._profile = profile
        self._timeframe = timeframe
        self._quiet = omits_quiet(sources)
        self._ends: dict[str, datetime] = {}
        self._memory = Memory() if memory is None else memory
        self.unusable: dict[str, str] = {}
        self.overtaken: set[str] = set()

    def commit(
        self,
        batches: Sequence[Streamed],
        now: datetime,
        *,
        stale: Sequence[Streamed] = (),
        patience: timedelta | None = None,
        note: Callable[[Transaction], None] = lambda _: None,
    ) -> list[PartitionOutcome]:
        """Store bars, and judge the partitions that hold them.

        Args:
            batches: The bars.
            now: The instant up to which bars are expected (aware): the present less
                `update.settle`. Of a symbol with a newer bar, up to the end of that bar.
            stale: More bars, which came before REST was asked for the same symbols: what is stored
                by now is newer, so that only what is not stored is taken of them.
            patience: How long to wait for the store; by default the store's own.
            note: What else is to be written in the same transaction.

        Returns:
            The outcome of each partition that holds a bar; none without bars.

        Raises:
            StoreBusyError: The store was not had in time; nothing was committed.
        """
        self.overtaken = set()
        arrived = self._arrived(batches, now)
        if arrived.window is None and not stale:
            return []

        purpose = f"storing streamed bars of {self._profile.name} {self._timeframe}"
        with self._store.writing(purpose, patience=patience) as transaction:
            prepare(transaction, self._profile)
            if stale:
                absent = [self._not_stored(transaction, part, now) for part in stale]
                arrived = self._arrived([*batches, *absent], now)
            if arrived.window is None:
                return []
            scope, answers, streamed = arrived.scope, arrived.answers, arrived.streamed
            partitions = scope.partitions(arrived.window)
            opens = [streamed.newest, *(answer.newest for answer in answers)]
            newest = max(filter(None, opens), default=None)
            genesis = transaction.genesis.of(scope.dataset)
            judge = Judge(scope, genesis=genesis, quiet=self._quiet, memory=self._memory)
            outcomes = judge.commit(
                transaction,
                partitions,
                answers,
                newest=newest,
                heard_until=_heard_until(scope, now),
                streamed=streamed,
            )
            note(transaction)
        self._ends = arrived.ends
        return outcomes

    def _arrived(self, batches: Sequence[Streamed], now: datetime) -> _Arrived:
        """What some batches hold, as far as the universe keeps it."""
        step = self._timeframe.duration
        newest = [
            from_micros(int(batch.bars["ts"].to_physical().max())) + step  # type: ignore[arg-type]
            for batch in batches
            if not batch.bars.is_empty()
        ]
        scope = scope_of(self._profile, self._timeframe, max([now, *newest]))
        ends = dict(self._ends)
        self.unusable = {}
        streamed: list[StreamedBars] = []
        answers: list[Answer] = []
        windows: list[Window] = []
        for batch in batches:
            rows = self._kept(scope, batch)
            if rows.is_empty():
                continue
            extents = _extents(rows, step)
            is_sound = rows["series"].is_in(
                self._sound_symbols(scope, batch.source, rows).implode()
            )
            sound_rows, doubtful = rows.filter(is_sound), rows.filter(~is_sound)
            streamed += [_streamed(batch.source, sound_rows)] if len(sound_rows) else []
            cleaned = self._cleaned(scope, batch.source, doubtful, extents)
            answers += cleaned
            used = {*sound_rows["series"], *(answer.page.symbol for answer in cleaned)}
            for symbol in used:
                windows.append(extents[symbol])
                ends[symbol] = max(windows[-1].end, ends.get(symbol, windows[-1].end))
        hull = None
        if windows:
            hull = Window(min(w.start for w in windows), max(w.end for w in windows))
        bars = StreamedBars(
            pl.concat([part.candles for part in (StreamedBars(), *streamed)], how="diagonal"),
            pl.concat([part.dropped for part in (StreamedBars(), *streamed)]),
        )
        return _Arrived(_expecting(scope, ends, now), answers, bars, hull, ends)

    def _kept(self, scope: Scope, batch: Streamed) -> pl.DataFrame:
        """The rows of a batch that the universe keeps.

        Returns:
            The columns of the batch, and `series`: what the universe calls the symbol.
        """
        streamed = None if self._names is None else self._names.get(batch.source, {})
        names = [
            (reference.symbol, series.symbol, *series.window.micros)
            for series in scope.series
            for reference in series.sources
            if reference.source == batch.source
            and (streamed is None or streamed.get(reference.symbol) == series.symbol)
        ]
        schema = {"symbol": pl.String, "series": pl.String, "start": pl.Int64, "end": pl.Int64}
        places = pl.DataFrame(names, schema=schema, orient="row")
        opens = pl.col("ts").to_physical()
        return (
            batch.bars.join(places, on="symbol", how="inner", maintain_order="left")
            .filter(opens >= pl.col("start"), opens < pl.col("end"))
            .drop("start", "end")
        )

    def _not_stored(self, transaction: Transaction, part: Streamed, now: datetime) -> Streamed:
        """The bars that are not stored; those that are stored with other values are overtaken."""
        scope = scope_of(self._profile, self._timeframe, now)
        rows = self._kept(scope, part)
        if rows.is_empty():
            return part
        window = Window.holding(rows["ts"])
        symbols = rows["series"].unique().to_list()
        stored = transaction.candles.of(scope.dataset, symbols, window)
        stored = stored.select(pl.col("symbol").alias("series"), *CANDLE)
        both = rows.join(stored, on=["series", "ts"], suffix="_stored")
        differs = pl.any_horizontal(
            pl.col(name).ne_missing(pl.col(f"{name}_stored")) for name in CANDLE[1:]
        )
        self.overtaken |= {*both.filter(differs)["series"]}
        left = rows.join(stored, on=["series", "ts"], how="anti", maintain_order="left")
        return Streamed(part.source, left.select(part.bars.columns))

    def _sound_symbols(self, scope: Scope, source: str, rows: pl.DataFrame) -> pl.Series:
        """The symbols whose rows may all be stored as they are.

        That holds of nearly all, and one look at the rows of all symbols takes no longer than one
        at those of one.
        """
        traits = self._sources[source].traits
        faults = price_faults(scope.profile.prices, open_outside_range=traits.open_outside_range)
        closed = scope.closed(Window.holding(rows["ts"]))
        fault = pl.any_horizontal(fault for _, fault in faults) | ~pl.col("ts").is_in(
            closed["ts"].implode()
        )
        is_sound = ~fault.fill_null(value=True) & pl.col("volume").is_not_null()
        return rows.group_by("series").agg(is_sound.all()).filter(pl.nth(1))["series"]

    def _cleaned(
        self, scope: Scope, source: str, rows: pl.DataFrame, extents: Mapping[str, Window]
    ) -> list[Answer]:
        """The rows of symbols that have a fault somewhere, each as an answer of the source."""
        terms = terms_of(scope)
        traits = self._sources[source].traits
        answers: list[Answer] = []
        sources = {series.symbol: series.sources for series in scope.series}
        for (symbol, name), part in rows.partition_by("series", "symbol", as_dict=True).items():
            window = extents[symbol]
            grid = scope.grid(window)
            is_closed = pl.col("closes_at") <= literal(scope.now)
            page = Page(
                symbol,
                sources[symbol],
                window,
                wanted=_NO_OPENS,
                bars=grid.filter(is_closed).select("ts"),
                unfinished=grid.filter(~is_closed)["ts"],
            )
            answer = Answer(page, is_stream=True)
            reference = SourceSymbol(source=source, symbol=name)
            delivery = Delivery(
                traits, reference, window, spans=(), rows=part.select(_told_columns(part))
            )
            try:
                with naming(f"the stream of {source}: {name} {window}"):
                    take(answer, delivery, terms, _NO_OPENS, fallback=False)
            except SourceError as error:
                self.unusable[symbol] = str(error)
                continue
            answers.append(answer)
        return answers


@dataclass(frozen=True)
class _Arrived:
    """What has come, read.

    Attributes:
        scope: What must exist as of the newest bars.
        answers: The rows of symbols that have a fault somewhere.
        streamed: The bars of all others.
        window: From the first bar to the end of the last; None without any.
        ends: Up to where each symbol has come.
    """

    scope: Scope
    answers: list[Answer]
    streamed: StreamedBars
    window: Window | None
    ends: dict[str, datetime]


def _extents(rows: pl.DataFrame, step: timedelta) -> dict[str, Window]:
    """From the open of the first row of each symbol to the end of its last."""
    opens = pl.col("ts").to_physical()
    edges = rows.group_by("series").agg(opens.min().alias("first"), opens.max().alias("last"))
    return {
        symbol: Window(from_micros(first), from_micros(last) + step)
        for symbol, first, last in edges.iter_rows()
    }


def _streamed(source: str, rows: pl.DataFrame) -> StreamedBars:
    """Rows that may be stored as they are, as candles."""
    named = rows.select(pl.col("series").alias("symbol"), *_told_columns(rows))
    candles, dropped = sound(named)
    return StreamedBars(candles.with_columns(source=pl.lit(source)), dropped)


def _told_columns(rows: pl.DataFrame) -> list[str]:
    """The columns of a source's answer: extra ones that say nothing are left out."""
    extras = [name for name in extras_in(rows.columns) if rows[name].null_count() < len(rows)]
    return [*CANDLE, *extras]


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
