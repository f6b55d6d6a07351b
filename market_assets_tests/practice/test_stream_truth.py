"""The truth of the practice vendor's streams: that of its REST side."""

from __future__ import annotations

from decimal import Decimal

import httpx
import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.practice.book import Market
from market_assets.practice.simulate import Instrument
from market_assets.practice.stream_truth import Truth
from market_assets.practice.vendor import PracticeVendor
from market_assets_tests.support.manual_timer import START
from market_assets_tests.support.stream_ground import FIRST

MARKET = Market(
    symbols={
        "BTCUSDT": Instrument(),
        "ETHUSDT": Instrument(lot=1),
        "SOLUSDT": Instrument(lot=0.00000001),
    },
    seed=3,
)


@pytest.mark.parametrize("symbol", MARKET.symbols)
def test_the_truth_is_that_of_the_rest_side_bit_by_bit(symbol):
    with PracticeVendor(MARKET, lambda: START) as vendor:
        query = f"symbol={symbol}&interval=1m&startTime={FIRST - 500 * 60_000}&limit=500"
        rows = httpx.get(f"{vendor.url}/api/v3/klines?{query}").json()
    truth = Truth(MARKET)

    for row in rows[:-1]:
        bar = truth.final(symbol, Timeframe.M1, row[0])
        assert [*map(float, row[1:6])] == [*bar[2:7]]
        assert (float(row[7]), row[8], float(row[9])) == bar[7:]
        assert bar.ends_at - 1 == row[6]


@pytest.mark.parametrize("symbol", MARKET.symbols)
def test_the_trades_of_a_minute_add_up_to_its_bar(symbol):
    truth = Truth(MARKET)
    numbers = []
    for minute in range(FIRST, FIRST + 300 * 60_000, 60_000):
        trades = truth.trades(symbol, minute)
        bar = truth.final(symbol, Timeframe.M1, minute)
        prices = [trade.price for trade in trades]

        assert (prices[0], max(prices), min(prices), prices[-1]) == bar[2:6]
        assert float(sum(Decimal(trade.size) for trade in trades)) == bar.volume
        assert all(Decimal(trade.size) > 0 for trade in trades)
        assert all(minute <= trade.at < minute + 60_000 for trade in trades)
        numbers += [trade.number for trade in trades]
    assert numbers == [*range(numbers[0], numbers[0] + len(numbers))]


def test_a_bar_that_stands_open_has_no_more_than_its_beginning():
    truth = Truth(MARKET)

    bar = truth.standing("BTCUSDT", Timeframe.M1, FIRST, FIRST + 30_000)
    final = truth.final("BTCUSDT", Timeframe.M1, FIRST)

    assert bar.open == bar.high == bar.low == bar.close == final.open
    assert bar.volume == pytest.approx(final.volume / 2)
    assert truth.standing("BTCUSDT", Timeframe.M1, FIRST, FIRST + 60_000) == final


def test_longer_bars_are_streamed_too():
    truth = Truth(MARKET)

    hour = truth.final("BTCUSDT", Timeframe.H1, FIRST)
    minutes = [truth.final("BTCUSDT", Timeframe.M1, FIRST + n * 60_000) for n in range(60)]

    assert hour.high == max(bar.high for bar in minutes)
    assert hour.close == minutes[-1].close


def test_what_is_kept_in_memory_is_bounded():
    truth = Truth(MARKET)
    for hours in range(0, 100, 2):
        truth.final("BTCUSDT", Timeframe.M1, FIRST + hours * 3_600_000)

    assert len(truth._blocks["BTCUSDT", Timeframe.M1]) <= 4


def test_a_symbol_that_is_not_traded_is_not_there():
    assert not Truth(MARKET).has("NOPE")
    assert Truth(Market(kind="crypto")).has("ANYTHING")
