"""Bars as bits."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.market.blocks import (
    block_length,
    blocks_of,
    first_open,
    last_open,
    since,
    slot_length,
    stretch_blocks,
    until,
)
from market_assets.market.timeframes import TS, Timeframe

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone
M1, D1 = Timeframe.M1, Timeframe.D1
minutes = st.lists(st.integers(0, 400), max_size=60)
START = at("1969-12-31T22:30")  # so that blocks before 1970 are among them


def opens(numbers: list[int], timeframe: Timeframe = M1) -> pl.Series:
    length = timedelta(minutes=1) if timeframe.intraday else timedelta(days=1)
    start = START if timeframe.intraday else at("1969-12-30")
    return pl.Series("ts", [start + number * length for number in numbers], dtype=TS)


def held(blocks: pl.DataFrame, timeframe: Timeframe) -> list[datetime]:
    """The opens that some blocks have a bit for."""
    length = timedelta(microseconds=block_length(timeframe))
    slot = timedelta(microseconds=slot_length(timeframe))
    return [
        at("1970-01-01") + block * length + place * slot
        for block, bits in blocks.select("block", "bits").iter_rows()
        for place in range(64)
        if bits >> place & 1
    ]


@pytest.mark.parametrize("timeframe", [M1, D1])
@given(numbers=minutes)
def test_a_bar_is_one_bit_however_often_it_is_there(timeframe, numbers):
    blocks = blocks_of(opens(numbers, timeframe), timeframe)
    assert held(blocks, timeframe) == sorted(set(opens(numbers, timeframe)))
    assert blocks["block"].is_unique().all()


def test_what_opens_within_a_minute_or_a_day_is_no_bar():
    late = opens([1, 2]).dt.offset_by("1s")
    assert blocks_of(late, M1).is_empty()
    assert blocks_of(opens([60 * 24]), D1).is_empty()


@given(numbers=minutes.filter(bool))
def test_the_first_and_the_last_bar_are_found_again(numbers):
    blocks = blocks_of(opens(numbers), M1)
    edges = blocks.select(first=first_open(M1).min(), last=last_open(M1).max()).row(0)
    assert edges == (min(opens(numbers)), max(opens(numbers)))


@given(
    edges=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 150)), max_size=5),
    timeframe=st.sampled_from([M1, D1]),
)
def test_a_stretch_has_each_bar_from_its_first_to_its_last(edges, timeframe):
    first = opens([start for start, _ in edges], timeframe)
    last = opens([start + length for start, length in edges], timeframe)
    blocks = stretch_blocks(first, last, timeframe)
    for number, (start, length) in enumerate(edges):
        inside = list(opens(list(range(start, start + length + 1)), timeframe))
        assert held(blocks.filter(stretch=number), timeframe) == inside


def test_the_bits_from_a_bar_on_and_up_to_it_share_that_bar():
    bar = opens([31])
    both = since(bar, M1)["bits"] & until(bar, M1)["bits"]
    assert held(pl.DataFrame({"block": since(bar, M1)["block"], "bits": both}), M1) == list(bar)
