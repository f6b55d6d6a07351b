"""Candles as arrays, by runs: nothing reaches over a bar that is not known."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from market_assets.enrich.features.candles import Candles, array_of

OPENS = datetime.fromisoformat("2025-03-03T14:30")


def candles(*closes: float | None, runs: str = "", sessions: str = "") -> Candles:
    """Hours that open at the close before, with a letter for the run and the session of each."""
    count = len(closes)
    hours = [OPENS + timedelta(hours=place) for place in range(count)]
    opens = [closes[0], *closes[:-1]] if closes else []
    frame = pl.DataFrame(
        {
            "symbol": ["A"] * count,
            "run": list(runs or "a" * count),
            "session": [date(2025, 3, 3 + ord(sign) - 97) for sign in sessions or "a" * count],
            "opens_at": hours,
            "closes_at": [hour + timedelta(minutes=50) for hour in hours],
            "open": opens,
            "high": [close and close + 1 for close in closes],
            "low": [close and close - 1 for close in closes],
            "close": closes,
            "volume": [2.0] * count,
        },
        schema_overrides=dict.fromkeys(("open", "high", "low", "close"), pl.Float64),
    )
    return Candles(frame)


def known(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 9) for value in values]


def test_a_bar_s_place_is_counted_within_its_run():
    assert candles(1, 2, 3, 4, 5, runs="aabbb").place.tolist() == [0, 1, 0, 1, 2]
    assert candles().place.tolist() == []


def test_the_value_before_is_one_of_the_same_run():
    bars = candles(1, 2, 3, 4, 5, runs="aabbb")
    assert known(bars.before(bars.close, 1)) == [None, 1, None, 3, 4]
    assert known(bars.before(bars.close, 2)) == [None, None, None, None, 3]
    assert known(bars.before(bars.close, 9)) == [None] * 5


def test_what_never_happened_in_a_run_is_one_bar_more_than_there_are():
    happened = np.array([True, False, False, False, True, False])
    bars = candles(1, 2, 3, 4, 5, 6, runs="aaabbb")
    assert bars.bars_since(happened).tolist() == [0, 1, 2, 1, 0, 1]
    assert bars.bars_since(np.zeros(6, bool)).tolist() == [1, 2, 3, 1, 2, 3]


def test_a_return_of_a_price_that_is_not_positive_is_unknown():
    assert known(candles(2, 3, 0, 4, 5).returns(1)) == [None, 0.5, None, None, 0.25]
    assert known(candles(2, 3, 6).returns(2)) == [None, None, 2.0]


def test_a_sum_begins_anew_with_each_run():
    bars = candles(1, 2, 3, 4, runs="aabb")
    assert known(bars.total("close", lambda: bars.after(bars.close.copy(), 0), 2))[1] == 3.0
    mean, distance, deviation = bars.mean_close(2)
    assert known(mean) == [None, 1.5, None, 3.5]
    assert known(distance) == [None, 0.5, None, 0.5]
    assert known(deviation) == [None, pytest.approx(0.5), None, pytest.approx(0.5)]


def test_a_mean_of_the_same_prices_does_not_rise():
    assert candles(1, 2, 2, 1).rising.tolist()[1:] == [1.0, 0.0, -1.0]


def test_the_night_is_between_sessions_with_a_pause():
    bars = candles(10, 11, 12, sessions="aab")
    assert known(bars.overnight) == [None, None, 0.0]
    assert known(candles(10, 11, 12).overnight) == [None, None, None]


def test_the_average_price_begins_anew_with_each_session():
    assert known(candles(10, 20, 40, sessions="aab").vwap) == [10.0, 15.0, 40.0]


def test_what_several_features_need_is_made_once():
    bars, made = candles(1, 2), []
    for _ in range(2):
        bars.keep("sum", lambda: made.append("made"))
    assert made == ["made"]
    assert known(array_of(pl.Series([1, None]))) == [1.0, None]
