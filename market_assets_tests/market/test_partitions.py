"""Partitions: the UTC days and months in which candles are filled, judged and shown."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.errors import CalendarError
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.partitions import Cadence, Partition, partitions_in
from market_assets.market.timeframes import Timeframe, Window

at = datetime.fromisoformat

cadences = st.sampled_from(list(Cadence))
days = st.dates(date(1990, 1, 1), date(2100, 1, 1))


def window(first: str, after: str) -> Window:
    return Window(at(first).replace(tzinfo=UTC), at(after).replace(tzinfo=UTC))


def keys(calendar: str, timeframe: str, cadence: Cadence, span: Window) -> list[str]:
    return [
        one.key
        for one in partitions_in(load_calendar(calendar), Timeframe(timeframe), cadence, span)
    ]


# Keys


def test_a_partition_is_known_by_its_first_day():
    assert Partition.holding(date(2024, 2, 29), Cadence.DAY) == Partition(
        window("2024-02-29", "2024-03-01"), "2024-02-29"
    )
    assert Partition.holding(date(2024, 2, 29), Cadence.MONTH) == Partition(
        window("2024-02-01", "2024-03-01"), "2024-02-01"
    )
    assert Partition.holding(date(2024, 12, 31), Cadence.MONTH).window == window(
        "2024-12-01", "2025-01-01"
    )


@given(days, cadences)
def test_a_key_leads_back_to_its_partition_which_holds_the_day(day: date, cadence: Cadence):
    partition = Partition.holding(day, cadence)
    assert Partition.of_key(partition.key, cadence) == partition
    assert partition.window.start.date() <= day < partition.window.end.date()
    following = Partition.holding(partition.window.end.date(), cadence)
    assert following.window.start == partition.window.end
    assert partition < following
    assert partition.key < following.key


@pytest.mark.parametrize(
    "key", ["2024-02-15", "20240201", "2024-W05-4", "2024-02", "yesterday", ""]
)
def test_a_key_that_is_not_a_first_day_is_refused(key: str):
    with pytest.raises(ValueError, match=r"is not the first day of a month|Invalid isoformat"):
        Partition.of_key(key, Cadence.MONTH)


# Days


def test_every_day_of_a_market_that_never_closes():
    assert keys("24/7", "1m", Cadence.DAY, window("2024-02-28", "2024-03-02")) == [
        "2024-02-28",
        "2024-02-29",
        "2024-03-01",
    ]


def test_no_weekend_and_no_holiday_of_an_exchange():
    span = window("2025-07-01", "2025-07-08")
    assert keys("XNYS", "1m", Cadence.DAY, span) == [
        "2025-07-01",
        "2025-07-02",
        "2025-07-03",
        "2025-07-07",
    ]
    assert keys("XNYS", "1d", Cadence.DAY, span) == [
        "2025-07-01",
        "2025-07-02",
        "2025-07-03",
        "2025-07-07",
    ]
    assert keys("XNYS", "1m", Cadence.DAY, window("2025-07-04", "2025-07-07")) == []


def test_a_half_day_is_a_day():
    assert keys("XNYS", "1h", Cadence.DAY, window("2025-11-27", "2025-11-29")) == ["2025-11-28"]


def test_sunday_evening_is_a_day_of_futures_and_forex_but_no_day_of_a_daily_bar():
    weekend = window("2025-03-07", "2025-03-11")
    for calendar in ("CME Globex Equity", "FOREX"):
        assert keys(calendar, "1m", Cadence.DAY, weekend) == [
            "2025-03-07",
            "2025-03-09",
            "2025-03-10",
        ]
        assert keys(calendar, "1d", Cadence.DAY, weekend) == ["2025-03-07", "2025-03-10"]
        assert keys(calendar, "1w", Cadence.DAY, weekend) == ["2025-03-10"]


def test_a_window_takes_in_every_day_that_it_touches():
    assert keys("24/7", "1m", Cadence.DAY, window("2025-03-03 23:59", "2025-03-05 00:01")) == [
        "2025-03-03",
        "2025-03-04",
        "2025-03-05",
    ]
    assert keys("24/7", "1m", Cadence.DAY, window("2025-03-03 23:59", "2025-03-05 00:00")) == [
        "2025-03-03",
        "2025-03-04",
    ]
    # Also a day whose session lies outside the window: the partition is filled whole or not at all.
    assert keys("XNYS", "1m", Cadence.DAY, window("2025-03-03 02:00", "2025-03-03 03:00")) == [
        "2025-03-03"
    ]


def test_partitions_are_whole_though_the_window_is_not():
    (partition,) = partitions_in(
        load_calendar("24/7"),
        Timeframe.M1,
        Cadence.DAY,
        window("2025-03-03 10:00", "2025-03-03 10:01"),
    )
    assert partition.window == window("2025-03-03", "2025-03-04")


# Months


def test_every_month_that_the_window_touches():
    assert keys("XNYS", "1d", Cadence.MONTH, window("2024-12-31 23:59", "2025-03-01")) == [
        "2024-12-01",
        "2025-01-01",
        "2025-02-01",
    ]
    assert keys("24/7", "1w", Cadence.MONTH, window("2024-02-10", "2024-02-11")) == ["2024-02-01"]
    assert keys("24/7", "1m", Cadence.MONTH, window("2024-02-29", "2024-03-01 00:00:01")) == [
        "2024-02-01",
        "2024-03-01",
    ]


@given(
    st.datetimes(at("2015-01-01"), at("2024-01-01")),
    st.timedeltas(timedelta(0), timedelta(days=400)),
    cadences,
)
def test_partitions_cover_the_window_in_order_without_overlap(start, length, cadence):
    span = Window(start.replace(tzinfo=UTC), start.replace(tzinfo=UTC) + length)
    found = partitions_in(load_calendar("24/7"), Timeframe.M1, cadence, span)
    if span.empty:
        assert found == []
        return
    assert found[0].window.start <= span.start < found[0].window.end
    assert found[-1].window.start < span.end <= found[-1].window.end
    assert all(before.window.end == after.window.start for before, after in pairwise(found))


# Edges


@pytest.mark.parametrize("cadence", list(Cadence))
def test_an_empty_window_has_no_partition(cadence: Cadence):
    assert keys("24/7", "1m", cadence, window("2025-03-03 10:00", "2025-03-03 10:00")) == []


@pytest.mark.parametrize(
    ("cadence", "first"), [(Cadence.DAY, "2025-02-28"), (Cadence.MONTH, "2025-02-01")]
)
def test_days_and_months_are_those_of_utc_whatever_the_zone_of_the_window(
    cadence: Cadence, first: str
):
    tokyo = ZoneInfo("Asia/Tokyo")
    span = Window(datetime(2025, 3, 1, 8, tzinfo=tokyo), datetime(2025, 3, 1, 8, 30, tzinfo=tokyo))
    assert keys("24/7", "1m", cadence, span) == [first]


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York"])
def test_the_machines_time_zone_plays_no_part(zone: str, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert keys("XNYS", "1m", Cadence.DAY, window("2025-03-07", "2025-03-11")) == [
            "2025-03-07",
            "2025-03-10",
        ]
        assert Partition.of_key("2025-03-01", Cadence.MONTH).window == window(
            "2025-03-01", "2025-04-01"
        )
    finally:
        monkeypatch.undo()
        time.tzset()


def test_beyond_the_calendar_there_are_no_partitions_but_an_error():
    with pytest.raises(CalendarError, match="reaches beyond"):
        keys("XNYS", "1m", Cadence.DAY, window("1890-01-01", "1890-02-01"))
