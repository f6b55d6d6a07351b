"""The rules that a rate comes to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.sources.counting import ANY_STRETCH, Counting
from market_assets.sources.transport.limit_server import Unit
from market_assets.sources.transport.offset import Offset
from market_assets.sources.transport.rules import Rule, Way, rules_of

MINUTES = Counting(clock=60, requests=(61_000, 300))
NOON = 43_200.0


@given(st.integers(1, 100_000), st.sampled_from(["s", "m", "h"]))
def test_where_any_stretch_counts_no_rule_allows_more_than_the_rate(count, period):
    whole, *spread = rules_of(f"{count}/{period}")

    assert (whole.most, whole.way) == (count, Way.STRETCH)
    for rule in spread:
        assert rule.way is Way.SPREAD
        assert rule.most >= min(count, 10)
        assert rule.most / rule.span <= 1.01 * count / whole.span


def test_a_window_of_the_vendors_clock_is_not_spread_and_raw_requests_stand_beside_it():
    weights, requests = rules_of("6000/m", MINUTES, 0.2)

    assert weights == Rule(6000, 60, Way.CLOCK, Unit.WEIGHT, reserve=1200)
    assert requests == Rule(61_000, 300, Way.CLOCK, Unit.REQUESTS, reserve=12_200)


def test_a_rate_over_another_time_than_the_vendors_windows_is_kept_in_any_stretch():
    assert [rule.way for rule in rules_of("100/s", Counting(clock=60))] == [Way.STRETCH, Way.SPREAD]


@pytest.mark.parametrize(("rate", "reserve"), [("30/m", 6), ("5/m", 1), ("2/m", 0), ("100/s", 0)])
def test_a_reserve_is_kept_where_a_window_is_long(rate, reserve):
    assert rules_of(rate, ANY_STRETCH, 0.2)[0].reserve == reserve


def test_only_what_is_urgent_may_use_the_reserve_until_the_last_tenth_of_the_window():
    rule = Rule(100, 60, Way.CLOCK, reserve=20)

    def most(second: float, *, urgent: bool) -> int:
        return rule.bound(2, NOON + second, Offset(), urgent=urgent).most

    assert most(10, urgent=False) == 80
    assert most(10, urgent=True) == 100
    assert most(54, urgent=False) == 100


def test_a_request_that_is_heavier_than_what_is_not_reserved_may_use_the_reserve():
    assert Rule(5, 60, reserve=1).bound(5, NOON, Offset(), urgent=False).most == 5


def test_near_a_windows_edge_it_is_the_window_before_as_long_as_that_is_possible():
    rule, unsure = Rule(100, 60, Way.CLOCK), Offset(-0.5, 0.5)

    assert rule.bound(2, NOON + 0.4, unsure, urgent=False).since == NOON - 60.5
    assert rule.bound(2, NOON + 0.6, unsure, urgent=False).since == NOON - 0.5


@given(st.floats(0, 600), st.floats(-90, 90), st.floats(0, 2), st.booleans(), st.integers(0, 50))
def test_who_waits_as_long_as_told_is_in_another_part_of_the_window(
    second, low, width, urgent, reserve
):
    rule, vendor = Rule(100, 60, Way.CLOCK, reserve=reserve), Offset(low, low + width)
    now = NOON + second

    wait = rule.wait(0, now, vendor, urgent=urgent)

    before, after = (rule.bound(2, at, vendor, urgent=urgent) for at in (now, now + wait + 1e-6))
    assert 0 < wait <= 60
    assert after.since > before.since or after.most > before.most


def test_a_backfill_waits_for_the_last_tenth_and_an_update_for_the_next_window():
    rule = Rule(100, 60, Way.CLOCK, reserve=20)

    def wait(second: float, *, urgent: bool) -> float:
        return rule.wait(0, NOON + second, Offset(-0.5, 0.5), urgent=urgent)

    assert wait(10.5, urgent=False) == 44
    assert wait(10.5, urgent=True) == 50
    assert wait(55.5, urgent=False) == 5


def test_in_any_stretch_the_wait_ends_when_the_oldest_in_the_way_is_out_of_it():
    assert Rule(100, 60).wait(45, NOON, Offset(), urgent=False) == 15
    assert Rule(100, 60).wait(61, NOON, Offset(), urgent=False) == 0
