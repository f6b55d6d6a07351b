"""A clock that nothing speaks for is not believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from market_assets.errors import ClockError
from market_assets.keeping.clock import check_clock

NOW = datetime(2026, 3, 1, 3, 40, tzinfo=UTC)
DAY, YEAR = timedelta(days=1), timedelta(days=365)


@pytest.mark.parametrize(
    ("candle", "prune"),
    [
        (None, None),
        (NOW - timedelta(minutes=2), None),
        (NOW - YEAR, NOW - DAY),
        (NOW - timedelta(minutes=2), NOW - YEAR),
        (None, NOW - DAY),
        (NOW - 3 * DAY, NOW + YEAR),
    ],
)
def test_one_thing_that_speaks_for_it_is_enough(candle, prune):
    check_clock(NOW, candle, prune)


@pytest.mark.parametrize(
    ("candle", "prune"),
    [
        (NOW - YEAR, None),
        (NOW - YEAR, NOW - YEAR + DAY),
        (None, NOW - YEAR),
        (NOW - 4 * DAY, NOW - 5 * DAY),
        (NOW - YEAR, NOW + YEAR),
    ],
)
def test_where_all_is_far_behind_the_error_says_what_to_do(candle, prune):
    with pytest.raises(ClockError, match="2026-03-01 03:40Z") as caught:
        check_clock(NOW, candle, prune)

    assert "Nothing was removed" in str(caught.value)
    assert "--trust-clock" in str(caught.value)
