"""How symbols and the rest of a list are written in troubles, messages and pages.

Whole sentences are not made here: those of a trouble are in `absence`, `judgement`, `streams` and
`platform`, those of a message in `message`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def of_symbols(symbols: Sequence[str]) -> str:
    """Symbols in words: the first few, and how many more."""
    return ", ".join(symbols[:3]) + and_more(len(symbols) - 3)


def and_more(count: int) -> str:
    """How many more there are than are shown; empty where there are none."""
    return f" and {count:,} more" if count > 0 else ""
