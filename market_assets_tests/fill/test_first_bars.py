"""The first bar of a series, as its sources name it."""

from __future__ import annotations

from market_assets.config.kinds import PriceRules
from market_assets.config.universe import SourceSymbol
from market_assets.expected.series import Series
from market_assets.fill.fetch import Fetcher
from market_assets.fill.terms import Terms
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
from market_assets.practice.faults import Fault
from market_assets.sources.contract import build_source
from market_assets_tests.support.fill_ground import LATE_GENESIS, QUICK, at

NOW = at("2025-03-01T12:00")


def fetcher(vendor, folder, *, budget: float | None = None) -> Fetcher:
    settings = QUICK | {"type": "practice", "base_url": vendor.url, "concurrency": 1}
    source = build_source("vendor", settings, base=folder, kind="crypto")
    return Fetcher(
        {"vendor": source},
        Terms(
            Timeframe.M1,
            load_calendar("24/7"),
            NOW,
            rules=PriceRules(),
            jitter=0.1,
            quiet_bars=60,
        ),
        budget=budget,
    )


def series(symbol: str) -> Series:
    return Series(
        symbol, Window(at("2025-02-26T00:00"), NOW), (SourceSymbol(source="vendor", symbol=symbol),)
    )


class TestTheFirstBar:
    def test_it_is_named_with_its_source(self, vendor, tmp_path):
        with fetcher(vendor, tmp_path) as opened:
            assert opened.earliest([series("LATE")]) == {"LATE": (LATE_GENESIS, "vendor")}

    def test_a_symbol_that_no_source_could_name_it_of_is_left_out(self, vendor, tmp_path):
        vendor.set_faults([Fault(fault="error", symbols=["LATE"])])
        with fetcher(vendor, tmp_path) as opened:
            found = opened.earliest([series("LATE"), series("EARLY")])
        assert list(found) == ["EARLY"]

    def test_a_source_that_fails_three_times_in_a_row_is_not_asked_for_more_first_bars(
        self, vendor, tmp_path
    ):
        vendor.set_faults([Fault(fault="error")])
        with fetcher(vendor, tmp_path) as opened:
            assert opened.earliest([series(str(number)) for number in range(10)]) == {}
        assert len(vendor.log) == 3

    def test_it_is_not_asked_for_when_the_time_is_spent(self, vendor, tmp_path):
        with fetcher(vendor, tmp_path, budget=0) as opened:
            assert opened.earliest([series("LATE")]) == {}
        assert list(vendor.log) == []
