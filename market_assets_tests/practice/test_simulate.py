"""Simulated candles are the same, whatever is asked for.

They are whole in every timeframe, and exist only when the market is open.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
from market_assets.practice.simulate import Instrument, Simulation

NOW = datetime(2024, 12, 1, tzinfo=UTC)
MONDAY = datetime(2024, 3, 4, tzinfo=UTC)
KINDS = ["crypto", "equity", "futures", "forex"]
CANDLE = ["ts", "open", "high", "low", "close", "volume"]


def simulation(
    kind: str = "crypto", symbol: str = "ABC", seed: int = 1, **more: object
) -> Simulation:
    return Simulation(seed, symbol, Instrument(kind=kind, **more).completed(kind, symbol))


def window(start: datetime, length: timedelta) -> Window:
    return Window(start, start + length)


@given(st.integers(-200_000, 200_000), st.integers(1, 3000))
def test_a_bar_is_the_same_whatever_window_was_asked_for(offset, count):
    source = simulation()
    start = MONDAY + timedelta(minutes=offset)
    some = source.candles(Timeframe.M1, window(start, timedelta(minutes=count)), NOW)
    more = source.candles(
        Timeframe.M1, window(start - timedelta(minutes=777), timedelta(minutes=count + 999)), NOW
    )

    assert some.height == count
    assert more.slice(777, count).equals(some)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "timeframe", [Timeframe.M5, Timeframe.H1, Timeframe.H4, Timeframe.D1, Timeframe.W1]
)
def test_a_longer_bar_is_made_of_its_minutes(kind, timeframe):
    source = simulation(kind)
    long = source.candles(timeframe, window(MONDAY, timedelta(days=14)), NOW)
    minutes = source.candles(
        Timeframe.M1, window(MONDAY - timedelta(days=7), timedelta(days=28)), NOW
    )
    bars = source._calendar.bars(timeframe, window(MONDAY, timedelta(days=14)))

    assert long["ts"].to_list() == (bars["ts"].dt.timestamp("ms")).to_list()
    for bar, (opens, closes) in zip(
        long.iter_rows(named=True),
        bars.select(pl.col("opens_at", "closes_at").dt.timestamp("ms")).iter_rows(),
        strict=True,
    ):
        its = minutes.filter((pl.col("ts") >= opens) & (pl.col("ts") < closes))
        assert bar["open"] == its["open"][0]
        assert bar["high"] == its["high"].max()
        assert bar["low"] == its["low"].min()
        assert bar["close"] == its["close"][-1]
        assert bar["volume"] == pytest.approx(its["volume"].sum())
        assert bar["trades"] == its["trades"].sum()


@pytest.mark.parametrize("kind", KINDS)
def test_it_trades_when_its_calendar_does_and_at_no_other_time(kind):
    source = simulation(kind)
    week = window(MONDAY, timedelta(days=14))  # across the change of clocks of 2024-03-10

    minutes = source.candles(Timeframe.M1, week, NOW)["ts"]

    expected = load_calendar(source.instrument.calendar).expected(Timeframe.M1, week)
    assert minutes.to_list() == expected.dt.timestamp("ms").to_list()
    assert (minutes.len() == 14 * 1440) == (kind == "crypto")


@pytest.mark.parametrize("kind", KINDS)
def test_prices_are_whole_ticks_that_print_short_and_make_sense(kind):
    source = simulation(kind)
    year = source.candles(
        Timeframe.D1, window(datetime(2023, 1, 1, tzinfo=UTC), timedelta(days=365)), NOW
    )
    minutes = source.candles(Timeframe.M1, window(MONDAY, timedelta(days=3)), NOW)

    for frame in (year, minutes):
        prices = frame.select("open", "high", "low", "close").to_numpy()
        assert (prices > 0).all()
        assert (
            frame["high"] >= frame.select(pl.max_horizontal("open", "close", "low")).to_series()
        ).all()
        assert (frame["low"] <= frame.select(pl.min_horizontal("open", "close")).to_series()).all()
        assert (frame["volume"] > 0).all()
        tick = source.instrument.tick
        assert np.allclose(prices / tick, np.rint(prices / tick), atol=1e-6)
        assert max(len(repr(float(price))) for price in prices.flat) <= 9
    assert year["close"].min() / source.instrument.price > 0.5
    assert year["close"].max() / source.instrument.price < 2
    assert minutes["close"].n_unique() > 20


def test_another_seed_or_symbol_is_another_history():
    day = window(MONDAY, timedelta(days=1))
    closes = [
        simulation(symbol=symbol, seed=seed, price=100)
        .candles(Timeframe.M1, day, NOW)["close"]
        .to_list()
        for symbol, seed in [("ABC", 1), ("ABC", 2), ("XYZ", 1), ("ABC", 1)]
    ]

    assert closes[0] == closes[3]
    assert closes[0] != closes[1] != closes[2] != closes[0]


def test_nothing_trades_before_the_genesis():
    genesis = MONDAY + timedelta(hours=7, minutes=30)
    source = simulation(genesis=genesis)
    days = window(MONDAY, timedelta(days=2))

    assert source.candles(Timeframe.M1, days, NOW)["ts"][0] == genesis.timestamp() * 1000
    assert source.candles(Timeframe.D1, days, NOW)["ts"].to_list() == [
        (MONDAY + timedelta(days=1)).timestamp() * 1000
    ]


def test_the_bar_that_is_open_is_there_and_unfinished_and_none_after_it():
    source = simulation()
    now = MONDAY + timedelta(hours=5, minutes=10, seconds=30)
    day = window(MONDAY, timedelta(days=1))

    minute, later_minute = (source.candles(Timeframe.M1, day, until) for until in (now, NOW))
    hour, later_hour = (source.candles(Timeframe.H1, day, until) for until in (now, NOW))

    assert minute.height == 311
    assert minute[:-1].equals(later_minute[:310])
    assert minute["open"][-1] == minute["close"][-1] == later_minute["open"][310]
    assert minute["volume"][-1] == pytest.approx(later_minute["volume"][310] / 2, abs=0.01)
    assert hour.height == 6
    assert hour[:-1].equals(later_hour[:5])
    assert hour["closes_at"][-1] == later_hour["closes_at"][5]
    assert hour["close"][-1] == minute["close"][-1]
    assert 0 < hour["volume"][-1] < later_hour["volume"][5]


@pytest.mark.parametrize("seconds", [0, 1, 59])
def test_a_minute_that_has_just_opened_has_only_a_price(seconds):
    now = MONDAY + timedelta(seconds=seconds)
    bar = simulation().candles(Timeframe.M1, window(MONDAY, timedelta(hours=1)), now)

    assert bar.height == 1
    assert bar["high"][0] == bar["low"][0] == bar["open"][0]


def test_a_market_that_is_closed_or_unknown_by_its_calendar_has_no_bars():
    weekend = window(MONDAY - timedelta(days=2), timedelta(days=1))

    assert simulation("equity").candles(Timeframe.M1, weekend, NOW).is_empty()
    assert (
        simulation("equity")
        .candles(Timeframe.M1, window(datetime(1800, 1, 1, tzinfo=UTC), timedelta(days=1)), NOW)
        .is_empty()
    )


def test_what_is_not_said_of_an_instrument_follows_from_its_kind():
    spy = Instrument(kind="equity", price=580).completed("crypto", "SPY")
    other = Instrument().completed("forex", "EURUSD")

    assert (spy.calendar, spy.price, spy.tick, spy.lot) == ("XNYS", 580, 0.01, 1)
    assert (other.calendar, other.tick) == ("FOREX", 0.00001)
    assert 0.5 < other.price < 2.3
