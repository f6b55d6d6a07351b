"""The features, each by itself: what it is null for, and what it does not depend on."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from market_assets.enrich.features.compute import compute
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.features import ALL, SHORT, candles, column


def test_what_reaches_over_a_gap_is_null_and_all_begins_again_behind_it():
    closes = 100 + np.sin(np.arange(200.0))
    bars = candles(closes, spread=1.0, run=pl.Series([0] * 80 + [1] * 120))
    made, second = compute(bars, SHORT), compute(bars.slice(80), SHORT)
    session = {"vwap"}
    assert_frame_equal(made.slice(80).drop(session), second.drop(session))
    lacks = {
        one.name: second[one.name].null_count()
        for one in SHORT
        if one.name not in {"overnight_return", *session}
    }
    assert lacks == {
        "simple_return_1": 1,
        "simple_return_5": 5,
        "log_return_3": 3,
        "intraday_return": 1,
        "volatility_5": 5,
        "volatility_30": 30,
        "parkinson_7": 6,
        "garman_klass_6": 5,
        "atr_3": 3,
        "rsi_2": 2,
        "rsi_3": 3,
        "macd_2_5_3": 6,
        "macd_signal_2_5_3": 6,
        "macd_hist_2_5_3": 6,
        "bb_upper_8_2_5": 7,
        "bb_middle_8_2_5": 7,
        "bb_lower_8_2_5": 7,
        "sma_4": 3,
        "sma_50": 49,
        "ema_3": 2,
        "ema_9": 8,
        "adx_3": 5,
        "obv_6": 6,
        "mfi_4": 4,
        "zscore_2": 1,
        "zscore_12": 11,
        "volume_ratio_5": 4,
        "drawdown_9": 8,
    }


def test_a_price_that_stands_still_has_no_strength_and_no_score():
    still = candles([100.0] * 50)
    for name in ("rsi_14", "zscore_20", "mfi_14"):
        assert column(still, name) == [None] * 50
    assert column(still, "bb_upper_20_2")[-1] == 100.0
    assert column(still, "volatility_20")[-1] == 0.0
    assert column(still, "drawdown_60") == [None] * 50
    # As TA-Lib, as long as more than rounding is left of the last move; then nothing, where it goes
    # on with that.
    stopped = candles([100.0, 101.0, 100.5] + [100.5] * 40)
    rsi = column(stopped, "rsi_2")
    assert rsi[:2] == [None, None]
    assert rsi[2:22] == pytest.approx([200 / 3] * 20)
    assert rsi[22:] == [None] * 21


@pytest.mark.parametrize("unit", [1.0, 2.0**-40])
def test_the_unit_of_the_price_changes_no_index(unit: float):
    closes = (100 + np.cumsum(np.random.default_rng(3).integers(-2, 3, 300))) * unit
    bars = candles(closes, spread=unit)
    for name in ("rsi_14", "adx_14", "mfi_14", "zscore_20"):
        assert column(bars, name)[-1] == pytest.approx(
            column(bars.with_columns(pl.col("open", "high", "low", "close") / unit), name)[-1]
        )


def test_a_market_without_volume_has_all_features_but_those_of_volume():
    bars = candles(100 + np.sin(np.arange(100.0)), volume=None, spread=1.0)
    made = compute(bars, ALL)
    empty = {name for name in made.columns if made[name].null_count() == len(bars)}
    assert empty == {"obv_20", "mfi_14", "vwap", "volume_ratio_20", "overnight_return"}


def _equity(timeframe: Timeframe = Timeframe.M30) -> pl.DataFrame:
    """Two sessions of New York, prices 100, 101, ...; the second opens 5 above the last close."""
    bars = load_calendar("XNYS").bars(timeframe, Window.of_days(date(2025, 3, 6), date(2025, 3, 8)))
    close = pl.Series(100.0 + np.arange(len(bars)))
    first = bars["session"] == bars["session"][0]
    return bars.select(
        pl.lit("SPY").alias("symbol"),
        "ts",
        "opens_at",
        "closes_at",
        "session",
        open=close.shift(1).fill_null(99.0) + 5.0 * (~first & first.shift(1)).cast(pl.Float64),
        high=close + 6,
        low=close - 6,
        close=close,
        volume=pl.Series(1.0 + np.arange(len(bars))),
        run=pl.lit(0),
    )


def test_what_happens_overnight_is_told_apart_from_what_happens_in_the_session():
    bars = _equity()
    made = compute(bars, ALL)
    opening = int(bars["session"].search_sorted(bars["session"][-1]))
    overnight = made["overnight_return"].to_list()
    last, opened, close = bars["close"][opening - 1], bars["open"][opening], bars["close"][opening]
    assert overnight[opening] == pytest.approx(5 / last)
    assert made["intraday_return"][opening] == pytest.approx(close / opened - 1)
    assert [at for at, value in enumerate(overnight) if value is not None] == [opening]
    both = (1 + made["overnight_return"].fill_null(0)) * (1 + made["intraday_return"]) - 1
    np.testing.assert_allclose(
        both[1:].to_numpy(), made["simple_return_1"][1:].to_numpy(), rtol=1e-9
    )


def test_a_market_that_never_closes_has_no_night():
    assert column(candles(np.arange(1.0, 3000.0)), "overnight_return") == [None] * 2999


def test_the_average_price_by_volume_begins_again_with_each_session():
    bars = _equity()
    average = column(bars, "vwap")
    per_session = len(bars) // 2
    for start in (0, per_session):
        own = bars.slice(start, per_session)
        money = (own["high"] + own["low"] + own["close"]) / 3 * own["volume"]
        expected = (money.cum_sum() / own["volume"].cum_sum()).to_list()
        assert average[start : start + per_session] == pytest.approx(expected)


def test_a_session_of_which_something_is_unknown_has_no_average_price_from_there_on():
    bars = (
        _equity()
        .with_columns(torn=pl.int_range(pl.len()) == 3)
        .with_columns(torn=pl.col("torn").cum_max().over("session"))
    )
    known = [value is not None for value in column(bars, "vwap")]
    half = len(bars) // 2
    assert known == [True] * 3 + [False] * (half - 3) + [True] * half
