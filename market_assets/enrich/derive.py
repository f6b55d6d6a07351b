"""Keeps the candles of a derived timeframe equal to what its input's candles make."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.enrich.grid import Grid
from market_assets.enrich.quiet import FLAT_AND_EMPTY
from market_assets.enrich.resample import NO_CLOSES, resample
from market_assets.expected.counts import count_profile
from market_assets.expected.series import base_of, prepare
from market_assets.market.columns import EXTRA_NAMES
from market_assets.market.partitions import Partition
from market_assets.market.timeframes import Window, literal
from market_assets.verdicts.colour import shortfall
from market_assets.verdicts.evidence import MISSING, State
from market_assets.work.behind import Input
from market_assets.work.job import target_of
from market_assets.work.making import Making, counts_of, missing_before, nothing_yet
from market_assets.work.outcome import PartitionOutcome
from market_assets.work.publish import Judged, evidence_of, publish
from market_assets.work.run import BY_HAND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from market_assets.expected.scope import Scope
    from market_assets.store import Snapshot, Store, Transaction
    from market_assets.verdicts.verdicts import SymbolCounts
    from market_assets.work.job import Job
    from market_assets.work.run import Run


_LOOKS_BACK = timedelta(days=14)
"""How far back the close is looked for that a candle without volume may only repeat."""


class Derive(Making):
    """One derivation of a profile's timeframe over a window, oldest partition first.

    To be iterated once.

    It makes again every bar that shares an instant with its partitions, also those that belong to a
    neighbour (a week that began in the month before), so that candles that arrive in any order lead
    to the same bars.

    Args:
        store: Where candles and ledgers are kept.
        scope: What must exist: candles of a derived timeframe.
        window: Which partitions: all that overlap it, as far as the scope reaches.
        run: Who has asked for it.
    """

    kind = "derive"

    def __init__(self, store: Store, scope: Scope, window: Window, *, run: Run = BY_HAND) -> None:
        self._scope = scope
        self._input = scope.of(scope.profile.input_of(scope.timeframe))
        target = target_of(scope, scope.dataset, scope.partitions(window))
        super().__init__(store, target, [Input(self._input.dataset, self._input.cadence)], run)

    def prepare(self, transaction: Transaction) -> None:
        """See `Making.prepare`."""
        profile = self._scope.profile
        prepare(transaction, profile)
        base = base_of(profile, self._scope.timeframe)
        genesis = transaction.genesis.of(profile.candles(base))
        self._scope, self._input = self._scope.since(genesis), self._input.since(genesis)

    def bars(self, window: Window) -> pl.DataFrame:
        """See `Making.bars`."""
        start, end = self._scope.extent.start, self._scope.extent.end
        bars = self._scope.grid(window)
        # A profile may end before the first bar of its last partition. While it goes on, its end
        # is the present.
        begun = (pl.col("opens_at") < literal(end)) | (pl.col("closes_at") > literal(self.now))
        return bars.filter((pl.col("closes_at") > literal(start)) & begun)

    @property
    def reads(self) -> timedelta:
        """See `Making.reads`."""
        return self._input.timeframe.duration

    def finish(self) -> None:
        """See `Work.finish`."""
        count_profile(self._store, self._scope.profile, self.now)

    def make(
        self, transaction: Transaction, batch: Sequence[Partition], window: Window, job: Job
    ) -> list[PartitionOutcome]:
        """See `Making.make`."""
        before = transaction.partitions.counts(
            self.dataset,
            [partition.key for partition in batch],
        )
        outcomes = self._derive(transaction, batch, window)
        job.missing_before |= missing_before(before, outcomes)
        return outcomes

    def _derive(
        self, transaction: Transaction, partitions: Sequence[Partition], window: Window
    ) -> list[PartitionOutcome]:
        bars = self._bars(window)
        if bars.is_empty():
            return [PartitionOutcome(partition, counts=()) for partition in partitions]
        # The `ts` of a day or a week may lie after its first instant; inputs are found by `ts`.
        inputs = self._scope.calendar.bars_touching(
            self._input.timeframe, Window.spanning(bars["opens_at"], bars["closes_at"])
        )
        rows = self._rolled(transaction, bars, inputs)
        expected = self._expected(bars, inputs)
        rows = rows.join(expected, on=["symbol", "ts"]).with_columns(
            source=pl.lit(self._input.dataset.name)
        )
        changed = transaction.candles.replace_derived(self.dataset, expected, rows)
        states = self._states(transaction, expected, inputs, rows).filter(window.holds())
        counts = counts_of(states, self.cadence)
        still_pending = states.filter("pending").group_by(self._scope.part(), "symbol")
        pending = _by_partition(still_pending.agg(pl.len()))
        whole = len(rows) == len(expected) and (rows["bars"] == rows["bars_expected"]).all()

        def details(partition: Partition, new: Mapping[str, int]) -> Mapping[str, Any]:
            symbol_counts = counts.get(partition.key, ())
            return {
                "failures": self._failures(symbol_counts, pending.get(partition.key, {})),
                "new": sum(new.values()),
                "by_symbol": {"new": new},
            }

        evidence = {} if whole else self._evidence(transaction, window)
        judged = Judged(counts, rows, changed, evidence)
        return publish(transaction, self, partitions, judged, details)

    def _rolled(self, view: Snapshot, bars: pl.DataFrame, inputs: pl.DataFrame) -> pl.DataFrame:
        """The candles of some bars, made of those of their inputs: see `resample`."""
        read = Window.spanning(inputs["ts"], inputs["closes_at"])
        stored = view.candles.of(self._input.dataset, self._scope.symbols, read, extras=EXTRA_NAMES)
        # A bar that somebody stored twice is one bar; the validity verdict says so.
        candles = stored.drop("source").unique(["symbol", "ts"], keep="last", maintain_order=True)
        if not self._input.timeframe.intraday:
            candles = (
                candles.join(inputs.select("ts", "opens_at"), on="ts")
                .drop("ts")
                .rename({"opens_at": "ts"})
            )
        return resample(
            candles,
            bars,
            quiet_bars_are_flat=self._scope.profile.prices.real_volume,
            before=self._closes_before(view, candles, read.start),
        )

    def _evidence(self, view: Snapshot, window: Window) -> dict[tuple[str, str], str]:
        """What is known of bars that are absent, or made of less than they should be.

        The version of a partition depends on it.
        """
        bars = Grid(view, self._scope).bars(window)
        stored = pl.col("state") == State.STORED
        state = pl.when(stored & pl.col("broken")).then(pl.lit(State.OPEN.value)).otherwise("state")
        return evidence_of(bars.select("symbol", "ts", state=state), self.cadence)

    def _bars(self, window: Window) -> pl.DataFrame:
        """The closed bars that touch a window or have their `ts` in it.

        Returns:
            ts, opens_at, closes_at; sorted by ts.
        """
        columns = ["ts", "opens_at", "closes_at"]
        touching, closed = self._scope.touching(window), self._scope.closed(window)
        return pl.concat([touching.select(columns), closed.select(columns)]).unique().sort("ts")

    def _expected(self, bars: pl.DataFrame, inputs: pl.DataFrame) -> pl.DataFrame:
        """The bars that each series must have, and what they are made of if nothing is absent.

        Returns:
            symbol, ts, bars_expected, first_input, last_input: the `ts` of the first and the last
            of these input bars.
        """
        # Most series have one window: what is counted for it is shared.
        counted: dict[object, pl.DataFrame] = {}
        frames = []
        for series, derived in zip(self._input.series, self._scope.series, strict=True):
            cut = (series.window, series.floor, derived.window, derived.floor)
            if cut not in counted:
                # What is made of bars that are kept no longer stays as it is.
                makeable = bars.filter(self._scope.belonging(derived)) if derived.floor else bars
                counted[cut] = _counted(makeable, inputs.filter(self._input.belonging(series)))
            frames.append(counted[cut].select(pl.lit(series.symbol).alias("symbol"), pl.all()))
        return pl.concat(frames)

    def _closes_before(
        self, view: Snapshot, candles: pl.DataFrame, start: datetime
    ) -> pl.DataFrame:
        """The last close before the candles of each symbol whose first candle may be quiet.

        Returns:
            symbol, close.
        """
        firsts = candles.sort("ts").group_by("symbol").first()
        symbols = firsts.filter(FLAT_AND_EMPTY)["symbol"].to_list()
        if not symbols or not self._scope.profile.prices.real_volume:
            return NO_CLOSES
        return view.candles.last_closes(
            self._input.dataset,
            symbols,
            Window(start - _LOOKS_BACK, start),
        )

    def _states(
        self, view: Snapshot, expected: pl.DataFrame, inputs: pl.DataFrame, rows: pl.DataFrame
    ) -> pl.DataFrame:
        """What is known of each derived bar.

        A bar without any input is open while an input bar of it is, or lies in a partition that was
        never judged; else its input explains it.

        Returns:
            symbol, ts, state, pending: whether its input must still be made.
        """
        key = ["symbol", "ts"]
        settled = pl.lit(value=False).alias("pending")
        stored = expected.join(rows, on=key, how="semi").select(
            *key, settled, state=pl.lit(State.STORED.value)
        )
        absent = expected.join(rows, on=key, how="anti")
        if absent.is_empty():
            return stored
        missing = self._missing(view, absent, inputs)
        return pl.concat(
            [
                stored,
                missing.select(*key, "pending", state=pl.lit(State.OPEN.value)),
                absent.join(missing, on=key, how="anti").select(
                    *key, settled, state=pl.lit(State.NO_TRADE.value)
                ),
            ]
        )

    def _missing(self, view: Snapshot, absent: pl.DataFrame, inputs: pl.DataFrame) -> pl.DataFrame:
        """The absent bars that nothing explains: symbol, ts, pending."""
        cadence = self._input.cadence
        reach = Window.spanning(absent["first_input"], absent["last_input"])
        first, last = (
            Partition.holding(edge.date(), cadence).window for edge in (reach.start, reach.end)
        )
        ledger = view.gaps.of(self._input.dataset, window=Window(first.start, last.end))
        gaps = ledger.filter(pl.col("status").is_in(MISSING))
        in_gaps = (
            absent.sort("last_input")
            .join_asof(
                gaps.select("symbol", "first_ts", "last_ts").sort("first_ts"),
                left_on="last_input",
                right_on="first_ts",
                by="symbol",
                check_sortedness=False,
            )
            .filter(pl.col("last_ts") >= pl.col("first_input"))
        )
        # A derived input has no ledger of gaps: where any bar of its partition is missing, this one
        # may be as well.
        judged = view.partitions.counts(self._input.dataset).select(
            "symbol",
            part=pl.col("partition").str.to_date(),
            known=(pl.col("missing") == 0) | (not self._input.is_derived),
        )
        days = pl.date_ranges(
            pl.col("first_input").cast(pl.Date), pl.col("last_input").cast(pl.Date)
        )
        unknown = (
            absent.select("symbol", bar="ts", ts=days)
            .explode("ts")
            .select("symbol", "bar", self._input.part())
            .join(inputs.select(self._input.part()), on="part", how="semi")
            .join(judged, on=["symbol", "part"], how="left")
            .filter(~pl.col("known").fill_null(value=False))
        )
        missing = pl.concat(
            [
                in_gaps.select("symbol", "ts", pending=pl.lit(value=False)),
                unknown.select("symbol", ts="bar", pending=pl.lit(value=True)),
            ]
        )
        return missing.group_by("symbol", "ts").agg(pl.all("pending"))

    def _failures(
        self, counts: Sequence[SymbolCounts], pending: Mapping[str, int]
    ) -> tuple[str, ...]:
        """Why a partition does not count as filled.

        The rule is that of the fetched partitions, over the bars that its input has been asked for.

        Args:
            counts: What each symbol has in it.
            pending: How many of the missing bars of each symbol have an input that must still be
                made.
        """
        if nothing := nothing_yet(counts, self._input.dataset.name):
            return nothing
        due = [
            replace(
                symbol_counts,
                expected=symbol_counts.expected - later,
                missing=symbol_counts.missing - later,
            )
            for symbol_counts in counts
            for later in (pending.get(symbol_counts.symbol, 0),)
        ]
        why = shortfall(due, limit=self._scope.profile.checks.failed_above)
        return (f"{why}; {self._input.dataset.name} lacks what they are made of",) if why else ()


def _counted(bars: pl.DataFrame, inputs: pl.DataFrame) -> pl.DataFrame:
    """The bars that some input bars belong to: ts, bars_expected, first_input, last_input."""
    opens = inputs["opens_at"]
    counted = bars.select(
        "ts",
        first=opens.search_sorted(bars["opens_at"]),
        after=opens.search_sorted(bars["closes_at"]),
    ).filter(pl.col("after") > pl.col("first"))
    return counted.select(
        "ts",
        bars_expected=(pl.col("after") - pl.col("first")).cast(pl.Int32),
        first_input=inputs["ts"].gather(counted["first"]),
        last_input=inputs["ts"].gather(counted["after"] - 1),
    )


def _by_partition(tally: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Rows of part, symbol and a number as a mapping by partition key and symbol."""
    numbers: dict[str, dict[str, int]] = {}
    for part, symbol, number in tally.iter_rows():
        numbers.setdefault(part.isoformat(), {})[symbol] = number
    return numbers
