"""What answers say of bars that are absent: coverage, and the ledger of gaps."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from market_assets.market.timeframes import Window
from market_assets.practice.faults import Fault
from market_assets.sources.contract import build_source
from market_assets.store import Store
from market_assets_tests.conftest import Clock
from market_assets_tests.support.fill_ground import (
    asked,
    at,
    candles,
    counts,
    covered,
    every,
    filled_often,
    plain,
    verdict,
)

if TYPE_CHECKING:
    from market_assets.work.outcome import PartitionOutcome


HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MINUTES = "timeframes: {fetch: [1m]}\n"
START = at("2025-02-26T00:00")


class TestAbandonedThroughRefusals:
    def test_a_backfill_by_hand_always_asks_again(self, ground, vendor):
        vendor.set_faults([Fault(fault="error", status=400, message="Invalid symbol.")])
        ground.keep("symbols: {BTC: {}}")
        filled_often(ground, 6)
        assert set(ground.gaps()["status"]) == {"abandoned"}
        vendor.log.clear()
        filled_often(ground, 1, only_due=True)
        assert list(vendor.log) == []
        filled_often(ground, 1)
        assert len(vendor.log) > 0
        assert set(ground.gaps()["status"]) == {"abandoned"}

        vendor.set_faults([])
        filled_often(ground, 1)

        assert ground.complete()
        assert ground.gaps().is_empty()

    def test_an_answer_that_has_not_the_bars_opens_it_for_its_confirmations(self, ground, vendor):
        vendor.set_faults([Fault(fault="error", status=400, message="Invalid symbol.")])
        ground.keep("symbols: {BTC: {}}")
        filled_often(ground, 6)
        vendor.set_faults(
            [Fault(fault="hole", start=at("2025-02-27T10:00"), end=at("2025-02-27T14:00"))]
        )
        filled_often(ground, 1)
        assert ground.gaps().select("bars", "status").rows() == [(4, "open")]
        filled_often(ground, 1)
        assert ground.gaps().select("bars", "status").rows() == [(4, "outage")]

    def test_what_sources_have_answered_for_is_not_asked_for_again(self, ground, vendor):
        vendor.set_faults(
            [Fault(fault="negative", start=at("2025-02-27T10:00"), end=at("2025-02-27T14:00"))]
        )
        ground.keep("symbols: {BTC: {}}")
        filled_often(ground, 6)
        assert ground.gaps().select("bars", "status").rows() == [(4, "abandoned")]
        vendor.log.clear()
        filled_often(ground, 1)
        assert list(vendor.log) == []


def hole(first: datetime, after: datetime, **more) -> Fault:
    return Fault(fault="hole", start=first, end=after, **more)


class TestOutages:
    def test_an_outage_that_was_confirmed_twice_an_hour_apart_is_explained_and_not_asked_for_again(
        self, ground, vendor
    ):
        outage = Window(at("2025-02-27T10:00"), at("2025-02-27T14:00"))
        vendor.set_faults([hole(outage.start, outage.end)])
        ground.keep("symbols: {BTC: {}}")
        first = ground.fill()[1]
        assert (first.filled, verdict(first, "continuity").passed) == (False, False)
        assert first.failures == (
            "4 of 24 bars are missing (BTC): 16.67 %, and at most 5 % may be",
        )

        for minutes, attempts in ((0, 2), (59, 3)):
            ground.wait(minutes=minutes)
            vendor.log.clear()
            outcome = ground.fill()[1]
            assert asked(vendor) == [outage]
            assert ground.gaps().select("bars", "status", "attempts").rows() == [
                (4, "open", attempts)
            ]
            assert not verdict(outcome, "continuity").passed
        ground.wait(minutes=1)
        explained = ground.fill()[1]
        vendor.log.clear()
        ground.wait(days=1)
        again = ground.fill()[1]

        assert list(vendor.log) == []
        for outcome in (explained, again):
            own = counts(outcome)["BTC"]
            assert (own.expected, own.stored, own.outage, own.missing) == (24, 20, 4, 0)
            assert "4 are absent for a known reason" in verdict(outcome, "continuity").summary
        gap = ground.gaps().row(0, named=True)
        assert (gap["status"], gap["bars"], gap["reason"]) == (
            "outage",
            4,
            "vendor answered without it",
        )
        completeness = ground.table(
            "SELECT expected, stored, explained, missing, health FROM ops.completeness"
        ).row(0)
        assert completeness == (72, 68, 4, 0, "HEALTHY")

        assert again.version == explained.version != first.version
        with ground.store.writing("learning that nothing was traded") as transaction:
            transaction.connection.execute("UPDATE ops.gaps SET status = 'no_trade'")
        # As many are explained as before, and features no longer break there.
        assert ground.fill()[1].version > again.version

        # Later the vendor has it after all: a refetch finds it.
        vendor.set_faults([])
        found = ground.fill(refetch=True)[1]
        assert (found.new, found.revised) == (4, 0)
        assert ground.gaps().is_empty()
        assert ground.complete()

    def test_an_answer_that_failed_confirms_nothing(self, ground, vendor):
        outage = hole(at("2025-02-27T10:00"), at("2025-02-27T14:00"))
        vendor.set_faults([outage])
        ground.keep("symbols: {BTC: {}}")
        ground.fill()
        vendor.set_faults([Fault(fault="error"), outage])
        ground.wait(hours=2)

        failed = ground.fill()[1]

        assert not failed.filled
        gap = ground.gaps().row(0, named=True)
        assert (gap["status"], gap["attempts"]) == ("open", 1)
        assert ground.table("SELECT failures FROM ops.gaps").item() == 1
        assert "HTTP 503" in gap["reason"]
        vendor.set_faults([outage])
        assert counts(ground.fill()[1])["BTC"].outage == 4


class TestEveryShape:
    shapes = MappingProxyType(
        {
            "HEAD": (0, 61),
            "TAIL": (2819, 2880),
            "LONG": (300, 2600),
            "PAGE": (1000, 2000),
            "PAGES": (999, 1001),
            "DAYS": (1439, 1441),
            "ONE": (1234, 1235),
            "ALL": (0, 2880),
        }
    )
    """The first absent minute of two days, and the first that is there again.

    A page has a thousand bars.

    In the long one a page in the middle is empty, which does not end the backfill.
    """

    def test_holes_are_found_then_asked_for_alone_and_filled_once_the_vendor_has_them(
        self, ground, vendor
    ):
        absent = {
            symbol: every(MINUTE, START + first * MINUTE, START + after * MINUTE)
            for symbol, (first, after) in self.shapes.items()
        }
        vendor.set_faults(
            [hole(bars[0], bars[-1] + MINUTE, symbols=[symbol]) for symbol, bars in absent.items()]
        )
        ground.keep(MINUTES + f"end: 2025-02-28\nsymbols: {plain(absent)}")

        outcomes = ground.fill()

        for symbol, bars in absent.items():
            assert ground.absent(symbol) == bars
            assert sum(counts(outcome)[symbol].missing for outcome in outcomes) == len(bars)
            assert ground.gaps().filter(pl.col("symbol") == symbol)["bars"].sum() == len(bars)
        for outcome in outcomes:
            empty = [own.symbol for own in outcome.counts if own.missing == 1440]
            judged = verdict(outcome, "continuity")
            assert not judged.passed
            assert [
                symbol for symbol in self.shapes if f"Nothing at all of {symbol}:" in judged.summary
            ] == empty
            # A third of the bars of those that are there is missing.
            assert not outcome.filled
        heads = {row["symbol"] for row in verdict(outcomes[0], "genesis").tables["heads"]}
        assert heads == {"HEAD", "ALL"}

        vendor.set_faults([])
        vendor.log.clear()
        assert all(outcome.filled for outcome in ground.fill())

        for symbol, bars in absent.items():
            assert covered(asked(vendor, symbol), MINUTE) == bars
            assert len(asked(vendor, symbol)) == -(-len(bars) // 1000)
            assert ground.absent(symbol) == []
        assert ground.gaps().is_empty()


class TestQuietMinutes:
    """A source that leaves out the minutes in which nothing traded."""

    def quiet(self, *silences: tuple[str, str], end: str = "2025-02-28T00:00") -> pl.DataFrame:
        """Two days of minutes, every third left out, and longer silences."""
        silent = {ts for first, after in silences for ts in every(MINUTE, at(first), at(after))}
        return candles(
            [ts for ts in every(MINUTE, START, at(end)) if ts not in silent and ts.minute % 3 != 1]
        )

    def test_a_minute_without_a_trade_is_no_gap_where_the_source_has_answered_for_it(
        self, empty_ground
    ):
        ground = empty_ground
        # Exactly an hour of silence between 14:59 and 16:00; the last one is of 42 minutes over the
        # border of two days.
        ground.add_archive(
            "files",
            {
                "BTC": self.quiet(
                    ("2025-02-26T15:00", "2025-02-26T16:00"),
                    ("2025-02-26T23:40", "2025-02-27T00:20"),
                )
            },
            quiet_minutes="omitted",
        )
        ground.keep(MINUTES + "symbols: {BTC: {}}\nend: 2025-02-28")

        outcomes = ground.fill()

        for outcome in outcomes:
            own = counts(outcome)["BTC"]
            assert (own.missing, own.no_trade, own.stored) == (0, 1440 - outcome.rows, outcome.rows)
            assert outcome.rows < 960
            assert verdict(outcome, "continuity").passed
            assert outcome.filled
        assert ground.gaps().is_empty()
        ground.fill()
        assert ground.requests() == 0
        view = ground.table(
            "SELECT expected, stored + explained, missing, health FROM ops.completeness"
        ).row(0)
        assert view == (2880, 2880, 0, "HEALTHY")

    def test_a_silence_longer_than_an_hour_is_asked_for_again_and_then_taken_for_quiet(
        self, empty_ground
    ):
        ground = empty_ground
        # 1 to 100 minutes past ten, and 80 minutes over midnight.
        silences = (
            ("2025-02-26T10:00", "2025-02-26T11:40"),
            ("2025-02-26T23:20", "2025-02-27T00:40"),
        )
        ground.add_archive("files", {"BTC": self.quiet(*silences)}, quiet_minutes="omitted")
        ground.keep(MINUTES + "symbols: {BTC: {}}\nend: 2025-02-28")

        first = ground.fill()

        assert [counts(outcome)["BTC"].missing > 0 for outcome in first] == [True, True]
        missing = sum(counts(outcome)["BTC"].missing for outcome in first)
        assert missing == ground.gaps()["bars"].sum() >= 180
        assert set(ground.gaps()["status"]) == {"open"}
        ground.wait(hours=1)
        ground.fill()
        assert set(ground.gaps()["status"]) == {"open"}, "an unchanged file confirmed itself"
        # Downloaded again, with a revised volume elsewhere.
        revised = self.quiet(*silences).with_columns(pl.col("volume") + 1)
        ground.add_archive("files", {"BTC": revised}, quiet_minutes="omitted")
        second = ground.fill()
        assert ground.requests() > 0
        assert [counts(outcome)["BTC"].missing for outcome in second] == [0, 0]
        assert set(ground.gaps()["status"]) == {"no_trade"}
        ground.fill()
        assert ground.requests() == 0

    def test_the_same_minutes_are_gaps_of_a_source_that_has_every_minute(self, empty_ground):
        ground = empty_ground
        ground.add_archive("files", {"BTC": self.quiet()})
        ground.keep(MINUTES + "symbols: {BTC: {}}\nend: 2025-02-28")

        outcomes = ground.fill()

        assert [counts(outcome)["BTC"].missing for outcome in outcomes] == [480, 480]
        assert not verdict(outcomes[0], "continuity").passed

    def test_bars_that_no_file_reaches_stay_open_however_often_they_were_asked_for(
        self, empty_ground
    ):
        ground = empty_ground
        # A hole within the file, and beyond its end half a day, both in one page of the archive.
        ground.add_archive(
            "files",
            {
                "BTC": candles(
                    [ts for ts in every(HOUR, START, at("2025-02-28T12:00")) if ts.hour != 5]
                )
            },
        )
        ground.keep("symbols: {BTC: {}}")
        for _ in range(3):
            outcomes = ground.fill()
            ground.wait(hours=2)

        own = counts(outcomes[2])["BTC"]
        # The hole within the file is open too: one file that does not change is one witness.
        assert (own.outage, own.missing) == (0, 13)
        assert counts(outcomes[0])["BTC"].outage == 0
        assert set(ground.gaps()["status"]) == {"open"}
        assert dict(ground.gaps().select("reason", "bars").rows()) == {
            "files answered without it": 1,
            "no source reaches this far": 12,
        }
        ground.add_archive("files", {"BTC": candles(every(HOUR, START, at("2025-03-01T00:00")))})
        assert ground.fill()[2].rows == 24

    def test_a_silence_that_was_quiet_is_judged_the_same_by_a_fill_of_one_day(self, empty_ground):
        ground = empty_ground
        ground.add_archive(
            "files",
            {"BTC": self.quiet(("2025-02-26T23:20", "2025-02-27T00:40"))},
            quiet_minutes="omitted",
        )
        ground.keep(MINUTES + "symbols: {BTC: {}}\nend: 2025-02-28")
        whole = [counts(outcome)["BTC"] for outcome in ground.fill()]

        days = [
            counts(
                ground.fill(
                    window=Window(at(f"2025-02-{day}T00:00"), at(f"2025-02-{day + 1}T00:00"))
                )[0]
            )["BTC"]
            for day in (26, 27)
        ]

        assert days == whole


class TestPatience:
    """A source that says no for a while, or is not there yet, loses no bar."""

    def every_other_hour(self, ground, times: int) -> None:
        for _ in range(times):
            ground.wait(hours=2)
            ground.fill(only_due=True)

    def test_a_key_that_is_refused_for_a_night_abandons_nothing(self, empty_ground, vendor):
        """Each status has a source and a symbol of its own."""
        ground, statuses = empty_ground, (401, 403, 400)
        for status in statuses:
            ground.add_vendor(f"vendor_{status}", vendor)
        symbols = {f"S{status}": {"sources": [f"vendor_{status}"]} for status in statuses}
        ground.keep(f"symbols: {json.dumps(symbols)}\nend: 2025-04-01")
        ground.fill()
        vendor.set_faults(
            [Fault(fault="error", status=status, symbols=[f"S{status}"]) for status in statuses]
        )
        self.every_other_hour(ground, 6)
        # More often than a source may answer without a bar before it is abandoned.
        failures = ground.table("SELECT symbol, max(failures) FROM ops.gaps GROUP BY symbol").rows()
        assert {symbol for symbol, _ in failures} == set(symbols)
        assert all(times > ground.profile.repair.max_attempts for _, times in failures)
        assert set(ground.gaps()["status"]) == {"open"}
        vendor.set_faults([])
        self.every_other_hour(ground, 1)
        assert ground.gaps().is_empty()
        assert ground.complete()

    def test_an_archive_that_comes_once_a_day_abandons_nothing(self, ground, shared_hours):
        first, whole = shared_hours
        ground.add_archive("archive", {"BTC": first})
        ground.keep("symbols: {BTC: {}}\nend: 2025-04-01\nsources: [archive]")
        ground.fill()
        self.every_other_hour(ground, 6)
        assert set(ground.gaps()["status"]) == {"open"}
        ground.add_archive("archive", {"BTC": whole})
        self.every_other_hour(ground, 1)
        assert ground.gaps().is_empty()

    def test_what_is_older_than_the_legacy_cutoff_is_not_abandoned_before_somebody_has_answered(
        self, ground, vendor
    ):
        vendor.set_faults([Fault(fault="error", status=503)])
        ground.keep("symbols: {BTC: {}}\nrepair: {legacy_cutoff: 2026-01-01}")
        ground.fill()
        assert set(ground.gaps()["status"]) == {"open"}
        vendor.set_faults([hole(at("2025-02-27T10:00"), at("2025-02-27T14:00"))])
        ground.wait(hours=1)
        ground.fill()
        assert ground.gaps().select("bars", "status").rows() == [(4, "abandoned")]


class TestAClockThatIsAhead:
    def update(self, ground: Any, *, emits: bool) -> list[PartitionOutcome]:
        """What a schedule does, with a source that leaves out quiet bars or one that does not."""
        source = build_source(
            "vendor", ground.universe.sources["vendor"], base=ground.folder, kind="crypto"
        )
        source.traits = replace(source.traits, emits_empty_bars=emits)
        return ground.fill(sources={"vendor": source}, only_due=True, recheck=5)

    @pytest.mark.parametrize(
        ("ahead", "emits"),
        [(timedelta(hours=3), True), (timedelta(days=1), False), (timedelta(minutes=50), False)],
    )
    def test_explains_nothing_and_holds_up_nothing_once_it_is_right_again(
        self, ground, clock, ahead, emits
    ):
        # The vendor's clock is right: it has no bar of the time that this machine dreams of.
        ground.keep(MINUTES + "symbols: {BTC: {}, ETH: {}}\nstart: 2025-03-01\nend: 2025-03-05")
        ground.fill()
        wrong = Clock(clock.now + ahead)
        ground.clock, ground.store = wrong, Store(ground.store.path.parent, clock=wrong)
        for _ in range(4):
            clock.now += timedelta(minutes=20)
            wrong.now += timedelta(minutes=20)
            self.update(ground, emits=emits)
        dreamt = "status <> 'open' AND last_ts > '2025-03-01 11:59:00'"
        assert ground.table(f"SELECT * FROM ops.gaps WHERE {dreamt}").is_empty()

        ground.clock, ground.store = clock, Store(ground.store.path.parent, clock=clock)
        ground.wait(minutes=1)
        outcomes = self.update(ground, emits=emits)

        assert all(
            count.missing == count.explained == 0 for one in outcomes for count in one.counts
        )
        assert ground.complete()
        view = ground.table("SELECT explained, missing, health FROM ops.completeness")
        assert view.unique().rows() == [(0, 0, "HEALTHY")]

        # Also whoever was switched off until the stamps lie in the past finds nothing explained.
        clock.now = wrong.now + timedelta(hours=2)
        self.update(ground, emits=emits)
        assert ground.complete()


@pytest.fixture
def shared_hours() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Candles of hours as far as a morning's delivery has them, and as far as the next one."""
    opens = every(timedelta(hours=1), at("2025-02-26T00:00"), at("2025-03-03T00:00"))
    whole = candles(opens)
    return whole.head(3 * 24), whole
