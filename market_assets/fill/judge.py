"""Commits answers and judges the partitions that they complete, in one transaction.

What answers say of absent bars is in `ledger`, where series begin in `heads`, and what is wrong
with candles in `faults`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.expected.states import states_of
from market_assets.fill.answers import Answer, candles_of, dropped_of, rejects_of
from market_assets.fill.faults import (
    as_rejects,
    implausible_bars,
    judge_validity,
    note_off_calendar,
    note_refused,
    violations,
)
from market_assets.fill.heads import before_genesis, judge_genesis, moved_genesis, open_heads
from market_assets.fill.ledger import advance_ledger, coverage_of
from market_assets.fill.tallies import Tally, by_partition, tallies, tally
from market_assets.market.partitions import Partition, hull
from market_assets.market.timeframes import Window
from market_assets.verdicts.clean import FAULTS
from market_assets.verdicts.colour import names_of, shortfall
from market_assets.verdicts.continuity import Gap, continuity
from market_assets.verdicts.evidence import EXPLAINED, MISSING, State
from market_assets.verdicts.ledger import repaired
from market_assets.verdicts.plausibility import plausibility
from market_assets.verdicts.verdicts import SymbolCounts, Verdict
from market_assets.work.publish import Judged, evidence_of, publish

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from market_assets.expected.scope import Scope
    from market_assets.market.timeframes import Window
    from market_assets.store import Merged, Snapshot, Transaction
    from market_assets.work.outcome import PartitionOutcome

_NEVER_ASKED = (pl.col("status") == State.OPEN) & (pl.col("attempts") + pl.col("failures") == 0)
"""Whether no source was ever asked for a row of the ledger."""


@dataclass(frozen=True)
class _Findings:
    """What is known of some partitions after their candles were stored, each by partition key.

    Attributes:
        counts: What each symbol has.
        tallies: Rows by symbol: new, revised, repaired.
        sources: New rows by source.
        rejects: The rows that were refused.
        refused: The same by symbol, source and reason (REFUSED_SCHEMA).
        outside: What the calendar refused (OFF_CALENDAR_SCHEMA).
        violations: Stored candles that cannot be.
        nulled: Values that were dropped, by column.
        strange: Bars that are likely wrong.
        gaps: The rows of the ledger.
        heads: The last bar of each series' open head, by symbol.
        early: Stored bars before the genesis of their symbol, by symbol.
    """

    counts: Mapping[str, tuple[SymbolCounts, ...]]
    tallies: Mapping[str, Tally]
    sources: Tally
    rejects: Mapping[str, pl.DataFrame]
    refused: pl.DataFrame
    outside: Mapping[str, list[dict[str, Any]]]
    violations: Mapping[str, pl.DataFrame]
    nulled: Tally
    strange: Mapping[str, list[dict[str, Any]]]
    gaps: Mapping[str, pl.DataFrame]
    heads: Mapping[str, datetime]
    early: Tally


class Judge:
    """Commits and judges the partitions of one profile and timeframe.

    Args:
        scope: What must exist: fetched candles, all series from their start in the universe on.
        genesis: The recorded genesis of each symbol.
        quiet: Whether any source of the series leaves quiet bars out.
        refetch: Whether the fill asks also for what is stored.
    """

    def __init__(
        self,
        scope: Scope,
        *,
        genesis: Mapping[str, datetime],
        quiet: bool = True,
        refetch: bool = False,
    ) -> None:
        self._whole = scope
        self._dataset = scope.dataset
        self._starts = {series.symbol: series.window.start for series in scope.series}
        self._expect_since(genesis)
        self._quiet = quiet
        self._refetch = refetch

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
        """
        window = hull(partitions)
        merged = self._merge(transaction, window, answers)
        self._expect_since(moved_genesis(transaction, self._whole, merged))

        stored_until = transaction.candles.newest_open(self._dataset, window)
        newest = max(filter(None, (newest, stored_until)), default=None)
        coverage = coverage_of(answers, window, self._silent_until(newest))
        transaction.coverage.put(self._dataset, coverage)

        symbols = self._whole.symbols
        ledger = transaction.gaps.of(self._dataset, symbols=symbols, window=window)
        mended = self._note_repairs(transaction, merged, ledger)
        rejects = rejects_of(answers)
        outside = note_off_calendar(transaction, self._scope, rejects, partitions)
        refused = note_refused(transaction, self._scope, rejects, partitions, answers)

        rows = merged.rows.sort("symbol", "ts")
        bars = self._scope.bars(window)
        complete = rows.select("symbol", "ts").equals(bars.select("symbol", "ts"))
        if complete and ledger.is_empty():
            states = bars.select("symbol", "ts", state=pl.lit(State.STORED.value))
            gaps = ledger
        else:
            states, gaps = advance_ledger(
                transaction,
                self._scope,
                window,
                answers,
                rejects,
                newest=newest,
                quiet=self._quiet,
            )

        counts = self._counts(states)
        new = rows if len(merged.new) == len(rows) else merged.new.join(rows, on=["symbol", "ts"])
        sources, taken = tallies(self._scope, new, "source", "symbol")
        # A stream may have stored a bar already that is not expected before it has settled.
        settled = self._whole.at(self._whole.now + self._whole.profile.update.settle)
        violated = violations(settled, rows, window, complete=complete)
        findings = _Findings(
            counts,
            tallies={
                "new": taken,
                "revised": tally(self._scope, merged.revised),
                "repaired": mended,
            },
            sources=sources,
            rejects=by_partition(self._scope, rejects, "asked"),
            refused=refused,
            outside=outside,
            violations=by_partition(self._scope, violated),
            nulled=tally(self._scope, dropped_of(answers, window), "column"),
            strange=implausible_bars(transaction, self._scope, window),
            gaps=by_partition(self._scope, gaps, "first_ts"),
            heads=open_heads(transaction, self._whole, self._scope, states),
            early=tally(self._scope, before_genesis(rows, self._genesis)),
        )

        def details(partition: Partition, _: Mapping[str, int]) -> Mapping[str, Any]:
            return self._details(partition, findings, answers)

        judged = Judged(
            counts,
            rows,
            changed=pl.concat([merged.new, merged.revised, merged.filled]),
            evidence=evidence_of(states, self._scope.cadence),
        )
        subject = self._scope
        if heard_until is not None:
            subject = replace(subject, now=self._judged_until(states, heard_until))
        return publish(transaction, subject, partitions, judged, details)

    def _judged_until(self, states: pl.DataFrame, heard_until: datetime) -> datetime:
        """Until when partitions count as judged that a stream gave bars of."""
        if (states["state"] != State.OPEN).all():
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

    def _merge(self, transaction: Transaction, window: Window, answers: Sequence[Answer]) -> Merged:
        """Put the candles of a window beside the stored ones."""
        incoming = candles_of(answers).filter(window.holds())
        preferred = self._in_preference(transaction, window, incoming)
        return transaction.candles.merge(self._dataset, self._whole.symbols, window, preferred)

    def _in_preference(
        self, transaction: Transaction, window: Window, incoming: pl.DataFrame
    ) -> pl.DataFrame:
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
        if incoming.join(fallen_back, on=["symbol", "source"], how="semi").is_empty():
            return incoming
        stored = transaction.candles.of(self._dataset, self._whole.symbols, window)
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

    def _details(
        self, partition: Partition, findings: _Findings, answers: Sequence[Answer]
    ) -> dict[str, Any]:
        """The fields of a partition's outcome that a fill alone has."""
        key = partition.key
        counts = findings.counts.get(key, ())
        refused = as_rejects(findings.rejects.get(key))
        rejected = Counter(reject.symbol for reject in refused if reject.reason in FAULTS)
        by_symbol = {
            "new": findings.tallies["new"].get(key, {}),
            "revised": findings.tallies["revised"].get(key, {}),
            "rejected": rejected,
            "repaired": findings.tallies["repaired"].get(key, {}),
        }
        validity = judge_validity(
            as_rejects(findings.violations.get(key)),
            refused,
            findings.outside.get(key, ()),
            findings.nulled.get(key),
        )
        verdicts = [
            self._continuity(key, findings),
            self._genesis_of(partition, findings),
            validity,
        ]
        if self._scope.profile.checks.plausibility:
            verdicts.append(plausibility(findings.strange.get(key, ())))
        examples = findings.refused.filter(pl.col("partition") == key) if rejected else None
        return {
            "failures": tuple(self._failures(counts, partition, answers, findings.gaps.get(key))),
            "verdicts": tuple(verdicts),
            **{name: sum(numbers.values()) for name, numbers in by_symbol.items()},
            "by_symbol": by_symbol,
            "sources": findings.sources.get(key, {}),
            "refused": () if examples is None else examples.to_dicts(),
        }

    def _continuity(self, key: str, findings: _Findings) -> Verdict:
        return continuity(
            findings.counts.get(key, ()),
            _as_gaps(findings.gaps.get(key)),
            now=self._scope.now,
            severities=self._scope.profile.checks.severity,
            bar=self._scope.timeframe.duration,
        )

    def _genesis_of(self, partition: Partition, findings: _Findings) -> Verdict:
        return judge_genesis(
            partition,
            findings.counts.get(partition.key, ()),
            starts=self._starts,
            recorded=self._genesis,
            heads=findings.heads,
            early=findings.early.get(partition.key, {}),
        )

    def _counts(self, states: pl.DataFrame) -> dict[str, tuple[SymbolCounts, ...]]:
        table = states.group_by(self._scope.part(), "symbol").agg(
            pl.len().alias("expected"),
            *((pl.col("state") == state).sum().alias(state.value) for state in State),
        )
        counts: dict[str, list[SymbolCounts]] = {}
        for row in table.sort("part", "symbol").iter_rows(named=True):
            explained = {state.value: row[state] for state in EXPLAINED}
            counts.setdefault(row["part"].isoformat(), []).append(
                SymbolCounts(
                    row["symbol"],
                    expected=row["expected"],
                    stored=row[State.STORED],
                    explained=sum(explained.values()),
                    missing=sum(row[state] for state in MISSING),
                    abandoned=row[State.ABANDONED],
                    **explained,
                )
            )
        return {key: tuple(value) for key, value in counts.items()}

    def _failures(
        self,
        counts: Sequence[SymbolCounts],
        partition: Partition,
        answers: Sequence[Answer],
        gaps: pl.DataFrame | None,
    ) -> list[str]:
        """Why a partition does not count as filled as a whole, and what its sources say of it.

        A symbol that a refetch asked for in vain counts as one that has nothing: it is unknown
        whether what is stored of it has been revised.
        """
        lacking = {symbol_counts.symbol for symbol_counts in counts if symbol_counts.missing}
        errors: dict[str, str] = {}
        unheard: set[str] = set()
        awaited = set() if gaps is None else set(gaps.filter(_NEVER_ASKED)["symbol"])
        for answer in answers:
            page = answer.page
            in_vain = self._refetch and not answer.spoken
            reasons = answer.errors_in(partition.window)
            if not reasons or not page.window.intersect(partition.window):
                continue
            if page.symbol in lacking or in_vain:
                errors |= dict.fromkeys(reasons, page.symbol)
                awaited |= {page.symbol} if answer.failed or answer.late else set()
                unheard |= {page.symbol} if in_vain else set()

        heard = [
            SymbolCounts(symbol_counts.symbol, symbol_counts.expected, 0, 0, symbol_counts.expected)
            if symbol_counts.symbol in unheard
            else symbol_counts
            for symbol_counts in counts
        ]
        limit = self._scope.profile.checks.failed_above
        why = shortfall(counts, limit=limit, awaited=awaited)
        if not why and shortfall(heard, limit=limit, awaited=awaited):
            why = f"nobody answered when bars were asked for again ({names_of(sorted(unheard))})"
        if not why:
            return []
        # The errors of a symbol that has nothing do not cause the colour while half are there.
        empty = {symbol_counts.symbol for symbol_counts in heard if symbol_counts.has_nothing}
        spared = empty - awaited if 2 * len(empty) <= len(heard) else set()
        return [why, *(error for error, symbol in errors.items() if symbol not in spared)]


def _as_gaps(rows: pl.DataFrame | None) -> list[Gap]:
    if rows is None:
        return []
    fields = rows.select(
        "symbol", "first_ts", "last_ts", "bars", "status", "attempts", "reason"
    ).iter_rows()
    return [
        Gap(
            symbol,
            first.replace(tzinfo=UTC),
            last.replace(tzinfo=UTC),
            bars,
            status,
            attempts,
            reason,
        )
        for symbol, first, last, bars, status, attempts, reason in fields
    ]
