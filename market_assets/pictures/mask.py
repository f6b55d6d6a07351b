"""The picture of the mask: where a return was measured, and why it was not elsewhere. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.enrich.returns.align import STRUCTURAL
from market_assets.pictures.axis import Axis
from market_assets.pictures.chart import LEAST_WIDTH
from market_assets.pictures.colours import REASONS, words_of
from market_assets.pictures.drawing import (
    INK,
    MARGIN,
    draw_heading,
    draw_legend,
    font,
    heading_height,
    legend_height,
    length,
    png,
    sheet,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.pictures.drawing import Colour

_MOST_CELLS = 144
_MOST_ROWS = 50
_WIDEST_CELL = 26


def mask_picture(returns: pl.DataFrame, *, title: str) -> bytes:
    """Draw one row per symbol and one column per time.

    The colours say where a return was measured, and why it was not elsewhere.

    Args:
        returns: symbol, ts (TS) and neutral (a `Neutral`, null where a return was measured).
        title: What it shows.

    Returns:
        A PNG with a palette; the same arguments give the same bytes.
    """
    reasons = [str(reason) for reason in REASONS]
    cells = returns.select(
        "symbol", "ts", reason=pl.col("neutral").fill_null("").cast(pl.Enum(reasons))
    ).sort("ts")
    symbols = sorted(returns["symbol"].unique())
    rows = _worst(cells, symbols)
    names = MARGIN + 8 + max((length(font(12), row) for row in rows), default=0)
    times = cells.select("ts").unique().sort("ts")
    axis = Axis.of(times, most=_MOST_CELLS, widest=_WIDEST_CELL, left=names)
    counts = dict(cells["reason"].value_counts().iter_rows())
    legend = [
        (REASONS[reason], f"{words_of(reason)}: {counts[reason]:,}")
        for reason in reversed(reasons)
        if reason in counts
    ]
    measured = counts.get("", 0)
    caption = (
        f"{measured:,} returns were measured, {len(cells) - measured:,} are 0.0 for a reason. "
        "Times are UTC."
    )
    if axis.shared:
        caption += f" A cell is {axis.shared} and shows the weightiest reason in it."
    if len(rows) < len(symbols):
        caption += f" Shown are the {len(rows)} worst of {len(symbols)} symbols."
    width = max(axis.right + MARGIN, LEAST_WIDTH)
    top = heading_height(caption, width) + 8
    height = min(26, max(13, 600 // max(1, len(rows))))
    bottom = top + height * len(rows)
    image, pen = sheet(width, bottom + 40 + legend_height(legend, width))
    draw_heading(pen, title, caption, width)
    colours = _cell_colours(cells, axis)
    # A line of paper between the cells, where they are wide enough to spare it.
    gap = 1 if axis.step >= 10 else 0
    for row, symbol in enumerate(rows):
        y = top + row * height
        pen.text(
            (axis.left - 8, y + (height - 1) / 2), symbol, fill=INK, font=font(12), anchor="rm"
        )
        for place in range(axis.places):
            if (colour := colours.get((symbol, place))) is not None:
                x = axis.left + place * axis.step
                pen.rectangle((x, y, x + axis.step - 1 - gap, y + height - 2), fill=colour)
    axis.draw_times(pen, bottom + 2)
    draw_legend(pen, bottom + 30, legend, width)
    return png(image, (colour for colour, _ in legend))


def _worst(cells: pl.DataFrame, symbols: Sequence[str]) -> list[str]:
    """The rows of the mask: all symbols, or those with the most neutral returns.

    A return counts as neutral here only if its symbol's calendar calls for a bar.
    """
    if len(symbols) <= _MOST_ROWS:
        return list(symbols)
    harmless = ["", *STRUCTURAL]
    neutral = cells.group_by("symbol").agg(
        worse=(~pl.col("reason").cast(pl.String).is_in(harmless)).sum()
    )
    return sorted(
        neutral.sort("worse", "symbol", descending=[True, False])["symbol"].head(_MOST_ROWS)
    )


def _cell_colours(cells: pl.DataFrame, axis: Axis) -> Mapping[tuple[str, int], Colour]:
    """The colour of the most important reason by symbol and place."""
    colours = list(REASONS.values())
    heaviest = pl.col("reason").to_physical().max()
    placed = (
        cells.join(axis.bars.select("ts", "place"), on="ts")
        .group_by("symbol", "place")
        .agg(heaviest)
    )
    return {(symbol, place): colours[number] for symbol, place, number in placed.iter_rows()}
