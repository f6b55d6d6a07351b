"""The picture of candles: candlesticks, their volume, and every bar that is not there. Pure."""

from __future__ import annotations

import polars as pl

from market_assets.market.columns import OHLCV, PRICES
from market_assets.pictures.axis import WIDEST_CANDLE, Axis
from market_assets.pictures.chart import Chart, Panel, caption_of, marks_of
from market_assets.pictures.colours import DOWN, UP, VOLUME
from market_assets.pictures.scale import Scale, finite

MOST_CANDLES = 140
"""How many candles a picture shows at most; of more bars, several make one candle."""

_PRICES_HEIGHT, _VOLUMES_HEIGHT = 260, 64


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
    axis = Axis.of(bars, most=MOST_CANDLES, widest=WIDEST_CANDLE)
    candles = _candles(axis.bars)
    panels = [Panel("", _PRICES_HEIGHT, Scale.of(candles["low"], candles["high"]))]
    traded = candles["volume"].drop_nulls()
    if not traded.is_empty():
        panels.append(Panel("volume", _VOLUMES_HEIGHT, Scale.from_zero(traded)))
    marks = marks_of(axis.bars)
    drawing = Chart(
        axis,
        panels,
        marks,
        title=title,
        caption=caption_of(axis, "a candle", caption),
        legend=[(UP, "up"), (DOWN, "down")],
    )
    pen, prices = drawing.pen, panels[0]
    for place, open_, high, low, close in candles.select("place", *PRICES).iter_rows():
        colour = UP if close >= open_ else DOWN
        left, right = drawing.body(place)
        middle = (left + right) // 2
        pen.line((middle, prices.y(high), middle, prices.y(low)), fill=colour)
        pen.rectangle(
            (left, prices.y(max(open_, close)), right, prices.y(min(open_, close))), fill=colour
        )
    for place, volume in candles.drop_nulls("volume").select("place", "volume").iter_rows():
        left, right = drawing.body(place)
        pen.rectangle((left, panels[1].y(max(volume, 0.0)), right, panels[1].y(0.0)), fill=VOLUME)
    return drawing.png()


def _candles(bars: pl.DataFrame) -> pl.DataFrame:
    """One candle for each place that holds a stored bar.

    Returns:
        place, open, high, low, close, volume (null where none is known).
    """
    usable = bars.with_columns(finite(name) for name in OHLCV).drop_nulls(PRICES)
    return usable.group_by("place", maintain_order=True).agg(
        pl.first("open"),
        pl.max_horizontal(PRICES).max().alias("high"),
        pl.min_horizontal(PRICES).min().alias("low"),
        pl.last("close"),
        volume=pl.when(pl.col("volume").count() > 0).then(pl.sum("volume")),
    )
