"""The guards of a connection, each against the practice vendor's streams over real sockets."""

from __future__ import annotations

import functools
import time
from datetime import timedelta

import pytest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.practice.book import Market
from market_assets.practice.stream_faults import StreamFault
from market_assets.practice.streams import StreamVendor
from market_assets.sources.vendors.binance_stream import BinanceStream
from market_assets.stream.limits import Limits
from market_assets.stream.stream import NewsKind, Stream
from market_assets_tests.support.manual_timer import ManualTimer, settle, until
from market_assets_tests.support.stream_ground import EVERY, SYMBOLS, at, run, streaming

LOADED = 5.0
"""Seconds that half a second may last on a loaded machine."""


# A connection that cannot be opened ---------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 451])
@run
async def test_a_refusal_for_good_ends_the_stream_with_its_reason(status):
    fault = StreamFault(fault="no_connection", status=status)
    async with streaming("binance", fault) as ground:
        await until(lambda: ground.failure is not None)

        assert isinstance(ground.failure, SourceError)
        assert ground.failure.permanent
        assert f"HTTP {status}" in str(ground.failure)
        assert "binance" in str(ground.failure)


@run
async def test_an_address_that_is_none_ends_the_stream():
    stream = Stream(
        "binance",
        lambda: BinanceStream(Timeframe.M1, "http://127.0.0.1:9"),
        ["BTCUSDT"],
        Timeframe.M1,
        timer=ManualTimer(),
        limits=Limits(gather=0),
    )
    async with stream:
        with pytest.raises(SourceError, match="no connection: InvalidURI"):
            async for _ in stream.batches():
                pass


# A connection that is silent ----------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in EVERY if name != "bybit"])
@run
async def test_a_connection_without_a_frame_is_replaced(name):
    fault = StreamFault(fault="silence", start=at(70), end=at(170))
    async with streaming(name, fault) as ground:
        await ground.connected()
        await ground.timer.advance(400)

        assert any("no frame for" in words for words in ground.told(NewsKind.LOST))
        assert ground.health.reconnects >= 1
        for symbol in ground.symbols:
            bars = ground.bars(symbol)
            assert bars == ground.true_bars(symbol, bars)
            assert {4, 5} <= set(bars)


@run
async def test_a_clock_that_is_set_back_hides_no_dead_connection():
    fault = StreamFault(fault="silence", start=at(70))
    async with streaming("binance", fault) as ground:
        await ground.connected()
        await ground.timer.advance(75)
        ground.timer.set(-timedelta(days=1))
        await ground.timer.advance(120)

        assert any("no frame for" in words for words in ground.told(NewsKind.LOST))
        assert ground.health.reconnects >= 1


@pytest.mark.parametrize("name", ["bybit", "bitfinex", "kraken", "coinbase"])
@run
async def test_heartbeats_are_no_candles(name):
    """Bybit's are the answers to our pings."""
    fault = StreamFault(fault="heartbeats", start=at(70), end=at(280))
    async with streaming(name, fault) as ground:
        await ground.connected()
        await ground.timer.advance(600)

        assert any("no candle of any symbol" in words for words in ground.told(NewsKind.LOST))
        assert not any("no frame" in words for words in ground.told(NewsKind.LOST))
        assert set(ground.doubtful) == set(ground.symbols)
        for symbol in ground.symbols:
            bars = ground.bars(symbol)
            assert bars == ground.true_bars(symbol, bars)
            assert max(bars) >= 8


@pytest.mark.parametrize("name", EVERY)
@run
async def test_a_silent_symbol_is_asked_for_again_and_touches_no_other(name):
    quiet, lively = SYMBOLS[name]
    fault = StreamFault(fault="mute", symbols={quiet}, start=at(65), end=at(400))
    async with streaming(name, fault) as ground:
        await ground.connected()
        asked = len(ground.vendor.asked)
        await ground.timer.advance(600)

        assert ground.health.reconnects == 0
        assert quiet in ground.told(NewsKind.SILENT)[0]
        assert quiet in ground.doubtful
        assert lively not in ground.doubtful
        methods = [str(message) for message in ground.vendor.asked[asked:]]
        assert any("unsub" in text.lower() for text in methods)
        bars = ground.bars(lively)
        assert bars == ground.true_bars(lively, range(min(bars), 10))
        assert 8 in ground.bars(quiet)
        assert ground.health.silent == frozenset()


@run
async def test_a_name_that_binance_accepts_without_knowing_it_is_silent():
    async with streaming("binance", symbols=("BTCUSDT", "NOPEUSDT")) as ground:
        await ground.connected()
        await ground.timer.advance(250)

        assert ground.health.silent == {"NOPEUSDT"}
        assert ground.bars("BTCUSDT") == ground.true_bars("BTCUSDT", range(4))


# Subscriptions that are refused -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bybit", "bitfinex", "kraken", "coinbase"])
@run
async def test_a_symbol_that_is_refused_touches_no_other(name):
    known = SYMBOLS[name][0]
    unknown = {"kraken": "NOPEUSD", "coinbase": "NOPE-USD"}.get(name, "tNOPE")
    async with streaming(name, symbols=(unknown, known)) as ground:
        await ground.timer.advance(200)

        assert list(ground.health.refused) == [unknown]
        assert ground.told(NewsKind.REFUSED)
        assert unknown in ground.doubtful
        assert ground.health.reconnects == 0
        bars = ground.bars(known)
        assert bars == ground.true_bars(known, range(min(bars), 3))


@pytest.mark.parametrize("name", ["bybit", "bitfinex", "kraken", "coinbase"])
@run
async def test_a_symbol_that_is_refused_for_now_is_asked_for_again(name):
    late, other = SYMBOLS[name]
    fault = StreamFault(fault="refuse", symbols={late}, permanent=False, end=at(30))
    async with streaming(name, fault) as ground:
        await ground.timer.advance(200)

        assert sorted(ground.reconnected) == sorted(ground.symbols)
        assert ground.health.refused == {}
        assert "asked again" in ground.told(NewsKind.REFUSED)[0]
        assert 2 in ground.bars(late)
        assert {1, 2} <= set(ground.bars(other))


@pytest.mark.parametrize("name", EVERY)
@run
async def test_a_refusal_of_all_symbols_ends_the_stream(name):
    async with streaming(name, StreamFault(fault="refuse")) as ground:
        await until(lambda: ground.vendor.opened)
        await ground.timer.advance(5)
        await until(lambda: ground.failure is not None)

        assert isinstance(ground.failure, SourceError)
        assert "every symbol is refused" in str(ground.failure)
        assert set(ground.health.refused) == set(ground.symbols)
        assert ground.vendor.opened == 1


@run
async def test_a_vendor_that_does_not_answer_is_left():
    async with streaming("bybit", StreamFault(fault="silence")) as ground:
        for _ in range(3):
            await ground.timer.advance(1)
        client = next(iter(ground.vendor.clients))
        client.spoken.answer = lambda _message: iter(())

        await ground.timer.advance(60)

        assert ground.health.reconnects >= 1


# Its end, and its rules ---------------------------------------------------------------------------


@run
async def test_a_cancellation_closes_every_connection_within_a_second():
    async with streaming("binance") as ground:
        await ground.connected()
        began = time.monotonic()
    assert time.monotonic() - began < LOADED
    await settle()
    assert ground.vendor.clients == set()


@run
async def test_a_vendor_that_does_not_answer_a_goodbye_is_left_within_a_second():
    timer = ManualTimer()
    async with StreamVendor(Market(kind="crypto"), timer) as vendor:
        make = functools.partial(BinanceStream, Timeframe.M1, vendor.url("binance"))
        async with Stream("binance", make, ["BTCUSDT"], Timeframe.M1, timer=timer) as stream:
            await until(lambda: stream.health.connections)
            next(iter(vendor.clients))._socket.transport.pause_reading()
            began = time.monotonic()
        assert 0.4 < time.monotonic() - began < LOADED


@run
async def test_bybit_is_pinged_every_twenty_seconds():
    async with streaming("bybit") as ground:
        await ground.connected()
        await ground.timer.advance(100)

        pings = [message for message in ground.vendor.asked if message["op"] == "ping"]
        assert len(pings) in {4, 5}


@run
async def test_no_more_messages_are_sent_in_a_second_than_the_vendor_allows():
    symbols = tuple(f"S{number}USDT" for number in range(45))
    async with streaming("bybit", symbols=symbols) as ground:
        await until(lambda: ground.vendor.asked)
        await ground.timer.advance(2.05)
        assert 20 <= len(ground.vendor.asked) <= 22
        await ground.timer.advance(3)
        assert sorted(ground.reconnected) == sorted(symbols)
