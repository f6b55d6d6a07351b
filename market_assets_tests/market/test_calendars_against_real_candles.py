"""The calendars against what markets really did.

The candles are of many vendors, and are read from the folder beside the repository.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.gaps import missing, runs
from market_assets.market.timeframes import Timeframe, Window

if TYPE_CHECKING:
    from pathlib import Path

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone


def candles(shared: Path, name: str) -> pl.Series:
    path = shared / "data" / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there")
    return pl.read_parquet(path)["ts"].unique().sort()


def outside(calendar: str, timeframe: Timeframe, ts: pl.Series) -> pl.Series:
    """The candles that open where the calendar allows none."""
    allowed = load_calendar(calendar).bars(timeframe, span(ts))["ts"]
    return missing(ts, allowed)


def span(ts: pl.Series) -> Window:
    return Window(ts[0].replace(tzinfo=UTC), ts[-1].replace(tzinfo=UTC) + timedelta(microseconds=1))


def test_the_days_of_new_york_are_those_of_23_years_of_apple(shared: Path):
    days = candles(shared, "equity/lean__AAPL__1d")
    assert (days[0], days[-1]) == (at("1998-01-02"), at("2021-03-31"))
    assert load_calendar("XNYS").expected(Timeframe.D1, span(days)).to_list() == days.to_list()


def test_the_hours_of_new_york_are_those_that_a_second_library_has():
    window = Window.of_days(date(2007, 1, 1), date(2026, 1, 1))
    assert load_calendar("XNYS").spans(window).equals(load_calendar("stock").spans(window))


def test_every_minute_of_new_york_is_in_a_year_of_spy(shared: Path):
    ts = candles(shared, "equity/admf-spy__SPY__1m")
    expected = load_calendar("XNYS").expected(Timeframe.M1, span(ts))
    assert missing(expected, ts).is_empty()
    per_day = expected.to_frame().group_by(pl.col("ts").dt.date()).len()
    assert dict(per_day["len"].value_counts().iter_rows()) == {390: 191, 210: 3}
    assert len(outside("XNYS", Timeframe.M1, ts)) == 587


@pytest.mark.parametrize(
    ("calendar", "name"),
    [
        ("CMEGlobex_FX", "nautilus__6EH4__1m"),
        ("CMEGlobex_GC", "lean__GCZ3__1m"),
        ("CME Globex Equity", "lean__ESZ3__1m"),
        ("CME Globex Equity", "lean__ESH4__1m"),
    ],
)
def test_no_future_ever_traded_outside_its_calendar(calendar: str, name: str, shared: Path):
    assert outside(calendar, Timeframe.M1, candles(shared, f"futures/{name}")).is_empty()


def test_the_bounds_of_every_stretch_of_the_e_mini_in_2013_are_minutes_in_which_it_traded(
    shared: Path,
):
    ts = candles(shared, "futures/lean__ESZ3__1m")
    week = Window.of_days(date(2013, 10, 6), date(2013, 10, 12))
    spans = load_calendar("CME Globex Equity").spans(week)
    assert spans.height == 10
    assert spans["open"].is_in(ts.implode()).all()
    assert spans["close"].dt.offset_by("-1m").is_in(ts.implode()).all()


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
