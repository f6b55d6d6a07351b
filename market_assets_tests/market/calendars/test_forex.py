"""The sessions of currencies, on New York's clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.gaps import missing, runs
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.calendars import candles, closes_at, day, outside, span

if TYPE_CHECKING:
    from pathlib import Path


NEW_YORK = ZoneInfo("America/New_York")

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone


def test_currencies_trade_from_sunday_to_friday_five_in_new_york_and_a_session_is_a_day():
    window = Window.of_days(date(2019, 1, 7), date(2026, 1, 5))
    spans = load_calendar("FOREX").spans(window)
    for session, opens, closes in spans.iter_rows():
        opened, closed = (x.replace(tzinfo=UTC).astimezone(NEW_YORK) for x in (opens, closes))
        assert (opened.hour, closed.hour) == (17, 17)
        assert (opened.date(), closed.date()) == (session - timedelta(days=1), session)
        assert session.weekday() < 5
    assert (spans["close"] - spans["open"]).unique().to_list() == [timedelta(hours=24)]
    gaps = (spans["open"] - spans["close"].shift()).drop_nulls()
    weekends = gaps.filter(gaps.is_between(timedelta(hours=47), timedelta(hours=49)))
    assert sorted(set(weekends)) == [timedelta(hours=47), timedelta(hours=48), timedelta(hours=49)]


@pytest.mark.parametrize("name", ["FOREX", "FX", "Forex"])
def test_no_name_leads_to_the_library_s_currency_session_on_saturday_night(name: str):
    saturday = day("2025-02-08")
    assert load_calendar(name).bars(Timeframe.M1, saturday).is_empty()


@pytest.mark.parametrize("year", range(2010, 2027))
def test_currencies_have_no_session_on_christmas_and_new_year(year: int):
    assert closes_at("FOREX", f"{year}-12-25") is None
    assert closes_at("FOREX", f"{year}-01-01") is None


@pytest.mark.parametrize(
    ("text", "close"),
    [
        ("2014-12-24", "14:00"),
        ("2015-12-31", "14:00"),
        ("2016-12-30", "14:00"),
        ("2018-12-24", "17:00"),
    ],
)
def test_currencies_close_early_before_the_holidays_in_the_years_that_were_seen_to(
    text: str, close: str
):
    assert closes_at("FOREX", text) == close


@pytest.mark.parametrize(
    "name",
    [
        *["mt4-2020__EURUSD__1m", "mt4-2022b__EURUSD__1m", "histdata__EURUSD__1m"],
        *[
            "lean-oanda-bid__EURUSD__1m",
            "nautilus-fxcm-bid__GBPUSD__1m",
            "lean-oanda-bid__EURUSD__1h",
        ],
    ],
)
def test_no_currency_was_quoted_outside_its_calendar(name: str, shared: Path):
    timeframe = Timeframe(name.rsplit("__", 1)[1])
    assert outside("FOREX", timeframe, candles(shared, f"forex/{name}")).is_empty()


def test_the_currency_quotes_outside_the_calendar_are_fxcm_s_early_sundays_and_two_closing_ticks(
    shared: Path,
):
    early = outside("FOREX", Timeframe.M1, candles(shared, "forex/lean-fxcm-bid__EURUSD__1m"))
    assert set(early.dt.date()) == {date(2014, 5, 4), date(2014, 5, 11)}
    assert set(early.dt.hour()) == {19, 20}
    closing = outside("FOREX", Timeframe.H1, candles(shared, "forex/backtestingpy__EURUSD__1h"))
    assert closing.to_list() == [at("2017-10-06 21:00"), at("2017-10-20 21:00")]


def test_only_quiet_minutes_are_missing_from_seven_weeks_of_eurusd(shared: Path):
    ts = candles(shared, "forex/mt4-2020__EURUSD__1m")
    expected = load_calendar("FOREX").expected(Timeframe.M1, span(ts))
    absent = missing(expected, ts)
    assert len(absent) == 120
    assert runs(expected, absent)["bars"].max() < 15


def test_no_hour_is_missing_over_christmas_of_a_broker_that_reopened_on_time(shared: Path):
    ts = candles(shared, "forex/backtestingpy__EURUSD__1h")
    assert missing(load_calendar("FOREX").expected(Timeframe.H1, span(ts)), ts).is_empty()


def test_what_seven_years_of_hours_lack_are_holes_of_the_vendor(shared: Path):
    ts = candles(shared, "forex/lean-oanda-bid__EURUSD__1h")
    expected = load_calendar("FOREX").expected(Timeframe.H1, span(ts))
    holes = runs(expected, missing(expected, ts))
    assert holes["bars"].sum() == 220
    december = holes.filter(
        pl.col("first").dt.strftime("%m-%d").is_in(["12-24", "12-25", "12-31", "01-01"])
    )
    assert [(str(first.date()), bars) for first, _, bars in december.iter_rows()] == [
        *[
            ("2012-12-25", 15),
            ("2013-01-01", 7),
            ("2017-12-25", 2),
            ("2018-01-01", 2),
            ("2018-12-25", 26),
        ],
    ]
