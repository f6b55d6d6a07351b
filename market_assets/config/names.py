"""Names in the file: which ones can be used, and which are written twice.

What else a profile, a symbol or a source must have is checked where it is read.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from market_assets.config.yaml_file import Document, Place

_SQL_WORDS = """
all analyse analyze and any array as asc asymmetric both case cast check collate column
constraint create default deferrable desc describe distinct do else end except false fetch for
foreign from group having in initially intersect into lambda lateral leading limit not null
offset on only or order pivot pivot_longer pivot_wider placing primary qualify references
returning select show some summarize symmetric table then to trailing true union unique unpivot
using variadic when where window with
"""

_SCHEMAS = {
    "information_schema",
    "main",
    "market",
    "memory",
    "ops",
    "pg_catalog",
    "platform",
    "system",
    "temp",
}

RESERVED_NAMES = _SCHEMAS | set(_SQL_WORDS.split())
"""Names that no profile can have.

These are the schemas and catalogs of the store, the group of the assets that are about the platform
itself, and words that SQL would have to quote.
"""


def check_name(name: str, place: Place, document: Document) -> None:
    """Refuse a name that cannot be used: those of symbols and sources are in paths and keys."""
    if not re.fullmatch(r"[^\s/\\,]+", name) or name in {".", ".."}:
        advice = "is no usable name: leave out slashes, commas and spaces"
        if place[0] == "profiles":
            advice += " (a source may have its own name for it: `sources: [{binance: ...}]`)"
        document.add(place, advice)


def check_repeats(place: Place, values: Iterable[object], document: Document) -> None:
    """Refuse a list that has a value more than once."""
    for value, times in Counter(values).items():
        if times > 1:
            text = ": ".join(part for part in value if part) if isinstance(value, tuple) else value
            document.add(place, f"{text} is written {times} times")
