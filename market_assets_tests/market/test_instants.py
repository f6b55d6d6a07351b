"""An instant is written in UTC, in one of a few forms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from market_assets.market.instants import (
    bare_minute,
    bare_second,
    brief,
    clock_time,
    iso,
    iso_second,
    to_minute,
    to_second,
    with_zone,
)

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (bare_minute, "2024-05-01 12:00"),
        (bare_second, "2024-05-01 12:00:00"),
        (to_minute, "2024-05-01 12:00Z"),
        (to_second, "2024-05-01 12:00:00Z"),
        (brief, "2024-05-01 12:00Z"),
        (clock_time, "12:00:00Z"),
        (with_zone, "2024-05-01 12:00:00 UTC"),
        (iso_second, "2024-05-01T12:00:00Z"),
        (iso, "2024-05-01T12:00:00Z"),
    ],
)
def test_each_form_is_in_utc_wherever_the_instant_comes_from(write, text):
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-5)))

    assert write(NOON) == write(NOON.replace(tzinfo=None)) == write(elsewhere) == text


def test_seconds_and_microseconds_are_shown_where_there_are_any():
    later = NOON + timedelta(seconds=5, microseconds=250)

    assert brief(later) == "2024-05-01 12:00:05Z"
    assert iso(later) == "2024-05-01T12:00:05.000250Z"
