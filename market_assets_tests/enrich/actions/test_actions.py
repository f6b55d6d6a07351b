"""Recording corporate actions.

Whose word counts, what does an error or an empty answer leave in place, and what do the prices say
to it?
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from market_assets.alerts.facts import store_troubles
from market_assets.config.load import load_universe
from market_assets.config.sources import action_sources_of
from market_assets.enrich.actions.actions import judge_actions, record_actions, symbols_due
from market_assets.errors import CalendarError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window, midnight

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.enrich.actions.actions import ActionsOutcome
    from market_assets.store import Store
    from market_assets_tests.conftest import Clock

NOW = datetime(2024, 7, 10, 12, tzinfo=UTC)
UNIVERSE = """
sources:
  archive: {{path: "{{symbol}}.csv"}}
  first: {{type: action_files, path: "first/{{symbol}}.csv"}}
  second: {{type: action_files, path: "second/{{symbol}}.csv"}}
profiles:
  us:
    kind: EQUITY
    start: 2024-06-03
    timeframes: {{fetch: [1d]}}
    sources: [archive]
    actions: [first, second]
    symbols: {{A: {{}}, B: {{}}}}
    {more}
"""


WEEK = Window(datetime(2024, 6, 3, tzinfo=UTC), datetime(2024, 6, 17, tzinfo=UTC))


class Records:
    """A universe of two symbols, `A` and `B`, whose actions are asked of two folders of files."""

    def __init__(self, folder: Path, store: Store, clock: Clock, more: str = "") -> None:
        path = folder / "universe.yaml"
        path.write_text(UNIVERSE.format(more=more))
        self.folder, self.store, self.clock = folder, store, clock
        self.universe = load_universe(path, environ={})
        self.profile = self.universe.profiles["us"]

    def say(self, source: str, symbol: str, *lines: str) -> None:
        (self.folder / source).mkdir(exist_ok=True)
        (self.folder / source / f"{symbol}.csv").write_text(
            "\n".join(["ex_date,ratio,amount", *lines, ""])
        )

    def fall_silent(self, source: str, symbol: str) -> None:
        (self.folder / source / f"{symbol}.csv").unlink()

    def record(self, *symbols: str) -> ActionsOutcome:
        self.clock.now += timedelta(days=1)
        sources = action_sources_of(self.universe, self.profile)
        return record_actions(
            self.store, sources, self.profile, clock=self.clock, symbols=symbols or None
        )

    def recorded(self, symbol: str = "A") -> list[tuple[Any, ...]]:
        with self.store.reading("what is recorded") as view:
            rows = view.actions.of("us").filter(
                pl.col("symbol") == symbol, pl.col("replaced_at").is_null()
            )
        return [
            (f"{row['ex_date']}", row["ratio"] or row["amount"], row["source"])
            for row in rows.to_dicts()
        ]

    def candles(self, symbol: str, *bars: tuple[str, float, float]) -> None:
        """Daily candles: session, open and close."""
        rows = [
            (
                symbol,
                datetime.fromisoformat(day),
                open_,
                max(open_, close),
                min(open_, close),
                close,
                100.0,
                "raw",
            )
            for day, open_, close in bars
        ]
        columns = {
            "symbol": pl.String,
            "ts": TS,
            **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64),
            "source": pl.String,
        }
        window = Window(midnight(date(2024, 6, 1)), midnight(date(2024, 8, 1)))
        with self.store.writing("candles") as transaction:
            transaction.candles.create(Dataset.candles("us", Timeframe.D1), derived=False)
            transaction.candles.merge(
                Dataset.candles("us", Timeframe.D1),
                [symbol],
                window,
                pl.DataFrame(rows, schema=columns, orient="row"),
            )


@pytest.fixture
def records(tmp_path: Path, store: Store, clock: Clock) -> Records:
    clock.now = NOW
    made = Records(tmp_path, store, clock)
    made.say("second", "B", "2024-06-10,,0.5")
    return made


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


NIGHTS = [
    ("2024-07-01", 400, 400),
    ("2024-07-02", 101, 100),
    ("2024-07-03", 100, 100),
    ("2024-07-05", 99, 99),
]


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
