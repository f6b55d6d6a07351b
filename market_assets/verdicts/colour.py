"""The colour of a partition as a whole: when it counts as filled.

Pure: counts in, a sentence out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from market_assets.verdicts.verdicts import SymbolCounts

_NAMED = 3
"""How many symbols a sentence names."""


def shortfall(
    counts: Sequence[SymbolCounts], *, limit: float, awaited: Collection[str] = frozenset()
) -> str:
    """Say why a partition as a whole does not count as filled.

    A symbol that has nothing is the matter of its check: it must not turn the partition red for all
    others, so that it counts for nothing while at least half of the symbols have something.

    Args:
        counts: What each symbol has in the partition, in bars.
        limit: The share of the bars that may be missing, 0 to 1.
        awaited: Symbols whose absent bars a source may still have, because it failed in passing or
            was not asked: their bars count also where they have nothing.

    Returns:
        A sentence without a full stop; empty where the partition counts as filled.
    """
    due = [symbol_counts for symbol_counts in counts if symbol_counts.expected]
    empty = [symbol_counts.symbol for symbol_counts in due if symbol_counts.has_nothing]
    if empty and len(empty) == len(due):
        bars = sum(symbol_counts.expected for symbol_counts in due)
        return f"not one of {bars:,} expected bars is stored or explained ({names_of(empty)})"
    if 2 * len(empty) > len(due):
        return f"{len(empty):,} of {len(due):,} symbols have nothing at all ({names_of(empty)})"

    counted = [
        symbol_counts
        for symbol_counts in due
        if not symbol_counts.has_nothing or symbol_counts.symbol in awaited
    ]
    expected, missing = (
        sum(symbol_counts.expected for symbol_counts in counted),
        sum(symbol_counts.missing for symbol_counts in counted),
    )
    if missing <= limit * expected:
        return ""
    lacking = sorted(
        (symbol_counts for symbol_counts in counted if symbol_counts.missing),
        key=lambda symbol_counts: -symbol_counts.missing,
    )
    return (
        f"{missing:,} of {expected:,} bars are missing "
        f"({names_of([symbol_counts.symbol for symbol_counts in lacking])}): "
        f"{100 * missing / expected:.4g} %, and at most {100 * limit:.4g} % may be"
    )


def names_of(symbols: Sequence[str]) -> str:
    """Symbols in words: the first few, and how many more."""
    more = len(symbols) - _NAMED
    return ", ".join(symbols[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
