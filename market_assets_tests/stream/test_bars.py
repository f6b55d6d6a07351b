"""From candles and trades to closed bars: what is passed on, what is not, and who is named."""

from __future__ import annotations

from decimal import Decimal

import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.sources.streaming import Beat, Candle, Closing, Trade
from market_assets.stream.bars import Bars, Minutes

MINUTE = 60_000_000
FIRST = 1_741_003_200_000_000
"""2025-03-03 12:00 UTC."""


def state(minute, volume=1.0, *, closed=False, close=10.0, symbol="A"):
    return Candle(symbol, FIRST + minute * MINUTE, 10.0, 12.0, 9.0, close, volume, closed)


def passed(bars, *candles):
    """The bars that are passed on: minute, volume, and whether each is a revision."""
    return [
        ((bar.candle.ts - FIRST) // MINUTE, bar.candle.volume, bar.is_revision)
        for candle in candles
        for bar in bars.take(candle, candle.ts + MINUTE)
    ]


@pytest.fixture
def flagged():
    return Bars(Timeframe.M1, Closing.FLAG)


@pytest.fixture
def following():
    return Bars(Timeframe.M1, Closing.NEXT)


# Bars whose vendor says that they are closed ------------------------------------------------------


def test_a_bar_is_passed_on_when_it_is_said_to_be_closed(flagged):
    assert passed(flagged, state(0, 1), state(0, 2), state(0, 3, closed=True)) == [(0, 3, False)]


def test_an_unfinished_bar_is_never_passed_on_and_its_symbol_is_named_once(flagged):
    assert passed(flagged, state(0, 1), state(1, 1), state(2, 1, closed=True)) == [(2, 1, False)]

    assert flagged.overdue(FIRST + 2 * MINUTE + 4_000_000) == ["A"]
    assert flagged.overdue(FIRST + 2 * MINUTE + 4_500_000) == []
    assert flagged.overdue(FIRST + 2 * MINUTE + 5_000_000) == ["A"]


def test_a_flag_that_comes_after_its_symbol_was_named_still_counts(flagged):
    passed(flagged, state(0, 1))
    assert flagged.overdue(FIRST + 3 * MINUTE) == ["A"]

    assert passed(flagged, state(0, 2, closed=True)) == [(0, 2, False)]


def test_what_comes_twice_or_late_changes_nothing(flagged):
    candles = [
        state(0, 3, closed=True),
        state(0, 3, closed=True),
        state(0, 2),
        state(1, 1),
        state(0, 2.5),
    ]

    assert passed(flagged, *candles) == [(0, 3, False)]
    assert flagged.counts == {"duplicate": 1, "late": 2}


def test_a_bar_that_was_closed_with_other_values_is_a_revision(flagged):
    assert passed(flagged, state(0, 3, closed=True), state(0, 2, closed=True)) == [
        (0, 3, False),
        (0, 2, True),
    ]


def test_closed_bars_may_come_in_any_order(flagged):
    assert passed(flagged, *(state(minute, closed=True) for minute in (2, 0, 1))) == [
        (2, 1, False),
        (0, 1, False),
        (1, 1, False),
    ]


def test_a_bar_that_is_left_out_is_missed_where_every_bar_comes():
    gapless = Bars(Timeframe.M1, Closing.FLAG, is_gapless=True)

    passed(gapless, state(5, closed=True), state(6, closed=True), state(4, closed=True))
    assert gapless.lost() == set()
    passed(gapless, state(8, closed=True))
    assert gapless.lost() == {"A"}
    passed(gapless, state(7, closed=True), state(9, closed=True))
    assert gapless.lost() == set()


def test_what_is_older_than_the_memory_is_left_to_rest(flagged):
    assert passed(flagged, state(100, closed=True), state(69, closed=True)) == [(100, 1, False)]
    assert flagged.counts == {"old": 1}


def test_the_memory_stays_small(flagged):
    passed(flagged, *(state(minute, closed=True) for minute in range(1000)))
    passed(flagged, *(state(minute) for minute in range(1000, 2000)))

    series = flagged._series["A"]
    assert len(series.closed) <= 60
    assert len(series.open) <= 61


# Bars that a newer one closes ---------------------------------------------------------------------


def test_a_bar_is_passed_on_when_a_newer_one_opens(following):
    assert passed(following, state(0, 1), state(0, 2), state(1, 0)) == [(0, 2, False)]


def test_a_bar_may_be_closed_by_one_that_opens_much_later(following):
    assert passed(following, state(0, 1), state(7, 1)) == [(0, 1, False)]


def test_less_volume_is_an_older_state_of_the_bar(following):
    candles = [state(0, 2), state(0, 1), state(1, 1), state(0, 1.5), state(0, 2)]

    assert passed(following, *candles) == [(0, 2, False)]
    assert following.counts == {"late": 2, "duplicate": 1}


def test_more_volume_after_the_close_is_a_revision(following):
    assert passed(following, state(0, 2), state(1, 1), state(0, 3)) == [
        (0, 2, False),
        (0, 3, True),
    ]


def test_a_snapshot_with_the_newest_bar_first_closes_the_older_ones(following):
    assert passed(following, state(2, 1), state(1, 5), state(0, 4)) == [
        (1, 5, False),
        (0, 4, False),
    ]


def test_after_a_break_what_was_unfinished_before_is_not_passed_on(following):
    passed(following, state(0, 2))
    following.forget_unfinished(["A", "never met"])

    assert passed(following, state(1, 1)) == []


def test_a_bar_that_comes_again_after_the_break_is_passed_on(following):
    passed(following, state(0, 2))
    following.forget_unfinished(["A"])

    assert passed(following, state(0, 4), state(1, 1)) == [(0, 4, False)]


def test_a_bar_whose_last_change_may_have_been_missed_is_not_passed_on(following):
    passed(following, state(0, 2))
    following.distrust_unfinished(["A", "never met"])

    assert passed(following, state(1, 1)) == []
    assert following.lost() == {"A"}
    assert following.lost() == set()


def test_a_bar_that_comes_again_is_trusted_again(following):
    passed(following, state(0, 2))
    following.distrust_unfinished(["A"])

    assert passed(following, state(0, 3), state(1, 1)) == [(0, 3, False)]
    assert following.lost() == set()


def test_a_bar_without_a_newer_one_is_named(following):
    passed(following, state(0, 2), state(0, 2, symbol="B"), state(1, 2, symbol="B"))

    assert following.overdue(FIRST + MINUTE + 5_000_000) == ["A"]


# What cannot be ----------------------------------------------------------------------------------


def test_a_candle_off_the_grid_is_a_fault(flagged):
    candle = Candle("A", FIRST + 1, 1.0, 1.0, 1.0, 1.0, 1.0, closed=True)

    assert "off the 1m grid" in flagged.fault(candle, FIRST)
    assert flagged.fault(state(0), FIRST) is None


def test_a_candle_of_the_future_is_a_fault_that_asks_for_the_clock(flagged):
    assert "clock" in flagged.fault(state(1), FIRST)
    assert flagged.fault(state(1), FIRST + MINUTE - 29_000_000) is None


def test_weeks_open_on_mondays_and_days_at_midnight():
    monday = 1_740_960_000_000_000

    week = Candle("A", monday, 1.0, 1.0, 1.0, 1.0, 1.0, closed=True)
    assert Bars(Timeframe.W1, Closing.FLAG).fault(week, monday) is None
    assert Bars(Timeframe.D1, Closing.FLAG).fault(week, monday) is None
    assert Bars(Timeframe.D1, Closing.FLAG).fault(state(0), FIRST) is not None


# Trades -------------------------------------------------------------------------------------------


def trade(number, second, price=10.0, size="1", symbol="A"):
    return Trade(symbol, number, FIRST + round(second * 1e6), price, Decimal(size))


def beat(second, last):
    return Beat("A", FIRST + round(second * 1e6), last)


def made(minutes, *events):
    """The minutes that are made, each with its values, when an event comes as it happens."""
    candles = []
    for event in events:
        take = minutes.trade if isinstance(event, Trade) else minutes.beat
        candles += take(event, event.at)
    return [((c.ts - FIRST) // MINUTE, c.open, c.high, c.low, c.close, c.volume) for c in candles]


@pytest.fixture
def minutes():
    """Minutes that have seen the last trade of the minute before the first."""
    minutes = Minutes(Timeframe.M1)
    assert made(minutes, trade(100, -5)) == []
    return minutes


def test_trades_add_up_to_their_minute_exactly(minutes):
    trades = [
        trade(101, 1, 10, "0.1"),
        trade(102, 2, 13, "0.2"),
        trade(103, 3, 9, "0.30000001"),
        trade(104, 59.9, 11, "0.1"),
    ]

    assert made(minutes, *trades, trade(105, 60)) == [(0, 10, 13, 9, 11, 0.70000001)]
    assert minutes.lost() == set()


def test_a_heartbeat_of_the_next_minute_closes_a_minute(minutes):
    assert made(minutes, trade(101, 1), beat(59, 101), beat(60.5, 101)) == [(0, 10, 10, 10, 10, 1)]


def test_a_minute_without_a_trade_has_no_bar(minutes):
    events = [trade(101, 1), beat(61, 101), beat(121, 101), trade(102, 130), beat(181, 102)]

    assert [bar[0] for bar in made(minutes, *events)] == [0, 2]
    assert minutes.lost() == set()


def test_the_minute_in_which_it_began_is_not_whole_and_is_named():
    minutes = Minutes(Timeframe.M1)

    assert made(minutes, trade(7, 30), trade(8, 31), trade(9, 61), trade(10, 121)) == [
        (1, 10, 10, 10, 10, 1)
    ]
    assert minutes.lost() == {"A"}


def test_a_trade_that_comes_twice_counts_once(minutes):
    events = [trade(101, 1), trade(101, 1), trade(102, 61), trade(101, 1), trade(102, 61)]

    assert made(minutes, *events, beat(121, 102)) == [
        (0, 10, 10, 10, 10, 1),
        (1, 10, 10, 10, 10, 1),
    ]


def test_trades_that_are_missing_may_come_within_the_grace(minutes):
    assert made(minutes, trade(101, 1), trade(103, 61), trade(102, 2, 7), trade(104, 62)) == [
        (0, 10, 10, 7, 7, 2)
    ]
    assert minutes.lost() == set()


def test_a_minute_with_a_hole_in_its_numbers_is_not_passed_on_and_is_named(minutes):
    assert made(minutes, trade(101, 1), trade(103, 61)) == []

    assert minutes.overdue(FIRST + 65_000_000) == []
    assert minutes.overdue(FIRST + 67_000_000) == []
    assert minutes.lost() == {"A"}
    # The trade that is missing may have been one of the next minute, which is not whole either.
    assert made(minutes, trade(104, 121), trade(105, 181)) == [(2, 10, 10, 10, 10, 1)]


def test_a_trade_that_only_a_heartbeat_names_makes_the_minute_doubtful(minutes):
    assert made(minutes, trade(101, 1), beat(2, 102)) == []

    assert minutes.overdue(FIRST + 6_000_000) == []
    assert minutes.lost() == set()
    assert minutes.overdue(FIRST + 8_000_000) == []
    assert minutes.lost() == {"A"}
    assert [bar[0] for bar in made(minutes, trade(103, 61), trade(104, 121))] == []


def test_it_does_not_matter_over_which_connection_a_trade_came(minutes):
    before = [trade(101, 1), trade(102, 20)]
    after = [trade(102, 20), trade(103, 40), trade(104, 61)]

    assert made(minutes, *before, *after) == [(0, 10, 10, 10, 10, 3)]


def test_heartbeats_of_strangers_and_without_a_number_are_nothing(minutes):
    assert minutes.beat(Beat(), FIRST) == []
    assert minutes.beat(Beat("B", FIRST, 5), FIRST) == []
    assert minutes.beat(Beat("A"), FIRST) == []
