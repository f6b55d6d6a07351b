"""Frames of Bitfinex's own documents.

https://docs.bitfinex.com/reference/ws-public-candles and https://docs.bitfinex.com/docs/ws-general
(info, heartbeating, error codes).
"""

from __future__ import annotations

import json

import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.sources.streaming import Beat, Candle, Fault, Refused, Shutdown, Subscribed
from market_assets.sources.vendors.bitfinex_stream import BitfinexStream

SUBSCRIBED = '{"event":"subscribed","channel":"candles","chanId":343351,"key":"trade:1m:tBTCUSD"}'
SNAPSHOT = "[343351,[[1574698260000,7379.785503,7383.8,7388.3,7379.785503,1.68829482]]]"
UPDATE = "[343351,[1574698200000,7399.9,7379.7,7399.9,7371.8,41.63633658]]"
OLDER = Candle(
    "tBTCUSD",
    1_574_698_200_000_000,
    *(7399.9, 7399.9, 7371.8, 7379.7, 41.63633658),
    closed=False,
)
NEWER = Candle(
    "tBTCUSD",
    1_574_698_260_000_000,
    *(7379.785503, 7388.3, 7379.785503, 7383.8, 1.68829482),
    closed=False,
)


@pytest.fixture
def stream():
    stream = BitfinexStream(Timeframe.M1)
    assert stream.read(SUBSCRIBED) == [Subscribed(("tBTCUSD",))]
    return stream


def test_the_snapshot_and_the_update_of_the_documents(stream):
    assert stream.read(SNAPSHOT) == [NEWER]
    assert stream.read(UPDATE) == [OLDER]


def test_a_message_may_get_more_fields(stream):
    assert stream.read(UPDATE[:-2] + ",1,2],77]") == [OLDER]


def test_an_empty_snapshot_is_a_beat(stream):
    assert stream.read("[343351,[]]") == [Beat("tBTCUSD")]


def test_a_heartbeat_is_no_candle(stream):
    assert stream.read('[343351,"hb"]') == [Beat("tBTCUSD")]


def test_a_candle_of_a_channel_that_nobody_opened_is_no_symbols(stream):
    (event,) = stream.read(UPDATE.replace("343351", "9"))

    assert event.symbol == "channel 9"


def test_the_notices_of_the_documents(stream):
    hello = '{"event":"info","version":2,"serverId":"x","platform":{"status":1}}'
    restart = '{"event":"info","code":20051,"msg":"Stopping. Please try to reconnect"}'

    assert stream.read(hello) == [Beat()]
    assert stream.read(restart) == [Shutdown("20051 Stopping. Please try to reconnect")]
    assert stream.read('{"event":"info","code":20061,"msg":"Resync"}') == [Shutdown("20061 Resync")]
    for maintenance in (
        '{"event":"info","code":20060,"msg":"Maintenance"}',
        '{"event":"info","version":2,"platform":{"status":0}}',
    ):
        (event,) = stream.read(maintenance)
        assert isinstance(event, Fault)
        assert not event.fatal


@pytest.mark.parametrize(("code", "permanent"), [(10300, True), (10001, True), (10305, False)])
def test_a_refusal_by_its_code(stream, code, permanent):
    error = {"event": "error", "msg": "words", "code": code, "key": "trade:1m:tNOPE:USD"}

    assert stream.read(json.dumps(error)) == [
        Refused(("tNOPE:USD",), f"{code} words", permanent=permanent)
    ]


def test_an_error_of_the_documents_that_names_no_key_is_nobodys(stream):
    error = {"event": "error", "msg": "unknown event", "code": 10000}

    assert stream.read(json.dumps(error)) == [Refused((), "10000 unknown event", permanent=False)]


def test_a_pong_of_the_documents_is_a_beat(stream):
    assert stream.read('{"event":"pong","ts":1511545528111,"cid":1234}') == [Beat()]


def test_a_channel_is_ended_by_its_number(stream):
    assert stream.unsubscribe(["tETHUSD"]) == []
    (frame,) = stream.unsubscribe(["tBTCUSD"])
    assert json.loads(frame) == {"event": "unsubscribe", "chanId": 343351}
    assert stream.read('{"event":"unsubscribed","status":"OK","chanId":343351}') == [Beat()]
    assert stream.unsubscribe(["tBTCUSD"]) == []


def test_a_symbol_is_asked_for_by_its_key():
    (frame,) = BitfinexStream(Timeframe.D1).subscribe(["tTESTBTC:TESTUSD"])

    assert json.loads(frame)["key"] == "trade:1D:tTESTBTC:TESTUSD"
