"""The grid of bars that follows from the hours of a market, and calendars by name."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_assets.errors import CalendarError
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets_tests.support.calendars import day

PRESETS = ["24/7", "XNYS", "CME Globex Equity", "FOREX"]
CHICAGO = ZoneInfo("America/Chicago")

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone

_PRINT_GRID = """
import sys
from datetime import date
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
for name in ("24/7", "XNYS", "CME Globex Equity", "FOREX"):
    for timeframe in (Timeframe.H1, Timeframe.D1, Timeframe.W1):
        bars = load_calendar(name).bars(
            timeframe, Window.of_days(date(2025, 1, 6), date(2025, 12, 1))
        )
        print(name, timeframe, bars.hash_rows().sum())
"""


def test_the_time_zone_of_the_machine_changes_nothing():
    def printed(zone: str) -> str:
        environ = {**os.environ, "TZ": zone}
        return subprocess.run(
            [sys.executable, "-c", _PRINT_GRID],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert printed("America/New_York") == printed("Asia/Kolkata") != ""


# Names, loading, bounds


def test_a_calendar_is_loaded_once():
    assert load_calendar("XNYS") is load_calendar("XNYS")


def test_an_unknown_name_is_answered_with_the_closest_ones():
    with pytest.raises(
        CalendarError, match=r"'cme globex equities'.*did you mean 'CME Globex Equity'"
    ):
        load_calendar("cme globex equities")
    with pytest.raises(CalendarError, match=r"calendar_names\(\) lists them all"):
        load_calendar("?")


def test_a_window_beyond_what_the_calendar_knows_is_refused_with_the_years_it_knows():
    calendar = load_calendar("XTKS")
    with pytest.raises(
        CalendarError, match=r"'XTKS' knows 1997-01-06 to 20.*1990-01-01 00:00.*reaches beyond"
    ):
        calendar.bars(Timeframe.D1, Window.of_days(date(1990, 1, 1), date(2000, 1, 1)))
    for ask in (
        calendar.spans,
        calendar.trading_days,
        lambda w: calendar.expected(Timeframe.M1, w),
    ):
        with pytest.raises(CalendarError):
            ask(Window.of_days(date(2024, 1, 1), date(2099, 1, 1)))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_knows_1998_and_next_spring_whenever_today_is(name: str):
    known = load_calendar(name).known
    assert known.start == datetime(1970, 1, 5, tzinfo=UTC)
    assert known.end > datetime.now(UTC) + timedelta(days=300)


# The grid


def test_bars_carry_their_bounds_and_their_session():
    bars = load_calendar("XNYS").bars(Timeframe.H1, day("2025-03-10"))
    assert bars.schema == {
        "ts": TS,
        "opens_at": TS,
        "closes_at": TS,
        "session": pl.Date,
        "halted": pl.Boolean,
    }
    assert bars.height == 7
    assert bars.row(0) == (
        at("2025-03-10 13:30"),
        at("2025-03-10 13:30"),
        at("2025-03-10 14:30"),
        date(2025, 3, 10),
        False,
    )
    assert bars.row(6)[:3] == (
        at("2025-03-10 19:30"),
        at("2025-03-10 19:30"),
        at("2025-03-10 20:00"),
    )


def test_a_day_and_a_week_are_named_after_their_date_and_open_and_close_with_the_market():
    forex = load_calendar("FOREX")
    window = Window.of_days(date(2025, 3, 10), date(2025, 3, 12))
    monday, tuesday = forex.bars(Timeframe.D1, window).rows()
    assert monday == (
        *[at("2025-03-10"), at("2025-03-09 21:00"), at("2025-03-10 21:00")],
        date(2025, 3, 10),
        False,
    )
    assert tuesday[0] == at("2025-03-11")
    (week,) = (
        load_calendar("XNYS")
        .bars(Timeframe.W1, Window.of_days(date(2025, 6, 30), date(2025, 7, 7)))
        .rows()
    )
    assert week == (
        *[at("2025-06-30"), at("2025-06-30 13:30"), at("2025-07-03 17:00")],
        *[date(2025, 6, 30), False],
    )


def test_a_week_whose_monday_is_a_holiday_is_still_named_after_the_monday():
    (week,) = (
        load_calendar("XNYS")
        .bars(Timeframe.W1, Window.of_days(date(2025, 1, 20), date(2025, 1, 27)))
        .rows()
    )
    assert week[0] == at("2025-01-20")
    assert week[1] == at("2025-01-21 14:30")


def test_a_lunch_break_ends_one_grid_and_begins_another():
    spans = load_calendar("XTKS").spans(day("2024-01-04"))
    assert spans.rows() == [
        (date(2024, 1, 4), at("2024-01-04 00:00"), at("2024-01-04 02:30")),
        (date(2024, 1, 4), at("2024-01-04 03:30"), at("2024-01-04 06:00")),
    ]
    hours = (
        load_calendar("XTKS").bars(Timeframe.H1, day("2024-01-04")).select("opens_at", "closes_at")
    )
    assert [(o.hour * 60 + o.minute, c.hour * 60 + c.minute) for o, c in hours.iter_rows()] == [
        *[(0, 60), (60, 120), (120, 150)],
        *[(210, 270), (270, 330), (330, 360)],
    ]
    assert load_calendar("XTKS").bars(Timeframe.D1, day("2024-01-04")).row(0)[1:3] == (
        spans["open"][0],
        spans["close"][1],
    )


def test_four_hours_are_cut_where_futures_paused_and_where_they_closed():
    bars = load_calendar("CME Globex Equity").bars(
        Timeframe.H4,
        Window(datetime(2021, 6, 23, 22, tzinfo=UTC), datetime(2021, 6, 24, 22, tzinfo=UTC)),
    )
    assert [
        (o.hour, c.hour, c.minute) for o, c in bars.select("opens_at", "closes_at").iter_rows()
    ] == [
        *[(22, 2, 0), (2, 6, 0), (6, 10, 0), (10, 14, 0), (14, 18, 0), (18, 20, 15)],
        (20, 21, 0),
    ]


@pytest.mark.parametrize("timeframe", list(Timeframe))
@pytest.mark.parametrize("name", PRESETS)
def test_an_empty_window_has_no_bar(name: str, timeframe: Timeframe):
    calendar = load_calendar(name)
    instant = datetime(2025, 3, 11, 15, 0, 30, tzinfo=UTC)
    empty = Window(instant, instant)
    assert calendar.bars(timeframe, empty).is_empty()
    assert calendar.bars_touching(timeframe, empty).is_empty()
    assert calendar.expected(timeframe, empty).is_empty()
    assert calendar.spans(empty).is_empty()
    assert calendar.trading_days(empty).is_empty()


def test_a_bar_is_expected_only_once_it_has_closed():
    calendar = load_calendar("XNYS")
    now = datetime(2025, 3, 11, 15, 0, 30, tzinfo=UTC)
    assert calendar.expected(Timeframe.M1, day("2025-03-11"), until=now)[-1] == at(
        "2025-03-11 14:59"
    )
    assert calendar.expected(Timeframe.M1, day("2025-03-11"), until=now + timedelta(seconds=30))[
        -1
    ] == at("2025-03-11 15:00")
    close = datetime(2025, 3, 11, 20, tzinfo=UTC)
    assert calendar.expected(
        Timeframe.D1, day("2025-03-11"), until=close - timedelta(seconds=1)
    ).is_empty()
    assert len(calendar.expected(Timeframe.D1, day("2025-03-11"), until=close)) == 1


def test_a_window_inside_a_bar_touches_it_though_it_does_not_open_there():
    calendar = load_calendar("XNYS")
    inside = Window(
        datetime(2025, 3, 11, 14, 0, tzinfo=UTC), datetime(2025, 3, 11, 14, 1, tzinfo=UTC)
    )
    for timeframe, opened in (
        (Timeframe.H1, at("2025-03-11 13:30")),
        (Timeframe.W1, at("2025-03-10")),
    ):
        assert calendar.bars(timeframe, inside).is_empty()
        assert calendar.bars_touching(timeframe, inside)["ts"].to_list() == [opened]


windows = st.builds(
    lambda start, minutes: Window(start, start + timedelta(minutes=minutes)),
    st.datetimes(at("2012-06-01"), at("2026-06-01")).map(
        lambda x: x.replace(tzinfo=UTC, second=0, microsecond=0)
    ),
    st.integers(0, 20 * 24 * 60),
)

calendars = st.sampled_from([*PRESETS, "XTKS"]).map(load_calendar)
every_timeframe = st.sampled_from(list(Timeframe))


@given(calendars, st.sampled_from([t for t in Timeframe if t.intraday]), windows)
def test_intraday_bars_fill_each_stretch_of_trading_without_gap_or_overlap(
    calendar, timeframe, window
):
    spans = calendar.spans(window)
    if spans.is_empty():
        assert calendar.bars_touching(timeframe, window).is_empty()
        return
    whole = Window.spanning(spans["open"], spans["close"])
    bars = calendar.bars(timeframe, whole)
    assert (bars["closes_at"] - bars["opens_at"]).sum() == (spans["close"] - spans["open"]).sum()
    assert bars["ts"].is_sorted()
    assert bars["ts"].n_unique() == bars.height
    assert (bars["opens_at"].slice(1) >= bars["closes_at"].head(bars.height - 1)).all()
    assert ((bars["closes_at"] - bars["opens_at"]) <= timeframe.duration).all()
    assert bars["session"].unique().sort().to_list() == spans["session"].unique().sort().to_list()


@given(calendars, every_timeframe, windows, windows)
def test_what_a_window_holds_does_not_depend_on_how_it_is_asked_for(
    calendar, timeframe, left, right
):
    whole = Window(min(left.start, right.start), max(left.end, right.end))
    bars, touching = calendar.bars(timeframe, whole), calendar.bars_touching(timeframe, whole)
    assert calendar.bars(timeframe, left).equals(bars.filter(left.holds()))
    start, end = (bound.replace(tzinfo=None) for bound in (right.start, right.end))
    shares_an_instant = (
        (pl.col("opens_at") < end) & (pl.col("closes_at") > start) & (not right.empty)
    )
    assert calendar.bars_touching(timeframe, right).equals(touching.filter(shares_an_instant))
    assert (
        calendar.expected(timeframe, left).to_list()
        == bars.filter(left.holds(), ~pl.col("halted"))["ts"].to_list()
    )


@settings(max_examples=40)
@given(calendars, windows)
def test_a_trading_day_is_one_on_which_a_minute_opens(calendar, window):
    minutes = calendar.bars(Timeframe.M1, window)
    assert (
        calendar.trading_days(window).to_list() == minutes["ts"].dt.date().unique().sort().to_list()
    )


@settings(max_examples=40)
@given(calendars, windows)
def test_every_session_is_one_day_bar_and_every_week_with_a_session_one_week_bar(calendar, window):
    first = window.start.date() - timedelta(days=window.start.weekday())
    whole = Window.of_days(
        first, first + timedelta(weeks=1 + (window.end.date() - first).days // 7)
    )
    days = calendar.bars(Timeframe.D1, whole)
    weeks = calendar.bars(Timeframe.W1, whole)
    mondays = [session - timedelta(days=session.weekday()) for session in days["session"]]
    assert weeks["ts"].dt.date().to_list() == sorted(set(mondays))
    assert days["ts"].dt.date().to_list() == days["session"].to_list()
