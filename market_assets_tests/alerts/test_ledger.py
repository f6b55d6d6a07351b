"""The ledger of alerts: once when a trouble begins, once when it gets worse, once when it is over.

This holds whatever fails and whatever the clock does.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.alerts.ledger import (
    Alert,
    claim,
    failing_channels,
    judge_channels,
    reconcile,
    told,
)
from market_assets.alerts.troubles import Kind, Level, Trouble

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def trouble(subject: str = "candles_1m", level: Level = Level.WARNING, count: int = 1) -> Trouble:
    return Trouble("crypto", Kind.GAP, subject, level, f"{count} gaps", count)


class Desk:
    """Keeps a ledger and sends what it is told to; `heard` is what arrived: a level, or "over"."""

    def __init__(self) -> None:
        self.rows: list[Alert] = []
        self.heard: list[tuple[str, str]] = []
        self.asked = 0

    def look(self, *present: Trouble, now: datetime = NOW, works: bool = True) -> list[str]:
        before = len(self.heard)
        reckoning = reconcile(self.rows, present, now)
        sent = [*reckoning.begun, *reckoning.over]
        self.asked += bool(sent)
        claimed = {one.alert_id: one for one in claim(sent, now)}
        rows = [claimed.get(one.alert_id, one) for one in reckoning.alerts]
        if works:
            self.heard += [
                (one.alert_id, "over" if one.over_at else one.level.value) for one in sent
            ]
            by_id = {one.alert_id: one for one in sent}
            rows = [
                told(one, by_id[one.alert_id], now) if one.alert_id in by_id else one
                for one in rows
            ]
        # What the store gives the next time: what goes on, and what is still to be told.
        self.rows = [one for one in rows if one.over_at is None or one.over_untold]
        return [word for _, word in self.heard[before:]]


def test_a_trouble_is_told_when_it_begins_when_it_gets_worse_and_when_it_is_over() -> None:
    desk = Desk()
    warning, error = trouble(), trouble(level=Level.ERROR)
    looks = [(), (warning,), (warning,), (error,), (warning,), (error,), (), ()]
    assert [desk.look(*present) for present in looks] == [
        [],
        ["WARNING"],
        [],
        ["ERROR"],
        [],
        [],
        ["over"],
        [],
    ]


def test_a_trouble_that_comes_again_is_a_new_one() -> None:
    desk = Desk()
    assert [desk.look(*present) for present in [(trouble(),), (), (trouble(),), ()]] == [
        ["WARNING"],
        ["over"],
        ["WARNING"],
        ["over"],
    ]
    assert len({alert for alert, _ in desk.heard}) == 2


def test_what_grows_is_not_told_again_but_the_ledger_knows() -> None:
    desk = Desk()
    desk.look(trouble(count=1))
    assert desk.look(trouble(count=200)) == []
    assert (desk.rows[0].count, desk.rows[0].summary) == (200, "200 gaps")


def test_what_could_not_be_sent_is_tried_again_after_a_wait_that_doubles_up_to_an_hour() -> None:
    desk, tried = Desk(), []
    for second in range(0, 4 * 3600, 20):
        before = desk.asked
        desk.look(trouble(), now=NOW + timedelta(seconds=second), works=False)
        tried += [second // 60] if desk.asked > before else []
    assert tried == [0, 1, 3, 7, 15, 31, 63, 123, 183]


def test_a_trouble_that_was_over_before_anybody_heard_of_it_is_never_told() -> None:
    desk = Desk()
    desk.look(trouble(), works=False)
    assert desk.look(now=NOW + 10 * MINUTE) == []
    assert desk.rows == []


def test_an_error_is_told_at_once_though_its_warning_waits_for_its_next_try() -> None:
    desk = Desk()
    desk.look(trouble(), works=False)
    assert desk.look(trouble(level=Level.ERROR)) == ["ERROR"]


@pytest.mark.parametrize("jump", [-timedelta(days=400), timedelta(days=400), -timedelta(seconds=1)])
def test_a_clock_that_jumps_delays_no_try(jump: timedelta) -> None:
    desk = Desk()
    desk.look(trouble(), works=False)
    assert desk.look(trouble(), now=NOW + jump) == ["WARNING"]
    assert desk.look(trouble(), now=NOW) == []
    assert desk.look(now=NOW + jump) == ["over"]


def test_an_alert_of_something_that_the_universe_lost_ends_unsaid() -> None:
    desk = Desk()
    desk.look(trouble())
    (ended,) = reconcile(desk.rows, [], NOW + MINUTE, kept=lambda _: False).alerts
    assert (ended.over_at, ended.over_untold) == (NOW + MINUTE, False)


def test_an_alert_of_which_nothing_could_be_learnt_stays_as_it_is() -> None:
    desk = Desk()
    desk.look(trouble(), trouble("candles_1h"))
    kept, ended = reconcile(
        desk.rows, [], NOW + MINUTE, held=lambda key: key[2] == "candles_1m"
    ).alerts
    assert (kept, ended.over_at) == (desk.rows[0], NOW + MINUTE)


STEPS = st.tuples(
    st.sampled_from([None, Level.WARNING, Level.ERROR]),
    st.booleans(),
    st.integers(-7200, 7200).map(lambda seconds: timedelta(seconds=seconds)),
)


@given(
    st.lists(STEPS, max_size=30),
    st.lists(st.sampled_from([None, Level.WARNING, Level.ERROR]), max_size=30),
)
def test_whatever_comes_and_fails_nothing_is_told_twice_and_nothing_is_lost(
    steps: list[tuple[Level | None, bool, timedelta]], other: list[Level | None]
) -> None:
    desk, now = Desk(), NOW
    for place, (level, works, passed) in enumerate(steps):
        now += passed
        second = other[place] if place < len(other) else None
        present = [trouble(level=level)] if level else []
        present += [trouble("candles_1h", level=second)] if second else []
        desk.look(*present, now=now, works=works)
    # Given time and a channel that works, everything that is still to be told is told, and then
    # there is peace.
    final = [trouble(level=steps[-1][0])] if steps and steps[-1][0] else []
    for _ in range(3):
        now += timedelta(hours=2)
        desk.look(*final, now=now)
    assert desk.look(*final, now=now + timedelta(hours=2)) == []

    stories: dict[str, list[str]] = {}
    for alert, word in desk.heard:
        stories.setdefault(alert, []).append(word)
    going_on = {one.alert_id for one in desk.rows}
    assert len(going_on) == len(final)
    assert going_on <= set(stories)
    for alert, words in stories.items():
        begun = words if alert in going_on else words[:-1]
        assert begun in (["WARNING"], ["ERROR"], ["WARNING", "ERROR"])
        assert (words[-1] == "over") == (alert not in going_on)


@given(st.integers(0, 200))
def test_a_wait_is_never_longer_than_an_hour(tries: int) -> None:
    desk = Desk()
    desk.look(trouble(), works=False)
    row = replace(desk.rows[0], tries=tries, tried_at=NOW)
    assert row.due(NOW + timedelta(hours=1))


def test_a_channel_that_fails_has_an_alert_until_it_works_again() -> None:
    (failed,) = judge_channels([], {"mailto #1": "refused", "json #1": ""}, NOW)
    assert (failed.kind, failed.subject, failed.details) == (
        Kind.CHANNEL,
        "mailto #1",
        ("refused",),
    )
    assert not failed.due(NOW)
    assert failed.due(NOW + MINUTE)
    assert failing_channels([failed]) == {"mailto #1": failed}
    # Looks find no such trouble, and do not end it.
    assert reconcile([failed], [], NOW).alerts == (failed,)
    (claimed,) = claim([failed], NOW + MINUTE)
    (again,) = judge_channels([claimed], {"mailto #1": "refused again"}, NOW + MINUTE)
    assert (again.alert_id, again.tries, again.error) == (failed.alert_id, 2, "refused again")
    # That the others were told does not make it tried any sooner.
    assert told(again, again, NOW + MINUTE).tries == 2
    (works,) = judge_channels([again], {"mailto #1": ""}, NOW + 5 * MINUTE)
    assert works.over_at == NOW + 5 * MINUTE
    assert judge_channels([], {"mailto #1": ""}, NOW) == []
