"""What a practice vendor allows, and what it refuses beyond that."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from market_assets.practice.book import Market
from market_assets.practice.quotas import Quota, Till
from market_assets.practice.simulate import Instrument
from market_assets.practice.vendor import PracticeVendor

NOON = datetime(2024, 1, 5, 12, 0, 30, tzinfo=UTC)
PATH = "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1"


def test_a_fixed_window_counts_from_zero_when_the_next_one_begins():
    till = Till([Quota(most=4, seconds=60)])

    assert [till.charge(2, now) for now in (59, 59.5, 59.9)] == [None, None, 1]
    assert [till.charge(2, now) for now in (60, 60.1, 61)] == [None, None, 59]
    assert till.refusals == 2


def test_a_sliding_window_counts_any_stretch():
    till = Till([Quota(most=4, seconds=60, window="sliding")])

    assert [till.charge(2, now) for now in (0, 50, 59, 60, 61)] == [None, None, 1, None, 49]


def test_all_quotas_hold_each_in_its_unit():
    till = Till([Quota(most=100), Quota(most=2, seconds=300, unit="requests")])

    assert [till.charge(2, 0), till.charge(2, 0)] == [None, None]
    assert till.charge(2, 60) == 240
    assert till.use(60) == [0, 2]


@pytest.mark.parametrize("unit", ["weight", "requests"])
def test_the_vendor_refuses_what_is_over_and_says_what_was_used(unit):
    market = Market(symbols={"BTCUSDT": Instrument()}, quotas=[Quota(most=2, unit=unit)])

    with PracticeVendor(market, lambda: NOON) as vendor:
        answers = [httpx.get(vendor.url + PATH) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [
        200,
        429 if unit == "weight" else 200,
        429,
    ]
    assert answers[2].headers["retry-after"] == "30"
    assert answers[2].json()["code"] == -1003
    assert answers[0].headers["date"] == "Fri, 05 Jan 2024 12:00:30 GMT"
    used = [answer.headers.get("x-mbx-used-weight-1m") for answer in answers]
    assert used == (["2", "2", "2"] if unit == "weight" else [None] * 3)
    assert vendor.till.refusals == (2 if unit == "weight" else 1)
