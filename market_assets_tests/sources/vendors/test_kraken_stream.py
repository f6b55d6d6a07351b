"""Frames of Kraken's own documents.

https://docs.kraken.com/api/docs/websocket-v2/ohlc, .../heartbeat and .../status; the refusal as the
server gives it.
"""

from __future__ import annotations

import json

import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.sources.streaming import Beat, Candle, Fault, Refused, Subscribed
from market_assets.sources.vendors.kraken_stream import KrakenStream, pair_name

ACCEPTED = """{
    "method": "subscribe",
    "result": {
        "channel": "ohlc", "interval": 5, "snapshot": true, "symbol": "ALGO/USD",
        "warnings": ["timestamp is deprecated, use interval_begin"]
    },
    "success": true,
    "time_in": "2023-10-04T16:26:01.802708Z", "time_out": "2023-10-04T16:26:01.802791Z"
}"""
SNAPSHOT = """{
    "channel": "ohlc", "type": "snapshot", "timestamp": "2023-10-04T16:26:01.806315597Z",
    "data": [
        {
            "symbol": "ALGO/USD", "open": 0.09875, "high": 0.09875, "low": 0.09875,
            "close": 0.09875, "trades": 1, "volume": 201.86015, "vwap": 0.09875,
            "interval_begin": "2023-10-04T15:25:00.000000000Z", "interval": 5,
            "timestamp": "2023-10-04T15:30:00.000000Z"
        },
        {
            "symbol": "ALGO/USD", "open": 0.09875, "high": 0.0988, "low": 0.09875,
            "close": 0.09875, "trades": 13, "volume": 16255.46368, "vwap": 0.09879,
            "interval_begin": "2023-10-04T15:30:00.000000000Z", "interval": 5,
            "timestamp": "2023-10-04T15:35:00.000000Z"
        }
    ]
}"""
UPDATE = """{
    "channel": "ohlc", "type": "update", "timestamp": "2023-10-04T16:26:30.524394914Z",
    "data": [
        {
            "symbol": "MATIC/USD", "open": 0.5624, "high": 0.5628, "low": 0.5622, "close": 0.5627,
            "trades": 12, "volume": 30927.68066226, "vwap": 0.5626,
            "interval_begin": "2023-10-04T16:25:00.000000000Z", "interval": 5,
            "timestamp": "2023-10-04T16:30:00.000000Z"
        }
    ]
}"""


@pytest.fixture
def stream():
    return KrakenStream(Timeframe.M5)


def test_the_update_of_the_documents_under_the_name_that_rest_has(stream):
    stream.subscribe(["MATICUSD"])

    assert stream.read(UPDATE) == [
        Candle(
            "MATICUSD",
            1_696_436_700_000_000,
            *(0.5624, 0.5628, 0.5622, 0.5627, 30927.68066226),
            closed=False,
            trades=12,
            vwap=0.5626,
        )
    ]


def test_the_snapshot_of_the_documents_may_be_an_hour_old(stream):
    stream.subscribe(["ALGO/USD"])
    events = stream.read(SNAPSHOT)

    assert [(event.symbol, event.ts, event.trades) for event in events] == [
        ("ALGO/USD", 1_696_433_100_000_000, 1),
        ("ALGO/USD", 1_696_433_400_000_000, 13),
    ]


def test_no_snapshot_is_asked_for(stream):
    (frame,) = stream.subscribe(["XBTUSD", "ALGO/USD"])

    assert json.loads(frame) == {
        "method": "subscribe",
        "params": {
            "channel": "ohlc",
            "symbol": ["BTC/USD", "ALGO/USD"],
            "interval": 5,
            "snapshot": False,
        },
    }


def test_the_answers_of_the_documents(stream):
    stream.subscribe(["ALGOUSD"])
    status = {
        "channel": "status",
        "type": "update",
        "data": [
            {
                "version": "2.0.0",
                "system": "online",
                "api_version": "v2",
                "connection_id": 12393906104898154338,
            }
        ],
    }

    assert stream.read(ACCEPTED) == [Subscribed(("ALGOUSD",))]
    assert stream.read('{"channel": "heartbeat"}') == [Beat()]
    assert stream.read(json.dumps(status)) == [Beat()]
    status["data"][0]["system"] = "maintenance"
    (event,) = stream.read(json.dumps(status))
    assert isinstance(event, Fault)


def test_a_pong_and_an_end_of_the_documents_are_beats(stream):
    pong = {
        "method": "pong",
        "req_id": 101,
        "time_in": "2023-09-24T14:10:23.799685Z",
        "time_out": "2023-09-24T14:10:23.799703Z",
    }
    end = {
        "method": "unsubscribe",
        "result": {"channel": "ohlc", "interval": 5, "symbol": "ALGO/USD"},
        "success": True,
    }

    assert stream.read(json.dumps(pong)) == stream.read(json.dumps(end)) == [Beat()]


def test_an_error_that_answers_no_subscription_is_a_fault(stream):
    assert stream.read('{"error": "Malformed request", "success": false}') == [
        Fault("Malformed request")
    ]


def test_an_unknown_pair_is_refused_for_good(stream):
    stream.subscribe(["NOPEUSD"])
    answer = {
        "error": "Currency pair not supported NOPE/USD",
        "method": "subscribe",
        "success": False,
        "symbol": "NOPE/USD",
        "time_in": "2026-10-06T17:39:49.588049Z",
        "time_out": "2026-10-06T17:39:49.588083Z",
    }

    assert stream.read(json.dumps(answer)) == [
        Refused(("NOPEUSD",), "Currency pair not supported NOPE/USD", permanent=True)
    ]


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("XBTUSD", "BTC/USD"),
        ("XXBTZUSD", "BTC/USD"),
        ("XBT/USD", "BTC/USD"),
        ("BTC/USD", "BTC/USD"),
        ("XETHXXBT", "ETH/BTC"),
        ("XDGUSD", "DOGE/USD"),
        ("SOLUSDT", "SOL/USDT"),
        ("XTZEUR", "XTZ/EUR"),
        ("ODD", "ODD"),
    ],
)
def test_a_pair_has_another_name_in_the_stream(symbol, name):
    assert pair_name(symbol) == name
