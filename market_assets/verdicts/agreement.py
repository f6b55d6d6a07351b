"""Whether the sources of a symbol report the same: the check `agreement`. Pure.

What is compared, when it is compared again, the findings that are kept, and the verdict on them. In
what two sources differ: `market_assets/verdicts/comparison.py`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.config.settings import Severity
from market_assets.imports import late_imports
from market_assets.market.instants import to_minute
from market_assets.market.timeframes import TS, Timeframe
from market_assets.verdicts.pair import Kind
from market_assets.verdicts.verdicts import SAMPLE, Verdict

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from market_assets.verdicts.comparison import Comparison

AGREES = "agrees"
NOT_COMPARED = "not compared"

FINDING_SCHEMA = pl.Schema(
    {
        "partition": pl.String(),
        "symbol": pl.String(),
        "source": pl.String(),
        "other": pl.String(),
        "kind": pl.String(),
        "compared": pl.Int64(),
        "only_ours": pl.Int64(),
        "only_theirs": pl.Int64(),
        "bars": pl.Int64(),
        "worst": pl.Float64(),
        "first_ts": TS,
        "words": pl.String(),
        "sample": pl.String(),
        "tolerance": pl.String(),
        "until_ts": TS,
        "checked_at": TS,
        "apart": pl.List(TS),
        "alone": pl.List(TS),
    }
)
"""What a comparison came to, a row a finding: AGREES, NOT_COMPARED, or one Kind after the other.

`apart` are the bars in which the two differ, null for all of them; `alone` those of ours that
nobody has confirmed or denied.
"""


def is_sampled(
    profile: str, symbol: str, timeframe: Timeframe, partition: str, share: float
) -> bool:
    """Whether a partition of a symbol is in the share that is compared.

    The answer is always the same.
    """
    digest = blake2b(
        "\0".join((profile, symbol, timeframe, partition)).encode(), digest_size=8
    ).digest()
    return int.from_bytes(digest) < share * 2**64


def tolerance_of(close: float, volume: float | None) -> str:
    """What counts as agreement, in words: what was compared by other tolerances is due again."""
    return f"close {close:g}" + ("" if volume is None else f", volume {volume:g}")


def findings_of(
    comparison: Comparison | str, about: Mapping[str, object], stored: pl.Series | None = None
) -> list[dict[str, object]]:
    """The rows of FINDING_SCHEMA that a comparison makes.

    Args:
        comparison: What came of it, or why nothing did.
        about: What was compared, and when: the columns that do not follow from that.
        stored: The opens of all bars of ours in the partition (TS).
    """
    alone: list[object] | None = None
    if isinstance(comparison, str):
        counts, rows = (0, 0, 0), [_finding(NOT_COMPARED, comparison)]
    else:
        counts = comparison.compared, comparison.only_ours, comparison.only_theirs
        if stored is not None and comparison.both is not None:
            alone = stored.filter(~stored.is_in(comparison.both.implode())).to_list()
        rows = [
            _finding(
                disagreement.kind,
                disagreement.words,
                bars=disagreement.bars,
                worst=disagreement.worst,
                first=disagreement.first.replace(tzinfo=None),
                sample=disagreement.sample,
                apart=None if disagreement.at is None else disagreement.at.to_list(),
            )
            for disagreement in comparison.disagreements
        ] or [_finding(AGREES, "", apart=[])]
    return [
        {
            **about,
            **dict(zip(("compared", "only_ours", "only_theirs"), counts, strict=True)),
            **row,
            "alone": alone,
        }
        for row in rows
    ]


def _finding(
    kind: str,
    words: str,
    *,
    bars: int = 0,
    worst: float | None = None,
    first: datetime | None = None,
    sample: Sequence[Mapping[str, object]] = (),
    apart: list[object] | None = None,
) -> dict[str, object]:
    return {
        "kind": str(kind),
        "words": words,
        "bars": bars,
        "worst": worst,
        "first_ts": first,
        "sample": json.dumps(list(sample)),
        "apart": apart,
    }


def is_due(
    findings: Sequence[Mapping[str, Any]],
    *,
    end: datetime,
    now: datetime,
    changed_at: datetime | None,
    tolerance: str,
    every: timedelta,
) -> bool:
    """Whether a partition of a symbol must be compared with a source, or compared again.

    Args:
        findings: The findings of the last comparison; empty if there was none.
        end: The partition's end.
        now: The present instant.
        changed_at: When rows last came or were revised, as far as that is known.
        tolerance: What counts as agreement now.
        every: How soon a comparison that failed, or of a partition that is still being filled, may
            be made again.
    """
    if not findings or findings[0]["tolerance"] != tolerance:
        return True
    last = findings[0]
    checked_at: datetime = last["checked_at"].replace(tzinfo=UTC)
    rested = now - checked_at >= every
    if last["kind"] == NOT_COMPARED:
        return rested
    if last["until_ts"].replace(tzinfo=UTC) < end:
        return rested or now >= end
    return changed_at is not None and changed_at > checked_at


def agreement(findings: Iterable[Mapping[str, Any]]) -> Verdict:
    """Judge whether the sources of a partition's symbols report the same.

    It passes only where every due comparison was made, and found agreement. Nothing is asked for
    again because of it: only its reader can say which source is right.

    Args:
        findings: Rows of FINDING_SCHEMA, at least one.
    """
    rows = list(findings)
    pairs = {(row["symbol"], row["other"]): row for row in rows}
    apart = [row for row in rows if row["kind"] not in {AGREES, NOT_COMPARED}]
    unknown = [row for row in rows if row["kind"] == NOT_COMPARED]
    facts: dict[str, int | float | str] = {
        "compared": sum(row["compared"] for row in pairs.values()),
        "comparisons": len(pairs),
        "agreeing": sum(row["kind"] == AGREES for row in rows),
        "disagreeing": len({(row["symbol"], row["other"]) for row in apart}),
        "not_compared": len(unknown),
        "only_ours": sum(row["only_ours"] for row in pairs.values()),
        "only_theirs": sum(row["only_theirs"] for row in pairs.values()),
        "tolerance": rows[0]["tolerance"],
    }
    tables: dict[str, list[dict[str, Any]]] = {}
    for kind in Kind:
        if kind_rows := [row for row in apart if row["kind"] == kind]:
            facts[f"{kind}: bars"] = sum(row["bars"] for row in kind_rows)
            facts[f"{kind}: {_FIGURES[kind]}"] = max(
                (row["worst"] for row in kind_rows), key=_WORST[kind]
            )
    if apart:
        tables["disagreements"] = [
            {
                "symbol": row["symbol"],
                "source": row["source"],
                "other": row["other"],
                "kind": row["kind"],
                "bars": row["bars"],
                "worst": row["worst"],
                "first_bar": to_minute(row["first_ts"]),
                "what": row["words"],
            }
            for row in apart[:SAMPLE]
        ]
        tables["bars"] = [
            {"symbol": row["symbol"], "other": row["other"], "kind": row["kind"], **bar}
            for row in apart
            for bar in json.loads(row["sample"])
        ][:SAMPLE]
    if unknown:
        tables["without_comparison"] = [
            {"symbol": row["symbol"], "other": row["other"], "why": row["words"]}
            for row in unknown[:SAMPLE]
        ]
    return Verdict(
        "agreement",
        not apart and not unknown,
        Severity.WARN,
        _sentence(facts, apart, unknown, pairs),
        facts,
        tables,
    )


_FIGURES = {
    Kind.CLOSE: "largest difference",
    Kind.VOLUME: "largest difference",
    Kind.SHIFTED: "seconds",
    Kind.CLOCK: "seconds",
    Kind.ADJUSTED: "ratio",
}
_WORST = {
    kind: (lambda ratio: abs(np.log(ratio))) if kind is Kind.ADJUSTED else abs for kind in Kind
}


def _sentence(
    facts: Mapping[str, Any],
    apart: Sequence[Mapping[str, Any]],
    unknown: Sequence[Mapping[str, Any]],
    pairs: Iterable[tuple[str, str]],
) -> str:
    if apart:
        first = apart[0]
        more = f", and {len(apart) - 1:,} more disagreements" if len(apart) > 1 else ""
        return (
            f"{first['symbol']} is not the same at {first['source']} and {first['other']}: "
            f"{first['words']}{more}. What is stored stays: "
            "decide which source is right, and put that one first."
        )
    if unknown:
        first = unknown[0]
        more = f", and {len(unknown) - 1:,} more were not" if len(unknown) > 1 else ""
        return (
            f"{first['symbol']} was not compared with {first['other']}: {first['words']}{more}. "
            "The next fill of this partition tries again."
        )
    symbols = list(dict.fromkeys(symbol for symbol, _ in pairs))
    sources = ", ".join(dict.fromkeys(other for _, other in pairs))
    names = ", ".join(symbols[:3]) + (f" and {len(symbols) - 3:,} more" if len(symbols) > 3 else "")
    return f"All {facts['compared']:,} bars of {names} that {sources} has too are the same there."
