"""What sources with a key share.

That is the days of a zone, the grid that a window is asked for on, and how far a plan reaches.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import TS, Timeframe, Window, midnight
from market_assets.sources.testing import Reply, SourceConformance
from market_assets.sources.transport.keyed import FOREX_DAYS, STOCK_DAYS, UTC_DAYS, Days, dates_in
from market_assets_tests.support.doubles import KEY, Alpaca, Oanda, Polygon
from market_assets_tests.support.keyed_ground import opens

DATES = st.dates(date(1990, 1, 1), date(2035, 12, 31))
INSTANTS = st.timedeltas(timedelta(), timedelta(days=16_000)).map(
    lambda age: datetime(1992, 1, 1, tzinfo=UTC) + age
)
ZONES = st.sampled_from([STOCK_DAYS, FOREX_DAYS, UTC_DAYS])
INTRADAY = st.sampled_from([timeframe for timeframe in Timeframe if timeframe.intraday])


def stamps(*instants: datetime) -> pl.Series:
    return pl.Series("ts", [instant.replace(tzinfo=None) for instant in instants], dtype=TS)


@given(ZONES, DATES)
def test_the_stamp_of_a_date_is_turned_back_into_it(days: Days, day: date):
    frame = days.dates(stamps(days.opens(day))).to_frame()

    assert frame.schema == {"ts": TS}
    assert opens(frame) == [midnight(day)]


@pytest.mark.parametrize(("days", "calendar"), [(STOCK_DAYS, "XNYS"), (FOREX_DAYS, "FOREX")])
def test_a_date_is_over_when_its_session_is(days, calendar):
    sessions = load_calendar(calendar).bars(
        Timeframe.D1, Window.of_days(date(2024, 1, 1), date(2025, 1, 1))
    )
    ordinary = 0
    for day, close in sessions.select("session", "closes_at").iter_rows():
        closes = close.replace(tzinfo=UTC)

        assert days.over(closes - timedelta(hours=23)) < day
        if days.over(closes) == day:
            assert days.over(closes - timedelta(microseconds=1)) < day
            ordinary += 1
    # Sessions that end early are over for us when an ordinary one would be.
    assert ordinary >= len(sessions) - 4


@given(INSTANTS, st.timedeltas(timedelta(), timedelta(days=9)))
def test_the_dates_of_a_window_are_those_whose_midnight_lies_in_it(
    start: datetime, length: timedelta
):
    window = Window(start, start + length)
    first, last = dates_in(window)

    around = [window.start.date() + timedelta(days=place) for place in range(-1, 12)]
    inside = [day for day in around if window.start <= midnight(day) < window.end]
    assert [day for day in around if first <= day <= last] == inside


@given(ZONES, INSTANTS, INTRADAY)
def test_the_first_open_lies_less_than_a_bar_behind_the_start(
    days: Days, start: datetime, timeframe: Timeframe
):
    first = days.first_open(Window(start, start), timeframe)

    assert timedelta() <= first - start < timeframe.duration
    assert days.first_open(Window(first, first), timeframe) == first


@pytest.mark.parametrize("timeframe", [timeframe for timeframe in Timeframe if timeframe.intraday])
def test_behind_each_bar_of_the_forex_grid_the_next_one_is_asked_for(timeframe):
    window = Window.of_days(date(2024, 10, 28), date(2024, 11, 8))
    bars = load_calendar("FOREX").bars(timeframe, window)
    for ts, closes in bars.select("ts", "closes_at").iter_rows():
        behind = (ts + timedelta(seconds=1)).replace(tzinfo=UTC)

        assert FOREX_DAYS.first_open(Window(behind, behind), timeframe) == closes.replace(
            tzinfo=UTC
        )


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("vendor", [Alpaca, Oanda, Polygon])
def test_a_refused_key_is_said_with_the_vendors_words_and_what_to_look_at(vendor, status):
    suite = SourceConformance()
    suite.vendor = vendor
    refusal = Reply(status, vendor().refuse(f"Unknown API Key: {KEY}").body)
    candles = suite.candles(5)
    trial = suite.trial(candles, troubles=[lambda _request, _reply: refusal])

    error = trial.fetch(candles[0].ts, candles[4].ts).error()

    assert re.search(rf"HTTP {status}: .*Unknown API Key: .*source's key is right", str(error))
    assert error.permanent
    assert KEY not in str(error)
