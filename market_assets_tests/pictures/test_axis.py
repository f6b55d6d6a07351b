"""Time from left to right, in whole pixels."""

from __future__ import annotations

from itertools import groupby

import polars as pl
from hypothesis import strategies as st

from market_assets.pictures.candles import MOST_CANDLES, candle_picture
from market_assets.pictures.colours import DOWN, MARKS, UP
from market_assets.verdicts.evidence import State
from market_assets_tests.support.pictures import bars, pixels

number = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1e-300, 1e300, -37.63, 100.0])
row = st.tuples(st.sampled_from([*MARKS, State.STORED]), number, number, number, number, number)


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
