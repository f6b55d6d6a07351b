"""Whether the bars of a partition are accounted for: the check `continuity`. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from market_assets.config.settings import Severity
from market_assets.market.gaps import Priority, priority
from market_assets.market.instants import brief
from market_assets.verdicts.verdicts import SAMPLE, SymbolCounts, Verdict, share
from market_assets.words import are, many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

_NAMED = 3
"""How many symbols without a bar a sentence explains."""


@dataclass(frozen=True)
class Gap:
    """Neighbouring absent bars of one symbol that share one story.

    `first` and `last` are opens (UTC).
    """

    symbol: str
    first: datetime
    last: datetime
    bars: int
    status: str
    attempts: int
    reason: str


def continuity(
    counts: Sequence[SymbolCounts],
    gaps: Sequence[Gap],
    *,
    now: datetime,
    severities: Mapping[Priority, Severity],
    bar: timedelta,
) -> Verdict:
    """Judge whether every bar that must exist is stored or explained.

    Args:
        counts: Every symbol's bars in the partition.
        gaps: The partition's rows of the gap ledger, explained ones too.
        now: The present instant; a gap's priority falls with its age.
        severities: How bad an open gap of each priority is; a symbol that has nothing is an error.
        bar: The timeframe's length, which says when a gap ends.
    """
    facts = _facts(counts)
    opened = _newest_first(gaps, "open")
    ranks = [priority(now - (gap.last + bar)) for gap in opened]
    worst = sorted((c for c in counts if c.missing), key=lambda c: (-c.missing, c.symbol))
    empty = [c for c in worst if c.has_nothing]
    reasons = _reasons(gaps)

    tables: dict[str, list[dict[str, Any]]] = {}
    if given_up := _newest_first(gaps, "abandoned"):
        tables["abandoned_gaps"] = _abandoned_rows(given_up)
    if worst:
        facts |= {"open_gaps": len(opened), "symbols_with_gaps": len(worst)}
        facts |= {f"{rank.value.lower()}_gaps": count for rank, count in Counter(ranks).items()}
        tables["worst_symbols"] = _symbol_rows(worst, reasons)
        tables["open_gaps"] = _open_rows(opened, ranks)
    if empty:
        facts["symbols_with_nothing"] = len(empty)

    severe = bool(empty) or any(severities[rank] is Severity.ERROR for rank in ranks)
    severity = Severity.ERROR if severe else Severity.WARN
    sentence = _nothing_of(empty, reasons) + _continuity_sentence(facts, worst, opened)
    return Verdict("continuity", facts["missing"] == 0, severity, sentence, facts, tables)


def _facts(counts: Sequence[SymbolCounts]) -> dict[str, int | float | str]:
    expected, stored = sum(c.expected for c in counts), sum(c.stored for c in counts)
    missing = sum(c.missing for c in counts)
    facts: dict[str, int | float | str] = {
        "expected": expected,
        "stored": stored,
        "missing": missing,
        "completeness": share(expected - missing, expected),
    }
    for kind in ("no_trade", "outage", "closed", "halted"):
        if explained := sum(getattr(c, kind) for c in counts):
            facts[f"explained_{kind}"] = explained
    if abandoned := sum(c.abandoned for c in counts):
        facts["abandoned"] = abandoned
    return facts


def _newest_first(gaps: Sequence[Gap], status: str) -> list[Gap]:
    """The gaps of a status."""
    return sorted(
        (gap for gap in gaps if gap.status == status), key=lambda gap: gap.last, reverse=True
    )


def _abandoned_rows(gaps: Sequence[Gap]) -> list[dict[str, Any]]:
    return [
        {
            "symbol": gap.symbol,
            "first_bar": brief(gap.first),
            "last_bar": brief(gap.last),
            "bars": gap.bars,
            "why": gap.reason,
        }
        for gap in gaps[:SAMPLE]
    ]


def _symbol_rows(worst: Sequence[SymbolCounts], reasons: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "symbol": c.symbol,
            "missing": c.missing,
            "expected": c.expected,
            "completeness": share(c.expected - c.missing, c.expected),
            "why": reasons.get(c.symbol, ""),
        }
        for c in worst[:SAMPLE]
    ]


def _open_rows(opened: Sequence[Gap], ranks: Sequence[Priority]) -> list[dict[str, Any]]:
    return [
        {
            "symbol": gap.symbol,
            "first_bar": brief(gap.first),
            "last_bar": brief(gap.last),
            "bars": gap.bars,
            "priority": rank.value,
            "attempts": gap.attempts,
            "why": gap.reason,
        }
        for gap, rank in list(zip(opened, ranks, strict=True))[:SAMPLE]
    ]


def _reasons(gaps: Sequence[Gap]) -> dict[str, str]:
    """Why bars of each symbol are missing, in the words of its longest gap."""
    missing = [gap for gap in gaps if gap.status in {"open", "abandoned"}]
    return {gap.symbol: gap.reason for gap in sorted(missing, key=lambda gap: gap.bars)}


def _nothing_of(empty: Sequence[SymbolCounts], reasons: Mapping[str, str]) -> str:
    """The symbols that have nothing, each with the words of its sources."""
    named = [
        f"{c.symbol}: {reasons.get(c.symbol, 'not asked yet').rstrip('.')}" for c in empty[:_NAMED]
    ]
    if len(empty) > _NAMED:
        named.append(f"and {len(empty) - _NAMED:,} more")
    return f"Nothing at all of {'; '.join(named)}. " if named else ""


def _continuity_sentence(
    facts: Mapping[str, int | float | str], worst: Sequence[SymbolCounts], opened: Sequence[Gap]
) -> str:
    expected, missing = int(facts["expected"]), int(facts["missing"])
    if expected == 0:
        return "No bar is expected here: the market is closed, or no symbol was listed yet."
    if not missing:
        explained = expected - int(facts["stored"])
        tail = f" {explained:,} {are(explained)} absent for a known reason." if explained else ""
        return (
            f"{'The one bar is' if expected == 1 else f'All {expected:,} bars are'} accounted "
            f"for.{tail}"
        )
    names = ", ".join(c.symbol for c in worst[:3]) + (" and others" if len(worst) > 3 else "")
    abandoned = int(facts.get("abandoned", 0))
    shortage = f"{missing:,} of {many(expected, 'bar')} {are(missing)} missing"
    if not abandoned:
        return (
            f"{shortage} in {many(len(opened), 'gap')} ({names}). "
            "The next repair or backfill of this partition asks the sources for just these."
        )
    rest = (
        ""
        if missing == abandoned
        else f" The other {missing - abandoned:,} are asked for again by the next repair."
    )
    return (
        f"{shortage} ({names}); {abandoned:,} of them {are(abandoned)} abandoned: "
        f"market-assets repair --abandoned asks for them once more.{rest}"
    )
