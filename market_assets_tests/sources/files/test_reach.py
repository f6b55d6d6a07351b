"""How far files reach: by their rows, and by the days in their names.

They never reach over a file that is absent.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from market_assets.market.timeframes import Timeframe, Window, to_micros
from market_assets.sources.files.clocks import Clock
from market_assets.sources.files.reach import (
    FileSpan,
    are_odd,
    merged,
    period_in,
    span_of,
    stretches_of,
)

NEW_YORK = ZoneInfo("America/New_York")
UTC_CLOCK = Clock()
ALL = Window(datetime(1900, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def span(first: str, last: str, name: str = "", **more: bool) -> FileSpan:
    return FileSpan(
        to_micros(at(first)), to_micros(at(last)), period=period_in(name, UTC_CLOCK), **more
    )


def windows(*files: FileSpan) -> list[str]:
    return [
        f"{window.start:%m-%dT%H:%M} {window.end:%m-%dT%H:%M}"
        for window in merged(stretches_of(files), ALL)
    ]


@pytest.mark.parametrize(
    ("name", "first", "after"),
    [
        ("-1m-2024-03-01.zip", "2024-03-01", "2024-03-02"),
        ("_20240301.csv", "2024-03-01", "2024-03-02"),
        ("2024.03.01", "2024-03-01", "2024-03-02"),
        ("2024/03/01/.csv", "2024-03-01", "2024-03-02"),
        ("-20240301-20240331.csv", "2024-03-01", "2024-04-01"),
        ("-1m-2024-02.zip", "2024-02-01", "2024-03-01"),
        ("DAT_ASCII_M1_202402.csv", "2024-02-01", "2024-03-01"),
        ("_2024.csv", "2024-01-01", "2025-01-01"),
    ],
)
def test_a_name_tells_the_days(name, first, after):
    assert period_in(name, UTC_CLOCK) == Window(at(first), at(after))
    opens = period_in(name, Clock("America/New_York"))
    assert opens is not None
    assert opens.start.astimezone(NEW_YORK).strftime("%Y-%m-%d %H:%M") == f"{first} 00:00"


@pytest.mark.parametrize(
    "name", ["", ".csv", "-1m.csv", "part-0001", "1717200000", "x20241345.csv", "_1899.csv"]
)
def test_a_name_without_a_date_tells_none(name):
    assert period_in(name, UTC_CLOCK) is None


def test_days_that_follow_each_other_speak_for_all_between_and_none_for_a_day_that_is_absent():
    days = [
        span(f"2024-03-0{day}T09:30", f"2024-03-0{day}T15:10", f"2024-03-0{day}")
        for day in (1, 2, 4, 5)
    ]
    assert windows(*days) == ["03-01T09:00 03-03T00:00", "03-04T00:00 03-05T16:00"]


def test_a_file_that_was_cut_speaks_for_what_is_in_it():
    days = [
        span(f"2024-03-0{day}T00:00", f"2024-03-0{day}T15:10", f"2024-03-0{day}", is_whole=day != 2)
        for day in (1, 2, 3)
    ]
    assert windows(*days) == ["03-01T00:00 03-02T16:00", "03-03T00:00 03-03T16:00"]


def test_files_of_the_hours_of_a_day_leave_an_hour_that_is_absent_out():
    hours = [
        span(f"2024-03-01T{hour:02}:00", f"2024-03-01T{hour:02}:59", f"2024-03-01-{hour:02}")
        for hour in (1, 2, 4)
    ]
    assert windows(*hours) == ["03-01T01:00 03-01T03:00", "03-01T04:00 03-01T05:00"]


def test_a_name_that_has_nothing_to_do_with_the_rows_tells_nothing():
    files = [
        span("2024-03-01T00:00", "2024-03-01T15:10", "2020-01-01"),
        span("2024-03-02T00:00", "2024-03-02T15:10", "2020-01-02"),
    ]
    assert windows(*files) == ["03-01T00:00 03-01T16:00", "03-02T00:00 03-02T16:00"]


def test_parts_without_dates_speak_for_the_hours_between_them():
    assert windows(
        span("2024-03-01T00:00", "2024-03-01T15:10"), span("2024-03-01T20:05", "2024-03-02T02:00")
    ) == ["03-01T00:00 03-02T03:00"]
    assert (
        len(
            windows(
                span("2024-03-01T00:00", "2024-03-01T15:10"),
                span("2024-03-02T09:05", "2024-03-02T10:00"),
            )
        )
        == 2
    )


def test_a_session_that_begins_the_evening_before_its_date_is_whole():
    days = [
        span(f"2024-03-0{day - 1}T23:00", f"2024-03-0{day}T21:59", f"2024-03-0{day}")
        for day in (5, 6)
    ]
    assert windows(*days) == ["03-04T23:00 03-06T22:00"]


def test_a_few_rows_more_than_a_year_apart_from_the_rest_count_for_nothing():
    minute = Timeframe.M1.micros
    start = to_micros(at("2024-03-01"))
    rest = [start + place * minute for place in range(500)]
    odd = [to_micros(at("2002-03-01")), to_micros(at("2025-06-01"))]
    assert span_of(pl.Series([*rest, *odd])) == (rest[0], rest[-1])
    lives = [*rest, *(stamp + to_micros(at("1973-01-01")) for stamp in rest)]
    assert span_of(pl.Series(lives)) == (lives[0], lives[-1])
    assert span_of(pl.Series(odd)) == (odd[0], odd[1])
    assert span_of(pl.Series([], dtype=pl.Int64)) is None


def test_numbers_that_are_no_counts_are_known_by_where_they_lie():
    dates = pl.Series([20240311 + day for day in range(20)]) * 1_000_000
    assert are_odd(dates, Timeframe.M1)
    assert are_odd(dates // Timeframe.D1.micros * Timeframe.D1.micros, Timeframe.D1)
    old = pl.Series([to_micros(at("1970-08-03") + timedelta(days=day)) for day in range(20)])
    assert not are_odd(old, Timeframe.D1)


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.D1])
def test_times_of_centuries_to_come_are_other_numbers(timeframe):
    later = pl.Series([to_micros(at("2611-05-23")), to_micros(at("2611-05-24"))])

    assert are_odd(later, timeframe)
    assert not are_odd(pl.Series([*later, to_micros(at("2024-01-02"))]), timeframe)
