"""What a change does to the sessions of a calendar."""

from __future__ import annotations

from datetime import UTC, date
from zoneinfo import ZoneInfo

import pytest

from market_assets.errors import CalendarError
from market_assets.market.calendars.changes import (
    Change,
    changed,
    closed,
    held,
    shortened,
    stretch_of,
    wall,
)
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Window


def changed_hours(day: str, *changes: Change) -> list[str]:
    zone = ZoneInfo("Asia/Hong_Kong")
    spans = load_calendar("XHKG").spans(Window.of_days(date(2024, 6, 10), date(2024, 6, 24)))
    own = changed("XHKG", spans, changes, zone)
    return [
        f"{opens.replace(tzinfo=UTC).astimezone(zone):%d %H:%M}"
        f"-{closes.replace(tzinfo=UTC).astimezone(zone):%H:%M}"
        for session, opens, closes in own.iter_rows()
        if session == date.fromisoformat(day)
    ]


def test_a_change_cuts_or_stretches_the_ends_of_a_session():
    day = date(2024, 6, 18)
    assert changed_hours("2024-06-18", closed(day, "storm")) == []
    assert changed_hours("2024-06-18", shortened(day, "storm", opens="13:30")) == ["18 13:30-16:00"]
    assert changed_hours("2024-06-18", shortened(day, "storm", closes="12:00")) == [
        "18 09:30-12:00"
    ]
    assert changed_hours("2024-06-18", shortened(day, "late", closes="16:10")) == [
        "18 09:30-12:00",
        "18 13:00-16:10",
    ]
    assert changed_hours("2024-06-18", shortened(day, "early", opens="09:00")) == [
        "18 09:00-12:00",
        "18 13:00-16:00",
    ]
    both = shortened(day, "storm", opens="10:00", closes="11:00")
    assert changed_hours("2024-06-18", both) == ["18 10:00-11:00"]


def test_a_change_holds_a_session_where_there_is_none_and_speaks_another_zone():
    saturday = held(date(2024, 6, 15), "test", "18:15-19:15")
    assert changed_hours("2024-06-15", saturday) == ["15 18:15-19:15"]
    utc = Change(
        date(2024, 6, 15),
        date(2024, 6, 15),
        "test",
        hours=(stretch_of("02:00-04:00"),),
        zone=ZoneInfo("UTC"),
    )
    assert changed_hours("2024-06-15", utc) == ["15 10:00-12:00"]
    evening = held(date(2024, 6, 18), "test", "22:00-16:00")
    assert changed_hours("2024-06-18", evening) == ["17 22:00-16:00"]


def test_of_several_days_only_sessions_get_other_hours():
    week = Change(
        date(2024, 6, 14), date(2024, 6, 18), "short week", hours=(stretch_of("09:30-12:00"),)
    )
    assert changed_hours("2024-06-15", week) == []
    assert changed_hours("2024-06-17", week) == ["17 09:30-12:00"]
    assert changed_hours("2024-06-19", week) == ["19 09:30-12:00", "19 13:00-16:00"]


def test_a_later_change_has_the_last_word():
    day = date(2024, 6, 18)
    assert changed_hours(
        "2024-06-18", closed(day, "storm"), held(day, "it was not", "10:00-12:00")
    ) == ["18 10:00-12:00"]


def test_what_cannot_be_is_refused_by_name():
    with pytest.raises(CalendarError, match=r"'XHKG' has no session on 2024-06-15 .*`hours`"):
        changed_hours("2024-06-15", shortened(date(2024, 6, 15), "test", opens="10:00"))
    with pytest.raises(CalendarError, match="begins before the one before it has ended"):
        changed_hours("2024-06-18", held(date(2024, 6, 18), "test", "15:00-10:00"))


@pytest.mark.parametrize("text", ["9.30", "25:00", "09:60", "0930", "", "9:5"])
def test_a_time_of_day_that_is_none_is_refused(text: str):
    with pytest.raises(ValueError, match="no time of day"):
        wall(text)
