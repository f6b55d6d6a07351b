"""Keeps the features of a timeframe equal to what its candles make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from market_assets.config.research import Basis
from market_assets.enrich.features.compute import compute, features_of, reach_of
from market_assets.enrich.footing import on_one_footing
from market_assets.enrich.grid import Grid, with_runs
from market_assets.expected.floors import above, floor_of, kept_in
from market_assets.expected.series import prepare
from market_assets.market.columns import PRICES
from market_assets.market.datasets import Dataset
from market_assets.market.instants import to_minute
from market_assets.market.partitions import partition_key
from market_assets.market.timeframes import Window, literal, midnight
from market_assets.verdicts.evidence import State
from market_assets.work.behind import Input
from market_assets.work.job import target_of
from market_assets.work.making import (
    Making,
    counts_of,
    fixed_by,
    joined_counts,
    missing_before,
    nothing_yet,
)
from market_assets.work.publish import Judged, publish
from market_assets.work.run import BY_HAND

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date, datetime

    from market_assets.enrich.features.families import Feature
    from market_assets.expected.scope import Scope
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.market.partitions import Cadence, Partition
    from market_assets.market.timeframes import Timeframe
    from market_assets.store import Snapshot, Store, Transaction
    from market_assets.verdicts.verdicts import SymbolCounts
    from market_assets.work.job import Job
    from market_assets.work.outcome import PartitionOutcome
    from market_assets.work.run import Run

_GROUP_BARS = 300_000
"""Bars of several symbols that are computed at once, at most.

Those that are only read back to are included.
"""

_STRANGE = ~pl.all_horizontal(pl.col(PRICES).is_finite()).fill_null(value=True)
"""Whether some price of a stored bar is no number."""

_LONGEST_SESSION = timedelta(days=7)


@dataclass(frozen=True)
class _Piece:
    """What some symbols have in a batch of partitions.

    Attributes:
        counts: What each has, by partition key.
        stored: ts of each stored row.
        changed: symbol, ts of the rows that differ from what was there.
        strange: symbol, ts of the candles with a price that is no number.
        faults: A sentence for each feature that could not be made.
    """

    counts: Mapping[str, tuple[SymbolCounts, ...]]
    stored: pl.DataFrame
    changed: pl.DataFrame
    strange: pl.DataFrame
    faults: Sequence[str]


class Featurize(Making):
    """One computation of a profile's features over a window, oldest partition first.

    To be iterated once. Each stored candle gets a row. A partition reads as many stored bars before
    it as the features reach for; with those a value does not depend on where the partition begins.

    Args:
        store: Where candles and ledgers are kept.
        scope: The candles: fetched or derived ones.
        window: Which partitions: all that overlap it, as far as the scope reaches.
        run: Who has asked for it.

    Attributes:
        features: The features that are made.
    """

    kind = "features"
    batch_bars = 400_000

    def __init__(self, store: Store, scope: Scope, window: Window, *, run: Run = BY_HAND) -> None:
        self._scope = scope
        settings = scope.profile.features
        self.features = features_of(settings, scope.timeframe)
        self._basis = scope.profile.basis_of(settings)
        features = Dataset.features(scope.profile.name, scope.timeframe)
        self._floor = floor_of(scope.profile, features, scope.now)
        self._whole = kept_in(scope.partitions(scope.window), self._floor)
        partitions = [part for part in self._whole if part.window.intersect(window)]
        target = target_of(scope, features, partitions)
        inputs = [Input(scope.dataset, scope.cadence, partitions_reached(scope))]
        super().__init__(store, target, inputs, run)

    def recipe(self) -> str:
        """See `Making.recipe`."""
        return self._recipe_on(self._basis)

    def first_recipe(self) -> str:
        """See `Making.first_recipe`: on raw prices.

        Which features it had is not known; those of now are as good as any.
        """
        return self._recipe_on(Basis.RAW)

    def _recipe_on(self, basis: Basis) -> str:
        names = ", ".join(feature.name for feature in self.features)
        return f"{basis}: {names}"

    def prepare(self, transaction: Transaction) -> None:
        """See `Making.prepare`."""
        prepare(transaction, self._scope.profile)
        transaction.features.create(self.dataset, [feature.name for feature in self.features])

    def fixed(self, view: Snapshot) -> set[str]:
        """See `Making.fixed`."""
        if not self._floor:
            return set()
        reach = partitions_reached(self._scope)
        return fixed_by(view, self.dataset, self._whole, reach, [self._scope.dataset])

    def bars(self, window: Window) -> pl.DataFrame:
        """See `Making.bars`."""
        return self._scope.grid(window)

    def make(
        self,
        transaction: Transaction,
        batch: Sequence[Partition],
        window: Window,
        job: Job,
    ) -> list[PartitionOutcome]:
        """See `Making.make`."""
        before = transaction.partitions.counts(self.dataset, [partition.key for partition in batch])
        if batch[0].window.start <= self._scope.window.start:
            # The first bar of all, a week perhaps, may have a `ts` before the first partition.
            window = Window(window.start - self.dataset.timeframe.duration, window.end)
        window = above(window, self._floor)
        pieces = [
            self._piece(transaction, symbols, start, window)
            for symbols, start in self._groups(transaction, window)
        ]
        outcomes = self._outcomes(transaction, batch, pieces)
        job.missing_before |= missing_before(before, outcomes)
        return self._with_strange(outcomes, pl.concat([piece.strange for piece in pieces]))

    def _piece(
        self, transaction: Transaction, symbols: Sequence[str], start: datetime, window: Window
    ) -> _Piece:
        """Make the features of some symbols in a window, of bars that are read from a start on."""
        grid = Grid(transaction, self._scope.only(symbols))
        raw = grid.bars(Window(start, window.end)).with_columns(strange=_STRANGE)
        bars = on_one_footing(transaction, self._scope, raw, self._basis)
        rows, faults = self._compute(bars, window)
        changed = transaction.features.replace(self.dataset, symbols, window, rows)

        states = bars.select("symbol", "ts", "state", "strange").filter(window.holds())
        return _Piece(
            counts_of(states, self.cadence),
            rows.select("ts"),
            changed,
            states.filter("strange").select("symbol", "ts"),
            faults,
        )

    def _groups(
        self, transaction: Transaction, window: Window
    ) -> Iterator[tuple[list[str], datetime]]:
        """Symbols that can be read together, and from when on."""
        # A bar may share an instant with a series though its `ts` does not lie in it.
        margin = self.dataset.timeframe.duration
        near = Window(window.start - margin, window.end + margin)
        starts = self._starts(
            transaction,
            window,
            [series.symbol for series in self._scope.series if series.window.intersect(near)],
        )
        if over := [symbol for symbol in self._scope.symbols if symbol not in starts]:
            yield over, window.start
        group: list[str] = []
        # A symbol that hardly ever trades reaches back for years: others are not read with it.
        for symbol in sorted(starts, key=lambda name: starts[name], reverse=True):
            bars = (window.end - starts[symbol]) / self.dataset.timeframe.duration
            if group and (len(group) + 1) * bars > _GROUP_BARS:
                yield group, starts[group[-1]]
                group = []
            group.append(symbol)
        if group:
            yield group, starts[group[-1]]

    def _starts(
        self, transaction: Transaction, window: Window, symbols: Sequence[str]
    ) -> dict[str, datetime]:
        """From when on the candles of some symbols are read.

        That is the session's first bar, and as many stored bars before it as the features reach
        for.
        """
        first = self._session_start(window.start)
        starts = dict.fromkeys(symbols, first)
        reach = reach_of(self.features)
        short = list(symbols) if reach else []
        whole = self._scope.window.start - self.dataset.timeframe.duration
        # At first twice the time of a market that trades in every bar and never closes.
        span = 2 * reach * self.dataset.timeframe.duration
        while short:
            since = max(whole, first - span)
            if since >= first:
                break
            reach_by_symbol = transaction.candles.reach_back(
                self._scope.dataset,
                short,
                Window(since, first),
                reach,
            )
            starts |= {symbol: ts for symbol, (ts, _) in reach_by_symbol.items()}
            short = (
                []
                if since == whole
                else [
                    symbol
                    for symbol in short
                    if symbol not in reach_by_symbol or reach_by_symbol[symbol][1] < reach
                ]
            )
            span *= 8
        return starts

    def _session_start(self, instant: datetime) -> datetime:
        """The open of the session that goes on at an instant, or the instant itself."""
        if not self.dataset.timeframe.intraday:
            return instant
        extent = self._scope.calendar.known
        around = Window(
            max(extent.start, instant - _LONGEST_SESSION),
            min(extent.end, instant + _LONGEST_SESSION),
        )
        spans = self._scope.calendar.spans(around)
        begun = spans.filter(pl.col("open") < literal(instant)).tail(1)
        session = spans.join(begun, on="session", how="semi")
        if (
            session.is_empty()
            or (whole := Window.spanning(session["open"], session["close"])).end <= instant
        ):
            return instant
        return whole.start

    def _compute(self, bars: pl.DataFrame, window: Window) -> tuple[pl.DataFrame, list[str]]:
        """The features of the stored bars in a window.

        Returns:
            The features, and a sentence for each that could not be made.
        """
        # TA-Lib would go on forever with a price that is no number.
        bars = bars.with_columns(broken=pl.col("broken") | pl.col("strange"))
        bars_with_runs = with_runs(bars)
        if bars["broken"].any():
            torn = bars.select(
                "symbol", "ts", torn=pl.col("broken").cum_max().over("symbol", "session")
            )
            bars_with_runs = bars_with_runs.join(
                torn, on=["symbol", "ts"], how="left", maintain_order="left"
            )
        faults: list[str] = []
        try:
            made = compute(bars_with_runs, self.features, within=window)
        # A symbol whose candles break a library must not fail the others.
        except Exception:  # noqa: BLE001
            made, faults = self._one_by_one(bars_with_runs, window)
        made = _on_own_footing(made, bars_with_runs.filter(window.holds()), self.features)
        stored = bars.select(window.holds() & (pl.col("state") == State.STORED)).to_series()
        if len(made) < stored.sum():
            # A bar that is made of a part of its minutes has a row, and no features.
            made = (
                bars.select("symbol", "ts")
                .filter(stored)
                .join(made, on=["symbol", "ts"], how="left", maintain_order="left")
            )
        return made, faults

    def _one_by_one(self, bars: pl.DataFrame, window: Window) -> tuple[pl.DataFrame, list[str]]:
        """The features symbol by symbol, null where one cannot be made.

        Returns:
            The features, and a sentence for each that could not be made.
        """
        nothing = pl.DataFrame(
            schema=dict.fromkeys((feature.name for feature in self.features), pl.Float64)
        )
        made = [pl.concat([bars.select("symbol", "ts").clear(), nothing], how="horizontal")]
        faults: list[str] = []
        for (symbol,), symbol_bars in bars.group_by("symbol", maintain_order=True):
            broken: dict[str, Exception] = {}
            made.append(compute(symbol_bars, self.features, within=window, faults=broken))
            faults += [
                f"{symbol}: {name} could not be made: {error!r}" for name, error in broken.items()
            ]
        return pl.concat(made), faults

    def _outcomes(
        self, transaction: Transaction, batch: Sequence[Partition], pieces: Sequence[_Piece]
    ) -> list[PartitionOutcome]:
        counts = joined_counts([piece.counts for piece in pieces])
        faults = [fault for piece in pieces for fault in piece.faults]
        candles = self._scope.dataset.name

        def details(partition: Partition, new: Mapping[str, int]) -> Mapping[str, Any]:
            return {
                "failures": nothing_yet(counts.get(partition.key, ()), candles),
                "faults": tuple(faults),
                "new": sum(new.values()),
                "by_symbol": {"new": new},
            }

        judged = Judged(
            counts,
            pl.concat([piece.stored for piece in pieces]),
            pl.concat([piece.changed for piece in pieces]),
        )
        return publish(transaction, self, batch, judged, details)

    def _with_strange(
        self, outcomes: list[PartitionOutcome], strange: pl.DataFrame
    ) -> list[PartitionOutcome]:
        """Add a fault to the partitions with a candle whose price is no number."""
        if strange.is_empty():
            return outcomes
        faults: dict[str, tuple[str, ...]] = {}
        candles = (
            strange.group_by(partition_key(self.cadence), "symbol")
            .agg(pl.min("ts"))
            .sort("part", "symbol")
        )
        for key, symbol, ts in candles.iter_rows():
            why = (
                f"{symbol}: the candle at {to_minute(ts)} has a price that is no number; "
                "delete it, and backfill its partition"
            )
            faults[key.isoformat()] = (*faults.get(key.isoformat(), ()), why)
        return [
            replace(outcome, faults=outcome.faults + faults.get(outcome.partition.key, ()))
            for outcome in outcomes
        ]


def partitions_reached(scope: Scope) -> int:
    """How many partitions before a partition its features read, at least one.

    It holds for a symbol that trades in every bar.
    """
    reach = reach_of(features_of(scope.profile.features, scope.timeframe))
    last = max(scope.now, scope.window.end).astimezone(UTC).date()
    return _partitions_of_bars(scope.calendar, scope.timeframe, scope.cadence, reach, last)


@lru_cache(maxsize=256)
def _partitions_of_bars(
    calendar: SessionCalendar, timeframe: Timeframe, cadence: Cadence, bars: int, last: date
) -> int:
    """How many partitions so many bars span at most, in the time up to a day.

    The result is kept, because it is asked for every minute.
    """
    # Long enough for a market that is open for an eighth of the time.
    span = timedelta(days=400) + 8 * bars * timeframe.duration
    end = min(midnight(last) + timedelta(days=1), calendar.known.end)
    window = Window(max(calendar.known.start, end - span), end)
    parts = calendar.bars(timeframe, window).select(partition_key(cadence))["part"]
    part = parts.rle_id().to_numpy()
    firsts = np.flatnonzero(np.diff(part, prepend=-1))
    firsts = firsts[firsts >= bars]
    return (
        max(1, int((part[firsts] - part[firsts - bars]).max()))
        if len(firsts)
        else max(1, len(set(part)))
    )


def _on_own_footing(
    features: pl.DataFrame, bars: pl.DataFrame, made: Sequence[Feature]
) -> pl.DataFrame:
    """Features on the footing of their own bar's day.

    Args:
        features: A row a bar, made of bars on one footing.
        bars: The same rows, with price_factor and volume_factor.
        made: The features.
    """
    factors = {"price": bars["price_factor"], "volume": bars["volume_factor"]}
    moved = {unit for unit, factor in factors.items() if (factor != 1.0).any()}
    columns = [
        pl.col(feature.name) / factors[feature.unit] for feature in made if feature.unit in moved
    ]
    return features.with_columns(columns)
