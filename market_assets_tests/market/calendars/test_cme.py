"""The sessions of CME's product groups, on Chicago's clock."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.calendars import candles, closes_at, day, outside

if TYPE_CHECKING:
    from pathlib import Path


at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone


@pytest.mark.parametrize(
    ("text", "close"),
    [
        ("2023-04-07", "08:15"),
        ("2025-01-09", "08:30"),
        ("2018-12-05", "08:30"),
        ("2022-06-20", "12:00"),
        ("2026-04-03", "08:15"),
        ("2025-01-08", "16:00"),
        ("2024-03-29", None),
        ("2025-04-18", None),
        ("2007-01-02", None),
        ("2004-06-11", "08:00"),
    ],
)
def test_equity_index_futures_end_their_session_then(text: str, close: str | None):
    assert closes_at("CME Globex Equity", text) == close


def test_other_cme_groups_trade_on_the_day_of_mourning_on_which_equities_stop():
    assert closes_at("CMEGlobex_FX", "2025-01-09") == "16:00"
    assert closes_at("CMEGlobex_EnergyAndMetals", "2025-01-09") == "16:00"


@pytest.mark.parametrize(
    "calendar", ["CME Globex Equity", "CMEGlobex_FX", "CMEGlobex_GC", "CMEGlobex_CL"]
)
def test_cme_groups_rest_from_four_to_five_in_chicago(calendar: str):
    loaded = load_calendar(calendar)
    clock = (
        pl.col("ts").dt.replace_time_zone("UTC").dt.convert_time_zone("America/Chicago").dt.hour()
    )
    bars = loaded.bars(Timeframe.M1, Window.of_days(date(2022, 1, 1), date(2026, 1, 1)))
    assert bars.filter(clock == 16).is_empty()


def test_the_calendar_without_a_daily_halt_is_still_there_for_who_names_it():
    assert len(load_calendar("CMES").expected(Timeframe.M1, day("2025-02-04"))) == 24 * 60


def test_the_afternoon_pause_is_there_until_june_2021_and_gone_after():
    calendar = load_calendar("CME Globex Equity")
    window = Window.of_days(date(2020, 12, 1), date(2021, 12, 1))
    clock = pl.col("ts").dt.replace_time_zone("UTC").dt.convert_time_zone("America/Chicago").dt
    pause = (clock.hour() == 15) & clock.minute().is_between(15, 29)
    full = (
        calendar.bars(Timeframe.M1, window).filter(clock.hour() == 15, ~pause)["session"].unique()
    )
    trading = calendar.bars(Timeframe.M1, window).filter(pause)["session"].unique().sort()
    assert trading[0] == date(2021, 6, 28)
    assert set(trading) == {session for session in full if session >= date(2021, 6, 28)}


def test_a_week_of_futures_begins_on_sunday_at_five_in_chicago_on_either_side_of_the_clock_change():
    calendar = load_calendar("CME Globex Equity")
    for sunday, hour in (("2025-03-02", 23), ("2025-03-09", 22)):
        assert calendar.bars(Timeframe.M1, day(sunday))["ts"][0] == at(f"{sunday} {hour}:00")
        assert day(sunday).start.date() in calendar.trading_days(day(sunday)).to_list()
    week = calendar.bars(Timeframe.W1, Window.of_days(date(2025, 3, 10), date(2025, 3, 17)))
    assert week.row(0)[:3] == (at("2025-03-10"), at("2025-03-09 22:00"), at("2025-03-14 21:00"))


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
