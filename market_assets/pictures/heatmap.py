"""The heat map of a profile: a picture of symbol x time. Pure.

The colours say how complete each stretch is.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from market_assets.pictures.drawing import (
    INK,
    MARGIN,
    SOFT_INK,
    WIDTH,
    draw_heading,
    draw_legend,
    font,
    heading_height,
    legend_width,
    length,
    png,
    sheet,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    from market_assets.pictures.drawing import Colour, Entry

MOST_ROWS = 120
"""How many symbols a picture shows at most; of more, those with the lowest mean share."""


class Bucket(StrEnum):
    """The stretch of time that one column of the picture shows."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    @classmethod
    def of(cls, first: date, after: date) -> Bucket:
        """The bucket for a readable number of columns.

        The columns show the days from `first` to before `after`.
        """
        days = (after - first).days
        if days <= 120:
            return cls.DAY
        return cls.WEEK if days <= 3 * 366 else cls.MONTH

    def first_day(self, day: pl.Expr) -> pl.Expr:
        """The first day of the bucket that holds a day (Date); a week's is its Monday."""
        return day.dt.truncate(_STEPS[self])


_STEPS = {Bucket.DAY: "1d", Bucket.WEEK: "1w", Bucket.MONTH: "1mo"}


class CellState(StrEnum):
    """What a cell says besides its share."""

    JUDGED = "judged"
    NEVER_FILLED = "never filled"
    NOT_EXPECTED = "nothing expected"


CELL_SCHEMA = pl.Schema(
    {"symbol": pl.String(), "bucket": pl.Date(), "share": pl.Float64(), "state": pl.String()}
)
"""A cell of the picture.

`bucket` is its first day, `share` the completeness (0 to 1) of the worst partition in it, `state` a
CellState. Where there is no cell, nothing is expected.
"""

BANDS: Sequence[tuple[float, Colour, str]] = (
    (1.0, (26, 150, 65), "100 %"),
    (0.99, (178, 223, 86), "from 99 %"),
    (0.9, (255, 232, 92), "from 90 %"),
    (0.5, (253, 168, 72), "from 50 %"),
    (1e-12, (235, 84, 52), "above 0 %"),
    (0.0, (165, 0, 38), "0 %"),
)
"""The least share of a band, its colour and its words.

There are bands and no smooth scale, so that one missing bar of ten thousand is seen.
"""

NEVER_FILLED: Colour = (94, 79, 162)
NOT_EXPECTED: Colour = (222, 222, 222)

_HEIGHT = 1500


def heat_map(
    cells: pl.DataFrame, symbols: Sequence[str], bucket: Bucket, *, title: str, caption: str = ""
) -> bytes:
    """Draw one row per symbol and one column per bucket.

    Args:
        cells: CELL_SCHEMA, one row per cell.
        symbols: The rows, from the top down; cells of other symbols are left out.
        bucket: How long a column is.
        title: What it shows.
        caption: A note besides how to read it, which the picture says by itself.

    Returns:
        A PNG with a palette; the same arguments give the same bytes.
    """
    cells = cells.filter(pl.col("symbol").is_in(list(symbols)))
    rows, left_out = _rows(cells, symbols)
    columns = _columns(cells, bucket)
    words = [_how_to_read(bucket) if columns else "Nothing is expected yet."]
    words += [f"Shown are the {len(rows)} worst of {len(symbols)} symbols."] if left_out else []
    drawn = _Sheet(rows, columns, bucket).draw(cells, title, " ".join([*words, caption]))
    return png(drawn, (colour for colour, _ in _legend()))


def colour_of(share: float, state: str) -> Colour:
    """The colour of a cell."""
    if state == CellState.NOT_EXPECTED:
        return NOT_EXPECTED
    if state == CellState.NEVER_FILLED:
        return NEVER_FILLED
    return next((colour for least, colour, _ in BANDS if share >= least), BANDS[-1][1])


def _how_to_read(bucket: Bucket) -> str:
    if bucket is Bucket.DAY:
        return "A cell is a day (UTC)."
    return (
        f"A cell is a {bucket} (UTC) and shows the worst partition in it, "
        "so that one hole is not averaged away."
    )


def _rows(cells: pl.DataFrame, symbols: Sequence[str]) -> tuple[list[str], bool]:
    if len(symbols) <= MOST_ROWS:
        return list(symbols), False
    shares = (
        cells.filter(pl.col("state") != CellState.NOT_EXPECTED)
        .group_by("symbol")
        .agg(pl.mean("share"))
    )
    mean = dict(shares.iter_rows())
    worst = set(sorted(symbols, key=lambda symbol: mean.get(symbol, 1.0))[:MOST_ROWS])
    return [symbol for symbol in symbols if symbol in worst], True


def _columns(cells: pl.DataFrame, bucket: Bucket) -> list[date]:
    """Every bucket from the first to the last cell's, also those without trading."""
    first, last = cells["bucket"].min(), cells["bucket"].max()
    if not isinstance(first, date) or not isinstance(last, date):
        return []
    return pl.date_range(first, last, _STEPS[bucket], eager=True).to_list()


class _Sheet:
    """The layout, in pixels; cells are whole pixels, so that none is blurred."""

    def __init__(self, rows: Sequence[str], columns: Sequence[date], bucket: Bucket) -> None:
        self.rows, self.columns, self.bucket = rows, columns, bucket
        self.cell_height = min(30, max(13, _HEIGHT // max(1, len(rows))))
        self.font, self.label_font = font(13), font(min(13, self.cell_height - 2))
        self.left = MARGIN + 8 + max((length(self.label_font, row) for row in rows), default=0)
        self.cell_width = min(26, max(1, (WIDTH - self.left - MARGIN) // max(1, len(columns))))
        self.width = max(
            self.left + len(columns) * self.cell_width + MARGIN,
            self.left + 460,
            legend_width(_legend()),
        )

    def draw(self, cells: pl.DataFrame, title: str, caption: str) -> Image:
        top = heading_height(caption, self.width) + 26
        bottom = top + len(self.rows) * self.cell_height
        image, pen = sheet(self.width, bottom + 62)
        draw_heading(pen, title, caption, self.width)
        self._draw_cells(pen, cells, top)
        self._draw_days(pen, top - 4, below=False)
        self._draw_days(pen, bottom + 4, below=True)
        draw_legend(pen, bottom + 38, _legend(), self.width)
        return image

    def _draw_cells(self, pen: ImageDraw, cells: pl.DataFrame, top: int) -> None:
        colours: Mapping[tuple[str, date], Colour] = {
            (symbol, bucket): colour_of(share, state)
            for symbol, bucket, share, state in cells.select(CELL_SCHEMA.names()).iter_rows()
        }
        # A line of paper between the cells, where they are wide enough to spare it.
        gap = 1 if self.cell_width >= 6 else 0
        for row, symbol in enumerate(self.rows):
            y = top + row * self.cell_height
            middle = (self.left - 8, y + self.cell_height / 2)
            pen.text(middle, symbol, fill=INK, font=self.label_font, anchor="rm")
            for column, bucket in enumerate(self.columns):
                x = self.left + column * self.cell_width
                box = (x, y, x + self.cell_width - 1 - gap, y + self.cell_height - 2)
                pen.rectangle(box, fill=colours.get((symbol, bucket), NOT_EXPECTED))

    def _draw_days(self, pen: ImageDraw, y: int, *, below: bool) -> None:
        """The dates along one edge, as many as have room."""
        free = 0
        for column, day in enumerate(self.columns):
            x = self.left + column * self.cell_width
            text = f"{day:%Y-%m-%d}" if self.bucket is Bucket.DAY else f"{day:%Y-%m}"
            if not self._is_marked(day) or x < free or x + length(self.font, text) > self.width:
                continue
            pen.line((x, y, x, y + (4 if below else -4)), fill=SOFT_INK)
            pen.text(
                (x, y + (5 if below else -5)),
                text,
                fill=SOFT_INK,
                font=self.font,
                anchor="lt" if below else "lb",
            )
            free = x + length(self.font, text) + 12

    def _is_marked(self, day: date) -> bool:
        if self.bucket is Bucket.DAY:
            return day.weekday() == 0 or len(self.columns) < 7
        if self.bucket is Bucket.WEEK:
            return day.day <= 7
        return day.month == 1 or len(self.columns) < 36


def _legend() -> list[Entry]:
    bands = [(colour, words) for _, colour, words in BANDS]
    return [
        *bands,
        (NEVER_FILLED, CellState.NEVER_FILLED.value),
        (NOT_EXPECTED, CellState.NOT_EXPECTED.value),
    ]
