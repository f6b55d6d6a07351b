"""What a double reads times and lengths with."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.sources.testing import instant, timeframe_of

MOMENT = datetime(2024, 1, 31, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        1706745540,
        "1706745540",
        "1706745540000",
        "1706745540000000",
        "1706745540000000000",
        "2024-01-31T23:59:00Z",
        "2024-01-31T23:59",
        "2024-02-01T00:59:00+01:00",
    ],
)
def test_a_time_is_read_in_whatever_form_it_is(text):
    assert instant(text) == MOMENT
    assert instant(text).tzinfo is UTC


@pytest.mark.parametrize("text", ["", "soon", "2024-13-01"])
def test_what_is_no_time_is_a_value_error(text):
    with pytest.raises(ValueError, match=r".*"):
        instant(text)


def test_a_length_is_one_of_our_timeframes():
    assert {timeframe_of(length.micros // 1_000_000) for length in Timeframe} == {*Timeframe}
    with pytest.raises(ValueError, match="no timeframe has 61 seconds"):
        timeframe_of("61")
