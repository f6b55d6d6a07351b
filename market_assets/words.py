"""Words of a message: names, the one that was probably meant, and counts."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def hint(word: object, names: Iterable[str]) -> str:
    """The end of a sentence about an unknown name.

    It asks for the name that was probably meant, if there is one; otherwise it is a full stop.
    """
    folded = {name.casefold(): name for name in names}
    near = get_close_matches(str(word).casefold(), folded, n=1)
    return f"; did you mean {folded[near[0]]}?" if near else "."


def listed(names: Iterable[str], most: int = 20) -> str:
    """Names as a message lists them: the first few, and how many more there are."""
    items = list(names)
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more if items else "none"


def many(count: int, noun: str) -> str:
    """A count with its noun: 1 bar, 2 bars."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def are(count: int) -> str:
    """The verb after a count."""
    return "is" if count == 1 else "are"


def lag_words(p50: float | None, p99: float | None) -> str:
    """How late bars are stored, in seconds; empty where it is not known."""
    if p50 is None or p99 is None:
        return ""
    return f"lag p50 {p50:.1f} s, p99 {p99:.1f} s"
