"""The true candles of a double: the same at the same open, and no two of their numbers alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.sources.testing.candles import NUMBERS, candles_from

START = datetime(2024, 1, 31, 23, 58, tzinfo=UTC)


def test_candles_lie_in_a_row_and_do_not_depend_on_what_was_asked_for():
    three = candles_from(START, Timeframe.M1, 3)
    assert [candle.ts for candle in three] == [START + timedelta(minutes=n) for n in range(3)]
    assert candles_from(START + timedelta(minutes=1), Timeframe.M1, 2) == three[1:]


@pytest.mark.parametrize("timeframe", Timeframe)
def test_every_candle_could_be_one_and_a_swapped_column_shows(timeframe: Timeframe):
    for candle in candles_from(START, timeframe, 200):
        assert candle.low <= min(candle.open, candle.close)
        assert max(candle.open, candle.close) <= candle.high
        assert candle.low <= candle.vwap <= candle.high
        assert candle.taker_buy_volume <= candle.volume
        numbers = candle.numbers(NUMBERS)
        assert len(set(numbers)) == len(numbers)


def test_its_open_is_had_in_every_form():
    (candle,) = candles_from(START, Timeframe.M1, 1)
    assert candle.iso == "2024-01-31T23:58:00Z"
    assert candle.millis == 1000 * candle.seconds == 1706745480000


def test_volumes_may_be_whole():
    whole = candles_from(START, Timeframe.M1, 50, whole_volumes=True)
    parts = candles_from(START, Timeframe.M1, 50)
    assert all(candle.volume == int(candle.volume) for candle in whole)
    assert not any(candle.volume == int(candle.volume) for candle in parts)
