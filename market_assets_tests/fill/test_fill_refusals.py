"""What a refusal is about: the moment, the machine, the symbol or the window.

The tests cover also what each costs.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import yaml

from market_assets.practice.faults import Fault
from market_assets_tests.support.fill_ground import at, counts

if TYPE_CHECKING:
    from collections.abc import Iterable


HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
COUNTRY = "Service unavailable from a restricted location according to 'b. Eligibility'"


def fill(ground: Any, times: int, **options: object) -> list[Any]:
    for _ in range(times):
        outcomes = ground.fill(**options)
        ground.wait(hours=5)
    return outcomes


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
        fill(ground, 6, only_due=only_due)
        gaps = ground.gaps()
        assert set(gaps["status"]) == {"open"}
        assert set(gaps["symbol"]) == set(ground.profile.symbols)
        vendor.set_faults([])
        fill(ground, 1, only_due=only_due)
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


class TestAbandonedThroughRefusals:
    def test_a_backfill_by_hand_always_asks_again(self, ground, vendor):
        vendor.set_faults([Fault(fault="error", status=400, message="Invalid symbol.")])
        ground.keep("symbols: {BTC: {}}")
        fill(ground, 6)
        assert set(ground.gaps()["status"]) == {"abandoned"}
        vendor.log.clear()
        fill(ground, 1, only_due=True)
        assert list(vendor.log) == []
        fill(ground, 1)
        assert len(vendor.log) > 0
        assert set(ground.gaps()["status"]) == {"abandoned"}

        vendor.set_faults([])
        fill(ground, 1)

        assert ground.complete()
        assert ground.gaps().is_empty()

    def test_an_answer_that_has_not_the_bars_opens_it_for_its_confirmations(self, ground, vendor):
        vendor.set_faults([Fault(fault="error", status=400, message="Invalid symbol.")])
        ground.keep("symbols: {BTC: {}}")
        fill(ground, 6)
        vendor.set_faults(
            [Fault(fault="hole", start=at("2025-02-27T10:00"), end=at("2025-02-27T14:00"))]
        )
        fill(ground, 1)
        assert ground.gaps().select("bars", "status").rows() == [(4, "open")]
        fill(ground, 1)
        assert ground.gaps().select("bars", "status").rows() == [(4, "outage")]

    def test_what_sources_have_answered_for_is_not_asked_for_again(self, ground, vendor):
        vendor.set_faults(
            [Fault(fault="negative", start=at("2025-02-27T10:00"), end=at("2025-02-27T14:00"))]
        )
        ground.keep("symbols: {BTC: {}}")
        fill(ground, 6)
        assert ground.gaps().select("bars", "status").rows() == [(4, "abandoned")]
        vendor.log.clear()
        fill(ground, 1)
        assert list(vendor.log) == []
