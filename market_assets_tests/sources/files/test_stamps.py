"""What stamps mean: read right, or refused, never moved."""

# ruff: noqa: DTZ001, FBT001 - walls bear no zone

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import TS, Timeframe
from market_assets.sources.files.stamps import (
    Clock,
    StampError,
    Stamps,
    clock_of,
    localize,
    opens_of,
    read_stamps,
)

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


@pytest.mark.parametrize(
    ("text", "wall", "hours", "dated"),
    [
        ("2024-03-08", datetime(2024, 3, 8), None, True),
        ("2024/3/8 9:30", datetime(2024, 3, 8, 9, 30), None, False),
        ("2024-03-08 00:00:00+09:00", datetime(2024, 3, 8), 9, False),
        ("2024-03-08T00:00:00-0330", datetime(2024, 3, 8), -3.5, False),
        ("2024-03-08T00:00Z", datetime(2024, 3, 8), 0, False),
        ("20240308", datetime(2024, 3, 8), None, True),
        ("20240308 093000", datetime(2024, 3, 8, 9, 30), None, False),
        ("20240308093000", datetime(2024, 3, 8, 9, 30), None, False),
        ("8-Mar-2024 4:30 PM", datetime(2024, 3, 8, 16, 30), None, False),
        ("March 8, 2024", datetime(2024, 3, 8), None, True),
        ("Fri, 08 Mar 2024 12:00:00 GMT", datetime(2024, 3, 8, 12), 0, False),
        ("2024-03-08 12-AM", datetime(2024, 3, 8), None, False),
        ("2024-03-08 24:00", datetime(2024, 3, 9), None, False),
        ("20240308 09:30:00 US/Eastern", datetime(2024, 3, 8, 9, 30), -5, False),
        ("20240308  09:30:00 America/New_York", datetime(2024, 3, 8, 9, 30), -5, False),
        ("2024-03-08 09:30:00 America/Chicago", datetime(2024, 3, 8, 9, 30), -6, False),
        ("2024-03-08T09:30:00-05:00[America/New_York]", datetime(2024, 3, 8, 9, 30), -5, False),
        (
            "Fri Mar 08 2024 09:30:00 GMT-0500 (Eastern Standard Time)",
            datetime(2024, 3, 8, 9, 30),
            -5,
            False,
        ),
        ("20240308093000000", datetime(2024, 3, 8, 9, 30), None, False),
        ("2024-03-08 4:30PM America/New_York", datetime(2024, 3, 8, 16, 30), -5, False),
        ("13/02/2024", datetime(2024, 2, 13), None, True),
        ("02/13/2024", datetime(2024, 2, 13), None, True),
        ("01.02.2024", datetime(2024, 2, 1), None, True),
    ],
)
def test_text_is_read_by_its_shape(
    text: str, wall: datetime, hours: float | None, dated: bool
) -> None:
    row = read_stamps(pl.Series([text])).row(0, named=True)

    assert row["wall"] == micros(wall)
    assert row["offset"] == (None if hours is None else int(hours * 3_600_000_000))
    assert row["dated"] is dated


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2024-13-01",
        "2024-02-30",
        "24:00",
        "13/02/24",
        "5",
        "45362.5",
        "2024-03-08 25:00",
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert read_stamps(pl.Series([text]))["wall"].to_list() == [None]


@pytest.mark.parametrize("dates", [["01/02/2024"], ["01-02-2024"], ["13/02/2024", "02/13/2024"]])
def test_dates_that_can_be_read_two_ways_want_a_format(dates: list[str]) -> None:
    with pytest.raises(StampError, match="set format to"):
        read_stamps(pl.Series(dates))


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


def opens(
    stamps: list[str], timeframe: Timeframe, meaning: Stamps | None = None
) -> list[datetime | None]:
    walls = read_stamps(pl.Series(stamps))
    calendar = load_calendar("24/7") if not timeframe.intraday else None
    found, _ = opens_of(walls, timeframe, clock=Clock(), meaning=meaning, calendar=calendar)
    return found.to_list()


@pytest.mark.parametrize("meaning", [None, "close", "session"])
def test_a_day_that_ends_at_24_hours_is_the_one_that_is_written(meaning: Stamps | None) -> None:
    days = [datetime(2024, 3, 11), datetime(2024, 3, 12)]

    assert opens(["2024-03-11 24:00:00", "2024-03-12 24:00:00"], Timeframe.D1, meaning) == days
    assert opens(["20240311240000", "20240312240000"], Timeframe.D1, meaning) == days
    assert opens(["2024-03-11 24:00"], Timeframe.M1) == [datetime(2024, 3, 12)]


@pytest.mark.parametrize("end", ["09:30:59", "09:30:59.999", "09:31:00"])
def test_a_close_in_the_last_second_is_that_of_the_minute(end: str) -> None:
    assert opens([f"2024-03-11 {end}"], Timeframe.M1, "close") == [datetime(2024, 3, 11, 9, 30)]


def test_any_other_close_is_left_as_it_stands() -> None:
    assert opens(["2024-03-11 09:30:58"], Timeframe.M1, "close") == [
        datetime(2024, 3, 11, 9, 29, 58)
    ]
