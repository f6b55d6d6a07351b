"""Durations in words: what is written is read again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.market.durations import duration_of, duration_words


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(days=365), "365d"),
        (timedelta(days=1), "1d"),
        (timedelta(hours=36), "36h"),
        (timedelta(minutes=10), "10m"),
        (timedelta(seconds=90), "90s"),
        (timedelta(milliseconds=1500), "1.5s"),
        (timedelta(0), "0d"),
    ],
)
def test_a_duration_is_written_in_the_longest_unit_that_divides_it(length: timedelta, text: str):
    assert duration_words(length) == text


@given(st.integers(0, 999_999))
def test_what_is_written_is_read_again(seconds: int):
    length = timedelta(seconds=seconds)
    assert duration_of(duration_words(length)) == length


@pytest.mark.parametrize(
    ("text", "length"),
    [("1.5h", timedelta(minutes=90)), ("2w", timedelta(days=14)), ("0s", timedelta(0))],
)
def test_parts_of_a_unit_and_weeks_are_read(text: str, length: timedelta):
    assert duration_of(text) == length


@pytest.mark.parametrize("text", ["", "90", "s", "-1h", "1 h", "1H", "1e3s", "1234567s", "1h30m"])
def test_any_other_text_is_no_duration(text: str):
    assert duration_of(text) is None
