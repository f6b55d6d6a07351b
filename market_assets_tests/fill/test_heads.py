"""Where series begin: looked for before a fill, moved by candles that come."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import polars as pl
import pytest

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe, Window
from market_assets.practice.book import Market
from market_assets.practice.faults import Fault
from market_assets.practice.vendor import PracticeVendor
from market_assets.sources.vendors.practice import PracticeSettings, PracticeSource
from market_assets_tests.support.fill_ground import (
    EARLY_GENESIS,
    LATE_GENESIS,
    asked,
    at,
    counts,
    every,
    verdict,
)
from market_assets_tests.support.first_bars import recorded

HOUR = timedelta(hours=1)


class TestSeveralSources:
    def test_a_source_that_serves_only_its_latest_bars_never_sets_it_and_proves_nothing_older(
        self, empty_ground, clock
    ):
        ground = empty_ground
        with PracticeVendor(Market(kind="crypto", latest_only=48), clock) as vendor:
            ground.add_vendor("kraken", vendor, latest_only=48)
            ground.keep("symbols: {BTC: {}}\nend: 2025-04-01")
            ground.fill()
            for _ in range(4):
                ground.wait(hours=2)
                outcomes = ground.fill()

            assert recorded(ground) == []
            # The open bar is one of the 48.
            assert ground.opens("BTC") == every(HOUR, at("2025-02-27T13:00"), clock())
            assert min(window.start for window in asked(vendor)) == at("2025-02-27T13:00")
            assert counts(outcomes[0])["BTC"].missing == 24
            assert set(ground.gaps()["status"]) <= {"open", "abandoned"}
            assert all("no source reaches this far" in reason for reason in ground.gaps()["reason"])
            assert not verdict(outcomes[0], "genesis").passed

    def test_beside_one_that_can_name_it_the_latest_bars_do_not_matter(self, ground, clock):
        with PracticeVendor(Market(kind="crypto", latest_only=24), clock) as latest:
            ground.add_vendor("kraken", latest, latest_only=24)
            ground.keep("symbols: {LATE: {sources: [kraken, vendor]}}\nend: 2025-04-01")

            outcomes = ground.fill()

            assert recorded(ground) == [(LATE_GENESIS.replace(hour=9, minute=0), "vendor")]
            assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)
            assert set(ground.rows()["source"]) == {"kraken", "vendor"}

    def test_the_older_of_a_named_and_a_searched_first_bar_counts(self, ground, second_vendor):
        ground.add_vendor("second", second_vendor, earliest_probe=False)
        ground.keep("symbols: {NEW: {sources: [{vendor: LATE}, {second: EARLY}]}}")
        ground.fill()
        assert recorded(ground) == [(EARLY_GENESIS, "second")]

    def test_a_symbol_that_one_source_has_had_since_the_start_has_no_genesis(
        self, ground, second_vendor
    ):
        ground.add_vendor("second", second_vendor, earliest_probe=False)
        ground.keep("symbols: {NEW: {sources: [{vendor: LATE}, {second: BTC}]}}")
        ground.fill()
        assert recorded(ground) == []
        assert ground.complete()


class TestMoved:
    def test_a_second_source_with_older_bars_moves_it_when_all_is_asked_again(
        self, plain, second_vendor
    ):
        plain.keep("symbols: {NEW: {sources: [{vendor: LATE}]}}")
        plain.fill()
        plain.add_vendor("second", second_vendor, earliest_probe=False)
        plain.keep("symbols: {NEW: {sources: [{vendor: LATE}, {second: EARLY}]}}")
        plain.wait(hours=1)

        outcomes = plain.fill(refetch=True)

        assert recorded(plain) == [
            (LATE_GENESIS.replace(hour=9, minute=0), "vendor"),
            (EARLY_GENESIS, "second"),
        ]
        assert plain.opens("NEW")[0] == EARLY_GENESIS
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)
        plain.keep("symbols: {NEW: {sources: [{vendor: LATE}, {second: BTC}]}}")
        plain.wait(hours=1)
        plain.fill(refetch=True)
        assert recorded(plain)[2:] == [(at("2025-02-26T00:00"), "second")]
        assert plain.complete()

    def test_a_search_moves_it_no_further_than_the_oldest_stored_bar(self, plain, vendor):
        plain.keep("symbols: {LATE: {}}")
        plain.fill()
        vendor.set_faults([Fault(fault="hole", end=at("2025-02-28T00:00"))])
        plain.wait(hours=1)

        plain.fill(refetch=True)

        assert recorded(plain) == [(LATE_GENESIS.replace(hour=9, minute=0), "vendor")]

    def test_older_bars_that_a_fill_stores_move_what_another_has_recorded_meanwhile(self, ground):
        ground.keep("symbols: {BTC: {}, EARLY: {}}")

        class Meanwhile(PracticeSource):
            """Records a genesis of each symbol that it is asked for, as another fill might."""

            async def fetch(self, symbol: str, *rest: Any) -> pl.DataFrame:
                with ground.store.writing("another fill") as transaction:
                    transaction.genesis.put(
                        Dataset.candles("kept", Timeframe.H1),
                        symbol,
                        at("2025-02-28T00:00"),
                        "other",
                    )
                ground.wait(minutes=1)
                return await super().fetch(symbol, *rest)

        settings = PracticeSettings.model_validate(ground.settings["vendor"])
        outcomes = ground.fill(
            sources={"vendor": Meanwhile("vendor", settings, base=ground.folder, kind="crypto")}
        )

        latest = ground.table(
            """
            SELECT symbol, last(ts ORDER BY found_at, rowid)
            FROM ops.genesis
            GROUP BY ALL
            ORDER BY ALL
            """
        )
        assert latest["symbol"].to_list() == ["BTC", "EARLY"]
        assert [ts.replace(tzinfo=UTC) for ts in latest.to_series(1)] == [
            at("2025-02-26T00:00"),
            EARLY_GENESIS,
        ]
        assert set(recorded(ground)) >= {
            (EARLY_GENESIS, "vendor"),
            (at("2025-02-28T00:00"), "other"),
        }
        assert [[own.expected for own in outcome.counts] for outcome in outcomes] == [
            [24, 4],
            [24, 24],
            [24, 24],
        ]
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)


class TestForgotten:
    def test_what_is_forgotten_is_expected_again_and_found_again_by_the_next_backfill(
        self, plain, vendor
    ):
        plain.keep("symbols: {LATE: {}}")
        plain.fill()
        first = recorded(plain)
        with plain.store.writing("a reset") as transaction:
            transaction.genesis.forget("kept", ["LATE"])
        assert recorded(plain) == []
        vendor.log.clear()
        (newest,) = plain.fill(window=Window(at("2025-02-28T00:00"), at("2025-03-01T00:00")))
        assert list(vendor.log) == []
        assert counts(newest)["LATE"].missing == 0
        assert plain.table("SELECT expected FROM ops.completeness").item() == 72

        plain.fill()

        assert recorded(plain) == first
        assert plain.table("SELECT expected, missing FROM ops.completeness").row(0) == (39, 0)
        assert plain.gaps().is_empty()


class TestASymbolWithoutABar:
    @pytest.mark.parametrize(
        ("fault", "only_due", "probe"),
        [
            (Fault(fault="hole"), False, False),
            (Fault(fault="hole"), True, True),
            (Fault(fault="error", status=400, code=-1121, message="Invalid symbol."), True, False),
        ],
    )
    def test_is_not_asked_for_for_ever(self, empty_ground, vendor, fault, only_due, probe):
        ground = empty_ground
        ground.add_vendor("vendor", vendor, earliest_probe=probe)
        vendor.set_faults([fault])
        ground.keep("symbols: {GONE: {}}")
        requests = []
        for _ in range(8):
            vendor.log.clear()
            ground.fill(only_due=only_due)
            requests.append(len(vendor.log))
            ground.wait(hours=5)

        assert recorded(ground) == []
        assert sum(requests) <= 20
        assert requests[5:] == [0] * 3
        assert ground.table("SELECT health FROM ops.completeness").item() == "MISSING"
        assert not any(outcome.filled for outcome in ground.fill()), (
            "an empty answer made a partition green"
        )

    def test_while_its_gap_rests_nobody_looks_for_it(self, plain, vendor):
        vendor.set_faults([Fault(fault="hole")])
        plain.keep("symbols: {GONE: {}}")
        plain.fill(only_due=True)
        vendor.log.clear()
        plain.wait(seconds=50)
        plain.fill(only_due=True)
        assert list(vendor.log) == []

    def test_begins_where_it_is_listed_when_it_was_given_up_before(self, plain, clock):
        plain.keep("symbols: {LAST: {}}\nend: 2025-04-01")
        clock.now = at("2025-02-27T03:00")
        for _ in range(5):
            plain.fill()
            plain.wait(hours=2)
        assert set(
            plain.gaps().filter(pl.col("first_ts") < at("2025-02-27T00:00").replace(tzinfo=None))[
                "status"
            ]
        ) == {"abandoned"}

        clock.now = at("2025-03-01T12:00")
        plain.fill()
        plain.wait(minutes=1)
        outcomes = plain.fill()

        assert recorded(plain) == [(at("2025-02-28T00:00"), "vendor")]
        assert plain.gaps().is_empty()
        assert all(outcome.filled for outcome in outcomes)
