"""Streamed bars that wait to be stored: bounded, the newest values of a bar alone. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import polars as pl

from market_assets.fill.streamed import Streamed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


class Buffer:
    """Bars in the order in which they came.

    Args:
        most: So many bars wait at most; then the oldest are dropped.

    Attributes:
        dropped: How many bars were dropped so far.
    """

    def __init__(self, most: int) -> None:
        self.dropped = 0
        self._most = most
        self._parts: deque[Streamed] = deque()

    def __len__(self) -> int:
        return sum(len(part.bars) for part in self._parts)

    def add(self, source: str, bars: pl.DataFrame) -> set[tuple[str, str]]:
        """Take the bars of a source.

        Returns:
            Of which series bars were dropped, and are left to REST: source and its own name for
            the symbol.
        """
        if not bars.is_empty():
            self._parts.append(Streamed(source, bars))
        return self._bounded()

    def take(self, held: Mapping[str, Collection[str]]) -> list[Streamed]:
        """Take the bars out, one frame a source; unique by symbol and time.

        Args:
            held: By source, the symbols whose bars stay.
        """
        parts, self._parts = self._parts, deque()
        frames: dict[str, list[pl.DataFrame]] = {}
        for part in parts:
            is_held = pl.col("symbol").is_in(sorted(held.get(part.source, ())))
            stays, bars = part.bars.filter(is_held), part.bars.filter(~is_held)
            if not stays.is_empty():
                self._parts.append(Streamed(part.source, stays))
            if not bars.is_empty():
                frames.setdefault(part.source, []).append(bars)
        return [
            Streamed(
                source, pl.concat(bars).unique(["symbol", "ts"], keep="last").sort("symbol", "ts")
            )
            for source, bars in frames.items()
        ]

    def give_back(self, parts: Iterable[Streamed]) -> set[tuple[str, str]]:
        """Put back what could not be stored, before what has come since; as `add`."""
        self._parts.extendleft(parts)
        return self._bounded()

    def _bounded(self) -> set[tuple[str, str]]:
        lost: set[tuple[str, str]] = set()
        surplus = len(self) - self._most
        while surplus > 0:
            oldest = self._parts.popleft()
            bars = oldest.bars.sort("ts")
            lost |= {(oldest.source, name) for name in bars["symbol"].head(surplus)}
            dropped = min(surplus, len(bars))
            if dropped < len(bars):
                rest = bars.slice(dropped).sort("symbol", "ts")
                self._parts.appendleft(Streamed(oldest.source, rest))
            self.dropped += dropped
            surplus -= dropped
        return lost
