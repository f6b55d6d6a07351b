"""What a clock showed: an instant, or refused, never moved."""

# ruff: noqa: FBT001 - parameters of a test

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.market.timeframes import TS
from market_assets.sources.files.clocks import Clock, clock_of, localize

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(at: datetime) -> int:
    return (at.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        ("New York + 7h", Clock("America/New_York", timedelta(hours=7))),
        ("new_york+7", Clock("America/New_York", timedelta(hours=7))),
        ("America/New_York - 1h", Clock("America/New_York", timedelta(hours=-1))),
        ("New York + 7h30m", Clock("America/New_York", timedelta(hours=7, minutes=30))),
        ("-03:30", Clock("UTC", timedelta(hours=-3, minutes=-30))),
        ("+0530", Clock("UTC", timedelta(hours=5, minutes=30))),
        ("UTC+2", Clock("UTC", timedelta(hours=2))),
        ("GMT - 3", Clock("UTC", timedelta(hours=-3))),
        ("London", Clock("Europe/London")),
        ("EST", Clock("EST")),
        ("UTC", Clock()),
    ],
)
def test_a_clock_is_a_zone_a_city_an_offset_or_both(text: str, clock: Clock) -> None:
    assert clock_of(text) == clock


@pytest.mark.parametrize("text", ["", "Mars", "New York + 25h", "+99", "7h", "New York +"])
def test_what_is_no_clock_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"clock"):
        clock_of(text)


ZONES = {
    "America/New_York": datetime(2024, 11, 3, 6, tzinfo=UTC),
    "Europe/London": datetime(2024, 10, 27, 1, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2024, 4, 6, 15, tzinfo=UTC),
}


@given(
    zone=st.sampled_from(sorted(ZONES)),
    shift=st.sampled_from([0, 7]),
    minutes=st.lists(st.integers(-180, 180), min_size=1, max_size=60, unique=True).map(sorted),
    newest_first=st.booleans(),
)
def test_a_time_around_the_repeated_hour_is_read_right_or_refused(
    zone: str, shift: int, minutes: list[int], newest_first: bool
) -> None:
    instants = [ZONES[zone] + timedelta(minutes=minute) for minute in minutes]
    instants = instants[::-1] if newest_first else instants
    walls = [
        at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) + timedelta(hours=shift)
        for at in instants
    ]

    found, why = localize(
        pl.Series(walls).cast(TS).to_physical(), Clock(zone, timedelta(hours=shift))
    )

    for at, read, reason in zip(instants, found, why, strict=True):
        assert (read == micros(at)) if reason is None else read is None


@given(
    minutes=st.lists(st.integers(-90, 90), min_size=150, max_size=180, unique=True).map(sorted),
    newest_first=st.booleans(),
)
def test_with_most_of_the_minutes_there_none_is_refused(
    minutes: list[int], newest_first: bool
) -> None:
    zone = "America/New_York"
    instants = [ZONES[zone] + timedelta(minutes=minute) for minute in minutes]
    instants = instants[::-1] if newest_first else instants
    walls = [at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for at in instants]

    found, _ = localize(pl.Series(walls).cast(TS).to_physical(), Clock(zone))

    assert found.to_list() == [micros(at) for at in instants]
