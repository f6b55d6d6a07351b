"""The picture of features: a line for each. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.pictures.axis import WIDEST_CANDLE, Axis
from market_assets.pictures.chart import FRAME, Chart, Panel, caption_of, marks_of
from market_assets.pictures.colours import LINE
from market_assets.pictures.scale import Scale, finite

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

_MOST_POINTS = 290
_PANEL_HEIGHT = 120


def feature_picture(bars: pl.DataFrame, *columns: str, title: str, caption: str = "") -> bytes:
    """Draw a line for each of some features, one below the other.

    A line has a hole where its feature has no value.

    Args:
        bars: One symbol's bars, as for `candle_picture` (without the prices), with a column
            (Float64) for each feature.
        columns: Which ones.
        title: What it shows.
        caption: A note besides how to read it, which the picture says by itself.

    Returns:
        A PNG with a palette; the same arguments give the same bytes.
    """
    axis = Axis.of(bars, most=_MOST_POINTS, widest=WIDEST_CANDLE)
    points = axis.bars.group_by("place", maintain_order=True).agg(
        finite(name).last() for name in columns
    )
    panels = [Panel(name, _PANEL_HEIGHT, Scale.of(points[name], points[name])) for name in columns]
    marks = marks_of(axis.bars)
    drawing = Chart(axis, panels, marks, title=title, caption=caption_of(axis, "a point", caption))
    for panel in panels:
        if panel.scale.low < 0 < panel.scale.high:
            drawing.pen.line((axis.left, panel.y(0.0), axis.right, panel.y(0.0)), fill=FRAME)
        for stretch in _stretches(points.select("place", panel.name)):
            line = [(drawing.middle(place), panel.y(value)) for place, value in stretch]
            drawing.pen.line(line, fill=LINE, width=2, joint="curve")
            if len(line) == 1:
                x, y = line[0]
                drawing.pen.rectangle((x - 1, y - 1, x + 1, y + 1), fill=LINE)
    return drawing.png()


def _stretches(points: pl.DataFrame) -> Iterable[list[tuple[int, float]]]:
    """The unbroken parts of a line: neighbouring places with a value."""
    part: list[tuple[int, float]] = []
    for place, value in points.iter_rows():
        if value is not None:
            part.append((place, value))
        elif part:
            yield part
            part = []
    if part:
        yield part
