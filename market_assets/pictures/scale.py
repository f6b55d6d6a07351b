"""Values from the bottom to the top of a panel, and the round numbers between. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10
from typing import Final

import polars as pl

_UNITS: Final = ((1e9, "B"), (1e6, "M"))

_HUGE = 1e100
"""A larger number is no price, and arithmetic with it would overflow."""


@dataclass(frozen=True)
class Scale:
    """The values from the bottom to the top of a panel, and the round numbers between."""

    low: float
    high: float
    empty: bool = False

    @classmethod
    def of(cls, lows: pl.Series, highs: pl.Series) -> Scale:
        """The scale that shows the lowest and the highest value with some room around.

        It works also where both are equal, or there are none.
        """
        low, high = lows.min(), highs.max()
        if not isinstance(low, float) or not isinstance(high, float):
            return cls(0.0, 1.0, empty=True)
        least = max(abs(low), abs(high)) * 1e-9
        room = (high - low) * 0.03 if high - low > least else max(abs(high) * 0.01, 1e-12)
        return cls(low - room, high + room)

    @classmethod
    def from_zero(cls, highs: pl.Series) -> Scale:
        """The scale of values that are never negative."""
        high = highs.max()
        return cls(0.0, 1.03 * high if isinstance(high, float) and high > 1e-12 else 1.0)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """About so many round values between, with their words."""
        if self.empty:
            return []
        rough = (self.high - self.low) / most
        power = 10.0 ** floor(log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        first = -floor(-self.low / step)
        values = [number * step for number in range(first, floor(self.high / step) + 1)]
        return [(value, self._written(value + 0.0, step)) for value in values]

    def _written(self, value: float, step: float) -> str:
        largest = max(abs(self.low), abs(self.high))
        unit, letter = next(
            ((unit, letter) for unit, letter in _UNITS if largest >= unit * 10), (1.0, "")
        )
        digits = max(0, -floor(log10(step / unit) + 1e-9))
        if digits <= 8 and largest < 1e15:
            return f"{value / unit:,.{digits}f}{letter}"
        return f"{value:.{min(4, max(0, floor(log10(largest)) - floor(log10(step))))}e}"


def finite(name: str) -> pl.Expr:
    """A column without values that cannot be drawn."""
    return pl.when(pl.col(name).abs() < _HUGE).then(pl.col(name))
