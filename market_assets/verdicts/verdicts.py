"""The verdicts on one partition. Pure: counts in, a sentence and bounded tables out.

Continuity, genesis, validity, plausibility and alignment are here; those on corporate actions and
on the agreement of sources have modules of their own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from market_assets.config.settings import Severity
from market_assets.market.gaps import Priority, priority

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

SAMPLE = 20
"""How many rows a table in a verdict has at most; the verdict says how many there were."""

_NAMED = 3
"""How many symbols without a bar a sentence explains."""


@dataclass(frozen=True)
class SymbolCounts:
    """The counts of one symbol in one partition, in bars.

    expected = stored + explained + missing; abandoned bars are missing.
    """

    symbol: str
    expected: int
    stored: int
    explained: int
    missing: int
    halted: int = 0
    no_trade: int = 0
    outage: int = 0
    closed: int = 0
    abandoned: int = 0

    @property
    def completeness(self) -> float:
        """The share of the expected bars that are stored or explained, 0 to 1."""
        return 1.0 if self.expected == 0 else 1 - self.missing / self.expected

    @property
    def has_nothing(self) -> bool:
        """Whether bars are missing and not one is stored or explained but by a halted market."""
        return self.missing > 0 and self.missing + self.halted == self.expected


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


@dataclass(frozen=True)
class Reject:
    """A row that a source gave and that was not stored."""

    symbol: str
    at: datetime | None
    reason: str
    values: str


@dataclass(frozen=True)
class Head:
    """Where one symbol's series should begin and does, as far as this partition shows.

    Attributes:
        symbol: The symbol.
        expected: The first bar that must exist.
        absent: How many bars at the start of the series are open in this partition; 0 if the series
            began before.
        genesis: The first bar as a source has named it, if one has.
        before_genesis: Stored bars that are older than the genesis.
    """

    symbol: str
    expected: datetime
    absent: int
    genesis: datetime | None
    before_genesis: int


@dataclass(frozen=True)
class Verdict:
    """A judgement on one partition.

    Attributes:
        check: continuity, genesis, validity, plausibility, alignment, agreement or
            actions_match_prices.
        passed: Whether all is as it must be.
        severity: How bad it is if not.
        summary: One sentence: what is so and what happens next.
        facts: Single values.
        tables: Bounded tables, worst first.
    """

    check: str
    passed: bool
    severity: Severity
    summary: str
    facts: Mapping[str, int | float | str] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


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
    opened = sorted((g for g in gaps if g.status == "open"), key=lambda g: g.last, reverse=True)
    ranks = [priority(now - (gap.last + bar)) for gap in opened]
    worst = sorted((c for c in counts if c.missing), key=lambda c: (-c.missing, c.symbol))
    empty = [c for c in worst if c.has_nothing]
    severe = bool(empty) or any(severities[rank] is Severity.ERROR for rank in ranks)
    severity = Severity.ERROR if severe else Severity.WARN
    reasons = _reasons(gaps)
    given_up = sorted(
        (g for g in gaps if g.status == "abandoned"), key=lambda g: g.last, reverse=True
    )
    tables: dict[str, list[dict[str, Any]]] = {}
    if given_up:
        tables["abandoned_gaps"] = [
            {
                "symbol": g.symbol,
                "first_bar": _utc(g.first),
                "last_bar": _utc(g.last),
                "bars": g.bars,
                "why": g.reason,
            }
            for g in given_up[:SAMPLE]
        ]
    if worst:
        facts |= {"open_gaps": len(opened), "symbols_with_gaps": len(worst)}
        facts |= {f"{rank.value.lower()}_gaps": count for rank, count in Counter(ranks).items()}
        tables["worst_symbols"] = [
            {
                "symbol": c.symbol,
                "missing": c.missing,
                "expected": c.expected,
                "completeness": share(c.expected - c.missing, c.expected),
                "why": reasons.get(c.symbol, ""),
            }
            for c in worst[:SAMPLE]
        ]
        tables["open_gaps"] = [
            {
                "symbol": gap.symbol,
                "first_bar": _utc(gap.first),
                "last_bar": _utc(gap.last),
                "bars": gap.bars,
                "priority": rank.value,
                "attempts": gap.attempts,
                "why": gap.reason,
            }
            for gap, rank in list(zip(opened, ranks, strict=True))[:SAMPLE]
        ]
    if empty:
        facts["symbols_with_nothing"] = len(empty)
    sentence = _nothing_of(empty, reasons) + _continuity_sentence(facts, worst, opened)
    return Verdict("continuity", missing == 0, severity, sentence, facts, tables)


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
        tail = f" {explained:,} {_are(explained)} absent for a known reason." if explained else ""
        return (
            f"{'The one bar is' if expected == 1 else f'All {expected:,} bars are'} accounted "
            f"for.{tail}"
        )
    names = ", ".join(c.symbol for c in worst[:3]) + (" and others" if len(worst) > 3 else "")
    abandoned = int(facts.get("abandoned", 0))
    shortage = f"{missing:,} of {_many(expected, 'bar')} {_are(missing)} missing"
    if not abandoned:
        return (
            f"{shortage} in {_many(len(opened), 'gap')} ({names}). "
            "The next repair or backfill of this partition asks the sources for just these."
        )
    rest = (
        ""
        if missing == abandoned
        else f" The other {missing - abandoned:,} are asked for again by the next repair."
    )
    return (
        f"{shortage} ({names}); {abandoned:,} of them {_are(abandoned)} abandoned: "
        f"market-assets repair --abandoned asks for them once more.{rest}"
    )


def genesis(heads: Sequence[Head]) -> Verdict:
    """Judge whether each series begins where it should.

    That is at its start, or at a genesis that a source has named.
    """
    early = [h for h in heads if h.before_genesis]
    late = [h for h in heads if h.absent]
    starts = {h.symbol: _utc(h.genesis) for h in heads if h.genesis}
    facts: dict[str, int | float | str] = {"symbols": len(heads), "known_genesis": len(starts)}
    tables = {
        "heads": [
            {
                "symbol": h.symbol,
                "first_expected": _utc(h.expected),
                "genesis": starts.get(h.symbol, "not named by any source"),
                "absent_bars": h.absent,
                "bars_before_genesis": h.before_genesis,
            }
            for h in list(dict.fromkeys(early + late))[:SAMPLE]
        ]
    }
    if early:
        summary = (
            f"{early[0].symbol} has {_many(early[0].before_genesis, 'bar')} before its genesis "
            f"{starts[early[0].symbol]}. "
            "Backfill with --refetch to have the sources name the genesis again."
        )
    elif late:
        summary = (
            f"{late[0].symbol} should begin at {_utc(late[0].expected)}: "
            f"{_many(late[0].absent, 'bar')} at its head "
            f"{_are(late[0].absent)} absent here and no source has named its genesis. "
            "Give the symbol a start in the universe, or a source that has those bars."
        )
    else:
        summary = (
            "No series has a bar before its genesis, and none lacks its head without a reason."
        )
    failed = bool(early or late)
    return Verdict("genesis", not failed, Severity.ERROR, summary, facts, tables if failed else {})


def validity(
    violations: Sequence[Reject],
    rejects: Mapping[str, int],
    sample: Sequence[Reject],
    *,
    notes: Mapping[str, int],
    outside: Sequence[Mapping[str, Any]] = (),
    nulled: Mapping[str, int] | None = None,
) -> Verdict:
    """Judge whether the stored candles are possible, and report the refused rows of the source.

    Args:
        violations: Stored candles that break a rule; there should be none.
        rejects: How many rows were refused in this fill, by reason: faults of the source.
        sample: Some of the refused rows.
        notes: Rows that were left out without fault (outside the sessions, not closed yet).
        outside: Those outside the sessions by day: symbol, day, side (of the day's trading),
            first_ts, last_ts, bars, traded.
        nulled: Values of extra columns that cannot be, and are stored as null, by column. They cost
            no bar.
    """
    refused = sum(rejects.values())
    facts: dict[str, int | float | str] = {
        "stored_but_invalid": len(violations),
        "rejected": refused,
    }
    facts |= {f"rejected: {reason}": count for reason, count in rejects.items()}
    facts |= {f"left out: {reason}": count for reason, count in notes.items()}
    facts |= {f"set to null: {column}": count for column, count in (nulled or {}).items()}
    tables: dict[str, list[dict[str, Any]]] = {}
    for name, rows in (("invalid", violations), ("rejected", sample)):
        if rows:
            tables[name] = [
                {
                    "symbol": r.symbol,
                    "at": _utc(r.at) if r.at else "none",
                    "reason": r.reason,
                    "values": r.values,
                }
                for r in rows[:SAMPLE]
            ]
    if outside:
        worst_first = sorted(
            outside, key=lambda row: (row["side"] != "no_session", -row["traded"], row["symbol"])
        )
        tables["outside_sessions"] = [
            {
                "symbol": row["symbol"],
                "day": str(row["day"]),
                "where": row["side"].replace("_", " "),
                "first_bar": _utc(row["first_ts"]),
                "last_bar": _utc(row["last_ts"]),
                "bars": row["bars"],
                "with_trades": row["traded"],
            }
            for row in worst_first[:SAMPLE]
        ]
    if violations:
        first = violations[0]
        summary = (
            f"{_many(len(violations), 'stored candle')} {_are(len(violations))} impossible, "
            f"the first is {first.symbol} at {facts_at(first)}: "
            f"{first.reason}. Backfill this partition with --refetch to replace them."
        )
    elif refused:
        top = max(rejects, key=lambda reason: rejects[reason])
        summary = (
            f"{_many(refused, 'row')} of the source {'was' if refused == 1 else 'were'} refused "
            f"and not stored, most for: {top}. "
            "A bar without a good row counts as missing until a source gives one."
        )
    else:
        summary = "Every candle is on the grid, in order, unique and possible."
    days = sorted(
        {str(row["day"]) for row in outside if row["side"] == "no_session" and row["traded"]}
    )
    if days:
        summary += (
            f" The source has bars with trades on {', '.join(days[:_NAMED])}, "
            "where the calendar has no session: "
            "if there was one, write it into calendar_changes of the universe."
        )
    severity = Severity.ERROR if violations else Severity.WARN
    return Verdict("validity", not violations and not refused, severity, summary, facts, tables)


def plausibility(findings: Sequence[Mapping[str, Any]]) -> Verdict:
    """Judge whether the bars of a partition look like those before them.

    Args:
        findings: symbol, first_ts, last_ts, bars, what (spike, frozen, volume_collapse), size.
    """
    counts = Counter(str(row["what"]) for row in findings)
    facts: dict[str, int | float | str] = {
        "implausible": len(findings),
        **dict(sorted(counts.items())),
    }
    if not findings:
        words = "No bar differs strangely from the symbol's own past."
        return Verdict(
            "plausibility", passed=True, severity=Severity.WARN, summary=words, facts=facts
        )
    worst = sorted(findings, key=lambda row: (row["what"] != "spike", -row["bars"], row["symbol"]))
    table = [
        {
            "symbol": row["symbol"],
            "first_bar": _utc(row["first_ts"]),
            "last_bar": _utc(row["last_ts"]),
            "bars": row["bars"],
            "what": row["what"].replace("_", " "),
            "size": round(row["size"], 6),
        }
        for row in worst[:SAMPLE]
    ]
    first = worst[0]
    summary = (
        f"{_many(len(findings), 'thing')} {_are(len(findings))} likely wrong, "
        f"the first is a {first['what'].replace('_', ' ')} of {first['symbol']} "
        f"at {_utc(first['first_ts'])} ({_many(first['bars'], 'bar')}). "
        "Nothing is changed: compare it with another source, "
        "and backfill with --refetch where it was corrected."
    )
    tables = {"implausible": table}
    return Verdict(
        "plausibility",
        passed=False,
        severity=Severity.WARN,
        summary=summary,
        facts=facts,
        tables=tables,
    )


def alignment(
    shares: Sequence[Mapping[str, Any]], *, limit: float, jumps: Sequence[Mapping[str, Any]] = ()
) -> Verdict:
    """Judge whether aligned returns are measured rather than neutral.

    Args:
        shares: One row per symbol: symbol, bars (that its calendar calls for), neutral (of them),
            share, and a count for each reason.
        limit: The share of a symbol's bars that may be neutral.
        jumps: symbol, session, close_before, open: moves over night that no recorded action
            accounts for.
    """
    bars, neutral = sum(row["bars"] for row in shares), sum(row["neutral"] for row in shares)
    degraded = sorted(
        (row for row in shares if row["share"] > limit),
        key=lambda row: (-row["share"], row["symbol"]),
    )
    facts: dict[str, int | float | str] = {
        "symbols": len(shares),
        "bars": bars,
        "neutral": neutral,
        "measured_share": share(bars - neutral, bars),
        "neutral_limit": limit,
    }
    reasons = [
        name
        for name in (shares[0] if shares else ())
        if name not in {"symbol", "bars", "neutral", "share"}
    ]
    facts |= {
        f"neutral_{name}": count for name in reasons if (count := sum(row[name] for row in shares))
    }
    tables: dict[str, list[dict[str, Any]]] = {}
    if degraded:
        facts["degraded"] = len(degraded)
        tables["degraded_symbols"] = [
            {
                "symbol": row["symbol"],
                "health": "DEGRADED",
                "neutral": row["neutral"],
                "bars": row["bars"],
                "share": row["share"],
            }
            | {name: row[name] for name in reasons}
            for row in degraded[:SAMPLE]
        ]
        names = ", ".join(row["symbol"] for row in degraded[:3]) + (
            " and others" if len(degraded) > 3 else ""
        )
        summary = (
            f"{_many(len(degraded), 'symbol')} {_are(len(degraded))} DEGRADED ({names}): "
            f"more than {limit:.0%} of the returns that the calendar calls for are neutral. "
            "Leave them out of a study, or raise neutral_limit if the market is that quiet."
        )
    elif not bars:
        summary = "No return is called for here: the market is closed, or no symbol was listed yet."
    else:
        silent = (
            f"; {neutral:,} {_are(neutral)} neutral, within the limit of each symbol"
            if neutral
            else ""
        )
        summary = (
            f"{_many(bars - neutral, 'return')} of {bars:,} {_are(bars - neutral)} "
            f"measured{silent}."
        )
    if jumps:
        facts["jumps_without_action"] = len(jumps)
        tables["jumps_without_action"] = [
            {name: row[name] if name != "session" else f"{row[name]}" for name in _JUMP}
            for row in jumps[:SAMPLE]
        ]
        first = tables["jumps_without_action"][0]
        summary = (
            f"A split may be missing: {first['symbol']} opened on {first['session']} "
            f"at {first['open']:g} after a close of {first['close_before']:g}, "
            f"and no action is recorded{_and_more(len(jumps))}. "
            "Record it under `actions`, "
            f"or write `returns: {{basis: raw}}` if such moves are real here. {summary}"
        )
    return Verdict(
        "alignment",
        not degraded and not jumps,
        Severity.ERROR if jumps else Severity.WARN,
        summary,
        facts,
        tables,
    )


_JUMP = ("symbol", "session", "close_before", "open")


def _and_more(count: int) -> str:
    return f" (and {count - 1:,} more such nights)" if count > 1 else ""


def facts_at(reject: Reject) -> str:
    """The time of a row in words."""
    return _utc(reject.at) if reject.at else "no time"


def share(part: int, whole: int) -> float:
    """A share to six digits, cut and not rounded: it is 1 only where nothing is missing."""
    return part * 1_000_000 // whole / 1_000_000 if whole else 1.0


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _utc(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}Z" if instant.second == 0 else f"{instant:%Y-%m-%d %H:%M:%S}Z"
