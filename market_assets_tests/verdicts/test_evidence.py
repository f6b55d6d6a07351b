"""Every absent bar has evidence.

It is open until something explains it, and nothing that is no proof explains it.
"""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from market_assets.config.settings import EvidenceSettings
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.verdicts.evidence import (
    State,
    believable,
    is_believable,
)
from market_assets_tests.support.absences import (
    COVERAGE,
    NOW,
    at,
    but,
    covered,
    found,
    gap,
    grid,
    ledger,
    present,
    states,
)

# What is known of a bar


def test_what_is_stored_is_stored_and_what_nothing_is_known_of_is_open():
    assert found(but()) == {}
    assert found(but(0, 4, 9)) == {"open": [0, 4, 9]}
    assert found(present()) == {"open": list(range(10))}


def test_no_bars_have_no_states():
    assert states(present(), bars=grid(0)).schema == {
        "symbol": pl.String,
        "ts": TS,
        "state": pl.String,
    }


def test_the_answer_is_in_the_order_of_the_bars():
    bars = grid(10, "A", "B")
    result = states(but(3), bars=bars, coverage=covered((0, 10)))
    assert result.select("symbol", "ts").equals(bars.select("symbol", "ts"))


def test_a_bar_that_somebody_stored_twice_is_one_bar():
    assert states(pl.concat([but(3), present(5)])).height == 10


def test_quiet_minutes_are_no_gap_where_the_source_leaves_them_out_and_has_answered():
    assert found(but(2, 5, 6, 7), coverage=covered((0, 10))) == {"no_trade": [2, 5, 6, 7]}


def test_a_silence_longer_than_the_limit_is_not_quiet():
    assert found(but(2, 3, 4, 5, 8), coverage=covered((0, 10))) == {
        "open": [2, 3, 4, 5],
        "no_trade": [8],
    }


def test_the_limit_is_a_number_of_bars_and_at_least_one():
    hours = EvidenceSettings(quiet_limit=timedelta(hours=1))
    assert [
        hours.quiet_bars(timeframe)
        for timeframe in (Timeframe.M1, Timeframe.M15, Timeframe.H1, Timeframe.D1)
    ] == [
        60,
        4,
        1,
        1,
    ]
    assert found(but(2, 4, 5), coverage=covered((0, 10)), timeframe=Timeframe.D1) == {
        "no_trade": [2],
        "open": [4, 5],
    }


def test_a_source_that_sends_empty_bars_does_not_explain_an_absent_one():
    assert found(but(3), coverage=covered((0, 10), omits=False)) == {"open": [3]}


def test_an_empty_answer_proves_nothing():
    assert found(but(3), coverage=covered((0, 10), bars=0)) == {"open": [3]}
    mixed = pl.concat([covered((0, 5)), covered((5, 10), bars=0)])
    assert found(but(3, 6), coverage=mixed) == {"no_trade": [3], "open": [6]}


def test_only_what_was_answered_for_is_quiet():
    assert found(but(1, 5, 8), coverage=covered((0, 5), (6, 8))) == {
        "no_trade": [1],
        "open": [5, 8],
    }


def test_a_silence_goes_on_over_the_border_of_two_answers():
    for answers in ([(0, 5), (5, 10)], [(0, 6), (4, 10)], [(0, 10), (3, 5)], [(3, 5), (0, 10)]):
        coverage = covered(*answers)
        assert found(but(4, 5, 6), coverage=coverage) == {"no_trade": [4, 5, 6]}
        assert found(but(3, 4, 5, 6), coverage=coverage) == {"open": [3, 4, 5, 6]}


def test_the_answers_of_one_symbol_say_nothing_of_another():
    bars, stored = grid(10, "A", "B"), but(3)
    result = states(stored, bars=bars, coverage=covered((0, 10), symbol="B")).filter(
        pl.col("state") != State.STORED
    )
    assert result.filter(pl.col("symbol") == "A")["state"].to_list() == ["open"]


def test_a_silence_ends_with_its_symbol():
    bars = grid(4, "A", "B")
    stored = pl.concat([present(0, 1), present(2, 3, symbol="B")])
    coverage = pl.concat([covered((0, 4)), covered((0, 4), symbol="B")])
    assert states(stored, bars=bars, coverage=coverage)["state"].to_list() == [
        *["stored"] * 2,
        *["no_trade"] * 4,
        *["stored"] * 2,
    ]


def test_a_silence_is_measured_in_bars_of_the_calendar():
    weeks = Window.of_days(date(2025, 3, 6), date(2025, 3, 12))
    bars = (
        load_calendar("XNYS")
        .bars(Timeframe.M1, weeks)
        .select(pl.lit("A").alias("symbol"), "ts", "halted")
    )
    friday_close = bars["ts"].search_sorted(at("2025-03-07 21:00"))
    absent = [
        friday_close - 2,
        friday_close - 1,
        friday_close,
    ]  # two minutes of Friday and one of Monday
    stored = bars.with_row_index().filter(~pl.col("index").is_in(absent)).select("symbol", "ts")
    answered = pl.DataFrame(
        [("A", *(edge.replace(tzinfo=None) for edge in (weeks.start, weeks.end)), 5, True)],
        schema=COVERAGE,
        orient="row",
    )
    assert found(stored, bars=bars, coverage=answered) == {"no_trade": absent}
    wider = stored.filter(pl.col("ts") != bars["ts"][friday_close + 1])
    assert found(wider, bars=bars, coverage=answered) == {"open": [*absent, friday_close + 1]}


def test_a_bar_in_a_halt_of_the_whole_market_is_explained_by_the_calendar():
    bars = grid(halted=range(4, 7))
    assert found(but(3, 4, 5, 6), bars=bars) == {"open": [3], "halted": [4, 5, 6]}
    assert found(but(5), bars=bars) == {"halted": [5]}
    # The halt is not part of the silence around it.
    assert found(but(3, 4, 5, 6, 7), bars=bars, coverage=covered((0, 10)))["no_trade"] == [3, 7]


@pytest.mark.parametrize("status", [State.OUTAGE, State.NO_TRADE, State.ABANDONED])
def test_what_was_settled_stays_settled(status: State):
    assert found(but(1, 2, 3, 4), known=ledger(gap(2, 3, status))) == {
        "open": [1, 4],
        status: [2, 3],
    }
    assert found(but(2), known=ledger(gap(2, 3, status))) == {status: [2]}
    assert found(but(), known=ledger(gap(2, 3, status))) == {}


def test_what_is_open_in_the_ledger_is_open():
    assert found(but(2, 3), known=ledger(gap(2, 3, State.OPEN))) == {"open": [2, 3]}
    assert found(but(2, 3), known=ledger(gap(2, 3, State.OPEN)), coverage=covered((0, 10))) == {
        "no_trade": [2, 3]
    }


# The ledger


def test_what_was_noted_after_the_present_instant_counts_as_never_noted():
    second = timedelta(seconds=1)
    noted = pl.DataFrame(
        {"at": [None, NOW, NOW + 30 * second, NOW + 90 * second]},
        schema={"at": pl.Datetime("us", "UTC")},
    )
    noted = noted.with_columns(pl.col("at").dt.replace_time_zone(None))

    # Clocks of machines differ by a little.
    assert believable(noted, NOW, "at").equals(noted.head(3))
    assert is_believable(NOW + 30 * second, NOW)
    assert not is_believable(NOW + 90 * second, NOW)
