"""Whether aligned returns are measured rather than neutral: the check `alignment`. Pure.

How a night that looks like a split is found: `market_assets/verdicts/jumps.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from market_assets.config.settings import Severity
from market_assets.verdicts.verdicts import SAMPLE, Verdict, share
from market_assets.words import are, many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
    sentence = _sentence(shares, degraded, limit)
    tables: dict[str, list[dict[str, Any]]] = {}
    if degraded:
        facts["degraded"] = len(degraded)
        tables["degraded_symbols"] = _degraded_rows(degraded, reasons)
    if jumps:
        facts["jumps_without_action"] = len(jumps)
        tables["jumps_without_action"] = [
            {name: row[name] if name != "session" else f"{row[name]}" for name in _JUMP}
            for row in jumps[:SAMPLE]
        ]
        sentence = f"{_jump_sentence(tables['jumps_without_action'][0], len(jumps))} {sentence}"
    return Verdict(
        "alignment",
        not degraded and not jumps,
        Severity.ERROR if jumps else Severity.WARN,
        sentence,
        facts,
        tables,
    )


def _degraded_rows(
    degraded: Sequence[Mapping[str, Any]], reasons: Sequence[str]
) -> list[dict[str, Any]]:
    return [
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


def _sentence(
    shares: Sequence[Mapping[str, Any]], degraded: Sequence[Mapping[str, Any]], limit: float
) -> str:
    bars, neutral = sum(row["bars"] for row in shares), sum(row["neutral"] for row in shares)
    if degraded:
        names = ", ".join(row["symbol"] for row in degraded[:3]) + (
            " and others" if len(degraded) > 3 else ""
        )
        return (
            f"{many(len(degraded), 'symbol')} {are(len(degraded))} DEGRADED ({names}): "
            f"more than {limit:.0%} of the returns that the calendar calls for are neutral. "
            "Leave them out of a study, or raise neutral_limit if the market is that quiet."
        )
    if not bars:
        return "No return is called for here: the market is closed, or no symbol was listed yet."
    silent = (
        f"; {neutral:,} {are(neutral)} neutral, within the limit of each symbol" if neutral else ""
    )
    return f"{many(bars - neutral, 'return')} of {bars:,} {are(bars - neutral)} measured{silent}."


def _jump_sentence(first: Mapping[str, Any], count: int) -> str:
    return (
        f"A split may be missing: {first['symbol']} opened on {first['session']} "
        f"at {first['open']:g} after a close of {first['close_before']:g}, "
        f"and no action is recorded{_and_more(count)}. "
        "Record it under `actions`, "
        "or write `returns: {basis: raw}` if such moves are real here."
    )


_JUMP = ("symbol", "session", "close_before", "open")


def _and_more(count: int) -> str:
    return f" (and {count - 1:,} more such nights)" if count > 1 else ""
