"""Calendars that are known better."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.expected.series import calendar_of
from market_assets.market.timeframes import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Universe

    Load = Callable[..., Universe]
    Problems = Callable[..., list[str]]


def hours_of(universe: Universe, day: str) -> list[str]:
    """The stretches of a session of the only profile, in Hong Kong."""
    calendar = calendar_of(universe.profiles["hk"])
    first = date.fromisoformat(day)
    spans = calendar.spans(Window.of_days(first - timedelta(days=1), first + timedelta(days=1)))
    return [
        "-".join(
            f"{at.replace(tzinfo=UTC).astimezone(calendar.zone):%H:%M}" for at in (opens, closes)
        )
        for session, opens, closes in spans.iter_rows()
        if session == first
    ]


def hong_kong(changes: str, *, top: str = "") -> str:
    lines = [
        "sources: {archive: {path: '{symbol}.csv'}}",
        top,
        "profiles:",
        "  hk:",
        "    kind: EQUITY",
        "    calendar: XHKG",
        "    start: 2023-09-01",
        "    symbols: {A: {}}",
        "    sources: [archive]",
        f"    calendar_changes: {changes}",
    ]
    return "\n".join(lines)


def test_a_calendar_is_changed_for_a_profile_and_for_all_that_have_it(load: Load) -> None:
    found = load(
        hong_kong(
            "[{date: 2023-09-11, close: 12:00, reason: early}, "
            "{date: 2023-09-12, open: 13:30, reason: late}, "
            "{date: 2023-09-09, hours: '09:30-12:00, 13:00-16:00', reason: Saturday}, "
            "{date: 2023-09-10, open: true, reason: Sunday}, "
            "{date: 2023-09-16, open: '02:00-04:00', zone: UTC, reason: another}, "
            "{date: 2023-09-18, to: 2023-09-24, hours: ['10:00-12:00'], reason: a week}]",
            top="calendar_changes: "
            "{XHKG: [{date: 2023-09-08, close: true, reason: black rainstorm}]}",
        )
    )
    assert hours_of(found, "2023-09-08") == []
    assert hours_of(found, "2023-09-09") == ["09:30-12:00", "13:00-16:00"]
    assert hours_of(found, "2023-09-10") == ["09:30-12:00", "13:00-16:00"]
    assert hours_of(found, "2023-09-11") == ["09:30-12:00"]
    assert hours_of(found, "2023-09-12") == ["13:30-16:00"]
    assert hours_of(found, "2023-09-16") == ["10:00-12:00"]
    assert hours_of(found, "2023-09-18") == ["10:00-12:00"]
    assert hours_of(found, "2023-09-23") == []
    assert calendar_of(found.profiles["hk"]).reasons_for(date(2023, 9, 8)) == ["black rainstorm"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("{date: 2023-09-08, close: true}", "calendar_changes[0].reason"),
        ("{date: 2023-09-08, reason: x}", "says nothing"),
        (
            "{date: 2023-09-08, close: true, hours: '10:00-11:00', reason: x}",
            "contradict each other",
        ),
        ("{date: 2023-09-08, close: noon, reason: x}", "is no time of day"),
        ("{date: 2023-09-08, hours: '10:00', reason: x}", "is no stretch of trading"),
        ("{date: 2023-09-08, close: true, zone: Hongkong/Asia, reason: x}", "is no time zone"),
        ("{date: 2023-09-08, to: 2023-09-07, close: true, reason: x}", "is before the date"),
        ("{date: 2023-09-09, close: 12:00, reason: x}", "has no session on 2023-09-09"),
        (
            "{date: 2023-09-08, open: 17:00, reason: x}",
            "leaves nothing of the session of 2023-09-08",
        ),
        (
            "{date: 2023-09-08, close: 09:00, reason: x}",
            "leaves nothing of the session of 2023-09-08",
        ),
        ("{date: 2023-09-09, to: 2023-09-10, open: true, reason: x}", "open: true is for one day"),
        (
            "{date: 2023-09-08, pause: 12:00, reason: x}",
            "The keys are date, to, close, open, hours, zone, reason",
        ),
    ],
)
def test_a_change_of_a_calendar_that_cannot_be_is_told(
    problems: Problems, change: str, problem: str
) -> None:
    (found,) = problems(hong_kong(f"[{change}]"))
    assert problem in found
    assert "(line 10)" in found


def test_a_change_of_a_calendar_that_nobody_keeps_is_told(problems: Problems) -> None:
    (found,) = problems(
        hong_kong(
            "[]", top="calendar_changes: {XLON: [{date: 2023-09-08, close: true, reason: x}]}"
        )
    )
    assert "calendar_changes.XLON: is the calendar of no profile; they have XHKG (line 2)" in found


@pytest.mark.parametrize(
    "second",
    [
        "close: true",
        "hours: '10:00-12:00'",
        "open: 10:00",
        "open: '10:00-11:00'",
        "open: 09:45, close: 15:00",
    ],
)
def test_two_changes_that_say_what_a_day_is_are_told(problems: Problems, second: str) -> None:
    first = "{date: 2023-09-08, open: 10:30, reason: x}"
    (found,) = problems(hong_kong(f"[{first}, {{date: 2023-09-08, {second}, reason: y}}]"))
    assert "calendar_changes[1]: says what an entry before says of 2023-09-08 too" in found


def test_a_day_may_be_another_than_those_around_it_and_open_late_and_close_early(
    load: Load,
) -> None:
    found = load(
        hong_kong(
            "[{date: 2023-09-04, to: 2023-09-08, hours: '10:00-12:00', reason: a week}, {date: "
            "2023-09-06, close: true, reason: x},"
            " {date: 2023-09-11, open: 10:30, reason: late}, {date: 2023-09-11, close: 15:00, "
            "reason: early}]"
        )
    )
    assert hours_of(found, "2023-09-05") == ["10:00-12:00"]
    assert hours_of(found, "2023-09-06") == []
    assert hours_of(found, "2023-09-11") == ["10:30-12:00", "13:00-15:00"]
