"""Whether the stored candles are possible, and what was refused: the check `validity`. Pure.

The rules for one candle: `market_assets/verdicts/clean.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from market_assets.config.settings import Severity
from market_assets.market.instants import brief
from market_assets.verdicts.verdicts import SAMPLE, Verdict
from market_assets.words import are, many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

_NAMED = 3
"""How many days without a session a sentence names."""


@dataclass(frozen=True)
class Reject:
    """A row that a source gave and that was not stored."""

    symbol: str
    at: datetime | None
    reason: str
    values: str


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
    tables = {
        name: _reject_rows(rows)
        for name, rows in (("invalid", violations), ("rejected", sample))
        if rows
    }
    if outside:
        tables["outside_sessions"] = _outside_rows(outside)

    severity = Severity.ERROR if violations else Severity.WARN
    sentence = _sentence(violations, rejects) + _unheld_days(outside)
    return Verdict("validity", not violations and not refused, severity, sentence, facts, tables)


def _reject_rows(rows: Sequence[Reject]) -> list[dict[str, Any]]:
    return [
        {
            "symbol": row.symbol,
            "at": brief(row.at) if row.at else "none",
            "reason": row.reason,
            "values": row.values,
        }
        for row in rows[:SAMPLE]
    ]


def _outside_rows(outside: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    worst_first = sorted(
        outside, key=lambda row: (row["side"] != "no_session", -row["traded"], row["symbol"])
    )
    return [
        {
            "symbol": row["symbol"],
            "day": str(row["day"]),
            "where": row["side"].replace("_", " "),
            "first_bar": brief(row["first_ts"]),
            "last_bar": brief(row["last_ts"]),
            "bars": row["bars"],
            "with_trades": row["traded"],
        }
        for row in worst_first[:SAMPLE]
    ]


def _sentence(violations: Sequence[Reject], rejects: Mapping[str, int]) -> str:
    if violations:
        first = violations[0]
        return (
            f"{many(len(violations), 'stored candle')} {are(len(violations))} impossible, "
            f"the first is {first.symbol} at {_facts_at(first)}: "
            f"{first.reason}. Backfill this partition with --refetch to replace them."
        )
    if refused := sum(rejects.values()):
        top = max(rejects, key=lambda reason: rejects[reason])
        return (
            f"{many(refused, 'row')} of the source {'was' if refused == 1 else 'were'} refused "
            f"and not stored, most for: {top}. "
            "A bar without a good row counts as missing until a source gives one."
        )
    return "Every candle is on the grid, in order, unique and possible."


def _unheld_days(outside: Sequence[Mapping[str, Any]]) -> str:
    """The days with trades on which the calendar has no session, in words."""
    days = sorted(
        {str(row["day"]) for row in outside if row["side"] == "no_session" and row["traded"]}
    )
    if not days:
        return ""
    return (
        f" The source has bars with trades on {', '.join(days[:_NAMED])}, "
        "where the calendar has no session: "
        "if there was one, write it into calendar_changes of the universe."
    )


def _facts_at(reject: Reject) -> str:
    """The time of a row in words."""
    return brief(reject.at) if reject.at else "no time"
