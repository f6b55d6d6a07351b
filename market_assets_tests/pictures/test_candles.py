"""The picture of candles, read back from its pixels."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from market_assets.pictures.candles import candle_picture
from market_assets.pictures.colours import DOWN, MARKS, UP
from market_assets.pictures.features import feature_picture
from market_assets.pictures.mask import mask_picture
from market_assets.verdicts.evidence import State
from market_assets_tests.support.pictures import BUDGET, bars, pixels, returns


def test_a_rising_candle_lies_where_its_prices_are() -> None:
    png = candle_picture(
        bars(State.STORED, State.STORED, minutes=60, prices=(90.0, 110.0)), title="kept BTC 1h"
    )
    rows = pixels(png)[:-40]
    heights = {
        colour: [y for y, row in enumerate(rows) if row.count(colour) > 5] for colour in (UP, DOWN)
    }
    # Both begin at 100, the middle of the picture: one goes down from there, the other up.
    assert heights[UP][-1] == pytest.approx(heights[DOWN][0], abs=1)
    assert len(heights[UP]) == pytest.approx(len(heights[DOWN]), abs=1)


def test_volume_that_nobody_knows_has_no_room() -> None:
    known, unknown, odd = (
        candle_picture(bars(State.STORED, State.STORED, volume=volume), title="kept EURUSD 1m")
        for volume in (5.0, None, float("nan"))
    )
    assert len(pixels(unknown)) < len(pixels(known))
    assert unknown == odd


def test_nothing_at_all_is_a_picture_too() -> None:
    assert pixels(candle_picture(bars(), title="kept"))
    assert pixels(
        feature_picture(bars().with_columns(x=pl.lit(None, pl.Float64)), "x", title="kept")
    )
    assert pixels(mask_picture(returns(), title="kept"))


number = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1e-300, 1e300, -37.63, 100.0])
row = st.tuples(st.sampled_from([*MARKS, State.STORED]), number, number, number, number, number)


@settings(max_examples=15)
@given(st.lists(row, max_size=30), st.integers(1, 60), st.sampled_from([1, 60, 1440, 10_080]))
def test_whatever_the_prices_are_there_is_a_small_picture_and_always_the_same(
    rows: list[tuple[str, float | None]], times: int, minutes: int
) -> None:
    rows = rows * times
    frame = bars(*(own[0] for own in rows), minutes=minutes)
    names = ("open", "high", "low", "close", "volume")
    odd = pl.DataFrame(
        [own[1:] for own in rows], schema=dict.fromkeys(names, pl.Float64), orient="row"
    )
    frame = frame.with_columns(odd.get_columns())
    pictures = [
        (
            candle_picture(one, title="kept BTC"),
            feature_picture(one, "close", "volume", title="kept BTC"),
        )
        for one in (frame, frame.clone())
    ]
    assert pictures[0] == pictures[1]
    for png in pictures[0]:
        assert len(png) < BUDGET
        assert Image.open(BytesIO(png)).width <= 980


def test_who_only_knows_of_the_pictures_does_not_load_what_draws_them() -> None:
    code = (
        "import sys; from market_assets.pictures import candles, features, mask; "
        "print('PIL' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
