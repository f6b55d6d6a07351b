"""Several sources: the next one is asked for exactly what the ones before it lack.

It never replaces what they gave.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe, Window
from market_assets.practice.faults import Fault
from market_assets.reports.story import Story, story_of
from market_assets.sources.contract import build_source
from market_assets_tests.support.fill_ground import (
    EARLY_GENESIS,
    LATE_GENESIS,
    asked,
    at,
    candles,
    counts,
    every,
    verdict,
)

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MINUTES = "timeframes: {fetch: [1m]}\n"


@pytest.fixture
def pair(ground, second_vendor):
    """A ground with two sources of the same symbols.

    The vendor is first; the second source has other candles.
    """
    ground.add_vendor("second", second_vendor)
    return ground


def from_second(ground) -> list:
    """The opens of what the second source gave."""
    return (
        ground.rows()
        .filter(pl.col("source") == "second")["ts"]
        .dt.replace_time_zone("UTC")
        .to_list()
    )


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
        assert {ts for window in windows for ts in every(MINUTE, window.start, window.end)} >= set(
            absent
        )
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

    def test_only_what_the_first_failed_to_answer_is_asked_of_the_second(
        self, pair, vendor, second_vendor
    ):
        pair.keep(MINUTES + "end: 2025-02-28\nsymbols: {BTC: {}}")
        vendor.set_faults(
            [Fault(fault="error", start=at("2025-02-27T12:00"), end=at("2025-02-27T12:01"))]
        )

        pair.fill()

        failed = [
            window
            for window in asked(vendor)
            if window.start <= at("2025-02-27T12:00") < window.end
        ]
        assert from_second(pair) == every(MINUTE, failed[0].start, failed[0].end)
        assert asked(second_vendor) == failed[:1]

    def test_a_hole_that_both_have_is_explained_once_both_have_confirmed_it(
        self, pair, vendor, second_vendor
    ):
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
        minutes = [
            ts
            for ts in every(MINUTE, at("2025-02-26T09:00"), at("2025-02-26T12:00"))
            if ts not in quiet
        ]
        ground.add_archive("files", {"BTC": candles(minutes)}, quiet_minutes="omitted")
        ground.keep(MINUTES + "end: 2025-02-27\nsymbols: {BTC: {}}")

        (outcome,) = ground.fill()

        own = counts(outcome)["BTC"]
        assert (own.stored, own.no_trade, own.missing) == (1438, 2, 0)
        assert outcome.sources == {"vendor": 1438}

    def test_the_second_is_asked_only_for_silences_beyond_the_evidence_of_the_first(
        self, empty_ground, second_vendor
    ):
        ground = empty_ground
        quiet = [at("2025-02-26T10:03"), at("2025-02-26T10:07"), at("2025-02-26T23:59")]
        hole = Window(at("2025-02-26T12:00"), at("2025-02-26T13:30"))
        have = [
            ts
            for ts in every(MINUTE, at("2025-02-26T00:00"), at("2025-02-27T00:00"))
            if ts not in quiet
        ]
        have = [ts for ts in have if not hole.start <= ts < hole.end]
        ground.add_archive("files", {"BTC": candles(have)}, quiet_minutes="omitted")
        ground.add_vendor("second", second_vendor)
        ground.keep(MINUTES + "end: 2025-02-27\nsymbols: {BTC: {}}")

        (outcome,) = ground.fill()

        assert asked(second_vendor) == [hole]
        assert outcome.sources == {"files": 1440 - 93, "second": 90}
        assert (counts(outcome)["BTC"].no_trade, counts(outcome)["BTC"].missing) == (3, 0)

    def test_a_silence_where_the_first_does_not_reach_is_not_taken_for_quiet(
        self, empty_ground, second_vendor
    ):
        ground = empty_ground
        have = every(MINUTE, at("2025-02-26T00:00"), at("2025-02-26T23:00"))
        ground.add_archive("files", {"BTC": candles(have)}, quiet_minutes="omitted")
        ground.add_vendor("second", second_vendor)
        ground.keep(MINUTES + "end: 2025-02-27\nsymbols: {BTC: {}}\nevidence: {quiet_limit: 3h}")

        (outcome,) = ground.fill()

        assert asked(second_vendor) == [Window(at("2025-02-26T23:00"), at("2025-02-27T00:00"))]
        assert (outcome.sources, counts(outcome)["BTC"].missing) == (
            {"files": 1380, "second": 60},
            0,
        )

    def test_an_empty_answer_of_the_first_is_no_evidence_of_a_silence(
        self, empty_ground, second_vendor
    ):
        ground = empty_ground
        day = Window(at("2025-02-27T00:00"), at("2025-02-28T00:00"))
        around = every(MINUTE, at("2025-02-26T00:00"), day.start) + every(
            MINUTE, day.end, at("2025-03-01T00:00")
        )
        ground.add_archive("files", {"BTC": candles(around)}, quiet_minutes="omitted")
        ground.add_vendor("second", second_vendor)
        ground.keep(MINUTES + "symbols: {BTC: {}}\nevidence: {quiet_limit: 1d}")

        (outcome,) = ground.fill(window=day)

        assert outcome.sources == {"second": 1440}

    def test_a_second_that_does_not_have_the_timeframe_is_not_asked(self, ground, vendor):
        vendor.set_faults(
            [Fault(fault="hole", start=at("2025-02-27T00:00"), end=at("2025-02-27T08:00"))]
        )
        ground.add_source("coinbase", base_url="http://127.0.0.1:9")
        ground.keep("timeframes: {fetch: [4h]}\nsymbols: {BTC: {}}")

        outcomes = ground.fill()

        assert [counts(outcome)["BTC"].missing for outcome in outcomes] == [0, 2, 0]
        assert ground.gaps()["reason"].to_list() == ["vendor answered without it"]

    def test_a_symbol_of_whose_sources_none_has_the_timeframe_is_an_error_that_says_so(
        self, ground
    ):
        ground.keep("symbols: {BTC: {}}")
        source = build_source(
            "vendor", ground.settings["vendor"], base=ground.folder, kind="crypto"
        )
        source.traits = replace(source.traits, timeframes=frozenset({Timeframe.M1}))

        with pytest.raises(
            SourceError, match=r"kept BTC: none of its sources \(vendor\) has 1h; name one that has"
        ) as caught:
            ground.fill(sources={"vendor": source})

        assert caught.value.permanent

    def test_an_archive_is_asked_only_as_far_as_it_reaches(self, ground, vendor):
        vendor.set_faults(
            [Fault(fault="hole", start=at("2025-02-26T12:00"), end=at("2025-02-27T12:00"))]
        )
        ground.add_archive(
            "files", {"BTC": candles(every(HOUR, at("2025-02-26T20:00"), at("2025-02-27T04:00")))}
        )
        ground.keep("symbols: {BTC: {}}")

        outcomes = ground.fill()

        assert [outcome.sources.get("files", 0) for outcome in outcomes] == [4, 4, 0]
        assert [counts(outcome)["BTC"].missing for outcome in outcomes] == [8, 8, 0]

    def test_a_symbol_has_sources_and_names_of_its_own(self, pair, vendor, second_vendor):
        pair.keep("symbols: {BTC: {sources: [{second: OTHER}, vendor]}, ETH: {}}")

        pair.fill()

        # Where the first choice has everything,
        # neither second choice is asked for more than the first bar.
        assert asked(second_vendor, "ETH") == asked(vendor, "BTC") == []

        assert {entry["symbol"] for entry in second_vendor.log} == {"OTHER", "ETH"}
        assert {entry["symbol"] for entry in vendor.log} == {"BTC", "ETH"}
        assert dict(pair.rows().select("symbol", "source").unique().iter_rows()) == {
            "BTC": "second",
            "ETH": "vendor",
        }


class TestWhatEachAnswerIsEvidenceOf:
    """Bars that are absent in spite of the answers of two sources that do not reach the same."""

    def fill(self, ground, times: int = 2) -> list:
        for _ in range(times):
            outcomes = ground.fill()
            ground.wait(hours=2)
        return outcomes

    def test_a_stretch_between_what_two_files_reach_is_explained_by_neither(self, empty_ground):
        ground = empty_ground
        for name, day in (("old", "2025-02-26"), ("new", "2025-02-28")):
            hours = every(HOUR, at(f"{day}T00:00"), at(f"{day}T00:00") + timedelta(days=1))
            ground.add_archive(name, {"BTC": candles(hours[:5] + hours[8:])})
        # One file speaks for each of the days: its word is to be enough.
        ground.keep("symbols: {BTC: {}}\nevidence: {confirmations: 1}")

        outcomes = self.fill(ground)

        assert [
            (own.missing, own.outage) for own in (counts(outcome)["BTC"] for outcome in outcomes)
        ] == [(0, 3), (24, 0), (0, 3)]
        assert ground.gaps()["reason"].to_list() == [
            "old and new answered without it",
            "no source reaches this far",
            "old and new answered without it",
        ]

    def test_what_a_file_does_not_reach_and_the_other_source_failed_to_give_says_so(
        self, ground, vendor
    ):
        vendor.set_faults([Fault(fault="error")])
        ground.settings = {}
        ground.add_archive(
            "files", {"BTC": candles(every(HOUR, at("2025-02-26T00:00"), at("2025-02-27T00:00")))}
        )
        ground.add_vendor("vendor", vendor)
        ground.keep("symbols: {BTC: {}}")

        self.fill(ground, times=1)

        assert all("HTTP 503" in reason for reason in ground.gaps()["reason"])

    def test_a_long_silence_is_without_trades_only_where_a_source_that_omits_quiet_bars_reaches(
        self, ground, vendor
    ):
        hours = every(HOUR, at("2025-02-26T00:00"), at("2025-02-27T00:00"))
        silences = [
            Window(at(f"2025-02-{day}T05:00"), at(f"2025-02-{day}T08:00")) for day in (26, 27)
        ]
        vendor.set_faults(
            [Fault(fault="hole", start=each.start, end=each.end) for each in silences]
        )
        ground.add_archive(
            "files", {"BTC": candles(hours[:5] + hours[8:])}, quiet_minutes="omitted"
        )
        ground.keep("symbols: {BTC: {}}")

        first, second, _ = self.fill(ground)

        assert (counts(first)["BTC"].no_trade, counts(first)["BTC"].outage) == (3, 0)
        assert (counts(second)["BTC"].no_trade, counts(second)["BTC"].outage) == (0, 3)

    def test_a_long_silence_that_a_page_cuts_into_short_ones_is_confirmed_by_both(
        self, empty_ground, second_vendor
    ):
        ground = empty_ground
        hole = Window(at("2025-02-26T04:10"), at("2025-02-26T05:50"))
        second_vendor.set_faults([Fault(fault="hole", start=hole.start, end=hole.end)])
        have = every(MINUTE, at("2025-02-26T00:00"), at("2025-02-27T00:00"))
        files = candles([ts for ts in have if not hole.start <= ts < hole.end])
        ground.add_archive("files", {"BTC": files}, quiet_minutes="omitted")
        ground.add_vendor("second", second_vendor)
        ground.keep(MINUTES + "end: 2025-02-27\nsymbols: {BTC: {}}")
        missing = []
        for _ in range(3):
            sources = {
                name: build_source(name, settings, base=ground.folder, kind="crypto")
                for name, settings in ground.universe.sources.items()
            }
            sources["files"].traits = replace(sources["files"].traits, page_size=300)
            missing += [counts(outcome)["BTC"].missing for outcome in ground.fill(sources=sources)]
            ground.wait(hours=2)

        # The first fill asks the second source for nothing:
        # two silences of fifty minutes look quiet.
        assert asked(second_vendor) == [hole, hole]
        assert missing == [100, 100, 0]


class TestVenues:
    @pytest.fixture
    def holed(self, empty_ground, vendor, second_vendor):
        """Two venues, of which the first lacks two hours."""
        vendor.set_faults(
            [Fault(fault="hole", start=at("2025-02-27T10:00"), end=at("2025-02-27T12:00"))]
        )
        empty_ground.add_vendor("vendor", vendor, venue="here")
        empty_ground.add_vendor("second", second_vendor, venue="there")
        return empty_ground

    def test_another_venue_does_not_fill_a_hole_and_the_gap_and_its_story_say_why(
        self, holed, second_vendor
    ):
        holed.keep("symbols: {BTC: {}}")

        outcomes = holed.fill()

        why = (
            "second (there) is another venue than here and is not asked: mix_venues: "
            "true would let it fill"
        )
        assert not second_vendor.log
        assert [outcome.sources for outcome in outcomes] == [
            {"vendor": 24},
            {"vendor": 22},
            {"vendor": 24},
        ]
        assert holed.gaps()["reason"].to_list() == [f"vendor answered without it; {why}"]
        assert why in _story(holed, "2025-02-27T10:00").verdict

    def test_a_bar_that_was_never_asked_for_says_it_too(self, holed):
        holed.keep("symbols: {BTC: {}}")

        assert _story(holed, "2025-02-27T10:00").verdict.startswith(
            "Missing: nobody has asked a source for it yet. second (there) is another venue"
        )

    @pytest.mark.parametrize(
        "keys",
        ["mix_venues: true\nsymbols: {BTC: {}}", "symbols: {BTC: {mix_venues: true}}"],
        ids=["profile", "symbol"],
    )
    def test_another_venue_fills_where_the_universe_says_so(self, holed, keys):
        holed.keep(keys)

        outcomes = holed.fill()

        assert [outcome.sources for outcome in outcomes] == [
            {"vendor": 24},
            {"vendor": 22, "second": 2},
            {"vendor": 24},
        ]

    @pytest.mark.parametrize("venue", [{"venue": "here"}, {}], ids=["the same", "unknown"])
    def test_the_same_venue_and_one_that_nobody_knows_fill(self, holed, second_vendor, venue):
        del holed.settings["second"]
        holed.add_vendor("second", second_vendor, **venue)
        holed.keep("symbols: {BTC: {}}")

        assert sum(outcome.sources.get("second", 0) for outcome in holed.fill()) == 2


def _story(ground, ts: str) -> Story:
    with ground.store.reading("testing") as view:
        return story_of(
            view,
            ground.scope(),
            "BTC",
            at(ts),
        )


class TestPreference:
    def test_a_row_of_the_first_is_not_replaced_by_the_second_when_the_first_is_down_in_a_refetch(
        self, pair, vendor
    ):
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

    def test_a_row_of_the_second_is_replaced_once_the_first_has_it_and_is_kept_as_a_revision(
        self, pair, vendor
    ):
        vendor.set_faults(
            [Fault(fault="hole", start=at("2025-02-27T10:00"), end=at("2025-02-27T12:00"))]
        )
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
        assert [outcome.sources for outcome in outcomes] == [
            {"vendor": 4},
            {"vendor": 9, "second": 15},
            {"second": 24},
        ]
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)

    def test_no_genesis_is_recorded_while_a_source_that_may_know_an_older_bar_is_down(
        self, pair, vendor
    ):
        vendor.set_faults([Fault(fault="error")])
        pair.keep(self.new)
        down = pair.fill()
        assert pair.table("SELECT * FROM ops.genesis").is_empty()
        assert [outcome.sources for outcome in down] == [{}, {"second": 15}, {"second": 24}]
        assert not verdict(down[0], "genesis").passed

        vendor.set_faults([])
        outcomes = pair.fill()

        assert pair.table("SELECT ts FROM ops.genesis")["ts"].to_list() == [
            EARLY_GENESIS.replace(tzinfo=None)
        ]
        assert [outcome.sources for outcome in outcomes] == [{"vendor": 4}, {"vendor": 9}, {}]
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)

    @pytest.mark.parametrize(
        ("first", "genesis"),
        [("2025-02-26T20:00", EARLY_GENESIS), ("2025-02-27T08:30", LATE_GENESIS)],
    )
    def test_a_file_that_reaches_back_behind_the_bar_that_a_vendor_names_is_not_cut_off(
        self, ground, first, genesis
    ):
        ground.add_archive(
            "files", {"LATE": candles(every(MINUTE, at(first), at("2025-02-27T10:00")))}
        )
        ground.keep(MINUTES + "symbols: {LATE: {}}")

        outcomes = ground.fill()

        assert ground.table("SELECT ts FROM ops.genesis")["ts"].to_list() == [
            genesis.replace(tzinfo=None)
        ]
        assert ground.opens("LATE")[0] == genesis
        assert all(outcome.filled and verdict(outcome, "genesis").passed for outcome in outcomes)
