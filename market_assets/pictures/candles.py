"""Pictures of one partition: candles with marked gaps, a feature, the mask of returns. Pure.

Time runs from left to right over the bars that there must be; a market that is closed takes no
room. Where there are more bars than fit, several share a column.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10
from typing import TYPE_CHECKING, Final

import polars as pl

from market_assets.enrich.returns.align import STRUCTURAL, Neutral
from market_assets.pictures.drawing import (
    INK,
    LINE_HEIGHT,
    MARGIN,
    SOFT_INK,
    WIDTH,
    draw_heading,
    draw_legend,
    font,
    heading_height,
    legend_height,
    length,
    png,
    sheet,
)
from market_assets.verdicts.evidence import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from PIL.ImageDraw import ImageDraw

    from market_assets.pictures.drawing import Colour, Entry

INCOMPLETE: Final = "incomplete"
"""The mark of a stored bar that lacks some of the shorter bars it is made of."""

UP: Colour = (0, 137, 123)
DOWN: Colour = (63, 81, 140)
_VOLUME: Colour = (160, 174, 196)
_LINE: Colour = (33, 102, 172)
_FRAME: Colour = (205, 205, 205)
_CLOSED: Colour = (140, 140, 140)

MARKS: Mapping[str, tuple[Colour, Colour]] = {
    State.NO_TRADE: ((122, 128, 158), (224, 227, 238)),
    State.HALTED: ((94, 79, 162), (213, 206, 238)),
    State.CLOSED: ((140, 110, 80), (232, 222, 210)),
    INCOMPLETE: ((214, 180, 0), (255, 247, 205)),
    State.OUTAGE: ((245, 130, 32), (255, 227, 199)),
    State.ABANDONED: ((128, 0, 38), (240, 205, 212)),
    State.OPEN: ((220, 38, 47), (252, 214, 214)),
}
"""What a bar may be besides stored and whole, with two colours.

The first is that on the rail below the prices and in the legend, the second that of the band behind
the prices. A later one is drawn over an earlier one, so that a missing bar is always seen.
"""

MEASURED: Colour = (186, 224, 213)
REASONS: Mapping[str, Colour] = {
    Neutral.CLOSED_MARKET: (235, 235, 235),
    Neutral.AFTER_END: (200, 190, 220),
    Neutral.BEFORE_GENESIS: (224, 217, 238),
    "": MEASURED,
    Neutral.NO_TRADE: MARKS[State.NO_TRADE][0],
    Neutral.HALTED: MARKS[State.HALTED][0],
    Neutral.NO_PREVIOUS: (255, 221, 87),
    Neutral.UNDEFINED: (20, 20, 20),
    Neutral.UNADJUSTED: (120, 60, 20),
    Neutral.OUTAGE: MARKS[State.OUTAGE][0],
    Neutral.OPEN_GAP: MARKS[State.OPEN][0],
}
"""The colour of a cell of the mask, "" where a return was measured.

Where several bars share a cell, it has the colour of the reason that stands last here.
"""

MOST_CANDLES = 140
"""How many candles a picture shows at most; of more bars, several make one candle."""

_MOST_POINTS = 290
_MOST_CELLS = 144
_MOST_ROWS = 50
_PRICES_HEIGHT, _VOLUMES_HEIGHT, _PANEL_HEIGHT, _RAIL = 260, 64, 120, 7
_WIDEST_CANDLE, _WIDEST_CELL = 40, 26
_LEAST_WIDTH = 620

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
_UNITS: Final = ((1e9, "B"), (1e6, "M"))
_HUGE = 1e100
"""A larger number is no price, and arithmetic with it would overflow."""


def candle_picture(bars: pl.DataFrame, *, title: str, caption: str = "") -> bytes:
    """Draw candlesticks with their volume, and mark every bar that is not there.

    Args:
        bars: One symbol's, as `Grid.bars` gives them: ts, opens_at, closes_at (TS), open, high,
            low, close, volume (null where nothing is stored), state (a `State`), broken (Boolean);
            sorted by ts.
        title: What it shows.
        caption: A note besides how to read it, which the picture says by itself.

    Returns:
        A PNG with a palette; the same arguments give the same bytes.
    """
    axis = _Axis.of(bars, most=MOST_CANDLES, widest=_WIDEST_CANDLE)
    candles = _candles(axis.bars)
    panels = [_Panel("", _PRICES_HEIGHT, _Scale.of(candles["low"], candles["high"]))]
    traded = candles["volume"].drop_nulls()
    if not traded.is_empty():
        panels.append(_Panel("volume", _VOLUMES_HEIGHT, _Scale.from_zero(traded)))
    marks = _marks(axis.bars)
    drawing = _Chart(
        axis,
        panels,
        marks,
        title=title,
        caption=_caption(axis, "a candle", caption),
        legend=[(UP, "up"), (DOWN, "down")],
    )
    pen, prices = drawing.pen, panels[0]
    for place, open_, high, low, close in candles.select(
        "place", "open", "high", "low", "close"
    ).iter_rows():
        colour = UP if close >= open_ else DOWN
        left, right = drawing.body(place)
        middle = (left + right) // 2
        pen.line((middle, prices.y(high), middle, prices.y(low)), fill=colour)
        pen.rectangle(
            (left, prices.y(max(open_, close)), right, prices.y(min(open_, close))), fill=colour
        )
    for place, volume in candles.drop_nulls("volume").select("place", "volume").iter_rows():
        left, right = drawing.body(place)
        pen.rectangle((left, panels[1].y(max(volume, 0.0)), right, panels[1].y(0.0)), fill=_VOLUME)
    return drawing.png()


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
    axis = _Axis.of(bars, most=_MOST_POINTS, widest=_WIDEST_CANDLE)
    points = axis.bars.group_by("place", maintain_order=True).agg(
        _finite(name).last() for name in columns
    )
    panels = [
        _Panel(name, _PANEL_HEIGHT, _Scale.of(points[name], points[name])) for name in columns
    ]
    marks = _marks(axis.bars)
    drawing = _Chart(axis, panels, marks, title=title, caption=_caption(axis, "a point", caption))
    for panel in panels:
        if panel.scale.low < 0 < panel.scale.high:
            drawing.pen.line((axis.left, panel.y(0.0), axis.right, panel.y(0.0)), fill=_FRAME)
        for stretch in _stretches(points.select("place", panel.name)):
            line = [(drawing.middle(place), panel.y(value)) for place, value in stretch]
            drawing.pen.line(line, fill=_LINE, width=2, joint="curve")
            if len(line) == 1:
                x, y = line[0]
                drawing.pen.rectangle((x - 1, y - 1, x + 1, y + 1), fill=_LINE)
    return drawing.png()


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
    axis = _Axis.of(times, most=_MOST_CELLS, widest=_WIDEST_CELL, left=names)
    counts = dict(cells["reason"].value_counts().iter_rows())
    legend = [
        (REASONS[reason], f"{_words(reason)}: {counts[reason]:,}")
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
    width = max(axis.right + MARGIN, _LEAST_WIDTH)
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


@dataclass(frozen=True)
class _Axis:
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
    def of(cls, bars: pl.DataFrame, *, most: int, widest: int, left: int = 92) -> _Axis:
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


@dataclass(frozen=True)
class _Scale:
    """The values from the bottom to the top of a panel, and the round numbers between."""

    low: float
    high: float
    empty: bool = False

    @classmethod
    def of(cls, lows: pl.Series, highs: pl.Series) -> _Scale:
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
    def from_zero(cls, highs: pl.Series) -> _Scale:
        """The scale of values that are never negative."""
        high = highs.max()
        return cls(0.0, 1.03 * high if isinstance(high, float) and high > 1e-12 else 1.0)

    def ticks(self, most: int) -> list[tuple[float, str]]:
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


@dataclass
class _Panel:
    """A stretch of the sheet with a scale of its own."""

    name: str
    height: int
    scale: _Scale
    top: int = 0

    def y(self, value: float) -> int:
        share = (self.scale.high - value) / (self.scale.high - self.scale.low)
        return self.top + round(share * (self.height - 1))


class _Chart:
    """Panels one below the other over one axis.

    Bands of the marked bars lie behind them, and a rail of these below the first panel.
    """

    def __init__(
        self,
        axis: _Axis,
        panels: Sequence[_Panel],
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
            *((MARKS[mark][0], f"{_words(mark)}: {counts[mark]:,}") for mark in counts),
        ]
        self._colours = [
            UP,
            DOWN,
            _VOLUME,
            _LINE,
            *(colour for mark in counts for colour in MARKS[mark]),
        ]
        width = max(axis.right + MARGIN, _LEAST_WIDTH)
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
        return self._axis.left + place * self._axis.step + self._axis.step // 2

    def png(self) -> bytes:
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

    def _draw_closed(self, panels: Sequence[_Panel]) -> None:
        for place in self._axis.closed:
            x = self._axis.left + place * self._axis.step
            for panel in panels:
                for y in range(panel.top, panel.top + panel.height, 6):
                    self.pen.line((x, y, x, y + 2), fill=_CLOSED)

    def _draw_scale(self, panel: _Panel) -> None:
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
                    self.pen.point((x, y), fill=_FRAME)
        self.pen.line(
            (axis.left - 1, panel.top, axis.left - 1, panel.top + panel.height - 1), fill=_FRAME
        )
        base = panel.top + panel.height
        self.pen.line((axis.left - 1, base, axis.right, base), fill=_FRAME)
        self.pen.text((axis.left, panel.top - 4), panel.name, fill=INK, font=letters, anchor="lb")


def _finite(name: str) -> pl.Expr:
    """A column without values that cannot be drawn."""
    return pl.when(pl.col(name).abs() < _HUGE).then(pl.col(name))


def _candles(bars: pl.DataFrame) -> pl.DataFrame:
    """One candle for each place that holds a stored bar.

    Returns:
        place, open, high, low, close, volume (null where none is known).
    """
    names = ("open", "high", "low", "close")
    usable = bars.with_columns(_finite(name) for name in (*names, "volume")).drop_nulls(names)
    return usable.group_by("place", maintain_order=True).agg(
        pl.first("open"),
        pl.max_horizontal(names).max().alias("high"),
        pl.min_horizontal(names).min().alias("low"),
        pl.last("close"),
        volume=pl.when(pl.col("volume").count() > 0).then(pl.sum("volume")),
    )


def _marks(bars: pl.DataFrame) -> pl.DataFrame:
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


def _cell_colours(cells: pl.DataFrame, axis: _Axis) -> Mapping[tuple[str, int], Colour]:
    """The colour of the most important reason by symbol and place."""
    colours = list(REASONS.values())
    heaviest = pl.col("reason").to_physical().max()
    placed = (
        cells.join(axis.bars.select("ts", "place"), on="ts")
        .group_by("symbol", "place")
        .agg(heaviest)
    )
    return {(symbol, place): colours[number] for symbol, place, number in placed.iter_rows()}


def _caption(axis: _Axis, what: str, more: str) -> str:
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


def _words(name: str) -> str:
    return {"": "measured", State.OPEN: "missing", State.ABANDONED: "given up"}.get(
        name, name.replace("_", " ")
    )
