"""Panels over one axis, with the bars that are marked."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from market_assets.pictures.candles import candle_picture
from market_assets.pictures.colours import DOWN, INCOMPLETE, MARKS, UP
from market_assets.verdicts.evidence import State
from market_assets_tests.support.pictures import HEADING, bars, pixels, rail

number = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1e-300, 1e300, -37.63, 100.0])
row = st.tuples(st.sampled_from([*MARKS, State.STORED]), number, number, number, number, number)


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


def test_a_stored_bar_that_is_made_of_less_is_drawn_and_marked() -> None:
    png = candle_picture(bars(State.STORED, INCOMPLETE, minutes=60), title="kept BTC 1h")
    seen = {pixel for row in pixels(png) for pixel in row}
    assert {UP, DOWN, *MARKS[INCOMPLETE]} <= seen
