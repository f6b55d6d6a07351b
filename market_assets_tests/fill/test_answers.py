"""What sources were asked for and what they answered."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from market_assets.config.settings import Severity
from market_assets.market.timeframes import Window
from market_assets.practice.faults import Fault
from market_assets_tests.support.fill_ground import at, counts, every, verdict

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MINUTES = "timeframes: {fetch: [1m]}\n"


class TestAnswersThatAreNone:
    faults = (
        (Fault(fault="html"), "not JSON"),
        (Fault(fault="truncated"), "cut off"),
        (Fault(fault="cut"), "broken connection"),
        (Fault(fault="redirect"), "redirected to"),
        (Fault(fault="huge", size="40MB"), "more than max_body"),
        (Fault(fault="drip", seconds=0.2), "not complete after 1.5 s"),
        (Fault(fault="delay", seconds=30), "not complete after 1.5 s"),
        (Fault(fault="error", status=200, code=-1000, message="Overloaded."), "-1000 Overloaded"),
        (Fault(fault="error", status=200, code=-1100, message="Illegal."), "-1100 Illegal"),
        (Fault(fault="error", status=500), "HTTP 500"),
        (Fault(fault="error", status=403, message="Forbidden."), "HTTP 403"),
    )

    def test_their_days_fail_with_a_reason_that_says_what_was_asked_and_all_others_are_filled(
        self, empty_ground, slow_vendor
    ):
        ground, vendor = empty_ground, slow_vendor
        # One request at a time, so that everything is asked after what went wrong before it.
        ground.add_vendor("vendor", vendor, total_timeout=1.5, concurrency=1)
        ground.keep(MINUTES + "symbols: {BTC: {}, ETH: {start: 2025-02-26}}\nstart: 2025-02-11")
        ground.fill(window=Window(at("2025-02-11T00:00"), at("2025-02-12T00:00")))
        # Every second page has one.
        starts = every(2000 * MINUTE, at("2025-02-12T00:00"), at("2025-02-27T00:00"))
        struck = [Window(start, start + 1000 * MINUTE) for start in starts]
        vendor.set_faults(
            [
                fault.model_copy(
                    update={
                        "symbols": frozenset({"BTC"}),
                        "start": page.start,
                        "end": page.start + MINUTE,
                    }
                )
                for (fault, _), page in zip(self.faults, struck, strict=True)
            ]
        )

        outcomes = {outcome.partition.key: outcome for outcome in ground.fill()}

        days = set()
        for page, (_, words) in zip(struck, self.faults, strict=True):
            touched = {page.start.date().isoformat(), (page.end - MINUTE).date().isoformat()}
            days |= touched
            for day in touched:
                said = [
                    failure
                    for failure in outcomes[day].failures
                    if f"source vendor: BTC 1m {page}: " in failure
                ]
                assert len(said) == 1, outcomes[day].failures
                assert words in said[0]
        assert {key for key, outcome in outcomes.items() if not outcome.filled} == days
        assert ground.absent("BTC") == sorted(
            ts for page in struck for ts in every(MINUTE, page.start, page.end)
        )
        assert ground.absent("ETH") == []
        assert ground.job()["status"] == "INCOMPLETE"

        vendor.set_faults([])
        assert all(outcome.filled for outcome in ground.fill())
        assert ground.absent("BTC") == []

    def test_a_vendor_that_wants_to_be_left_alone_for_an_hour_is_left_alone(self, ground, vendor):
        ground.keep("symbols: {BTC: {}, ETH: {}}")
        ground.fill(window=Window(at("2025-02-26T00:00"), at("2025-02-27T00:00")))
        vendor.log.clear()
        vendor.set_faults([Fault(fault="error", status=429, code=-1003, retry_after=3600)])

        outcomes = ground.fill()

        assert len(vendor.log) <= 2
        assert [outcome.filled for outcome in outcomes] == [True, False, False]
        assert "HTTP 429" in outcomes[1].failures[1]

    @pytest.mark.parametrize("newest_first", [False, True])
    def test_a_page_that_repeats_the_one_before_is_no_answer(self, ground, vendor, newest_first):
        ground.add_vendor("vendor", vendor, concurrency=1)
        ground.keep(MINUTES + "symbols: {BTC: {}}")
        edge = "2025-02-26" if newest_first else "2025-02-28"
        other = Window(at("2025-02-27T00:00"), at("2025-02-28T00:00"))
        ground.fill(window=other)
        vendor.set_faults([Fault(fault="repeat", **_day(edge), times=1)])

        outcomes = {
            outcome.partition.key: outcome for outcome in ground.fill(newest_first=newest_first)
        }

        assert not outcomes[edge].filled
        assert "source vendor: BTC 1m" in outcomes[edge].failures[1]
        assert {key for key, outcome in outcomes.items() if outcome.filled} == set(outcomes) - {
            edge
        }

    def test_an_empty_answer_for_a_whole_day_does_not_fill_it(self, ground, vendor):
        vendor.set_faults(
            [Fault(fault="short", rows=0, start=at("2025-02-26T00:00"), end=at("2025-03-01T00:00"))]
        )
        ground.keep("symbols: {BTC: {}, ETH: {}}")

        outcomes = ground.fill()

        assert [outcome.filled for outcome in outcomes] == [False, False, False]
        assert outcomes[0].failures == (
            "not one of 48 expected bars is stored or explained (BTC, ETH)",
        )
        assert ground.job()["status"] == "INCOMPLETE"

    def test_an_unknown_symbol_is_asked_for_once_and_the_others_are_filled(self, ground, vendor):
        unknown = {"status": 400, "code": -1121, "message": "Invalid symbol."}
        vendor.set_faults([Fault(fault="error", symbols=["NOPE"], **unknown)])
        ground.keep(MINUTES + "symbols: {BTC: {}, NOPE: {}, ETH: {}}")

        outcomes = ground.fill()

        assert [entry["status"] for entry in vendor.log if entry["symbol"] == "NOPE"] == [400]
        assert ground.absent("BTC") == ground.absent("ETH") == []
        for outcome in outcomes:
            assert outcome.filled
            judged = verdict(outcome, "continuity")
            assert (judged.passed, judged.severity) == (False, Severity.ERROR)
            assert "Nothing at all of NOPE: source vendor: NOPE 1m" in judged.summary
            assert "-1121 Invalid symbol" in judged.summary
            assert counts(outcome)["BTC"].missing == counts(outcome)["ETH"].missing == 0
        assert ground.job()["status"] == "SUCCEEDED"

    def test_a_refetch_that_no_source_answered_is_no_success(self, ground, vendor):
        ground.keep("symbols: {BTC: {}}")
        ground.fill()
        rows = ground.rows()
        vendor.set_faults([Fault(fault="error")])

        outcomes = ground.fill(refetch=True)

        assert [outcome.filled for outcome in outcomes] == [False, False, False]
        assert outcomes[0].failures[0] == "nobody answered when bars were asked for again (BTC)"
        assert "HTTP 503" in outcomes[0].failures[1]
        assert all(verdict(outcome, "continuity").passed for outcome in outcomes)
        assert ground.rows().equals(rows)


def _day(text: str) -> dict[str, datetime]:
    start = at(f"{text}T00:00")
    return {"start": start, "end": start + timedelta(days=1)}
