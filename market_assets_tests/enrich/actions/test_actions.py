"""Recording corporate actions.

Whose word counts, what does an error or an empty answer leave in place, and what do the prices say
to it?
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.config.sources import action_sources_of
from market_assets.enrich.actions.actions import record_actions, symbols_due
from market_assets.errors import CalendarError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.action_records import NOW, Records, july_records

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from market_assets.store import Store
    from market_assets_tests.conftest import Clock


WEEK = Window(datetime(2024, 6, 3, tzinfo=UTC), datetime(2024, 6, 17, tzinfo=UTC))


@pytest.fixture
def records(tmp_path: Path, store: Store, clock: Clock) -> Records:
    return july_records(tmp_path, store, clock)


def test_two_equal_payments_of_a_day_are_two_and_stay_two_when_they_are_told_again(
    records: Records,
) -> None:
    records.candles("A", ("2024-06-07", 10, 10), ("2024-06-10", 10, 10))
    records.say("first", "A", "2024-06-10,,0.25", "2024-06-10,,0.25")
    assert records.record().new == 3
    for new in (0, 0):
        assert records.record().new == new
        assert records.recorded() == [("2024-06-10", 0.25, "first")] * 2
    with records.store.reading("factors") as view:
        (row,) = (
            view.candles.adjusted(
                Dataset.candles("us", Timeframe.D1), ["A"], WEEK, date(2024, 6, 10)
            )
            .sort("ts")
            .head(1)
            .to_dicts()
        )
    assert row["close"] == pytest.approx(10 - 0.50)

    records.say("first", "A", "2024-06-10,,0.25")
    withdrawn = records.record()
    assert (withdrawn.new, withdrawn.withdrawn) == (0, 1)
    assert records.recorded() == [("2024-06-10", 0.25, "first")]


class TestWhoseWordCounts:
    def test_the_next_source_is_asked_where_one_has_nothing_and_the_preferred_one_takes_over(
        self, records
    ):
        records.say("first", "A")
        records.say("first", "B", "2024-06-10,,0.5")
        records.say("second", "A", "2024-06-10,2,")

        first = records.record()
        assert (first.answers, first.failures, first.new) == ({"A": "second", "B": "first"}, {}, 2)
        assert records.recorded() == [("2024-06-10", 2.0, "second")]

        records.say("first", "A", "2024-06-11,2,")
        then = records.record()
        assert (then.new, then.changed, then.withdrawn) == (1, 0, 1)
        assert records.recorded() == [("2024-06-11", 2.0, "first")]

    def test_an_error_of_the_source_that_was_heard_before_leaves_its_word_in_place(self, records):
        records.say("first", "A", "2024-06-10,2,")
        records.say("first", "B", "2024-06-10,,0.5")
        records.say("second", "A", "2024-06-10,20,")
        records.record()

        records.fall_silent("first", "A")
        outcome = records.record()

        assert list(outcome.failures) == ["A"]
        assert "source first: A in " in outcome.failures["A"][0]
        assert outcome.answers == {"B": "first"}
        assert records.recorded() == [("2024-06-10", 2.0, "first")]
        assert records.recorded("B") == [("2024-06-10", 0.5, "first")]

    def test_one_odd_answer_costs_its_symbol_by_name_and_no_other(self, records):
        (first, second) = records.profile.symbols["A"].actions
        records.say("first", "A", "2024-06-10,4,")
        records.say("first", "B", "2024-06-10,4,")
        sources = action_sources_of(records.universe, records.profile)
        asked = sources[first.source].actions

        async def odd(symbol: str, start: date, end: date) -> pl.DataFrame:
            if symbol == "A":
                raise OverflowError("\ud800 is no date")
            return await asked(symbol, start, end)

        sources[first.source].actions = odd
        outcome = record_actions(records.store, sources, records.profile, clock=records.clock)

        assert outcome.answers == {"B": first.source}
        assert outcome.failures["A"][0] == (
            f"source {first.source}: "
            "A: its actions cannot be used (OverflowError: \N{REPLACEMENT CHARACTER} is no date)"
        )
        assert second.source in outcome.failures["A"][1]

    def test_an_answer_without_actions_withdraws_none(self, records):
        records.say("first", "A", "2024-06-10,2,", "2024-06-20,,0.1")
        records.say("first", "B")
        records.record()
        records.say("first", "A")

        outcome = records.record("A")

        assert "it knows of no action any more" in outcome.failures["A"][0]
        assert len(records.recorded()) == 2

    def test_a_symbol_without_actions_is_answered_when_every_source_has_said_so(self, records):
        for source in ("first", "second"):
            records.say(source, "A")
        records.say("first", "B")

        assert records.record().answers == {"A": "first", "B": "second"}
        records.fall_silent("second", "A")
        outcome = records.record()
        assert outcome.answers == {"B": "second"}
        assert "cannot be read" in outcome.failures["A"][0]

    def test_actions_before_the_start_are_none_of_ours_and_announced_ones_are(self, records):
        records.say(
            "first", "A", "2024-06-02,2,", "2024-06-03,,0.1", "2024-12-01,,0.2", "2029-12-01,,0.2"
        )

        records.record("A")

        assert [row[0] for row in records.recorded()] == ["2024-06-03", "2024-12-01"]

    def test_a_calendar_whose_sessions_begin_the_day_before_is_refused(
        self, tmp_path, store, clock
    ):
        records = Records(tmp_path, store, clock, "calendar: CME Globex Equity")

        with pytest.raises(CalendarError, match="no ex-date can be placed"):
            records.record()


class TestDue:
    def test_each_symbol_is_due_once_a_day_and_one_without_an_answer_at_once(self, records):
        records.say("first", "B", "2024-06-10,,0.5")
        assert symbols_due(records.store, records.profile, records.clock.now) == ["A", "B"]

        records.record()

        now = records.clock.now
        assert symbols_due(records.store, records.profile, now) == ["A"]
        assert symbols_due(records.store, records.profile, now + timedelta(hours=19)) == ["A"]
        assert symbols_due(records.store, records.profile, now + timedelta(hours=21)) == ["A", "B"]

    def test_a_symbol_that_has_ended_is_asked_for_once_more_and_never_again(
        self, tmp_path, store, clock
    ):
        records = Records(tmp_path, store, clock, "end: 2024-07-12")
        clock.now = NOW
        for name in ("A", "B"):
            records.say("first", name, "2024-06-10,2,")
        records.record()
        assert symbols_due(store, records.profile, clock.now + timedelta(days=5)) == ["A", "B"]
        clock.now += timedelta(days=5)
        records.record()

        assert symbols_due(store, records.profile, clock.now + timedelta(days=5)) == []
