"""How a share of symbols is kept connected, against the practice vendor over real sockets."""

from __future__ import annotations

import functools
import random
from datetime import timedelta
from itertools import pairwise

import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.practice.stream_faults import StreamFault
from market_assets.sources.vendors.binance_stream import BinanceStream
from market_assets.stream.stream import NewsKind, Stream
from market_assets_tests.support.manual_timer import until
from market_assets_tests.support.stream_ground import EVERY, at, run, streaming


@pytest.mark.parametrize("name", EVERY)
@run
async def test_a_connection_that_breaks_is_opened_again_and_the_gap_is_told(name):
    fault = StreamFault(fault="drop", start=at(150), times=1)
    async with streaming(name, fault) as ground:
        await ground.connected()
        await ground.timer.advance(430)

        first, second = sorted(ground.symbols)
        assert ground.reconnected == [first, first, second, second]
        assert ground.health.reconnects == 1
        assert ground.vendor.opened == 2
        for symbol in ground.symbols:
            bars = ground.bars(symbol)
            assert bars == ground.true_bars(symbol, bars)
            assert set(bars) >= {0, 1, 3, 4, 5, 6} - ({2, 3} if name == "coinbase" else set())


@run
async def test_what_was_unfinished_at_the_break_is_not_passed_on_by_a_later_bar():
    """Bitfinex never says that a bar is closed: the next one would close what is left."""
    away = StreamFault(fault="no_connection", start=at(100), end=at(130))
    fault = StreamFault(fault="drop", start=at(100), times=1)
    async with streaming("bitfinex", fault, away, backoff_cap=20.0) as ground:
        await ground.connected()
        await ground.timer.advance(300)

        for symbol in ground.symbols:
            bars = ground.bars(symbol)
            assert 1 not in bars
            assert bars == ground.true_bars(symbol, bars)


@run
async def test_the_waits_between_attempts_double_with_full_jitter_and_have_a_longest():
    away = StreamFault(fault="no_connection", status=503)
    async with streaming("binance", away, backoff=2.0, backoff_cap=60.0) as ground:
        for _ in range(2400):
            await ground.timer.advance(0.5)

        lost = [news.at for news in ground.news if news.kind is NewsKind.LOST]
        waits = [(after - before).total_seconds() for before, after in pairwise(lost)]
        longest = [min(2.0 * 2**failures, 60) for failures in range(1, len(waits) + 1)]
        assert all(wait <= most + 1 for wait, most in zip(waits, longest, strict=True))
        assert max(waits) > 30
        assert min(waits[6:]) < 20
        assert 20 < len(waits) < 80


@run
async def test_a_vendor_that_is_busy_is_left_alone_for_as_long_as_it_says():
    fault = StreamFault(fault="no_connection", status=429, times=1)
    async with streaming("binance", fault) as ground:
        await until(lambda: ground.health.reconnects == 1)
        await ground.timer.advance(59)
        assert ground.vendor.opened == 0
        await ground.timer.advance(3)
        await until(lambda: ground.vendor.opened == 1)


@run
async def test_a_server_that_is_not_there_is_tried_again():
    async with streaming("binance") as ground:
        make = functools.partial(BinanceStream, Timeframe.M1, "ws://127.0.0.1:9/stream")
        stream = Stream(
            "binance",
            make,
            ["BTCUSDT"],
            Timeframe.M1,
            timer=ground.timer,
            generator=random.Random(1),  # noqa: S311
        )
        async with stream:
            await until(lambda: stream.health.reconnects == 1)
            await ground.timer.advance(10)
            await until(lambda: stream.health.reconnects >= 2)


@pytest.mark.parametrize("name", EVERY)
@run
async def test_a_connection_is_replaced_before_the_vendor_cuts_it(name):
    life = timedelta(minutes=10)
    fault = StreamFault(fault="cut", seconds=600)
    async with streaming(name, fault, traits={"life": life}, ahead=60.0) as ground:
        await ground.connected()
        await ground.timer.advance(1500)

        assert ground.health.hand_overs in {2, 3}
        assert ground.health.reconnects == 0
        assert ground.reconnected == sorted(ground.symbols)
        assert len(ground.vendor.clients) == 1
        for symbol in ground.symbols:
            bars = ground.bars(symbol)
            assert bars == ground.true_bars(symbol, range(min(bars), 25))
        assert ground.health.revisions == 0


@pytest.mark.parametrize("name", ["binance", "binance-usdm", "bitfinex"])
@run
async def test_a_notice_of_a_shutdown_brings_the_second_connection_first(name):
    fault = StreamFault(fault="shutdown", start=at(200), end=at(230), seconds=40)
    async with streaming(name, fault) as ground:
        await ground.connected()
        await ground.timer.advance(203)
        await ground.timer.advance(300)

        assert ground.health.hand_overs >= 1
        assert ground.health.reconnects == 0
        assert ground.reconnected == sorted(ground.symbols)
        assert any("about to end" in words for words in ground.told(NewsKind.REPLACING))
        for symbol in ground.symbols:
            assert ground.bars(symbol) == ground.true_bars(symbol, range(8))


@run
async def test_a_replacement_that_cannot_be_opened_is_tried_again_while_the_first_serves():
    life = timedelta(minutes=10)
    away = StreamFault(fault="no_connection", start=at(400), end=at(500))
    cut = StreamFault(fault="cut", seconds=600)
    async with streaming("binance", cut, away, traits={"life": life}, ahead=120.0) as ground:
        await ground.connected()
        await ground.timer.advance(800)

        assert ground.health.hand_overs == 1
        assert ground.health.reconnects == 0
        for symbol in ground.symbols:
            assert ground.bars(symbol) == ground.true_bars(symbol, range(13))


@run
async def test_a_first_connection_that_breaks_during_the_replacement_is_a_gap():
    life = timedelta(minutes=10)
    away = StreamFault(fault="no_connection", start=at(300), end=at(700))
    cut = StreamFault(fault="cut", seconds=600)
    async with streaming("binance", cut, away, traits={"life": life}, ahead=120.0) as ground:
        await ground.connected()
        await ground.timer.advance(900)

        assert ground.health.reconnects >= 1
        assert len(ground.reconnected) == 4
        for symbol in ground.symbols:
            bars = ground.bars(symbol)
            assert bars == ground.true_bars(symbol, bars)
            assert 13 in bars


@pytest.mark.parametrize("name", EVERY)
@run
async def test_a_cut_without_a_notice_is_a_gap_that_is_told(name):
    async with streaming(name, StreamFault(fault="cut", seconds=200, times=1)) as ground:
        await ground.connected()
        await ground.timer.advance(400)

        assert ground.health.reconnects == 1
        assert len(ground.reconnected) == 4
        assert any("1001" in words for words in ground.told(NewsKind.LOST))


@run
async def test_connections_are_opened_no_faster_than_the_vendor_allows():
    symbols = tuple(f"tS{number}USD" for number in range(60))
    traits = {"opening": (1, 30.0)}
    async with streaming("bitfinex", symbols=symbols, traits=traits) as ground:
        await ground.timer.advance(5)
        await until(lambda: ground.vendor.opened == 1)
        await ground.timer.advance(20)
        assert ground.vendor.opened == 1
        await ground.timer.advance(40)
        await until(lambda: ground.vendor.opened == 3)
        await ground.timer.advance(10)
        assert ground.health.connections == 3
        assert sorted(ground.reconnected) == sorted(symbols)
