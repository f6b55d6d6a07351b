"""Time from left to right, in whole pixels, with round times below it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from market_assets.pictures.drawing import (
    MARGIN,
    SOFT_INK,
    WIDTH,
    font,
    length,
)

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

_STEPS: Final = (
    "1m",
    "2m",
    "5m",
    "10m",
    "15m",
    "30m",
    "1h",
    "2h",
    "4h",
    "6h",
    "12h",
    "1d",
    "2d",
    "1w",
    "1mo",
    "3mo",
    "1y",
    "5y",
)
_FROM_DAYS_ON = _STEPS.index("1d")
_FROM_MONTHS_ON = _STEPS.index("1mo")

WIDEST_CANDLE = 40
"""How many pixels a place of a chart takes at most."""


@dataclass(frozen=True)
class Axis:
    """Time from left to right in whole pixels, so that nothing is blurred.

    Attributes:
        bars: The rows with `place` (their column, from 0), `within` and `sharing`: which of how
            many bars of the column.
        starts: The first `ts` of each place.
        shared: The length of time of one place where it holds several bars, else "".
        left: The first pixel.
        step: How many pixels a place takes.
    """

    bars: pl.DataFrame
    starts: pl.Series
    shared: str
    left: int
    step: int

    @classmethod
    def of(cls, bars: pl.DataFrame, *, most: int, widest: int, left: int = 92) -> Axis:
        """The axis of some bars.

        Args:
            bars: With ts, sorted by it.
            most: How many places there may be; of more bars several share one.
            widest: How many pixels a place takes at most.
            left: The first pixel.
        """
        shared, key = "", pl.col("ts")
        if len(bars) > most:
            counts = bars.select(
                key.dt.truncate(step).n_unique().alias(step) for step in _STEPS
            ).row(0, named=True)
            shared = next((step for step in _STEPS if counts[step] <= most), _STEPS[-1])
            key = key.dt.truncate(shared)
        placed = bars.with_columns(place=key.rle_id().cast(pl.Int64)).with_columns(
            within=pl.int_range(pl.len()).over("place"), sharing=pl.len().over("place")
        )
        starts = placed.group_by("place", maintain_order=True).agg(pl.first("ts"))["ts"]
        return cls(
            placed,
            starts,
            shared,
            left,
            min(widest, max(1, (WIDTH - MARGIN - left) // max(1, len(starts)))),
        )

    @property
    def closed(self) -> list[int]:
        """The places before which the market was closed.

        It is empty where that holds of a quarter of them or more, as with days.
        """
        closed = self.bars.filter(pl.col("opens_at") > pl.col("closes_at").shift())[
            "place"
        ].to_list()
        return closed if 4 * len(closed) < self.places else []

    @property
    def places(self) -> int:
        """How many there are."""
        return len(self.starts)

    @property
    def right(self) -> int:
        """The pixel after the last place."""
        return self.left + self.step * self.places

    def draw_times(self, pen: ImageDraw, y: int) -> None:
        """Write as many round times below the axis as have room."""
        letters, free = font(12), 0
        for place, text in self._times():
            x = self.left + place * self.step
            if x < free:
                continue
            pen.line((x, y, x, y + 4), fill=SOFT_INK)
            pen.text((x, y + 7), text, fill=SOFT_INK, font=letters, anchor="lt")
            free = x + length(letters, text) + 12

    def _times(self) -> list[tuple[int, str]]:
        if not self.places:
            return []
        # Hours of several days would not say which day.
        shortest = _FROM_DAYS_ON if (self.starts[-1] - self.starts[0]).days > 2 else 0
        begins = {step: pl.col("ts").dt.truncate(step) for step in _STEPS[shortest:]}
        new = self.starts.to_frame().select(
            (begin != begin.shift()).fill_null(value=True).alias(step)
            for step, begin in begins.items()
        )
        for step in new.columns:
            number = _STEPS.index(step)
            wide = 54 if number < _FROM_DAYS_ON else 84
            if new[step].sum() * wide <= self.right - self.left:
                break
        form = (
            "%H:%M"
            if number < _FROM_DAYS_ON
            else "%Y-%m-%d"
            if number < _FROM_MONTHS_ON
            else "%Y-%m"
        )
        return [(place, f"{self.starts[place]:{form}}") for place in new[step].arg_true()]
