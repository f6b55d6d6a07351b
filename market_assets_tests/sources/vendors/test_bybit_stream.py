"""Frames of Bybit's own documents.

https://bybit-exchange.github.io/docs/v5/websocket/public/kline and .../docs/v5/ws/connect
(repository bybit-exchange/docs); the refusal as the server gives it. No notice of a shutdown is
documented: the connection breaks.
"""

from __future__ import annotations

import json

import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.sources.streaming import Beat, Candle, Fault, Refused, Subscribed
from market_assets.sources.vendors.bybit_stream import BybitStream

KLINE = """{
    "topic": "kline.5.BTCUSDT",
    "data": [
        {
            "start": 1672324800000, "end": 1672325099999, "interval": "5", "open": "16649.5",
            "close": "16677", "high": "16677", "low": "16608", "volume": "2.081",
            "turnover": "34666.4005", "confirm": false, "timestamp": 1672324988882
        }
    ],
    "ts": 1672324988882,
    "type": "snapshot"
}"""
BAR = Candle(
    "BTCUSDT",
    1_672_324_800_000_000,
    *(16649.5, 16677.0, 16608.0, 16677.0, 2.081),
    closed=False,
    quote_volume=34666.4005,
)


@pytest.fixture
def stream():
    return BybitStream(Timeframe.M5)


def test_a_candle_of_the_documents(stream):
    assert stream.read(KLINE) == [BAR]


def test_its_mark_says_that_it_is_closed(stream):
    (event,) = stream.read(KLINE.replace("false", "true"))

    assert event.closed


def test_each_symbol_is_asked_for_alone(stream):
    asked = [json.loads(frame) for frame in stream.subscribe(["BTCUSDT", "ETHUSDT"])]

    assert [frame["args"] for frame in asked] == [["kline.5.BTCUSDT"], ["kline.5.ETHUSDT"]]
    assert [frame["op"] for frame in asked] == ["subscribe", "subscribe"]


def test_the_answers_of_the_documents(stream):
    accepted = {
        "success": True,
        "ret_msg": "subscribe",
        "conn_id": "2324d924-aa4d-45b0-a858-7b8be29ab52b",
        "req_id": "kline.5.BTCUSDT",
        "op": "subscribe",
    }
    pong = {
        "success": True,
        "ret_msg": "pong",
        "conn_id": "0970e817-426e-429a-a679-ff7f55e0b16a",
        "op": "ping",
    }

    assert stream.read(json.dumps(accepted)) == [Subscribed(("BTCUSDT",))]
    assert stream.read(json.dumps(pong)) == [Beat()]
    assert json.loads(stream.ping()) == {"op": "ping"}
    assert stream.traits.ping == 20


@pytest.mark.parametrize("number", [{"req_id": "kline.5.NOPE"}, {}])
def test_an_unknown_topic_is_refused_for_good(stream, number):
    words = "error:handler not found,topic:kline.5.NOPE"
    answer = {"success": False, "ret_msg": words, "op": "subscribe"} | number

    assert stream.read(json.dumps(answer)) == [Refused(("NOPE",), words, permanent=True)]


def test_another_refusal_may_pass(stream):
    words = "Too many visits. Exceeded the API Rate Limit."
    answer = {"success": False, "ret_msg": words, "op": "subscribe", "req_id": "kline.5.BTCUSDT"}

    assert stream.read(json.dumps(answer)) == [Refused(("BTCUSDT",), words, permanent=False)]


def test_a_subscription_that_is_there_already_is_accepted(stream):
    words = "error:already subscribed,topic:kline.5.BTCUSDT"
    answer = {"success": False, "ret_msg": words, "op": "subscribe"}

    assert stream.read(json.dumps(answer)) == [Subscribed(("BTCUSDT",))]


def test_an_error_that_answers_no_subscription_is_a_fault(stream):
    words = "Params Error"
    answer = {"success": False, "ret_msg": words, "conn_id": "x", "op": "auth"}

    assert stream.read(json.dumps(answer)) == [Fault(words)]


def test_a_candle_of_another_timeframe_is_a_fault():
    (event,) = BybitStream(Timeframe.M1).read(KLINE)

    assert isinstance(event, Fault)
