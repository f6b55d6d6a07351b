"""What the outcome of a partition says, from what was found of it. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.fill.faults import as_rejects, judge_validity
from market_assets.fill.heads import judge_genesis
from market_assets.store.database import aware
from market_assets.verdicts.clean import FAULTS
from market_assets.verdicts.colour import names_of, shortfall
from market_assets.verdicts.continuity import Gap, continuity
from market_assets.verdicts.evidence import EXPLAINED, MISSING, State
from market_assets.verdicts.plausibility import plausibility
from market_assets.verdicts.verdicts import SymbolCounts, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from market_assets.expected.scope import Scope
    from market_assets.fill.answers import Answer
    from market_assets.fill.tallies import Tally
    from market_assets.market.partitions import Partition

_NEVER_ASKED = (pl.col("status") == State.OPEN) & (pl.col("attempts") + pl.col("failures") == 0)
"""Whether no source was ever asked for a row of the ledger."""


@dataclass(frozen=True)
class Findings:
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


@dataclass(frozen=True)
class Details:
    """The fields of a partition's outcome that a fill alone has.

    Attributes:
        scope: What must exist, each series from its genesis on.
        starts: The start of each series in the universe.
        genesis: The recorded genesis of each symbol.
        findings: What was found.
        answers: Those in which a source says why it has not answered, for a part or all of it.
        refetch: Whether the fill asks also for what is stored.
    """

    scope: Scope
    starts: Mapping[str, datetime]
    genesis: Mapping[str, datetime]
    findings: Findings
    answers: Sequence[Answer]
    refetch: bool

    def of(self, partition: Partition) -> dict[str, Any]:
        """The fields of the outcome of a partition."""
        key, findings = partition.key, self.findings
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
            self._continuity(key),
            self._genesis_of(partition),
            validity,
        ]
        if self.scope.profile.checks.plausibility:
            verdicts.append(plausibility(findings.strange.get(key, ())))
        examples = findings.refused.filter(pl.col("partition") == key) if rejected else None
        return {
            "failures": tuple(self._failures(counts, partition, findings.gaps.get(key))),
            "verdicts": tuple(verdicts),
            **{name: sum(numbers.values()) for name, numbers in by_symbol.items()},
            "by_symbol": by_symbol,
            "sources": findings.sources.get(key, {}),
            "refused": () if examples is None else examples.to_dicts(),
        }

    def _continuity(self, key: str) -> Verdict:
        return continuity(
            self.findings.counts.get(key, ()),
            _as_gaps(self.findings.gaps.get(key)),
            now=self.scope.now,
            severities=self.scope.profile.checks.severity,
            bar=self.scope.timeframe.duration,
        )

    def _genesis_of(self, partition: Partition) -> Verdict:
        return judge_genesis(
            partition,
            self.findings.counts.get(partition.key, ()),
            starts=self.starts,
            recorded=self.genesis,
            heads=self.findings.heads,
            early=self.findings.early.get(partition.key, {}),
        )

    def _failures(
        self,
        counts: Sequence[SymbolCounts],
        partition: Partition,
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
        for answer in self.answers:
            page = answer.page
            in_vain = self.refetch and not answer.spoken
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
        limit = self.scope.profile.checks.failed_above
        why = shortfall(counts, limit=limit, awaited=awaited)
        if not why and shortfall(heard, limit=limit, awaited=awaited):
            why = f"nobody answered when bars were asked for again ({names_of(sorted(unheard))})"
        if not why:
            return []
        # The errors of a symbol that has nothing do not cause the colour while half are there.
        empty = {symbol_counts.symbol for symbol_counts in heard if symbol_counts.has_nothing}
        spared = empty - awaited if 2 * len(empty) <= len(heard) else set()
        return [why, *(error for error, symbol in errors.items() if symbol not in spared)]


def counts_of(table: pl.DataFrame) -> dict[str, tuple[SymbolCounts, ...]]:
    """What each symbol has, by partition key, from how many bars of each state there are."""
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


def _as_gaps(rows: pl.DataFrame | None) -> list[Gap]:
    if rows is None:
        return []
    # What is explained says nothing more.
    fields = (
        rows.filter(pl.col("status").is_in(MISSING))
        .select("symbol", "first_ts", "last_ts", "bars", "status", "attempts", "reason")
        .iter_rows()
    )
    return [
        Gap(
            symbol,
            aware(first),
            aware(last),
            bars,
            status,
            attempts,
            reason,
        )
        for symbol, first, last, bars, status, attempts, reason in fields
    ]
