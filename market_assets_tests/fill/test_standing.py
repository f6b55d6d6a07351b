"""Sources that fail again and again are not asked again in a fill; the others are."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

import pytest
import yaml

from market_assets.market.timeframes import Window
from market_assets.practice.faults import Fault
from market_assets_tests.support.fill_ground import asked, at, counts, filled_often

if TYPE_CHECKING:
    from collections.abc import Iterable


MINUTES = "timeframes: {fetch: [1m]}\n"
COUNTRY = "Service unavailable from a restricted location according to 'b. Eligibility'"


class TestSourcesThatAreDown:
    def test_a_source_that_fails_three_times_in_a_row_is_not_asked_again_in_that_fill(
        self, ground, vendor
    ):
        # The pages of both symbols wait before the first answer is here, so that they take turns.
        vendor.set_faults([Fault(fault="delay", seconds=0.2), Fault(fault="error")])
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


def symbols_of(pairs: Iterable[str]) -> str:
    """The symbols of a profile, each with its one source: of pairs such as "BTC: vendor"."""
    sources = dict(pair.split(": ") for pair in pairs)
    return yaml.safe_dump(
        {"symbols": {symbol: {"sources": [source]} for symbol, source in sources.items()}}
    )


class TestOfTheMoment:
    PASSING = (408, 425, 500, 507, 520, 521, 522, 523, 524, 525, 526, 527, 529, 530, 599)

    def test_a_passing_one_costs_no_page(self, empty_ground, vendor):
        """Each status has a source and a symbol of its own."""
        ground = empty_ground
        for status in self.PASSING:
            ground.add_vendor(f"vendor_{status}", vendor, retries=2)
        vendor.set_faults(
            [
                Fault(fault="error", status=status, times=2, symbols=[f"S{status}"])
                for status in self.PASSING
            ]
        )
        ground.keep(symbols_of(f"S{status}: vendor_{status}" for status in self.PASSING))
        ground.fill()
        assert ground.complete()
        refused = Counter(entry["symbol"] for entry in vendor.log if entry["status"] != 200)
        assert refused == {f"S{status}": 2 for status in self.PASSING}

    REFUSALS: ClassVar[dict[str, tuple[int, str]]] = {
        "unreachable": (522, ""),
        "slow": (408, ""),
        "legal": (451, ""),
        "country": (403, COUNTRY),
        "forbidden": (403, "Forbidden"),
        "frozen": (530, ""),
    }

    @pytest.mark.parametrize("only_due", [False, True])
    def test_five_of_them_on_a_new_install_abandon_nothing(self, empty_ground, vendor, only_due):
        """Each refusal has a source and two symbols of its own."""
        ground = empty_ground
        faults, symbols = [], []
        for name, (status, words) in self.REFUSALS.items():
            ground.add_vendor(name, vendor)
            own = [f"{name}_{number}" for number in range(2)]
            faults.append(Fault(fault="error", status=status, message=words, symbols=own))
            symbols += [f"{symbol}: {name}" for symbol in own]
        vendor.set_faults(faults)
        ground.keep(symbols_of(symbols))
        filled_often(ground, 6, only_due=only_due)
        gaps = ground.gaps()
        assert set(gaps["status"]) == {"open"}
        assert set(gaps["symbol"]) == set(ground.profile.symbols)
        vendor.set_faults([])
        filled_often(ground, 1, only_due=only_due)
        assert ground.complete()


class TestOfTheMachine:
    def test_one_of_the_country_is_not_asked_for_again_for_the_other_symbols(self, ground, vendor):
        vendor.set_faults([Fault(fault="error", status=451, message=COUNTRY)])
        ground.keep("symbols: {BTC: {}, ETH: {}, X: {}, Y: {}, Z: {}}")
        ground.fill()
        assert len(vendor.log) <= 8, "each request in flight may be refused once"
        assert any(
            "refuses whoever asks from this machine" in reason for reason in ground.gaps()["reason"]
        )
        assert all("restricted location" in reason for reason in ground.gaps()["reason"])

    def test_one_of_a_symbol_leaves_the_others_alone(self, ground, vendor):
        vendor.set_faults([Fault(fault="error", status=400, code=-1121, symbols=["X"])])
        ground.keep("symbols: {X: {}, BTC: {}}")
        outcomes = ground.fill()
        assert [counts(outcome)["BTC"].missing for outcome in outcomes] == [0, 0, 0]
