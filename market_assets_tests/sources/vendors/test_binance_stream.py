"""Frames of Binance's own documents, and of its real streams.

https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md (Kline streams,
Live Subscribing, Error Messages, Server Shutdown), and of USD-M https://developers.binance.com/docs/
derivatives/usds-margined-futures/websocket-market-streams/Kline-Candlestick-Streams. Signs of life
are the pings of the protocol.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.sources.streaming import Beat, Candle, Fault, Refused, Shutdown, Subscribed
from market_assets.sources.vendors.binance_stream import BinanceStream, BinanceUsdmStream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KLINE = """{
  "e": "kline", "E": 1672515782136, "s": "BNBBTC",
  "k": {
    "t": 1672515780000, "T": 1672515839999, "s": "BNBBTC", "i": "1m", "f": 100, "L": 200,
    "o": "0.0010", "c": "0.0020", "h": "0.0025", "l": "0.0015", "v": "1000", "n": 100, "x": false,
    "q": "1.0000", "V": "500", "Q": "0.500", "B": "123456"
  }
}"""
COMBINED = '{"stream": "bnbbtc@kline_1m", "data": %s}' % KLINE  # noqa: UP031 - braces
BAR = Candle(
    "BNBBTC",
    1_672_515_780_000_000,
    *(0.001, 0.0025, 0.0015, 0.002, 1000.0),
    closed=False,
    quote_volume=1.0,
    trades=100,
    taker_buy_volume=500.0,
)


@pytest.fixture(params=[BinanceStream, BinanceUsdmStream])
def stream(request):
    return request.param(Timeframe.M1)


@pytest.mark.parametrize("frame", [KLINE, COMBINED, KLINE.encode()])
def test_a_candle_of_the_documents(stream, frame):
    assert stream.read(frame) == [BAR]


def test_a_candle_of_the_documents_of_usd_m():
    frame = """{
      "e": "kline", "E": 1638747660000, "s": "BTCUSDT",
      "k": {
        "t": 1638747660000, "T": 1638747719999, "s": "BTCUSDT", "i": "1m", "f": 100, "L": 200,
        "o": "0.0010", "c": "0.0020", "h": "0.0025", "l": "0.0015", "v": "1000", "n": 100,
        "x": false, "q": "1.0000", "V": "500", "Q": "0.500", "B": "123456"
      }
    }"""

    (event,) = BinanceUsdmStream(Timeframe.M1).read(frame)

    assert (event.symbol, event.ts) == ("BTCUSDT", 1_638_747_660_000_000)
    assert event.values == BAR.values


def test_the_answers_of_the_documents(stream):
    assert stream.read('{"result": null, "id": 312}') == [Beat()]
    (listed,) = stream.read('{"result": ["btcusdt@aggTrade"], "id": 3}')
    assert "unknown kind" in listed.words


def test_its_mark_says_that_it_is_closed(stream):
    (event,) = stream.read(COMBINED.replace('"x": false', '"x": true'))

    assert event.closed


def test_the_notice_of_a_shutdown_of_the_documents(stream):
    raw = '{"e": "serverShutdown", "E": 1770123456789}'
    combined = f'{{"stream": "!serverShutdown", "data": {raw}}}'

    assert stream.read(raw) == stream.read(combined) == [Shutdown("serverShutdown")]


def test_symbols_are_asked_for_in_groups_and_the_answer_names_a_group(stream):
    symbols = [f"S{number}USDT" for number in range(120)]

    asked = [json.loads(frame) for frame in stream.subscribe(symbols)]

    assert [len(frame["params"]) for frame in asked] == [50, 50, 20]
    assert asked[0]["method"] == "SUBSCRIBE"
    assert asked[0]["params"][0] == "s0usdt@kline_1m"
    answer = stream.read(json.dumps({"result": None, "id": asked[2]["id"]}))
    assert answer == [Subscribed(tuple(symbols[100:]))]
    (ended,) = stream.unsubscribe(["S1USDT"])
    assert json.loads(ended)["method"] == "UNSUBSCRIBE"
    assert stream.read(json.dumps({"result": None, "id": json.loads(ended)["id"]})) == [Beat()]


def test_an_error_of_the_documents_refuses_the_group_that_was_asked_for(stream):
    (asked,) = stream.subscribe(["BTCUSDT"])
    words = "Invalid request: too many parameters"
    error = {"code": 2, "msg": words, "id": json.loads(asked)["id"]}

    assert stream.read(json.dumps(error)) == [Refused(("BTCUSDT",), f"2 {words}", permanent=True)]
    assert stream.read('{"code": 3, "msg": "Invalid JSON"}') == [Fault("3 Invalid JSON")]


def test_a_candle_of_another_timeframe_is_a_fault(stream):
    (event,) = stream.read(KLINE.replace('"1m"', '"5m"'))

    assert isinstance(event, Fault)
    assert "a candle of 5m" in event.words


def test_what_is_not_asked_for_is_told(stream):
    (event,) = stream.read('{"stream": "x", "data": {"e": "trade", "p": "1"}}')

    assert "unknown kind" in event.words


def test_the_rules_of_the_vendor_are_kept():
    spot, futures = BinanceStream.traits, BinanceUsdmStream.traits

    assert spot.symbols <= 1024
    assert spot.messages + 1 < 5
    assert spot.opening == (300, 300.0)
    assert futures.symbols <= 200
    assert futures.messages + 1 < 10
    assert "/market/" in BinanceUsdmStream.address


RECORDS = {
    "BINANCE": BinanceStream,
    "BINANCE_US": BinanceStream,
    "BINANCE_TR": BinanceStream,
    "BINANCE_FUTURES": BinanceUsdmStream,
}
"""Frames that were recorded of real streams, by the name of their file in the shared folder.

None of them is kept here: spot, USD-M, US and TR venues, 2021 to 2023, as bmoscon/cryptofeed has
recorded them. Of the other vendors only frames of their documents exist.
"""


def frames(shared: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The frames of candles, each with what it says of its bar."""
    path = shared / "wire" / "binance" / f"ws_recorded_{name}.ws.1.0.txt"
    if not path.exists():
        pytest.skip("the recorded frames are not there")
    for text in re.findall(r"^[\d.]+: (\{.*\})$", path.read_text(), re.MULTILINE):
        message = json.loads(text)
        if message.get("data", {}).get("e") == "kline":
            yield text, message["data"]["k"]


@pytest.mark.parametrize("name", RECORDS)
def test_each_recorded_candle_is_read_to_the_last_bit(shared, name):
    stream = RECORDS[name](Timeframe.M1)
    count = 0
    for text, bar in frames(shared, name):
        (event,) = stream.read(text)
        count += 1

        assert (event.symbol, event.ts, event.closed) == (bar["s"], bar["t"] * 1000, bar["x"])
        cells = [Decimal(bar[cell]) for cell in "ohlcvq"]
        values = [*event.values[:5], event.quote_volume]
        assert values == [float(cell) for cell in cells]
        assert (event.trades, event.taker_buy_volume) == (bar["n"], float(bar["V"]))
    assert count > 0
