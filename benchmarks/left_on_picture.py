"""Draws the figures of left_on.py.

The picture has six panels over one axis of time, in the package's own ink and letters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from market_assets.pictures.drawing import (
    INK,
    LINE_HEIGHT,
    MARGIN,
    SOFT_INK,
    WIDTH,
    draw_heading,
    font,
    heading_height,
    length,
    png,
    sheet,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL.ImageDraw import ImageDraw

    from market_assets.pictures.drawing import Colour

_BLUE, _ORANGE, _GREEN, _RED, _VIOLET, _BROWN = COLOURS = (
    (31, 119, 180),
    (230, 120, 20),
    (44, 140, 60),
    (200, 40, 40),
    (140, 90, 180),
    (140, 86, 75),
)
_GRID: Colour = (235, 235, 235)
_MARK: Colour = (180, 180, 180)
_HEIGHT = 170
_LEFT, _GAP = 52, 24
_MB = 1e6


@dataclass(frozen=True)
class Panel:
    """One of the pictures in the picture.

    Attributes:
        title: What it shows, with its unit.
        lines: The column of each line with its colour and what it is called.
        unit: What the values are divided by.
    """

    title: str
    lines: tuple[tuple[str, Colour, str], ...]
    unit: float = 1.0


PANELS = (
    Panel(
        "on disk, MB",
        (
            ("bytes", _BLUE, "all"),
            ("candles bytes", _GREEN, "candles"),
            ("beside_candles", _RED, "beside them"),
        ),
        _MB,
    ),
    Panel(
        "beside the candles, MB",
        (
            ("events bytes", _BLUE, "events"),
            ("schedules bytes", _ORANGE, "ticks"),
            ("runs bytes", _GREEN, "runs"),
            ("run files bytes", _RED, "files of runs"),
            ("logs bytes", _VIOLET, "logs"),
            ("rest bytes", _BROWN, "rest"),
        ),
        _MB,
    ),
    Panel("memory of all processes, MB", (("pss_mb", _BLUE, "PSS"), ("rss_mb", _ORANGE, "RSS"))),
    Panel("processor, % of one core", (("cpu_percent", _BLUE, ""),)),
    Panel("files", (("files", _BLUE, ""),)),
    Panel(
        "processes and runs", (("processes", _BLUE, "processes"), ("runs", _ORANGE, "runs kept"))
    ),
)


def draw(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The picture, a PNG.

    Args:
        rows: What left_on.py saw, oldest first, at least two.
    """
    first, last = rows[0], rows[-1]
    begin, end = (datetime.fromisoformat(row["instant"]) for row in (first, last))
    events = [(row["seconds"], row["event"]) for row in rows if row.get("event")]
    minutes = last["seconds"] / 60
    caption = (
        f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC "
        f"in {minutes:.0f} minutes of real time; {last['cpu_seconds']:,.0f} s of processor in all."
    )
    if events:
        caption += (
            " "
            + ", ".join(f"{number}: {words}" for number, (_, words) in enumerate(events, 1))
            + "."
        )
    top = heading_height(caption, WIDTH) + 12
    step = _HEIGHT + 3 * LINE_HEIGHT + 24
    image, pen = sheet(WIDTH, top + step * math.ceil(len(PANELS) / 2) + MARGIN // 2)
    draw_heading(pen, "market-assets up, left on", caption, WIDTH)
    width = (WIDTH - 2 * MARGIN - _GAP) // 2
    for number, panel in enumerate(PANELS):
        x, y = MARGIN + number % 2 * (width + _GAP), top + number // 2 * step
        _draw_panel(pen, panel, rows, [seconds for seconds, _ in events], (x, y, width))
    return png(image, [*COLOURS, _GRID, _MARK])


def _draw_panel(
    pen: ImageDraw,
    panel: Panel,
    rows: Sequence[Mapping[str, Any]],
    marks: Sequence[float],
    place: tuple[int, int, int],
) -> None:
    x, y, width = place
    pen.text((x, y), panel.title, fill=INK, font=font(14))
    entries = [(colour, words) for _, colour, words in panel.lines if words]
    at = float(x)
    for colour, words in entries:
        pen.rectangle((at, y + 24, at + 11, y + 33), fill=colour)
        pen.text((at + 15, y + 29), words, fill=INK, font=font(12), anchor="lm")
        at += 15 + length(font(12), words) + 12
    room = LINE_HEIGHT if entries else 0
    y += LINE_HEIGHT + 8 + room
    height = _HEIGHT - room + LINE_HEIGHT
    left, right, bottom = x + _LEFT, x + width, y + height
    highest = max(row[column] for row in rows for column, _, _ in panel.lines) / panel.unit
    ceiling, steps = _round_up(highest)
    for part in range(steps + 1):
        level = bottom - height * part / steps
        pen.line((left, level, right, level), fill=_GRID if part else SOFT_INK)
        value = ceiling * part / steps
        words = f"{value:,.0f}" if ceiling >= steps else f"{value:,.2f}"
        pen.text((left - 6, level), words, fill=SOFT_INK, font=font(11), anchor="rm")
    whole = rows[-1]["seconds"]
    for number, seconds in enumerate(marks, 1):
        at = left + (right - left) * seconds / whole
        pen.line((at, y, at, bottom), fill=_MARK)
        pen.text((at + 2, y), str(number), fill=SOFT_INK, font=font(11))
    for column, colour, _ in panel.lines:
        points = [
            (
                left + (right - left) * row["seconds"] / whole,
                bottom - height * row[column] / panel.unit / ceiling,
            )
            for row in rows
        ]
        pen.line(points, fill=colour, width=2)
    long = datetime.fromisoformat(rows[-1]["instant"]) - datetime.fromisoformat(rows[0]["instant"])
    form = "%b %Y" if long.days > 60 else "%d %H:%M" if long.days else "%H:%M"
    for share, anchor in ((0.0, "la"), (0.5, "ma"), (1.0, "ra")):
        row = rows[round(share * (len(rows) - 1))]
        words = f"{datetime.fromisoformat(row['instant']):{form}}"
        pen.text(
            (left + (right - left) * share, bottom + 4),
            words,
            fill=SOFT_INK,
            font=font(11),
            anchor=anchor,
        )


def _round_up(highest: float) -> tuple[float, int]:
    """A round number that is not below the highest value, and in how many steps the axis is cut."""
    power = 10.0 ** math.floor(math.log10(highest)) if highest > 0 else 1.0
    for factor, steps in ((1, 4), (1.5, 3), (2, 4), (3, 3), (4, 4), (6, 3), (8, 4), (10, 4)):
        if highest <= factor * power:
            return factor * power, steps
    return 10 * power, 4
