"""Compares the sampled partitions of a fill with the other sources of their symbols."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.fill.answers import Answer, Page
from market_assets.fill.fetch import raise_fault
from market_assets.market.gaps import plan_requests
from market_assets.market.timeframes import literal
from market_assets.verdicts.agreement import (
    FINDING_SCHEMA,
    agreement,
    findings_of,
    is_due,
    is_sampled,
    tolerance_of,
)
from market_assets.verdicts.comparison import Comparison, compare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.config.universe import SourceSymbol
    from market_assets.expected.scope import Scope
    from market_assets.fill.fetch import Fetcher
    from market_assets.market.partitions import Partition
    from market_assets.sources.contract import Source
    from market_assets.store import Store
    from market_assets.work.outcome import PartitionOutcome

Key = tuple[str, str, str]
"""Partition, symbol and other source."""

Finding = dict[str, Any]
"""A row of FINDING_SCHEMA."""

_COMPARED = ("ts", "close", "volume")


@dataclass(frozen=True)
class _Question:
    """What is to be compared in a partition of a symbol, and how to ask the other source for it.

    `ours` are our rows there that are not the other source's own. `stored` are the opens of all our
    rows there (TS).
    """

    partition: Partition
    changed_at: datetime | None
    symbol: str
    source: str
    other: SourceSymbol
    ours: pl.DataFrame
    pages: Sequence[Page]
    volume: float | None
    tolerance: str
    stored: pl.Series


class Comparer:
    """Asks the other sources for sampled partitions after these were committed.

    It adds the verdict `agreement` to their outcomes. Each other source of the symbol is asked,
    those of other venues too. One that does not reach a partition is not compared there; one that
    fails is recorded as not compared, and harms nothing.

    Args:
        store: Where the candles and the findings are.
        sources: The sources that may be asked, by name.
        fetcher: Asks them.
        scope: What must exist of the symbols that the fill asks for, each from its genesis on.
        refetch: Compare again what was compared before.
    """

    def __init__(
        self,
        store: Store,
        sources: Mapping[str, Source],
        fetcher: Fetcher,
        *,
        scope: Scope,
        refetch: bool,
    ) -> None:
        self._store = store
        self._sources = sources
        self._fetcher = fetcher
        self._scope = scope
        self._profile = scope.profile
        self._timeframe = scope.timeframe
        self._dataset = scope.dataset
        self._series = {series.symbol: series for series in scope.series}
        self._refetch = refetch
        self._now = scope.now

    def judged(self, outcomes: Sequence[PartitionOutcome]) -> list[PartitionOutcome]:
        """The outcomes of a commit, those of compared partitions with one more verdict."""
        sampled = [
            (outcome, symbol_counts.symbol)
            for outcome in outcomes
            for symbol_counts in outcome.counts
            if symbol_counts.stored and self._is_sampled(symbol_counts.symbol, outcome.partition)
        ]
        if not sampled:
            return list(outcomes)
        findings, questions = self._look(sampled)
        fresh = self._ask(questions)
        if fresh:
            rows = pl.DataFrame(
                [row for group in fresh.values() for row in group], schema=FINDING_SCHEMA
            )
            with self._store.writing(f"comparing {self._scope}") as transaction:
                transaction.agreement.put(self._dataset, rows)
        by_partition: dict[str, list[Finding]] = defaultdict(list)
        for (partition, *_), group in sorted((findings | fresh).items()):
            by_partition[partition] += group
        return [
            replace(
                outcome,
                verdicts=(*outcome.verdicts, agreement(by_partition[outcome.partition.key])),
            )
            if outcome.partition.key in by_partition
            else outcome
            for outcome in outcomes
        ]

    def _is_sampled(self, symbol: str, partition: Partition) -> bool:
        share = self._profile.agreement.sample
        return len(self._profile.symbols[symbol].choices) > 1 and is_sampled(
            self._profile.name, symbol, self._timeframe, partition.key, share
        )

    def _look(
        self, sampled: Sequence[tuple[PartitionOutcome, str]]
    ) -> tuple[dict[Key, list[Finding]], list[_Question]]:
        """The findings of earlier comparisons that still count, and what must be compared now."""
        profile, timeframe, kind = self._profile, self._timeframe, self._profile.kind.value.lower()
        findings: dict[Key, list[Finding]] = defaultdict(list)
        still: dict[Key, list[Finding]] = {}
        questions: list[_Question] = []
        with self._store.reading(f"looking for what to compare of {self._scope}") as view:
            keys = list(dict.fromkeys(outcome.partition.key for outcome, _ in sampled))
            for row in view.agreement.of(self._dataset, keys).iter_rows(named=True):
                findings[row["partition"], row["symbol"], row["other"]].append(row)
            for outcome, symbol in sampled:
                partition = outcome.partition
                rows = view.candles.of(self._dataset, [symbol], partition.window)
                choices = profile.symbols[symbol].choices
                for rank, other in enumerate(choices):
                    our_rows = _comparable(
                        rows, other.source, [choice.source for choice in choices[:rank]]
                    )
                    if our_rows.is_empty():
                        continue
                    key = partition.key, symbol, other.source
                    if key in findings:
                        still[key] = findings[key]
                    traits = (
                        None
                        if other.source not in self._sources
                        else self._sources[other.source].traits
                    )
                    if (
                        symbol not in self._series
                        or traits is None
                        or timeframe not in traits.timeframes_for(kind)
                    ):
                        continue
                    question = self._question(
                        outcome, symbol, other, our_rows, rows["ts"], page_size=traits.page_size
                    )
                    if self._refetch or is_due(
                        findings.get(key, []),
                        end=partition.window.end,
                        now=self._now,
                        changed_at=question.changed_at,
                        tolerance=question.tolerance,
                        every=profile.agreement.every,
                    ):
                        questions.append(question)
        return still, questions

    def _question(
        self,
        outcome: PartitionOutcome,
        symbol: str,
        other: SourceSymbol,
        our_rows: pl.DataFrame,
        stored: pl.Series,
        *,
        page_size: int,
    ) -> _Question:
        partition = outcome.partition
        settings, symbol_settings = self._profile.agreement, self._profile.symbols[symbol]
        source = str(our_rows["source"].value_counts(sort=True)["source"][0])
        # Volumes of two venues, or uncounted ones, cannot be compared.
        counted = self._profile.prices.real_volume and symbol_settings.is_one_venue(
            source, other.source
        )
        volume = settings.volume if counted else None
        closed = self._scope.closed(partition.window)
        bars = closed.filter(self._series[symbol].window.holds())["ts"]
        return _Question(
            partition,
            None if outcome.version is None else datetime.fromisoformat(outcome.version),
            symbol,
            source,
            other,
            our_rows,
            [
                Page(
                    symbol,
                    (other,),
                    window,
                    wanted=inside,
                    bars=inside.to_frame(),
                    unfinished=bars.clear(),
                )
                for window in plan_requests(bars, self._timeframe, page_size)
                for inside in [
                    bars.filter(
                        bars.is_between(literal(window.start), literal(window.end), closed="left")
                    )
                ]
            ],
            volume,
            tolerance_of(settings.close, volume),
            stored.unique().sort(),
        )

    def _ask(self, questions: Sequence[_Question]) -> dict[Key, list[Finding]]:
        """Ask for everything at once, and compare the answers.

        What is not answered within the time budget is left out.
        """
        pages = [page for question in questions for page in question.pages]
        inbox: SimpleQueue[Answer | BaseException] = SimpleQueue()
        self._fetcher.submit(pages, inbox.put)
        answers: dict[int, Answer] = {}
        for _ in pages:
            answer = inbox.get()
            if isinstance(answer, BaseException):
                raise_fault(answer)
            answers[id(answer.page)] = answer
        findings = {}
        for question in questions:
            result = self._result(question, [answers[id(page)] for page in question.pages])
            if result is not None:
                partition = question.partition
                about = {
                    "partition": partition.key,
                    "symbol": question.symbol,
                    "source": question.source,
                    "other": question.other.source,
                    "tolerance": question.tolerance,
                    "until_ts": min(self._now, partition.window.end).replace(tzinfo=None),
                    # Never before the rows that were compared: this fill may have brought them.
                    "checked_at": max(self._now, question.changed_at or self._now).replace(
                        tzinfo=None
                    ),
                }
                findings[partition.key, question.symbol, question.other.source] = findings_of(
                    result, about, question.stored
                )
        return findings

    def _result(self, question: _Question, answers: Sequence[Answer]) -> Comparison | str | None:
        """The result of a question: a comparison, or why there is none.

        None where nothing can be said.
        """
        if any(answer.late for answer in answers):
            return None
        if errors := dict.fromkeys(error for answer in answers for error in answer.errors):
            return "; ".join(errors)
        spoken = [window for answer in answers for window, _ in answer.spoken]
        if not spoken:
            return None
        our_rows = question.ours.filter(
            pl.any_horizontal(window.holds() for window in spoken)
        ).select(_COMPARED)
        their_candles = [
            candles.select(_COMPARED) for answer in answers for _, candles in answer.candles
        ]
        result = compare(
            our_rows,
            pl.concat(their_candles) if their_candles else our_rows.clear(),
            self._timeframe,
            close=self._profile.agreement.close,
            volume=question.volume,
        )
        if result.compared or result.disagreements:
            return result
        return f"{question.other.source} has none of the {len(our_rows):,} bars"


def _comparable(rows: pl.DataFrame, other: str, preferred: Sequence[str]) -> pl.DataFrame:
    """The rows that can be compared with the rows of another source.

    Where that one has given rows itself, others that come after it have given only what it lacks.

    Args:
        rows: What is stored of a partition: ts, close, volume, source.
        other: The other source.
        preferred: The sources that come before it.
    """
    our_rows = rows.filter(pl.col("source") != other)
    return (
        our_rows
        if len(our_rows) == len(rows)
        else our_rows.filter(pl.col("source").is_in(preferred))
    )
