"""A fill asks for as long as it may, and keeps what it had until then."""

from __future__ import annotations

import time
from datetime import timedelta

from market_assets.market.timeframes import Window
from market_assets.practice.faults import Fault
from market_assets_tests.support.fill_ground import (
    asked,
    at,
)

MINUTES = "timeframes: {fetch: [1m]}\n"


class TestTheTimeBudget:
    def test_what_was_had_is_kept_and_the_rest_reported_as_not_filled(
        self, empty_ground, slow_vendor
    ):
        ground, vendor = empty_ground, slow_vendor
        ground.add_vendor("vendor", vendor, timeout=60, total_timeout=60, max_elapsed=60)
        ground.keep(MINUTES + "symbols: {BTC: {}}")
        ground.fill(window=Window(at("2025-02-26T00:00"), at("2025-02-27T00:00")))
        vendor.set_faults(
            [
                Fault(
                    fault="delay",
                    seconds=60,
                    start=at("2025-02-28T23:00"),
                    end=at("2025-03-01T00:00"),
                )
            ]
        )

        outcomes = ground.fill(max_time=timedelta(seconds=2))

        assert [(outcome.filled, outcome.rows) for outcome in outcomes] == [
            (True, 1440),
            (True, 1440),
            (False, 560),
        ]
        colour, reason = outcomes[2].failures
        assert colour == "880 of 1,440 bars are missing (BTC): 61.11 %, and at most 5 % may be"
        assert reason.startswith("source vendor: BTC 1m 2025-02-28 09:20..2025-03-01 00:00 UTC: ")
        assert "the time budget of 2 s is spent" in reason
        assert ground.job()["status"] == "INCOMPLETE"
        vendor.set_faults([])
        vendor.log.clear()
        assert all(outcome.filled for outcome in ground.fill())
        assert asked(vendor) == [Window(at("2025-02-28T09:20"), at("2025-03-01T00:00"))]

    def test_nothing_is_asked_once_the_time_is_spent(self, ground):
        ground.keep("symbols: {BTC: {}}")

        outcomes = ground.fill(max_time=timedelta(0))

        assert ground.requests() == 0
        assert not any(outcome.filled for outcome in outcomes)
        assert "the time budget of 0 s is spent" in outcomes[0].failures[1]

    def test_the_question_for_the_first_bar_is_a_part_of_it(self, empty_ground, slow_vendor):
        ground, vendor = empty_ground, slow_vendor
        vendor.set_faults([Fault(fault="delay", seconds=60)])
        ground.add_vendor("vendor", vendor, timeout=60, total_timeout=60, max_elapsed=60)
        ground.keep("symbols: {BTC: {}}")
        began = time.monotonic()

        outcomes = ground.fill(max_time=timedelta(milliseconds=300))

        assert time.monotonic() - began < 30
        assert not any(outcome.filled for outcome in outcomes)
