"""Names in a message: those that there are, and the one that was probably meant."""

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
