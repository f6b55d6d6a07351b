"""A stream as a whole: batches, what it says of holes, and every fault of a vendor at once."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from market_assets.market.columns import EXTRA_NAMES
from market_assets.market.timeframes import Timeframe
from market_assets.practice.stream_faults import StreamFault
from market_assets.sources.streaming import Candle, Closing
from market_assets.sources.vendors.binance_stream import BinanceStream
from market_assets.stream.bars import Bar
from market_assets.stream.limits import Limits
from market_assets.stream.stream import BAR_SCHEMA, NewsKind, Stream, frame_of
from market_assets_tests.support.manual_timer import ManualTimer, until
from market_assets_tests.support.stream_ground import EVERY, FORMATS, at, run, streaming

# Batches ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
@run
async def test_the_bars_of_a_vendor_are_its_truth_bit_by_bit(name):
    async with streaming(name) as ground:
        await ground.connected()
        await ground.timer.advance(400)

        for symbol in ground.symbols:
            assert ground.bars(symbol) == ground.true_bars(symbol, range(6))
        assert ground.doubtful == {}
        assert ground.health.bars == 12
        assert ground.health.faults == 0
        assert ground.told(NewsKind.FAULT) == []


@run
async def test_a_batch_has_the_columns_of_candles_and_when_they_were_known():
    async with streaming("binance") as ground:
        await ground.connected()
        await ground.timer.advance(65)

        frame = next(batch.bars for batch in ground.batches if len(batch.bars))
        assert frame.schema == BAR_SCHEMA
        assert frame.columns == [
            *("symbol", "ts", "open", "high", "low", "close", "volume"),
            *EXTRA_NAMES,
            *("received_at", "is_revision"),
        ]
        assert frame["symbol"].to_list() == ["BTCUSDT", "ETHUSDT"]
        assert frame["trades"].min() > 0
        assert frame["received_at"].unique().to_list() == [at(60).replace(tzinfo=None)]
        assert not frame["is_revision"].any()


@run
async def test_a_stream_without_bars_still_says_how_it_is():
    async with streaming("binance", pulse=10.0) as ground:
        await ground.connected()
        before = len(ground.batches)
        await ground.timer.advance(45)

        assert len(ground.batches) - before in {4, 5}
        assert ground.batches[-1].health.connections == 1
        assert all(batch.bars.is_empty() for batch in ground.batches)


@run
async def test_bars_that_come_together_are_one_batch():
    async with streaming("kraken", gather=1.0) as ground:
        await ground.connected()
        await ground.timer.advance(62)

        assert [len(batch.bars) for batch in ground.batches if len(batch.bars)] == [2]


@run
async def test_a_burst_is_one_batch_as_soon_as_every_symbol_has_given_its_bar():
    async with streaming("binance", gather=50.0, lull=50.0) as ground:
        await ground.connected()
        await ground.timer.advance(61)

        assert [len(batch.bars) for batch in ground.batches if len(batch.bars)] == [2]


@run
async def test_a_burst_without_a_symbol_is_over_after_a_lull():
    mute = StreamFault(fault="mute", symbols=frozenset({"ETHUSDT"}), start=at(30))
    async with streaming("binance", mute, gather=50.0, lull=0.5) as ground:
        await ground.connected()
        await ground.timer.advance(61)

        assert [len(batch.bars) for batch in ground.batches if len(batch.bars)] == [1]


@run
async def test_a_stop_gives_what_is_there_and_ends():
    mute = StreamFault(fault="mute", symbols=frozenset({"ETHUSDT"}), start=at(30))
    async with streaming("binance", mute, gather=90.0, lull=90.0) as ground:
        await until(lambda: ground.health.connections)
        await ground.timer.advance(61)
        before = sum(len(batch.bars) for batch in ground.batches)
        ground.stream.stop()
        collected = len(ground.batches)
        await until(lambda: len(ground.batches) > collected)

        assert before == 0
        assert sum(len(batch.bars) for batch in ground.batches) == 1


@run
async def test_after_its_time_it_ends_with_what_it_has():
    async with streaming("binance", total=timedelta(minutes=3), gather=1.0) as ground:
        await ground.connected()
        await ground.timer.advance(400)

        assert ground.failure is None
        assert ground.stream._tasks
        assert max(ground.bars("BTCUSDT")) in {2, 3}
        assert ground.batches[-1].health.bars == sum(len(batch.bars) for batch in ground.batches)


@run
async def test_its_time_is_over_to_the_second():
    async with streaming("binance", total=timedelta(seconds=73), pulse=50.0) as ground:
        await ground.connected()
        await ground.timer.advance(75)

        assert ground.ended_at is not None
        assert ground.ended_at <= at(74)


@run
async def test_bars_that_nobody_fetches_are_bounded_counted_and_left_to_rest():
    mute = StreamFault(fault="mute", symbols=frozenset({"ETHUSDT"}), start=at(30))
    async with streaming("binance", mute, buffer=3, gather=490.0, lull=490.0) as ground:
        await until(lambda: ground.health.connections)
        await ground.timer.advance(480)
        assert ground.health.dropped == 5
        ground.stream.stop()
        collected = len(ground.batches)
        await until(lambda: len(ground.batches) > collected)

        last = next(batch for batch in ground.batches[collected:] if len(batch.bars))
        assert len(last.bars) == 3
        assert "in time" in last.doubtful["BTCUSDT"]
        assert last.health.dropped == 5


@run
async def test_the_gap_is_told_before_the_bars_behind_it():
    """Whoever asks from the last committed bar would else begin behind the gap."""
    async with streaming("binance", StreamFault(fault="drop", start=at(150), times=1)) as ground:
        await ground.connected()
        await ground.timer.advance(400)

        told = False
        for batch in ground.batches:
            told = told or (bool(batch.reconnected) and batch.health.reconnects == 1)
            bars = batch.bars.filter(pl.col("received_at") > at(150).replace(tzinfo=None))
            assert told or bars.is_empty()
        assert told


@run
async def test_a_bar_that_is_revised_within_a_batch_comes_once_as_it_is_then():
    fault = StreamFault(fault="revision", seconds=2, times=1, symbols={"BTCUSDT"}, start=at(60))
    mute = StreamFault(fault="mute", symbols=frozenset({"ETHUSDT"}), start=at(30))
    async with streaming("binance", fault, mute, gather=5.0, lull=5.0) as ground:
        await ground.connected()
        await ground.timer.advance(70)

        rows = [row for batch in ground.batches for row in batch.bars.iter_rows(named=True)]
        (bar,) = [row for row in rows if row["symbol"] == "BTCUSDT"]
        assert bar["is_revision"]
        assert ground.bars("BTCUSDT") == ground.true_bars("BTCUSDT", [0])


@run
async def test_symbols_that_are_too_many_are_left_to_rest():
    traits = {"symbols": 1, "connections": 1}
    async with streaming("binance", traits=traits) as ground:
        await ground.timer.advance(3)
        await until(lambda: ground.reconnected)

        assert ground.reconnected == ["BTCUSDT"]
        assert "no more connections" in ground.doubtful["ETHUSDT"]


@run
async def test_a_fault_of_a_format_itself_is_raised():
    class Broken(BinanceStream):
        def read(self, frame):
            raise RuntimeError(f"a bug over {frame[:1]}")

    async with streaming("binance") as ground:
        stream = Stream(
            "binance",
            lambda: Broken(Timeframe.M1, ground.vendor.url("binance")),
            ["BTCUSDT"],
            Timeframe.M1,
            timer=ManualTimer(),
            limits=Limits(gather=0),
        )
        async with stream:
            with pytest.raises(RuntimeError, match="a bug"):
                async for _ in stream.batches():
                    pass


def test_no_bars_are_a_frame_too():
    assert frame_of([]).schema == BAR_SCHEMA
    candle = Candle("A", 60_000_000, 1.0, 1.0, 1.0, 1.0, 1.0, closed=True)
    assert frame_of([Bar(candle, 120_000_000, is_revision=True)]).row(0)[-1] is True


# Faults -------------------------------------------------------------------------------------------


FAULTS = {
    "duplicate": {},
    "late": {"seconds": 25},
    "swap": {},
    "revision": {"seconds": 30},
    "empty": {},
    "truncated": {"every": 3},
    "wrong_types": {"every": 3},
    "stranger": {},
    "slow": {"seconds": 0.1},
    "unclosed": {"every": 2},
    "mute": {},
    "silence": {},
    "drop": {"times": 2},
}
UNREADABLE = {"truncated", "wrong_types"}
"""Behind them the last change of a bar may be lost: then it is wrong until REST has been asked."""

UNSEEN = {("bitfinex", "unclosed"), ("kraken", "unclosed")}
"""A last change that never comes, where no message says that a bar is closed: REST alone knows."""


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", EVERY)
@run
async def test_no_fault_makes_a_wrong_bar_or_a_hole_that_is_not_told(name, fault):
    if (name, fault) in UNSEEN:
        pytest.skip("no stream can know it")
    struck = StreamFault(fault=fault, start=at(115), end=at(370), **FAULTS[fault])
    async with streaming(name, struck, update=10) as ground:
        await ground.connected()
        await ground.timer.advance(900)

        for symbol in ground.symbols:
            bars = ground.bars(symbol)
            true_bars = ground.true_bars(symbol, range(15))
            wrong = [minute for minute in true_bars if bars.get(minute) != true_bars[minute]]
            assert [minute for minute in wrong if not ground.is_asked(symbol, minute)] == []
            assert set(range(10, 15)) <= set(bars)
            if fault not in UNREADABLE:
                assert bars == ground.true_bars(symbol, bars)


@pytest.mark.parametrize("name", ["bitfinex", "kraken"])
@run
async def test_a_bar_whose_last_change_cannot_be_read_is_not_passed_on(name):
    fault = StreamFault(fault="truncated", start=at(120), end=at(121))
    async with streaming(name, fault) as ground:
        await ground.connected()
        await ground.timer.advance(300)

        for symbol in ground.symbols:
            assert ground.bars(symbol) == ground.true_bars(symbol, [0, 2, 3, 4])
            assert ground.is_asked(symbol, 1)


@pytest.mark.parametrize("name", ["bitfinex", "kraken"])
@run
async def test_a_change_after_the_close_that_cannot_be_read_is_asked_for(name):
    late = StreamFault(fault="late", seconds=5, start=at(120), end=at(121))
    truncated = StreamFault(fault="truncated", start=at(125), end=at(126))
    async with streaming(name, late, truncated) as ground:
        await ground.connected()
        await ground.timer.advance(300)

        for symbol in ground.symbols:
            assert ground.is_asked(symbol, 1)


@pytest.mark.parametrize("name", ["binance", "bybit"])
@run
async def test_a_bar_of_which_nothing_comes_at_all_is_missed(name):
    """For less time than it takes to be silent."""
    async with streaming(name, StreamFault(fault="mute", start=at(115), end=at(245))) as ground:
        await ground.connected()
        await ground.timer.advance(400)

        assert ground.told(NewsKind.SILENT) == []
        for symbol in ground.symbols:
            assert set(ground.bars(symbol)) == {0, 4, 5}
            assert all(ground.is_asked(symbol, minute) for minute in (1, 2, 3))


@pytest.mark.parametrize("name", EVERY)
@run
async def test_what_comes_twice_or_out_of_order_or_in_pieces_leaves_nothing_to_ask(name):
    faults = [
        StreamFault(fault=fault, start=at(115), end=at(500), **FAULTS[fault])
        for fault in ("duplicate", "empty", "stranger", "slow")
    ]
    async with streaming(name, *faults) as ground:
        await ground.connected()
        await ground.timer.advance(600)

        assert ground.doubtful == {}
        assert ground.reconnected == sorted(ground.symbols)
        for symbol in ground.symbols:
            assert ground.bars(symbol) == ground.true_bars(symbol, range(10))
        assert ground.health.faults > 0
        assert any("nobody asked for" in words for words in ground.told(NewsKind.FAULT))
        if FORMATS[name].traits.closing is Closing.FLAG:
            assert ground.health.duplicates > 0


@pytest.mark.parametrize("name", ["binance", "bitfinex", "coinbase"])
@run
async def test_all_faults_at_once_leave_no_wrong_bar_that_is_not_asked_for(name):
    faults = [
        StreamFault(fault=fault, every=every, end=at(3600), **settings)
        for fault, every, settings in (
            ("duplicate", 5, {}),
            ("late", 7, {"seconds": 4}),
            ("swap", 11, {}),
            ("revision", 13, {"seconds": 7}),
            ("empty", 17, {}),
            ("truncated", 53, {}),
            ("wrong_types", 61, {}),
            ("stranger", 71, {}),
            ("drop", 97, {}),
        )
    ]
    async with streaming(name, *faults, update=30) as ground:
        await ground.connected()
        await ground.timer.advance(3600 + 600)

        assert ground.failure is None
        assert ground.health.reconnects >= 1
        for symbol in ground.symbols:
            bars, true_bars = ground.bars(symbol), ground.true_bars(symbol, range(70))
            wrong = [minute for minute in true_bars if bars.get(minute) != true_bars[minute]]
            assert [minute for minute in wrong if not ground.is_asked(symbol, minute)] == []
            assert set(range(64, 70)) <= set(bars)
            assert len(wrong) < 35
