"""Sources that fail again and again are not asked again in a fill; the others are."""

from __future__ import annotations

from market_assets.market.timeframes import Window
from market_assets.practice.faults import Fault
from market_assets_tests.support.fill_ground import (
    asked,
    at,
)

MINUTES = "timeframes: {fetch: [1m]}\n"


class TestSourcesThatAreDown:
    def test_a_source_that_fails_three_times_in_a_row_is_not_asked_again_in_that_fill(
        self, ground, vendor
    ):
        vendor.set_faults([Fault(fault="error")])
        ground.add_vendor("vendor", vendor, concurrency=1)
        ground.keep(MINUTES + "symbols: {BTC: {}, ETH: {}}\nstart: 2025-02-20")

        outcomes = ground.fill()

        # Two for the first bars, and three for pages.
        assert (len(vendor.log), len(asked(vendor))) == (5, 3)
        assert not any(outcome.filled for outcome in outcomes)
        words = outcomes[-1].failures[1]
        assert (
            "source vendor: failed 3 times in a row and was not asked again in this fill" in words
        )
        assert "HTTP 503" in words
        vendor.set_faults([])
        assert all(outcome.filled for outcome in ground.fill())

    def test_a_symbol_that_fails_again_and_again_does_not_take_the_others_along(
        self, ground, vendor
    ):
        vendor.set_faults([Fault(fault="error", symbols=["ODD"])])
        ground.add_vendor("vendor", vendor, concurrency=1)
        ground.keep(MINUTES + "symbols: {BTC: {}, ODD: {}}\nstart: 2025-02-20")

        outcomes = ground.fill(newest_first=True)

        assert ground.absent("BTC") == []
        assert len(asked(vendor, "ODD")) <= 3
        failures = {failure for outcome in outcomes for failure in outcome.failures}
        assert any("source vendor: ODD: failed 3 times in a row" in failure for failure in failures)
        assert all("ODD" in failure and "BTC" not in failure for failure in failures)

    def test_failures_between_answers_do_not_add_up(self, ground, vendor):
        ground.add_vendor("vendor", vendor, concurrency=1)
        ground.keep(MINUTES + "symbols: {BTC: {}}\nstart: 2025-02-20")
        ground.fill(window=Window(at("2025-02-20T00:00"), at("2025-02-21T00:00")))
        vendor.log.clear()
        vendor.set_faults([Fault(fault="error", every=2)])

        ground.fill()

        pages = -(-8 * 1440 // 1000)
        assert len(asked(vendor)) == pages
        assert len(ground.absent("BTC")) == pages // 2 * 1000 - (pages * 1000 - 8 * 1440) * (
            pages % 2 == 0
        )
