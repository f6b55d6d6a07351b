"""The contract of a stream: a third party's in thirty lines, and frames that nobody can read."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import build_source, source_types
from market_assets.sources.streaming import (
    Beat,
    Candle,
    Closing,
    Event,
    Fault,
    Refused,
    StreamFormat,
    Streaming,
    StreamTraits,
    Subscribed,
    candle,
    encoded,
    from_millis,
    micros_of,
    unknown,
)
from market_assets.sources.vendors.binance_stream import BinanceStream
from market_assets.sources.vendors.bitfinex_stream import BitfinexStream
from market_assets.sources.vendors.bybit_stream import BybitStream
from market_assets.sources.vendors.coinbase_stream import CoinbaseStream
from market_assets.sources.vendors.kraken_stream import KrakenStream


class TickerStream(StreamFormat):
    """What the docstring of the module shows to a third party."""

    address = "wss://stream.example.com/v1"
    traits = StreamTraits(
        timeframes=frozenset({Timeframe.M1}),
        closing=Closing.FLAG,
        emits_empty_bars=True,
        symbols=200,
        messages=5,
        life=timedelta(hours=24),
    )

    def subscribe(self, symbols):
        return [encoded({"op": "subscribe", "args": [f"candle1m:{name}" for name in symbols]})]

    def unsubscribe(self, symbols):
        return [encoded({"op": "unsubscribe", "args": [f"candle1m:{name}" for name in symbols]})]

    def events(self, message):
        match message:
            case {"event": "subscribed", "symbol": symbol}:
                yield Subscribed((symbol,))
            case {"event": "error", "symbol": symbol, "message": words}:
                yield Refused((symbol,), words, permanent=True)
            case {"symbol": symbol, "t": opened, "o": o, "h": h, "l": low, "c": c, "v": v, "x": x}:
                yield candle(symbol, from_millis(opened), (o, h, low, c, v), closed=x)
            case {"event": "heartbeat"}:
                yield Beat()
            case _:
                yield unknown(message)


BAR = {"symbol": "A", "t": 1_700_000_040_000, "o": "1", "h": 2, "l": "0.5", "c": 1.5, "v": "10"}


def read(message):
    return TickerStream(Timeframe.M1).read(
        message if isinstance(message, bytes) else json.dumps(message)
    )


def test_thirty_lines_are_a_stream():
    assert read(BAR | {"x": True}) == [
        Candle("A", 1_700_000_040_000_000, 1.0, 2.0, 0.5, 1.5, 10.0, closed=True)
    ]
    assert read({"event": "subscribed", "symbol": "A"}) == [Subscribed(("A",))]
    assert read(b'{"event": "heartbeat"}') == [Beat()]


UNKNOWN = {json.dumps(BAR).encode()}
"""Of a kind that the format does not know: vendors add some, and no candle is in them."""


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"17",
        b"[" * 100_000,
        *UNKNOWN,
        *(
            json.dumps(BAR | {"x": True} | wrong).encode()
            for wrong in (
                {"o": None},
                {"o": "NaN"},
                {"h": "Infinity"},
                {"l": True},
                {"c": {}},
                {"v": []},
                {"t": "soon"},
                {"t": 1.5},
                {"t": 10**30},
                {"t": -1},
                {"t": True},
                {"x": "true"},
                {"x": 1},
                {"symbol": 7},
            )
        ),
    ],
)
def test_a_frame_that_cannot_be_read_is_a_fault_that_shows_it(frame):
    (event,) = read(frame)

    assert isinstance(event, Fault)
    assert not event.fatal
    assert event.unreadable == (frame not in {b"", b"null", b"[]", b"17", *UNKNOWN})
    assert event.words.isprintable()
    assert len(event.words) < 500


FORMATS = (
    *(BinanceStream, BybitStream, BitfinexStream, KrakenStream, CoinbaseStream),
    TickerStream,
)
WORDS = (
    *("stream", "data", "e", "k", "kline", "i", "1m", "x", "t", "s", "o", "topic", "kline.1.A"),
    *("op", "subscribe", "success", "ret_msg", "event", "subscribed", "error", "info", "chanId"),
    *("key", "trade:1m:tA", "hb", "code", "msg", "channel", "ohlc", "symbol", "interval", "method"),
    *("interval_begin", "type", "match", "heartbeat", "trade_id", "time", "product_id", "result"),
    *("subscriptions", "channels", "name", "id", "params", "2023-10-04T16:25:00Z", "NaN", "A-USD"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS),
    lambda values: (
        st.lists(values, max_size=7) | st.dictionaries(st.sampled_from(WORDS), values, max_size=7)
    ),
    max_leaves=25,
)


@pytest.mark.parametrize("kind", FORMATS)
@given(frame=st.binary(max_size=40) | st.builds(lambda value: json.dumps(value).encode(), VALUES))
def test_every_frame_says_something_and_none_does_harm(kind, frame):
    stream = kind(Timeframe.M1)
    stream.subscribe(["A"])

    events = stream.read(frame)

    assert events
    assert all(isinstance(event, Event) for event in events)
    assert stream.read(frame.decode("utf-8", "replace"))


def test_a_frame_without_a_bar_is_a_beat():
    assert BybitStream(Timeframe.M1).read('{"topic": "kline.1.A", "data": []}') == [Beat()]


def test_what_stands_before_the_part_that_cannot_be_read_stays():
    class Pairs(TickerStream):
        def events(self, message):
            for part in message:
                yield from super().events(part)

    events = Pairs(Timeframe.M1).read(json.dumps([BAR | {"x": True}, BAR | {"x": None}]))

    assert [type(event) for event in events] == [Candle, Fault]


def test_a_timeframe_that_is_not_streamed_is_refused_by_name():
    with pytest.raises(SourceError, match="TickerStream: 1h is not streamed; there is 1m") as error:
        TickerStream(Timeframe.H1)

    assert error.value.permanent


def test_a_time_is_read_to_the_microsecond_and_must_have_a_zone():
    assert micros_of("2023-10-04T16:25:00.123456789Z") == 1_696_436_700_123_456
    with pytest.raises(ValueError, match="time zone"):
        micros_of("2023-10-04T16:25:00")


STREAMS = {
    ("binance", "spot"): "wss://data-stream.binance.vision/stream",
    ("binance", "usdm"): "wss://fstream.binance.com/market/stream",
    ("bybit", "spot"): "wss://stream.bybit.com/v5/public/spot",
    ("bybit", "linear"): "wss://stream.bybit.com/v5/public/linear",
    ("bitfinex", ""): "wss://api-pub.bitfinex.com/ws/2",
    ("kraken", ""): "wss://ws.kraken.com/v2",
    ("coinbase", ""): "wss://ws-feed.exchange.coinbase.com",
}


@pytest.mark.parametrize(("name", "market"), STREAMS)
def test_a_source_gives_its_stream(tmp_path, name, market):
    key = {"binance": "market", "bybit": "category"}.get(name)
    settings = {key: market} if key else {}
    source = build_source(name, settings, base=tmp_path, kind="crypto")

    assert isinstance(source, Streaming)
    stream = source.stream(Timeframe.M1)
    assert stream.url(["X"]) == STREAMS[name, market]
    assert stream.traits.timeframes <= source.traits.timeframes
    assert source.stream(Timeframe.M1) is not stream


def test_the_type_says_whether_there_is_a_stream():
    streaming = {name for name in source_types() if hasattr(source_types()[name], "stream")}

    assert streaming == {"binance", "bybit", "bitfinex", "kraken", "coinbase", "practice"}
