"""Panels one below the other over one axis, with the bars that are marked behind them. Pure.

What is drawn in a panel is a matter of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from market_assets.pictures.colours import DOWN, INCOMPLETE, LINE, MARKS, UP, VOLUME, words_of
from market_assets.pictures.drawing import (
    INK,
    LINE_HEIGHT,
    MARGIN,
    SOFT_INK,
    draw_heading,
    draw_legend,
    font,
    heading_height,
    legend_height,
    png,
    sheet,
)
from market_assets.verdicts.evidence import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.pictures.axis import Axis
    from market_assets.pictures.drawing import Colour, Entry
    from market_assets.pictures.scale import Scale

FRAME: Colour = (205, 205, 205)
_CLOSED: Colour = (140, 140, 140)
_RAIL = 7
LEAST_WIDTH = 620
"""How many pixels a sheet has at least: its heading needs them."""


@dataclass
class Panel:
    """A stretch of the sheet with a scale of its own; `top` is set by the chart."""

    name: str
    height: int
    scale: Scale
    top: int = 0

    def y(self, value: float) -> int:
        """The pixel of a value."""
        share = (self.scale.high - value) / (self.scale.high - self.scale.low)
        return self.top + round(share * (self.height - 1))


class Chart:
    """Panels one below the other over one axis.

    Bands of the marked bars lie behind them, and a rail of these below the first panel.
    """

    def __init__(
        self,
        axis: Axis,
        panels: Sequence[Panel],
        marks: pl.DataFrame,
        *,
        title: str,
        caption: str,
        legend: Sequence[Entry] = (),
    ) -> None:
        self._axis = axis
        bars = dict(marks.group_by("mark").agg(pl.sum("bars")).iter_rows())
        counts = {mark: bars[mark] for mark in reversed(list(MARKS)) if mark in bars}
        legend = [
            *legend,
            *((MARKS[mark][0], f"{words_of(mark)}: {counts[mark]:,}") for mark in counts),
        ]
        self._colours = [
            UP,
            DOWN,
            VOLUME,
            LINE,
            *(colour for mark in counts for colour in MARKS[mark]),
        ]
        width = max(axis.right + MARGIN, LEAST_WIDTH)
        y = heading_height(caption, width) + 6
        for number, panel in enumerate(panels):
            panel.top = y + (LINE_HEIGHT if panel.name else 4)
            y = panel.top + panel.height + (_RAIL + 8 if number == 0 else 6)
        rail = panels[0].top + panels[0].height + 4
        bottom = panels[-1].top + panels[-1].height if len(panels) > 1 else rail + _RAIL
        self._image, self.pen = sheet(width, bottom + 40 + legend_height(legend, width))
        draw_heading(self.pen, title, caption, width)
        for mark, left, right in self._bands(marks):
            for panel in panels:
                self.pen.rectangle(
                    (left, panel.top, right, panel.top + panel.height - 1), fill=MARKS[mark][1]
                )
        for mark, left, right in self._bands(marks):
            self.pen.rectangle((left, rail, right, rail + _RAIL - 1), fill=MARKS[mark][0])
        self._draw_closed(panels)
        for panel in panels:
            self._draw_scale(panel)
        axis.draw_times(self.pen, bottom + 2)
        draw_legend(self.pen, bottom + 30, legend, width)

    def body(self, place: int) -> tuple[int, int]:
        """The first and the last pixel of a candle.

        It has an odd number of them, so that its wick is in its middle.
        """
        step = self._axis.step
        wide = max(1, step - 1 if step < 12 else step * 3 // 4)
        wide -= 1 - wide % 2
        left = self._axis.left + place * step + (step - wide) // 2
        return left, left + wide - 1

    def middle(self, place: int) -> int:
        """The pixel in the middle of a candle."""
        return self._axis.left + place * self._axis.step + self._axis.step // 2

    def png(self) -> bytes:
        """The picture as a PNG with a palette."""
        return png(self._image, self._colours)

    def _bands(self, marks: pl.DataFrame) -> list[tuple[str, int, int]]:
        """The marked stretches, the most important last, with their first and last pixel.

        A stretch takes at least two pixels.
        """
        order = list(MARKS)
        bands = []
        for mark, first, within, sharing, last, last_within, last_sharing in marks.drop(
            "bars"
        ).iter_rows():
            left = self._axis.left + self._axis.step * first + self._axis.step * within // sharing
            after = (
                self._axis.left
                + self._axis.step * last
                + -(-self._axis.step * (last_within + 1) // last_sharing)
            )
            bands.append((mark, left, max(after - 1, left + 1)))
        return sorted(bands, key=lambda band: order.index(band[0]))

    def _draw_closed(self, panels: Sequence[Panel]) -> None:
        for place in self._axis.closed:
            x = self._axis.left + place * self._axis.step
            for panel in panels:
                for y in range(panel.top, panel.top + panel.height, 6):
                    self.pen.line((x, y, x, y + 2), fill=_CLOSED)

    def _draw_scale(self, panel: Panel) -> None:
        letters, axis = font(12), self._axis
        middle = ((axis.left + axis.right) // 2, panel.top + panel.height // 2)
        if panel.scale.empty:
            self.pen.text(middle, "no value", fill=SOFT_INK, font=font(13), anchor="mm")
        for value, text in panel.scale.ticks(panel.height // 40 if panel.height > 200 else 4):
            y = panel.y(value)
            self.pen.line((axis.left - 4, y, axis.left - 1, y), fill=SOFT_INK)
            self.pen.text((axis.left - 8, y), text, fill=SOFT_INK, font=letters, anchor="rm")
            if panel.height > 100:
                for x in range(axis.left, axis.right, 4):
                    self.pen.point((x, y), fill=FRAME)
        self.pen.line(
            (axis.left - 1, panel.top, axis.left - 1, panel.top + panel.height - 1), fill=FRAME
        )
        base = panel.top + panel.height
        self.pen.line((axis.left - 1, base, axis.right, base), fill=FRAME)
        self.pen.text((axis.left, panel.top - 4), panel.name, fill=INK, font=letters, anchor="lb")


def marks_of(bars: pl.DataFrame) -> pl.DataFrame:
    """Neighbouring bars of the same mark, without those that are stored and whole.

    Returns:
        mark, bars, and where the first and the last of them lie.
    """
    mark = (
        pl.when(pl.col("state") != State.STORED)
        .then("state")
        .when("broken")
        .then(pl.lit(INCOMPLETE))
    )
    where = ("place", "within", "sharing")
    return (
        bars.select(*where, mark=mark)
        .with_columns(run=pl.col("mark").rle_id())
        .filter(pl.col("mark").is_not_null())
        .group_by("run", maintain_order=True)
        .agg(
            pl.first("mark"),
            pl.len().alias("bars"),
            pl.first(*where),
            pl.last(*where).name.prefix("last_"),
        )
        .drop("run")
    )


def caption_of(axis: Axis, what: str, more: str) -> str:
    """How many bars of a chart are stored, and how to read it.

    Args:
        axis: Of the chart.
        what: What is drawn at a place of it.
        more: Another note.
    """
    bars = axis.bars
    stored = int((bars["state"] == State.STORED).sum())
    if not len(bars):
        words = "No bar is expected"
    elif stored == len(bars):
        words = f"All {stored:,} bars are stored"
    else:
        words = f"{stored:,} of {len(bars):,} bars are stored"
    shared = f"; {what} is {axis.shared}" if axis.shared else ""
    closed = " The market was closed at a dashed line." if axis.closed else ""
    return f"{words}{shared}.{closed} Times are UTC. {more}".rstrip()
