"""How counts, symbols and instants are written in troubles, messages and pages.

Whole sentences are not made here: those of a trouble are in `absence`, `judgement` and `platform`,
those of a message in `message`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def many(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def of_symbols(symbols: Sequence[str]) -> str:
    """Symbols in words: the first few, and how many more."""
    return ", ".join(symbols[:3]) + and_more(len(symbols) - 3)


def minute(when: datetime) -> str:
    """An instant (UTC, aware or without a zone) to the minute."""
    at = when if when.tzinfo is None else when.astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M}Z"


def and_more(count: int) -> str:
    """How many more there are than are shown; empty where there are none."""
    return f" and {count:,} more" if count > 0 else ""
