"""How far another clock is ahead, as its answers show it."""

from __future__ import annotations

from math import floor

from hypothesis import given
from hypothesis import strategies as st

from market_assets.sources.transport.offset import Offset

trips = st.lists(
    st.tuples(st.floats(0.01, 20), st.floats(0.001, 3), st.floats(0.001, 3)),
    min_size=1,
    max_size=40,
)


@given(st.floats(-4000, 4000), trips)
def test_the_truth_lies_between_the_bounds_however_long_answers_take(ahead, trips):
    offset, now = Offset(-1, 1), 1_000_000.0

    for pause, way, back in trips:
        now += pause
        second = floor(now + way + ahead)
        offset.note(second, second + 1, now, now + way + back)
        now += way + back
        assert offset.low - 1e-6 <= ahead <= offset.high + 1e-6


def test_many_answers_in_whole_seconds_give_it_to_some_milliseconds():
    offset, ahead = Offset(-1, 1), 0.321

    for step in range(300):
        asked_at = 1_000_000 + step * 0.0973
        second = floor(asked_at + 0.005 + ahead)
        offset.note(second, second + 1, asked_at, asked_at + 0.01)

    assert offset.high - offset.low < 0.05


def test_the_first_answer_takes_the_place_of_what_was_thought():
    offset = Offset(-1, 1)

    offset.note(5000, 5001, 1000, 1000.1)

    assert (offset.low, offset.high) == (3999.9, 4001)


def test_a_clock_that_was_set_is_believed_by_its_next_answer():
    offset = Offset()
    offset.note(1000, 1001, 1000, 1000.1)

    offset.note(1060, 1061, 1001, 1001.1)

    assert 58 < offset.low <= offset.high < 60.1


def test_what_is_old_is_trusted_less():
    offset = Offset()
    offset.note(1000, 1000, 1000, 1000)

    offset.note(11_000, 11_001, 11_000, 11_000.2)

    assert offset.high > 0.9
