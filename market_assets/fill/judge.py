"""Commits answers and judges the partitions that they complete, in one transaction.

What answers say of absent bars is in `ledger`, where series begin in `heads`, what is wrong with
candles in `faults`, what need not be judged again in `memory`, what is told of it in `outcomes`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.states import states_of
from market_assets.fill.answers import (
    Answer,
    StreamedBars,
    candles_of,
    dropped_of,
    rejects_of,
)
from market_assets.fill.faults import (
    implausible_bars,
    note_off_calendar,
    note_refused,
    violations,
)
from market_assets.fill.heads import (
    before_genesis,
    leads_of,
    moved_genesis,
    open_heads,
)
from market_assets.fill.ledger import advance_ledger, coverage_of
from market_assets.fill.outcomes import Details, Findings, counts_of
from market_assets.fill.settled import LEDGER, Judgement, Whole
from market_assets.fill.tallies import Tally, by_partition, tallies, tally
from market_assets.market.partitions import Partition, hull
from market_assets.market.timeframes import Window
from market_assets.store.merge import Merged
from market_assets.verdicts.evidence import MISSING, State
from market_assets.verdicts.ledger import repaired
from market_assets.work.publish import Judged, digests, publish

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from market_assets.expected.scope import Scope
    from market_assets.fill.memory import Memory
    from market_assets.fill.settled import Settled
    from market_assets.store import Snapshot, Transaction
    from market_assets.work.outcome import PartitionOutcome

_NOTHING_STREAMED = StreamedBars()


class Judge:
    """Commits and judges the partitions of one profile and timeframe.

    Args:
        scope: What must exist: fetched candles, all series from their start in the universe on.
        genesis: The recorded genesis of each symbol.
        quiet: Whether any source of the series leaves quiet bars out.
        refetch: Whether the fill asks also for what is stored.
        memory: What was judged before, so that what is still so is not judged again.
    """

    def __init__(
        self,
        scope: Scope,
        *,
        genesis: Mapping[str, datetime],
        quiet: bool = True,
        refetch: bool = False,
        memory: Memory | None = None,
    ) -> None:
        self._whole = scope
        self._dataset = scope.dataset
        self._starts = {series.symbol: series.window.start for series in scope.series}
        self._expect_since(genesis)
        self._quiet = quiet
        self._refetch = refetch
        self._memory = memory

    def states(self, view: Snapshot, window: Window) -> pl.DataFrame:
        """Say of every bar of a window what the store knows of it: symbol, ts, state."""
        return states_of(view, self._scope, window, quiet=self._quiet)

    def missing(self, states: pl.DataFrame) -> Tally:
        """How many bars of some states nothing explains, by partition and symbol."""
        return tally(self._scope, states.filter(pl.col("state").is_in(MISSING)))

    def commit(
        self,
        transaction: Transaction,
        partitions: Sequence[Partition],
        answers: Sequence[Answer],
        *,
        newest: datetime | None = None,
        heard_until: datetime | None = None,
        streamed: StreamedBars = _NOTHING_STREAMED,
    ) -> list[PartitionOutcome]:
        """Store what the answers hold of some neighbouring partitions, and judge each of these.

        Args:
            transaction: Everything is written here, or nothing.
            partitions: Neighbours in time; every page that touches them is answered.
            answers: All answers that touch the partitions; what lies outside of these is not
                stored.
            newest: The newest bar's open that any answer of this fill has held so far.
            heard_until: Until when something was heard of every symbol, where nobody was asked. A
                partition that lacks bars then stays behind, so that an update asks for them.
            streamed: Bars that nobody was asked for, beside the answers.
        """
        window = hull(partitions)
        incoming = pl.concat([candles_of(answers), streamed.candles], how="diagonal")
        incoming = incoming.filter(window.holds())
        symbols = self._whole.symbols
        ledger = transaction.gaps.of(self._dataset, symbols=symbols, window=window, who=True)
        settled = self._settled(transaction, partitions, ledger, incoming, answers)

        merged = self._merge(transaction, window, incoming, settled)
        self._expect_since(moved_genesis(transaction, self._whole, merged))
        stored_until = transaction.candles.newest_open(self._dataset, window)
        newest = max(filter(None, (newest, stored_until)), default=None)
        coverage = coverage_of(answers, window, self._silent_until(newest))
        transaction.coverage.put(self._dataset, coverage)

        mended = self._note_repairs(transaction, merged, ledger)
        rejects = rejects_of(answers)
        outside = note_off_calendar(transaction, self._scope, rejects, partitions)
        refused = note_refused(transaction, self._scope, rejects, partitions, answers)

        rows = merged.rows
        judgement = self._judged(
            transaction,
            window,
            settled,
            ledger=ledger,
            rows=rows,
            answers=answers,
            rejects=rejects,
            newest=newest,
        )
        if self._memory is not None:
            self._memory.put(transaction, self._scope, partitions, settled, judgement)
        whole = Whole.of(judgement, settled, self._scope)

        new = rows if len(merged.new) == len(rows) else merged.new.join(rows, on=["symbol", "ts"])
        sources, taken = tallies(self._scope, new, "source", "symbol")
        nulled = pl.concat([dropped_of(answers, window), streamed.dropped.filter(window.holds())])
        findings = Findings(
            counts_of(whole.table),
            tallies={
                "new": taken,
                "revised": tally(self._scope, merged.revised),
                "repaired": mended,
            },
            sources=sources,
            rejects=by_partition(self._scope, rejects, "asked"),
            refused=refused,
            outside=outside,
            violations=by_partition(self._scope, whole.violations),
            nulled=tally(self._scope, nulled, "column"),
            strange=implausible_bars(transaction, self._scope, window),
            gaps=by_partition(self._scope, whole.gaps, "first_ts"),
            heads=open_heads(transaction, self._whole, self._scope, whole.leads),
            early=whole.early,
        )
        details = Details(
            self._scope,
            self._starts,
            self._genesis,
            findings,
            [answer for answer in answers if answer.errors or answer.lost],
            refetch=self._refetch,
        )
        judged = Judged(
            findings.counts,
            rows,
            changed=pl.concat([merged.new, merged.revised, merged.filled]),
            evidence=digests(whole.texts),
            behind=whole.extents,
        )
        subject = self._scope
        if heard_until is not None:
            subject = replace(subject, now=self._judged_until(whole.table, heard_until))
        return publish(
            transaction, subject, partitions, judged, lambda partition, _: details.of(partition)
        )

    def _judged(
        self,
        transaction: Transaction,
        window: Window,
        settled: Settled | None,
        *,
        ledger: pl.DataFrame,
        rows: pl.DataFrame,
        answers: Sequence[Answer],
        rejects: pl.DataFrame,
        newest: datetime | None,
    ) -> Judgement:
        """Judge the stored candles of a window, but for what is settled.

        Args:
            transaction: Where the ledger is written.
            window: Which bars.
            settled: What need not be judged again.
            ledger: The absences seen before.
            rows: The stored candles that are not settled, sorted by symbol and ts.
            answers: What the sources gave.
            rejects: The rows that were refused.
            newest: The newest bar's open that any source has given.
        """
        near = self._scope if settled is None else settled.cut(self._scope)
        bars = near.bars(window)
        complete = rows.select("symbol", "ts").equals(bars.select("symbol", "ts"))
        gaps = ledger if settled is None else settled.ahead(ledger, "first_ts")
        if complete and gaps.is_empty():
            states = bars.select("symbol", "ts", state=pl.lit(State.STORED.value))
            gaps = gaps.select(LEDGER)
        else:
            states, gaps = self._advance(
                transaction, window, settled, answers, rejects, newest=newest
            )
        # A stream may have stored a bar already that is not expected before it has settled.
        expected = self._whole.at(self._whole.now + self._whole.profile.update.settle)
        return Judgement(
            states,
            rows.select("symbol", "ts"),
            gaps,
            violations(expected, rows, window, complete=complete),
            leads_of(states if settled is None else settled.unlike(states)),
            before_genesis(rows, self._genesis).select("symbol", "ts"),
        )

    def _settled(
        self,
        transaction: Transaction,
        partitions: Sequence[Partition],
        ledger: pl.DataFrame,
        incoming: pl.DataFrame,
        answers: Sequence[Answer],
    ) -> Settled | None:
        """What need not be judged again, because it is as it was."""
        if self._memory is None or not before_genesis(incoming, self._genesis).is_empty():
            return None
        return self._memory.of(
            transaction,
            self._scope,
            partitions,
            ledger=ledger,
            incoming=incoming.select("symbol", "ts"),
            apart={answer.page.symbol for answer in answers},
        )

    def _advance(
        self,
        transaction: Transaction,
        window: Window,
        settled: Settled | None,
        answers: Sequence[Answer],
        rejects: pl.DataFrame,
        *,
        newest: datetime | None,
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """See `advance_ledger`; of what is settled only what lies after its border."""
        parts: list[tuple[Scope, Window, Mapping[str, datetime] | None]]
        parts = [(self._scope, window, None)]
        if settled is not None:
            near = settled.cut(self._scope)
            rest = self._scope.without(settled.symbols)
            since = {series.symbol: series.window.start for series in near.series}
            parts = [(near.without(rest.symbols), settled.window, since), (rest, window, None)]
        advances = [
            advance_ledger(
                transaction,
                scope,
                stretch,
                answers,
                rejects,
                newest=newest,
                quiet=self._quiet,
                since=since,
            )
            for scope, stretch, since in parts
            if scope.series
        ]
        states = pl.concat([part for part, _ in advances])
        gaps = pl.concat([part.select(LEDGER) for _, part in advances])
        return states.sort("symbol", "ts"), gaps.sort("symbol", "first_ts")

    def _judged_until(self, table: pl.DataFrame, heard_until: datetime) -> datetime:
        """Until when partitions count as judged that a stream gave bars of."""
        if not table[State.OPEN.value].sum():
            return min(heard_until, self._scope.now)
        return min(heard_until, self._scope.now - self._scope.timeframe.duration)

    def _expect_since(self, genesis: Mapping[str, datetime]) -> None:
        """Expect nothing of a symbol before its genesis."""
        self._genesis = genesis
        self._scope = self._whole.since(genesis)

    def _silent_until(self, newest: datetime | None) -> datetime:
        """Until when the word of a source counts that leaves quiet bars out.

        Bars after the newest one may be quiet, or the clock is ahead, which shows within the quiet
        limit.
        """
        passed = self._scope.now - self._scope.profile.evidence.quiet_limit
        return passed if newest is None else max(passed, newest + self._scope.timeframe.duration)

    def _merge(
        self,
        transaction: Transaction,
        window: Window,
        incoming: pl.DataFrame,
        settled: Settled | None,
    ) -> Merged:
        """Put the candles of a window beside the stored ones; its rows are those not settled."""
        parts = [(self._whole.symbols, window)]
        if settled is not None:
            rest = [symbol for symbol in self._whole.symbols if symbol not in settled.symbols]
            parts = [(settled.symbols, settled.window), (rest, window)]
        preferred = self._in_preference(transaction, incoming)
        merges = [
            transaction.candles.merge(
                self._dataset,
                symbols,
                stretch,
                preferred.filter(pl.col("symbol").is_in(symbols)) if settled else preferred,
            )
            for symbols, stretch in parts
            if symbols
        ]
        if settled is None:
            return merges[0]
        return Merged(
            new=pl.concat([merge.new for merge in merges]),
            revised=pl.concat([merge.revised for merge in merges]),
            rows=settled.ahead(pl.concat([merge.rows for merge in merges])).sort("symbol", "ts"),
            filled=pl.concat([merge.filled for merge in merges]),
        )

    def _in_preference(self, transaction: Transaction, incoming: pl.DataFrame) -> pl.DataFrame:
        """The candles without those whose bar is stored from a preferred source."""
        ranks = pl.DataFrame(
            [
                (series.symbol, reference.source, at)
                for series in self._whole.series
                for at, reference in enumerate(series.sources)
            ],
            schema={"symbol": pl.String, "source": pl.String, "rank": pl.Int64},
            orient="row",
        )
        fallen_back = ranks.filter(pl.col("rank") > 0)
        if fallen_back.is_empty():
            return incoming
        if incoming.join(fallen_back, on=["symbol", "source"], how="semi").is_empty():
            return incoming
        around = Window.holding(incoming["ts"])
        stored = transaction.candles.of(self._dataset, self._whole.symbols, around)
        better = (
            stored.select("symbol", "ts", "source")
            .join(ranks, on=["symbol", "source"])
            .join(
                incoming.join(fallen_back, on=["symbol", "source"]),
                on=["symbol", "ts"],
                suffix="_new",
            )
            .filter(pl.col("rank") < pl.col("rank_new"))
        )
        return incoming.join(better, on=["symbol", "ts"], how="anti")

    def _note_repairs(
        self, transaction: Transaction, merged: Merged, ledger: pl.DataFrame
    ) -> Tally:
        """Record which absences new rows have ended: how many, by partition and symbol."""
        if ledger.is_empty():
            return {}
        repairs = repaired(merged.new, ledger)
        transaction.repairs.put(self._dataset, repairs)
        # A row of the ledger lies in one partition: its bars are tallied as if each had a row.
        bars = repairs.select("symbol", ts=pl.col("first_ts").repeat_by("bars")).explode("ts")
        return tally(self._scope, bars)
