"""Evidence against a calendar: what it refuses is counted by session, and told."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.alerts.facts import store_troubles
from market_assets.alerts.troubles import Kind
from market_assets.market.timeframes import TS, Timeframe, midnight
from market_assets.reports.doubts import doubts_of
from market_assets.verdicts.doubt import Sort

if TYPE_CHECKING:
    from market_assets.verdicts.doubt import Doubt
    from market_assets_tests.support.fill_ground import Ground

FEAST = date(2024, 11, 9)
"""A Saturday: India's exchanges have no session on it."""

WEEK = [date(2024, 11, day) for day in (4, 5, 6, 7, 8, 11, 12, 13)]


def minutes(day: date, first: int, count: int, *, volume: float = 10.0) -> pl.DataFrame:
    """Minutes from so many minutes after midnight in India on."""
    start = midnight(day).replace(tzinfo=None) - timedelta(hours=5, minutes=30)
    stamps = [start + timedelta(minutes=first + step) for step in range(count)]
    prices = pl.Series([100.0 + step % 7 for step in range(count)])
    return pl.DataFrame({"ts": stamps}, schema={"ts": TS}).with_columns(
        open=prices, high=prices + 1, low=prices - 1, close=prices, volume=pl.lit(float(volume))
    )


def sessions(*days: date) -> list[pl.DataFrame]:
    return [minutes(day, 9 * 60 + 15, 375) for day in days]


@pytest.fixture
def india(empty_ground: Ground) -> Ground:
    empty_ground.clock.now = datetime(2024, 11, 20, 12, tzinfo=UTC)
    return empty_ground


def keep(ground: Ground, *frames: pl.DataFrame, more: str = "") -> None:
    ground.add_archive("files", {"INFY": pl.concat(frames).sort("ts")})
    ground.keep(
        f"""
        kind: EQUITY
        calendar: XBOM
        start: 2024-11-04
        end: 2024-11-14
        timeframes: {{fetch: [1m]}}
        symbols: {{INFY: {{}}}}
        evidence: {{confirmations: 1}}
        {more}
        """
    )


def doubts(ground: Ground) -> list[Doubt]:
    with ground.store.reading("testing") as view:
        return doubts_of(view, ground.profile).get(Timeframe.M1, [])


def kinds(ground: Ground) -> list[tuple[str, str]]:
    with ground.store.reading("testing") as view:
        found = store_troubles(view, ground.universe, ground.clock())
    return [
        (trouble.subject, trouble.summary) for trouble in found if trouble.kind is Kind.CALENDAR
    ]


def test_a_session_that_the_calendar_lacks_is_counted_told_and_shown_in_the_check(india: Ground):
    keep(india, *sessions(*WEEK), minutes(FEAST, 18 * 60, 60))
    outcomes = india.fill()
    (doubt,) = doubts(india)
    assert (doubt.sort, doubt.days, doubt.symbols) == (Sort.SESSION, (FEAST,), ("INFY",))
    assert doubt.words == (
        "60 bars with trades on 2024-11-09, "
        "where the calendar has no session (the last from 18:00 to 18:59 at the exchange)"
    )
    assert kinds(india) == [("candles_1m session", f"the calendar may be wrong: {doubt.words}")]
    shown = [
        (row["day"], row["where"], row["bars"], row["with_trades"])
        for outcome in outcomes
        for row in outcome.verdicts[2].tables.get("outside_sessions", ())
    ]
    assert shown == [("2024-11-09", "no session", 60, 60)]
    told = [
        outcome.verdicts[2] for outcome in outcomes if "2024-11-09" in outcome.verdicts[2].summary
    ]
    assert len(told) == 1
    assert told[0].passed
    assert "calendar_changes" in told[0].summary

    keep(
        india,
        *sessions(*WEEK),
        minutes(FEAST, 18 * 60, 60),
        more='calendar_changes: [{date: 2024-11-09, hours: "18:00-19:00", reason: Muhurat}]',
    )
    india.fill()
    assert india.rows().height == 8 * 375 + 60
    assert doubts(india) == []
    assert kinds(india) == []


def test_a_stray_bar_and_bars_without_trades_are_counted_and_no_doubt(india: Ground):
    keep(
        india,
        *sessions(*WEEK),
        minutes(FEAST, 600, 3),
        minutes(date(2024, 11, 10), 600, 60, volume=0),
    )
    india.fill()
    assert doubts(india) == []
    with india.store.reading("testing") as view:
        rows = view.off_calendar.of("kept").select("day", "side", "bars", "traded").rows()
    assert rows == [(FEAST, "no_session", 3, 3), (date(2024, 11, 10), "no_session", 60, 0)]


def test_the_same_minutes_after_the_close_on_several_days_are_a_doubt(india: Ground):
    after = [minutes(day, 15 * 60 + 30, 10) for day in WEEK[1:6]]
    keep(india, *sessions(*WEEK), *after)
    india.fill()
    (doubt,) = doubts(india)
    assert doubt.sort is Sort.HOURS
    assert doubt.days == tuple(WEEK[1:6])
    assert "after its sessions, the first of them at 15:30" in doubt.words


def test_minutes_of_two_days_are_none(india: Ground):
    keep(india, *sessions(*WEEK), *(minutes(day, 15 * 60 + 30, 10) for day in WEEK[1:3]))
    india.fill()
    assert doubts(india) == []


def test_hours_of_trading_before_the_open_are_extended_hours_of_stocks(india: Ground):
    keep(india, *sessions(*WEEK), *(minutes(day, 5 * 60, 255) for day in WEEK[1:6]))
    india.fill()
    assert doubts(india) == []
    with india.store.reading("testing") as view:
        assert view.off_calendar.of("kept")["side"].to_list() == ["before"] * 5


def test_a_session_that_nobody_traded_is_listed_and_alerted(india: Ground):
    keep(india, *sessions(*WEEK[:3], *WEEK[4:]))
    india.fill()
    india.wait(hours=2)
    india.fill()
    (doubt,) = doubts(india)
    assert (doubt.sort, doubt.days) == (Sort.CLOSED, (WEEK[3],))
    assert doubt.words == "the calendar has a session on 2024-11-07, no source has a bar of it"
    assert kinds(india) == [("candles_1m closed", f"the calendar may be wrong: {doubt.words}")]


def test_a_profile_can_do_without_doubts(india: Ground):
    keep(india, *sessions(*WEEK), minutes(FEAST, 18 * 60, 60), more="checks: {calendar: false}")
    india.fill()
    assert doubts(india) == []


def test_a_daily_candle_on_a_day_without_a_session_is_a_doubt(india: Ground):
    days = [*WEEK, FEAST]
    frame = pl.DataFrame(
        {"ts": [midnight(day).replace(tzinfo=None) for day in sorted(days)]}, schema={"ts": TS}
    ).with_columns(open=1.0, high=2.0, low=1.0, close=1.5, volume=10.0)
    india.add_archive("files", {"INFY": frame})
    india.keep(
        """
        kind: EQUITY
        calendar: XBOM
        start: 2024-11-01
        timeframes: {fetch: [1d]}
        symbols: {INFY: {}}
        """
    )
    india.fill()
    with india.store.reading("testing") as view:
        told = doubts_of(view, india.profile)[Timeframe.D1]
    assert [(doubt.sort, doubt.days, doubt.words) for doubt in told] == [
        (
            Sort.SESSION,
            (FEAST,),
            "1 bar with trades on 2024-11-09, where the calendar has no session",
        )
    ]


def test_bars_in_a_pause_that_there_was_not_are_a_doubt(india: Ground):
    ground = india
    frames = [minutes(day, 9 * 60 + 15, 375) for day in WEEK]
    ground.add_archive(
        "files",
        {"T": pl.concat(frames).with_columns(pl.col("ts") - timedelta(hours=3, minutes=45))},
    )
    ground.keep(
        """
        kind: EQUITY
        calendar: XTKS
        start: 2024-11-04
        end: 2024-11-14
        timeframes: {fetch: [1m]}
        symbols: {T: {}}
        """
    )
    ground.fill()
    with ground.store.reading("testing") as view:
        told = doubts_of(view, ground.profile).get(Timeframe.M1, [])
    assert [
        "in the pause of its sessions, the first of them at 11:30" in doubt.words for doubt in told
    ] == [True]
