"""The picture of candles, read back from its pixels."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from itertools import groupby

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from market_assets.pictures.candles import MOST_CANDLES, candle_picture
from market_assets.pictures.colours import DOWN, INCOMPLETE, MARKS, UP
from market_assets.pictures.features import feature_picture
from market_assets.pictures.mask import mask_picture
from market_assets.verdicts.evidence import State
from market_assets_tests.support.pictures import BUDGET, HEADING, bars, pixels, returns

RAIL = {colour: mark for mark, (colour, _) in MARKS.items()}


def rail(png: bytes) -> list[tuple[str, int]]:
    """What the rail below the prices shows from left to right, and how many pixels of each."""
    row = max(pixels(png)[:-40], key=lambda row: sum(1 for pixel in row if pixel in RAIL))
    return [(RAIL[colour], len(list(run))) for colour, run in groupby(row) if colour in RAIL]


def test_a_gap_is_marked_at_its_place_and_as_long_as_it_is() -> None:
    states = [State.NO_TRADE] * 760 + [State.OPEN] * 80 + [State.OUTAGE] * 600
    found = rail(candle_picture(bars(*states), title="kept BTC 1m"))
    assert [mark for mark, _ in found] == ["no_trade", "open", "outage"]
    whole = sum(length for _, length in found)
    assert [1440 * length / whole for _, length in found] == pytest.approx([760, 80, 600], abs=3)


def test_one_missing_minute_of_a_day_is_seen_behind_the_candles_and_on_the_rail() -> None:
    states = [State.STORED] * 1440
    states[700] = State.OPEN
    png = candle_picture(bars(*states), title="kept BTC 1m")
    assert rail(png) == [("open", 2)]
    band = MARKS[State.OPEN][1]
    columns = {x for row in pixels(png)[HEADING:] for x, pixel in enumerate(row) if pixel == band}
    assert max(columns) - min(columns) == 1


def test_what_is_missing_is_drawn_over_what_is_explained() -> None:
    states = [State.NO_TRADE, State.OPEN] * 720
    found = dict(rail(candle_picture(bars(*states), title="kept BTC 1m")))
    assert found.keys() == {"open"}


@pytest.mark.parametrize("mark", MARKS)
def test_each_mark_has_a_colour_of_its_own_and_a_word_in_the_legend(mark: str) -> None:
    plain, marked = (
        candle_picture(bars(State.STORED, one, State.STORED, minutes=60), title="kept BTC 1h")
        for one in (State.STORED, mark)
    )
    assert [name for name, _ in rail(marked)] == [mark]
    assert rail(plain) == []
    rows = pixels(marked)
    assert any(pixel == MARKS[mark][0] for row in rows[-24:] for pixel in row)
    assert sum(row.count(MARKS[mark][1]) for row in rows) > 1000


def test_a_stored_bar_that_is_made_of_less_is_drawn_and_marked() -> None:
    png = candle_picture(bars(State.STORED, INCOMPLETE, minutes=60), title="kept BTC 1h")
    seen = {pixel for row in pixels(png) for pixel in row}
    assert {UP, DOWN, *MARKS[INCOMPLETE]} <= seen


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


def test_many_bars_share_a_candle_and_few_have_one_each() -> None:
    def candles(number: int) -> int:
        (row,) = (
            row
            for row in [
                max(
                    pixels(candle_picture(bars(*[State.STORED] * number), title=""))[40:250],
                    key=busy,
                )
            ]
        )
        return sum(1 for colour, _ in groupby(row) if colour in {UP, DOWN})

    def busy(row: list[tuple[int, int, int]]) -> int:
        return sum(1 for colour, _ in groupby(row) if colour in {UP, DOWN})

    assert candles(24) == 24
    assert candles(MOST_CANDLES) == MOST_CANDLES
    assert candles(1440) == 96


def test_volume_that_nobody_knows_has_no_room() -> None:
    known, unknown, odd = (
        candle_picture(bars(State.STORED, State.STORED, volume=volume), title="kept EURUSD 1m")
        for volume in (5.0, None, float("nan"))
    )
    assert len(pixels(unknown)) < len(pixels(known))
    assert unknown == odd


def test_a_market_that_was_closed_takes_no_room_and_is_told() -> None:
    whole = bars(*[State.STORED] * 60)
    closed = whole.with_columns(
        pl.when(pl.int_range(pl.len()) < 30)
        .then(name)
        .otherwise(pl.col(name) + pl.duration(hours=1))
        .alias(name)
        for name in ("ts", "opens_at", "closes_at")
    )
    one, other = (pixels(candle_picture(frame, title="kept ES 1m")) for frame in (whole, closed))
    assert len(one[0]) == len(other[0])
    dashed = (140, 140, 140)
    assert sum(row.count(dashed) for row in other) > 40 + sum(row.count(dashed) for row in one)


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
