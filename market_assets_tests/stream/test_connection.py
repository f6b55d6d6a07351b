"""The guards of a connection, each against the practice vendor's streams over real sockets."""

from __future__ import annotations

import functools
import random
import time
from datetime import timedelta
from itertools import pairwise

import pytest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.practice.book import Market
from market_assets.practice.stream_faults import StreamFault
from market_assets.practice.streams import StreamVendor
from market_assets.sources.vendors.binance_stream import BinanceStream
from market_assets.stream.connection import Limits
from market_assets.stream.stream import NewsKind, Stream
from market_assets_tests.support.manual_timer import ManualTimer, settle, until
from market_assets_tests.support.stream_ground import EVERY, SYMBOLS, at, run, streaming

LOADED = 5.0
"""Seconds that half a second may last on a loaded machine."""


# A connection that breaks -------------------------------------------------------------------------


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


# A connection whose time is over ------------------------------------------------------------------


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
