"""The picture of the mask, read back from its pixels."""

from __future__ import annotations

from io import BytesIO
from itertools import groupby

import polars as pl
from PIL import Image

from market_assets.enrich.returns.align import Neutral
from market_assets.pictures.colours import MEASURED, REASONS
from market_assets.pictures.drawing import PAPER
from market_assets.pictures.mask import mask_picture
from market_assets_tests.support.pictures import BUDGET, HEADING, pixels, returns


def cells(png: bytes) -> list[list[tuple[int, int, int]]]:
    """The colours of a mask row by row, without those of the legend and of letters.

    Neighbours that are alike count as one.
    """
    colours = set(REASONS.values())
    found = []
    for row in pixels(png)[HEADING:]:
        runs = [(colour, len(list(run))) for colour, run in groupby(row)]
        found.append([colour for colour, length in runs if colour in colours and length > 5])
    return [row for row, _ in groupby(row for row in found if row)][:-1]


def test_each_reason_of_the_mask_has_a_colour_of_its_own() -> None:
    assert set(REASONS) == {"", *Neutral}
    assert len(set(REASONS.values())) == len(REASONS)
    assert PAPER not in REASONS.values()
    reasons = [None, *Neutral]
    row, *_ = cells(mask_picture(returns(*reasons), title="kept returns_1h"))
    assert row == [MEASURED, *(REASONS[reason] for reason in Neutral)]


def test_the_mask_has_a_row_a_symbol_and_shows_the_weightiest_reason_of_a_cell() -> None:
    minutes: list[str | None] = [None] * 1440
    minutes[700], minutes[701] = Neutral.OPEN_GAP, Neutral.NO_TRADE
    frame = pl.concat(
        [
            returns(*minutes, symbol="ETH", minutes=1),
            returns(*[Neutral.CLOSED_MARKET, None] * 720, symbol="BTC", minutes=1),
            returns(*[Neutral.CLOSED_MARKET] * 1440, symbol="SPY", minutes=1),
        ]
    )
    png = mask_picture(frame, title="markets returns_1m")
    assert cells(png) == [
        [MEASURED],
        [MEASURED, REASONS[Neutral.OPEN_GAP], MEASURED],
        [REASONS[Neutral.CLOSED_MARKET]],
    ]


def test_of_very_many_symbols_the_mask_shows_those_that_lack_most_within_the_budget() -> None:
    reasons = [None, *Neutral]
    frame = pl.concat(
        returns(
            *(reasons[(number * 7 + hour * 3) % len(reasons)] for hour in range(744)),
            symbol=f"S{number:03}USDT",
        )
        for number in range(200)
    )
    png = mask_picture(frame, title="kept returns_1h")
    image = Image.open(BytesIO(png))
    assert len(png) < BUDGET
    assert image.width <= 980
    assert image.height < 1000
