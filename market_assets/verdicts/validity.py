"""Whether the stored candles are possible, and what was refused: the check `validity`. Pure.

The rules for one candle: `market_assets/verdicts/clean.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from market_assets.config.settings import Severity
from market_assets.market.instants import brief
from market_assets.verdicts.continuity import _NAMED
from market_assets.verdicts.verdicts import SAMPLE, Verdict
from market_assets.words import are, many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


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
    tables: dict[str, list[dict[str, Any]]] = {}
    for name, rows in (("invalid", violations), ("rejected", sample)):
        if rows:
            tables[name] = [
                {
                    "symbol": r.symbol,
                    "at": brief(r.at) if r.at else "none",
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
                "first_bar": brief(row["first_ts"]),
                "last_bar": brief(row["last_ts"]),
                "bars": row["bars"],
                "with_trades": row["traded"],
            }
            for row in worst_first[:SAMPLE]
        ]
    if violations:
        first = violations[0]
        summary = (
            f"{many(len(violations), 'stored candle')} {are(len(violations))} impossible, "
            f"the first is {first.symbol} at {facts_at(first)}: "
            f"{first.reason}. Backfill this partition with --refetch to replace them."
        )
    elif refused:
        top = max(rejects, key=lambda reason: rejects[reason])
        summary = (
            f"{many(refused, 'row')} of the source {'was' if refused == 1 else 'were'} refused "
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


def facts_at(reject: Reject) -> str:
    """The time of a row in words."""
    return brief(reject.at) if reject.at else "no time"
