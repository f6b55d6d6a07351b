"""Several sources: the next one is asked for exactly what the ones before it lack, and never replaces what they gave."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from market_assets.market_time.timeframes import Window
from market_assets.practice.faults import Fault
from market_assets_tests.fill.ground import EARLY_GENESIS, LATE_GENESIS, asked, at, candles, counts, every, verdict

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MINUTES = "timeframes: {fetch: [1m]}\n"


@pytest.fixture
def pair(ground, second_vendor):
    """A ground with two sources: the vendor, and a second one with other candles of the same symbols."""
    ground.add_vendor("second", second_vendor)
    return ground


def from_second(ground) -> list:
    """The opens of what the second source gave."""
    return ground.rows().filter(pl.col("source") == "second")["ts"].dt.replace_time_zone("UTC").to_list()


class TestWhatTheSecondSourceIsAskedFor:
    def test_the_second_is_asked_for_exactly_what_the_first_lacks_and_rows_say_whose_they_are(
        self, pair, vendor, second_vendor
    ):
        holes = [
            Window(at("2025-02-26T03:00"), at("2025-02-26T03:01")),
            Window(at("2025-02-27T01:00"), at("2025-02-27T02:00")),
            Window(at("2025-02-27T22:00"), at("2025-02-28T04:00")),
        ]
        vendor.set_faults([Fault(fault="hole", start=each.start, end=each.end) for each in holes])
        pair.keep(MINUTES + "symbols: {BTC: {}}")

        outcomes = pair.fill()

        absent = [ts for each in holes for ts in every(MINUTE, each.start, each.end)]
        assert from_second(pair) == absent
        windows = asked(second_vendor)
        assert {ts for window in windows for ts in every(MINUTE, window.start, window.end)} >= set(absent)
        # Each window begins and ends with a bar that the first lacks.
        assert all(window.start in absent and window.end - MINUTE in absent for window in windows)
        assert [outcome.sources for outcome in outcomes] == [
            {"vendor": 1439, "second": 1},
            {"vendor": 1440 - 180, "second": 180},
            {"vendor": 1440 - 240, "second": 240},
        ]
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)
        assert pair.gaps().is_empty()

    def test_the_second_takes_over_where_the_first_is_down(self, pair, vendor, second_vendor):
        pair.keep("symbols: {BTC: {}}")
        vendor.set_faults([Fault(fault="error")])

        outcomes = pair.fill()

        assert all(outcome.filled for outcome in outcomes)
        assert [outcome.sources for outcome in outcomes] == [{"second": 24}] * 3
        assert asked(second_vendor) == [Window(at("2025-02-26T00:00"), at("2025-03-01T00:00"))]

    def test_a_hole_that_both_have_is_explained_once_both_have_confirmed_it(self, pair, vendor, second_vendor):
        outage = Fault(fault="hole", start=at("2025-02-27T10:00"), end=at("2025-02-27T12:00"))
        vendor.set_faults([outage])
        second_vendor.set_faults([outage, Fault(fault="error", start=outage.start, end=outage.end)])
        pair.keep("symbols: {BTC: {}}")
        pair.fill()
        second_vendor.set_faults([outage])
        pair.wait(hours=2)
        once = pair.fill()[1]
        pair.wait(hours=1)

        twice = pair.fill()[1]

        assert (counts(once)["BTC"].missing, counts(once)["BTC"].outage) == (2, 0)
        assert (counts(twice)["BTC"].missing, counts(twice)["BTC"].outage) == (0, 2)
        assert pair.gaps()["reason"].to_list() == ["vendor and second answered without it"]
        vendor.log.clear()
        second_vendor.log.clear()
        pair.fill()
        assert asked(vendor) == asked(second_vendor) == []

    def test_a_second_that_leaves_out_quiet_minutes_explains_what_neither_has(self, ground, vendor):
        quiet = [at("2025-02-26T10:03"), at("2025-02-26T10:07")]
        vendor.set_faults([Fault(fault="hole", start=ts, end=ts + MINUTE) for ts in quiet])
        minutes = [ts for ts in every(MINUTE, at("2025-02-26T09:00"), at("2025-02-26T12:00")) if ts not in quiet]
        ground.add_archive("files", {"BTC": candles(minutes)}, quiet_minutes="omitted")
        ground.keep(MINUTES + "end: 2025-02-27\nsymbols: {BTC: {}}")

        (outcome,) = ground.fill()

        own = counts(outcome)["BTC"]
        assert (own.stored, own.no_trade, own.missing) == (1438, 2, 0)
        assert outcome.sources == {"vendor": 1438}

    def test_an_archive_is_asked_only_as_far_as_it_reaches(self, ground, vendor):
        vendor.set_faults([Fault(fault="hole", start=at("2025-02-26T12:00"), end=at("2025-02-27T12:00"))])
        ground.add_archive("files", {"BTC": candles(every(HOUR, at("2025-02-26T20:00"), at("2025-02-27T04:00")))})
        ground.keep("symbols: {BTC: {}}")

        outcomes = ground.fill()

        assert [outcome.sources.get("files", 0) for outcome in outcomes] == [4, 4, 0]
        assert [counts(outcome)["BTC"].missing for outcome in outcomes] == [8, 8, 0]

    def test_a_symbol_has_sources_and_names_of_its_own(self, pair, vendor, second_vendor):
        pair.keep("symbols: {BTC: {sources: [{second: OTHER}, vendor]}, ETH: {}}")

        pair.fill()

        # Neither second choice is asked for more than the first bar, where the first choice has everything.
        assert asked(second_vendor, "ETH") == asked(vendor, "BTC") == []

        assert {entry["symbol"] for entry in second_vendor.log} == {"OTHER", "ETH"}
        assert {entry["symbol"] for entry in vendor.log} == {"BTC", "ETH"}
        assert dict(pair.rows().select("symbol", "source").unique().iter_rows()) == {"BTC": "second", "ETH": "vendor"}


class TestPreference:
    def test_a_row_of_the_first_is_not_replaced_by_the_second_when_the_first_is_down_in_a_refetch(self, pair, vendor):
        hole = Fault(fault="hole", start=at("2025-02-27T10:00"), end=at("2025-02-27T12:00"))
        vendor.set_faults([hole])
        pair.keep("symbols: {BTC: {}}")
        pair.fill()
        rows = pair.rows()
        vendor.set_faults([Fault(fault="error")])

        outcomes = pair.fill(refetch=True)

        assert pair.rows().equals(rows)
        assert [outcome.revised for outcome in outcomes] == [0, 0, 0]
        assert pair.table("SELECT * FROM ops.revisions").is_empty()

    def test_a_row_of_the_second_is_replaced_by_the_first_once_that_has_it_and_is_kept_as_a_revision(
        self, pair, vendor
    ):
        vendor.set_faults([Fault(fault="hole", start=at("2025-02-27T10:00"), end=at("2025-02-27T12:00"))])
        pair.keep("symbols: {BTC: {}}")
        pair.fill()
        given = pair.rows().filter(pl.col("source") == "second")
        vendor.set_faults([])

        outcomes = pair.fill(refetch=True)

        assert [outcome.revised for outcome in outcomes] == [0, 2, 0]
        assert set(pair.rows()["source"]) == {"vendor"}
        kept = pair.table("SELECT ts, close, source FROM ops.revisions ORDER BY ts")
        assert kept.equals(given.select("ts", "close", "source"))

    def test_a_revision_by_the_second_of_its_own_row_is_taken(self, pair, vendor, second_vendor):
        hole = Fault(fault="hole", start=at("2025-02-27T10:00"), end=at("2025-02-27T12:00"))
        vendor.set_faults([hole])
        second_vendor.set_faults([Fault(fault="revision", start=hole.start, end=hole.end)])
        pair.keep("symbols: {BTC: {}}")
        pair.fill()
        assert from_second(pair) == every(HOUR, hole.start, hole.end)

        outcomes = pair.fill(refetch=True)

        assert [outcome.revised for outcome in outcomes] == [0, 2, 0]
        assert from_second(pair) == every(HOUR, hole.start, hole.end)


class TestWhoNamesTheGenesis:
    new = "symbols: {NEW: {sources: [{second: LATE}, {vendor: EARLY}]}}"
    """The preferred source begins later than the other one."""

    def test_the_oldest_bar_that_any_source_names_is_the_genesis(self, pair):
        pair.keep(self.new)

        outcomes = pair.fill()

        genesis = pair.table("SELECT ts, source FROM ops.genesis").row(0)
        assert genesis == (EARLY_GENESIS.replace(tzinfo=None), "vendor")
        assert [outcome.sources for outcome in outcomes] == [{"vendor": 4}, {"vendor": 9, "second": 15}, {"second": 24}]
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)

    def test_no_genesis_is_recorded_while_a_source_that_may_know_an_older_bar_is_down(self, pair, vendor):
        vendor.set_faults([Fault(fault="error")])
        pair.keep(self.new)
        down = pair.fill()
        assert pair.table("SELECT * FROM ops.genesis").is_empty()
        assert [outcome.sources for outcome in down] == [{}, {"second": 15}, {"second": 24}]
        assert not verdict(down[0], "genesis").passed

        vendor.set_faults([])
        outcomes = pair.fill()

        assert pair.table("SELECT ts FROM ops.genesis")["ts"].to_list() == [EARLY_GENESIS.replace(tzinfo=None)]
        assert [outcome.sources for outcome in outcomes] == [{"vendor": 4}, {"vendor": 9}, {}]
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)

    @pytest.mark.parametrize(
        ("first", "genesis"), [("2025-02-26T20:00", EARLY_GENESIS), ("2025-02-27T08:30", LATE_GENESIS)]
    )
    def test_a_file_that_reaches_back_behind_the_bar_that_a_vendor_names_is_not_cut_off(self, ground, first, genesis):
        ground.add_archive("files", {"LATE": candles(every(MINUTE, at(first), at("2025-02-27T10:00")))})
        ground.keep(MINUTES + "symbols: {LATE: {}}")

        outcomes = ground.fill()

        assert ground.table("SELECT ts FROM ops.genesis")["ts"].to_list() == [genesis.replace(tzinfo=None)]
        assert ground.opens("LATE")[0] == genesis
        assert all(outcome.filled and verdict(outcome, "genesis").passed for outcome in outcomes)
