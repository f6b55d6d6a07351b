"""The verdict on corporate actions, held against the candles."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from market_assets.alerts.facts import store_troubles
from market_assets.enrich.actions.actions import judge_actions
from market_assets_tests.support.action_records import NOW, Records, july_records

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.store import Store
    from market_assets_tests.conftest import Clock


NIGHTS = [
    ("2024-07-01", 400, 400),
    ("2024-07-02", 101, 100),
    ("2024-07-03", 100, 100),
    ("2024-07-05", 99, 99),
]


@pytest.fixture
def records(tmp_path: Path, store: Store, clock: Clock) -> Records:
    return july_records(tmp_path, store, clock)


def test_actions_that_nobody_has_told_of_for_days_are_a_trouble(records):
    def told() -> list[tuple[str, str, tuple[str, ...]]]:
        with records.store.reading("troubles") as view:
            found = store_troubles(view, records.universe, records.clock.now)
        return [
            (one.level.value, one.summary, one.symbols)
            for one in found
            if one.subject == "corporate_actions"
        ]

    records.say("first", "B", "2024-06-10,,0.5")
    records.record()
    with records.store.writing("a job") as transaction:
        transaction.jobs.start(
            {
                "job_id": "x",
                "run_id": None,
                "kind": "fill",
                "profile": "us",
                "timeframe": "1d",
                "symbols": [],
                "start_ts": NOW,
                "end_ts": NOW,
                "trigger": "manual",
                "host": "h",
                "process": 1,
            },
            {},
        )
    assert told() == []

    records.clock.now += timedelta(days=2)
    records.record()

    words = "no source has told of the corporate actions of A for days"
    assert told() == [("WARNING", words, ("A",))]


class TestJudgement:
    def verdict(self, records: Records) -> Any:
        records.record()
        return judge_actions(records.store, records.profile, records.clock.now)[1]

    def test_prices_that_move_as_the_actions_say_pass(self, records):
        records.say("first", "A", "2024-07-02,4,", "2024-07-05,,0.5")
        records.say("first", "B", "2024-07-05,,0.5")
        records.candles("A", *NIGHTS)

        verdict = self.verdict(records)

        assert verdict.passed
        assert (
            verdict.summary == "The raw prices moved as the splits say, which are 1, "
            "and over no other of 3 nights by half."
        )
        assert verdict.facts["splits_seen_in_prices"] == 1

    @pytest.mark.parametrize(
        ("lines", "told", "of_prices"),
        [
            (["2024-07-02,4,", "2024-07-03,4,"], 4.0, 1.0),  # doubled on the next day
            (["2024-07-02,4,", "2024-07-02,4.0001,"], 16.0004, 3.9604),  # doubled on the same day
            (["2024-07-02,0.25,"], 0.25, 3.9604),  # the wrong way round
            (["2024-07-03,1.5,"], 1.5, 1.0),
        ],
    )
    def test_a_split_that_the_prices_do_not_know_is_an_error_with_both_figures(
        self, records, lines, told, of_prices
    ):
        records.say("first", "A", *lines)
        records.say("first", "B", "2024-07-05,,0.5")
        records.candles("A", *NIGHTS)

        verdict = self.verdict(records)

        assert (verdict.passed, verdict.severity.value) == (False, "ERROR")
        row = verdict.tables["splits_not_in_prices"][0]
        assert (row["symbol"], row["ratio_told"], row["ratio_of_prices"]) == (
            "A",
            pytest.approx(told),
            of_prices,
        )
        assert "Splits that do not agree with the raw prices" in verdict.summary

    def test_a_jump_without_an_action_is_a_warning(self, records):
        records.say("first", "A", "2024-07-05,,0.5")
        records.say("first", "B", "2024-07-05,,0.5")
        records.candles("A", *NIGHTS)

        verdict = self.verdict(records)

        assert (verdict.passed, verdict.severity.value) == (False, "WARN")
        (row,) = verdict.tables["jumps_without_action"]
        assert (row["session"], row["close_before"], row["open"]) == ("2024-07-02", 400.0, 101.0)

    def test_a_move_over_a_gap_in_the_candles_is_no_jump_over_night(self, records):
        records.say("first", "A", "2024-07-05,,0.5")
        records.say("first", "B", "2024-07-05,,0.5")
        records.candles("A", NIGHTS[0], NIGHTS[2], NIGHTS[3])

        assert self.verdict(records).passed

    def test_a_dividend_without_a_close_is_a_warning_that_says_what_to_backfill(self, records):
        records.say("first", "A", "2024-07-01,,0.5")
        records.say("first", "B", "2024-07-05,,0.5")
        records.candles("A", ("2024-06-03", 10, 10), ("2024-07-05", 10, 10))

        verdict = self.verdict(records)

        assert (verdict.passed, verdict.severity.value) == (False, "WARN")
        assert verdict.tables["dividends_without_close"] == [
            {"symbol": "A", "ex_date": "2024-07-01"}
        ]
        assert "backfill candles_1d" in verdict.summary

    def test_dividends_in_two_currencies_are_a_warning_because_nothing_is_converted(self, records):
        records.say("first", "A")
        lines = ["ex_date,amount,currency", "2024-07-03,0.5,USD", "2024-07-05,0.5,EUR", ""]
        (records.folder / "first" / "A.csv").write_text("\n".join(lines))
        records.say("first", "B", "2024-07-05,,0.5")
        records.candles("A", *NIGHTS[1:])

        verdict = self.verdict(records)

        assert (verdict.passed, verdict.severity.value) == (False, "WARN")
        assert verdict.tables["several_currencies"] == [{"symbol": "A", "currencies": "EUR, USD"}]
        assert "Nothing is converted" in verdict.summary

    def test_a_symbol_that_no_source_has_told_of_is_an_error(self, records):
        records.say("first", "A", "2024-07-02,4,")
        records.fall_silent("second", "B")
        records.candles("A", *NIGHTS)

        verdict = self.verdict(records)

        assert (verdict.passed, verdict.severity.value) == (False, "ERROR")
        assert verdict.tables["symbols_without_answer"] == [{"symbol": "B"}]

    def test_candles_that_are_adjusted_already_are_recognised(self, records):
        records.say("first", "A", "2024-07-02,4,", "2024-07-05,2,")
        records.say("first", "B", "2024-07-05,,0.5")
        records.candles("A", *((day, 100, 100) for day, _, _ in NIGHTS))

        assert "look as if they were adjusted already" in self.verdict(records).summary
