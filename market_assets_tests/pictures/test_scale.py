"""Values from the bottom to the top of a panel, and the round numbers between."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.pictures.scale import Scale, finite


def of(*values: float | None) -> Scale:
    column = pl.Series(values, dtype=pl.Float64)
    return Scale.of(column, column)


@pytest.mark.parametrize(
    ("low", "high", "most", "words"),
    [
        (0.0, 10.0, 5, ["0", "2", "4", "6", "8", "10"]),
        (99.2, 100.9, 4, ["99.5", "100.0", "100.5"]),
        (0.0, 3e7, 3, ["0M", "10M", "20M", "30M"]),
        (0.0, 2.5e10, 3, ["0B", "10B", "20B"]),
        (1000.0, 3000.0, 2, ["1,000", "2,000", "3,000"]),
        (0.00001, 0.00003, 2, ["0.00001", "0.00002", "0.00003"]),
    ],
)
def test_round_numbers_stand_between(low: float, high: float, most: int, words: list[str]):
    assert [word for _, word in Scale(low, high).ticks(most)] == words


def test_there_is_some_room_around_also_where_all_values_are_equal():
    assert of(100.0, 200.0) == Scale(97.0, 203.0)
    assert of(50.0) == Scale(49.5, 50.5)
    zero = of(0.0)
    assert zero.low < 0 < zero.high


def test_without_values_there_are_no_numbers():
    assert of().ticks(5) == []
    assert of(None).empty
    assert Scale.from_zero(pl.Series([], dtype=pl.Float64)) == Scale(0.0, 1.0)
    assert Scale.from_zero(pl.Series([0.0])) == Scale(0.0, 1.0)
    assert Scale.from_zero(pl.Series([100.0])) == Scale(0.0, 103.0)


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12), st.integers(1, 8))
def test_every_number_lies_in_the_panel_and_they_rise(low: float, span: float, most: int):
    scale = of(low, low + span)
    values = [value for value, _ in scale.ticks(most)]
    assert all(scale.low - 1e-6 * span <= value <= scale.high + 1e-6 * span for value in values)
    assert values == sorted(set(values))
    assert len(values) <= 2 * most + 1


def test_a_number_that_no_price_can_be_is_not_drawn():
    frame = pl.DataFrame({"close": [1.0, 1e101, float("inf"), None]})
    assert frame.select(finite("close")).to_series().to_list() == [1.0, None, None, None]
