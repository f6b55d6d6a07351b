"""Which of the newest partitions an update fills, and which it reports."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.expected.newest import (
    LOOKS_AGAIN,
    Standing,
    closes_within,
    due_of,
    newest_partitions,
)
from market_assets.expected.scope import Scope, scope_of
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import Timeframe, Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Profile
    from market_assets.store import Store

NOON = datetime(2025, 3, 3, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def standing(**instants: datetime | None) -> Standing:
    """The day of 3 March, of which a bar closed at noon and the last one closes at 15:00."""
    usual: dict[str, datetime | None] = dict.fromkeys(("judged_at", "changed_at", "reported_at"))
    return Standing(
        Partition.holding(date(2025, 3, 3), Cadence.DAY),
        closed_at=NOON,
        ends_at=NOON + 3 * HOUR,
        again_after=HOUR,
        **(usual | instants),
    )


@pytest.mark.parametrize(
    ("judged_at", "now", "behind"),
    [
        (None, NOON, True),
        (NOON - HOUR, NOON, True),
        (NOON, NOON, False),
        (NOON, NOON + HOUR, True),
        (NOON + HOUR, NOON + HOUR, False),
        (NOON + 5 * HOUR, NOON, True),
    ],
    ids=["never", "before its bar", "after it", "due again", "done again", "clock was ahead"],
)
def test_a_partition_is_behind_until_its_last_bars_were_asked_for_again(
    judged_at: datetime | None, now: datetime, *, behind: bool
):
    assert standing(judged_at=judged_at).is_behind(now) is behind


@pytest.mark.parametrize(
    ("reported_at", "hours", "reportable"),
    [(None, 4, True), (None, 3, False), (NOON, 4, False), (NOON - HOUR, 4, True)],
)
def test_a_changed_partition_is_reported_once_no_bar_is_to_come(
    reported_at: datetime | None, hours: int, *, reportable: bool
):
    now = NOON + hours * HOUR
    whole = standing(judged_at=now, changed_at=NOON, reported_at=reported_at)
    assert whole.is_reportable(Timeframe.M1, now) is reportable


def test_what_is_behind_or_has_no_version_is_not_reported():
    later = NOON + 9 * HOUR
    assert not standing(judged_at=NOON, changed_at=NOON).is_reportable(Timeframe.M1, later)
    assert not standing(judged_at=later).is_reportable(Timeframe.M1, later)


@pytest.fixture
def hours(profile: Callable[[str], Profile]) -> Scope:
    """Hours of a market that never closes, at noon of its fifth day."""
    kept = profile("""
        kind: CRYPTO
        start: 2025-03-01
        timeframes: {fetch: [1h]}
        symbols: {BTC: {}}
        update: {recheck: 15, every: 1m}
    """)
    return scope_of(kept, Timeframe.H1, datetime(2025, 3, 5, 12, 30, tzinfo=UTC))


def test_the_newest_three_in_which_a_bar_has_closed_are_looked_at(store: Store, hours: Scope):
    with store.writing("making the store"):
        pass
    newest = newest_partitions(store, hours)
    assert [each.partition.key for each in newest] == ["2025-03-03", "2025-03-04", "2025-03-05"]
    assert newest[-1].closed_at == datetime(2025, 3, 5, 12, tzinfo=UTC)
    assert newest[-1].ends_at == datetime(2025, 3, 6, tzinfo=UTC)
    assert newest[-1].again_after == LOOKS_AGAIN * timedelta(minutes=1)
    assert {each.judged_at for each in newest} == {None}


def test_before_its_first_bar_there_is_none(store: Store, hours: Scope):
    early = scope_of(hours.profile, Timeframe.H1, datetime(2025, 3, 1, 0, 30, tzinfo=UTC))
    assert newest_partitions(store, early) == []


def test_with_what_is_behind_go_the_partitions_of_the_bars_that_are_asked_for_again(hours: Scope):
    def of(day: int, *, behind: bool) -> Standing:
        midnight = datetime(2025, 3, day, tzinfo=UTC)
        return Standing(
            Partition.holding(midnight.date(), Cadence.DAY),
            closed_at=midnight + HOUR,
            ends_at=midnight + 24 * HOUR,
            judged_at=None if behind else hours.now,
            changed_at=None,
            reported_at=None,
            again_after=HOUR,
        )

    def due(*behind: int) -> list[str]:
        days = [of(day, behind=day in behind) for day in (3, 4, 5)]
        return [partition.key for partition in due_of(hours, days)]

    # Of fifteen hours twelve have closed on the 5th, and three on the day before.
    assert due(5) == ["2025-03-04", "2025-03-05"]
    assert due(3) == ["2025-03-03", "2025-03-04", "2025-03-05"]
    assert due() == []


def test_no_bar_closes_while_the_market_is_closed(profile: Callable[[str], Profile]):
    stocks = profile("""
        kind: EQUITY
        start: 2025-03-01
        timeframes: {fetch: [1h]}
        symbols: {SPY: {}}
    """)
    open_, last = datetime(2025, 3, 3, 14, 30, tzinfo=UTC), datetime(2025, 3, 3, 21, tzinfo=UTC)
    assert not closes_within(stocks, Window(open_, open_ + HOUR / 2))
    assert closes_within(stocks, Window(open_, open_ + HOUR))
    assert closes_within(stocks, Window(last, last + HOUR))
    assert not closes_within(stocks, Window(last + HOUR, last + 9 * HOUR))
