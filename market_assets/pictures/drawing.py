"""What all pictures share: paper, ink, letters and the legend. Pure.

How a picture becomes few bytes is here, too.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from market_assets.imports import late_imports

with late_imports():
    from PIL import Image as images  # noqa: N813 - a module
    from PIL import ImageDraw as pens  # noqa: N813
    from PIL import ImageFont as fonts  # noqa: N813

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

    Colour = tuple[int, int, int]
    Entry = tuple[Colour, str]

PAPER: Colour = (255, 255, 255)
INK: Colour = (38, 38, 38)
SOFT_INK: Colour = (100, 100, 100)
_GREYS: Sequence[Colour] = [
    (level, level, level) for level in (38, 70, 100, 140, 180, 205, 235, 255)
]
"""Ink, paper and the edges of letters.

They are eight, so that a picture with eight colours of its own takes half a byte per pixel.
"""

MARGIN = 16
WIDTH = 980
"""As wide as Dagster's dialog shows a picture without making it smaller."""

_TITLE_HEIGHT, LINE_HEIGHT = 26, 18
_SWATCH, _APART = 21, 16


@cache
def font(size: int) -> FreeTypeFont:
    """Pillow's own font, which is the same on every machine."""
    chosen = fonts.load_default(size)
    # Every wheel of Pillow has FreeType.
    assert isinstance(chosen, fonts.FreeTypeFont)  # noqa: S101
    return chosen


def length(letters: FreeTypeFont, text: str) -> int:
    """How many pixels a text is wide."""
    return round(letters.getlength(text))


def sheet(width: int, height: int) -> tuple[Image, ImageDraw]:
    """White paper and a pen for it."""
    image = images.new("RGB", (width, height), PAPER)
    return image, pens.Draw(image)


def heading_height(caption: str, width: int) -> int:
    """How far down a title and its caption reach on a sheet of that width."""
    return (
        MARGIN + _TITLE_HEIGHT + LINE_HEIGHT * len(_wrapped(caption, font(13), width - 2 * MARGIN))
    )


def draw_heading(pen: ImageDraw, title: str, caption: str, width: int) -> None:
    """Write the title and below it the caption, in as many lines as it takes."""
    pen.text((MARGIN, MARGIN), title, fill=INK, font=font(18))
    letters = font(13)
    for number, line in enumerate(_wrapped(caption, letters, width - 2 * MARGIN)):
        pen.text(
            (MARGIN, MARGIN + _TITLE_HEIGHT + LINE_HEIGHT * number),
            line,
            fill=SOFT_INK,
            font=letters,
        )


def legend_width(entries: Iterable[Entry]) -> int:
    """How wide a legend is in one line."""
    letters = font(13)
    return MARGIN + sum(_SWATCH + length(letters, words) + _APART for _, words in entries)


def legend_height(entries: Iterable[Entry], width: int) -> int:
    """How high a legend is on a sheet of that width."""
    return LINE_HEIGHT * len(_in_lines(entries, width))


def draw_legend(pen: ImageDraw, y: int, entries: Iterable[Entry], width: int) -> None:
    """Draw a swatch of each colour and its words beside it, in as many lines as it takes."""
    letters = font(13)
    for line in _in_lines(entries, width):
        x = MARGIN
        for colour, words in line:
            pen.rectangle((x, y, x + 15, y + 11), fill=colour)
            pen.text((x + _SWATCH, y + 6), words, fill=INK, font=letters, anchor="lm")
            x += _SWATCH + length(letters, words) + _APART
        y += LINE_HEIGHT


def png(image: Image, colours: Iterable[Colour]) -> bytes:
    """The picture as PNG bytes, with a palette of its own colours and the greys of the letters.

    The palette saves three quarters of the bytes.
    """
    used = list(dict.fromkeys([*colours, *_GREYS]))
    palette = images.new("P", (1, 1))
    palette.putpalette([level for colour in used for level in colour])
    out = BytesIO()
    bits = 4 if len(used) <= 16 else 8
    # A level more makes it 3 % smaller and takes four times as long.
    image.quantize(palette=palette, dither=images.Dither.NONE).save(
        out, "PNG", compress_level=8, bits=bits
    )
    return out.getvalue()


def _in_lines(entries: Iterable[Entry], width: int) -> list[list[Entry]]:
    lines: list[list[Entry]] = []
    for entry in entries:
        if lines and legend_width([*lines[-1], entry]) <= width:
            lines[-1].append(entry)
        else:
            lines.append([entry])
    return lines


def _wrapped(text: str, letters: FreeTypeFont, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and letters.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
