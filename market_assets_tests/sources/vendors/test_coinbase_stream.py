"""Frames of Coinbase's own documents.

https://docs.cdp.coinbase.com/exchange/websocket-feed/channels (Heartbeat, Match),
.../websocket-feed/overview (Subscribe) and .../websocket-feed/errors.
"""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.sources.streaming import Beat, Fault, Refused, Subscribed, Trade
from market_assets.sources.vendors.coinbase_stream import CoinbaseStream

MATCH = """{
  "type": "match", "trade_id": 10, "sequence": 50,
  "maker_order_id": "ac928c66-ca53-498f-9c13-a110027a60e8",
  "taker_order_id": "132fb6ae-456b-4654-b4e0-d681ac05cea1",
  "time": "2014-11-07T08:19:27.028459Z",
  "product_id": "BTC-USD", "size": "5.23512", "price": "400.23", "side": "sell"
}"""
HEARTBEAT = """{
  "type": "heartbeat", "sequence": 90, "last_trade_id": 20, "product_id": "BTC-USD",
  "time": "2014-11-07T08:19:28.464459Z"
}"""
TRADE = Trade("BTC-USD", 10, 1_415_348_367_028_459, 400.23, Decimal("5.23512"))


@pytest.fixture
def stream():
    return CoinbaseStream(Timeframe.M1)


@pytest.mark.parametrize("kind", ["match", "last_match"])
def test_a_trade_of_the_documents(stream, kind):
    assert stream.read(MATCH.replace('"match"', f'"{kind}"')) == [TRADE]


def test_a_heartbeat_of_the_documents_names_the_last_trade(stream):
    assert stream.read(HEARTBEAT) == [Beat("BTC-USD", 1_415_348_368_464_459, 20)]


def test_a_subscription_holds_once_both_channels_have_the_product(stream):
    answer = {
        "type": "subscriptions",
        "channels": [
            {"name": "matches", "product_ids": ["ETH-USD", "ETH-EUR"]},
            {"name": "heartbeat", "product_ids": ["ETH-USD"]},
        ],
    }

    assert stream.read(json.dumps(answer)) == [Subscribed(("ETH-USD",))]


def test_trades_and_heartbeats_are_all_that_is_asked_for(stream):
    ticker = {
        "type": "ticker",
        "sequence": 37475248783,
        "product_id": "ETH-USD",
    }
    (event,) = stream.read(json.dumps(ticker))

    assert "unknown kind" in event.words


def test_each_product_is_asked_for_alone(stream):
    asked = [json.loads(frame) for frame in stream.subscribe(["ETH-USD", "ETH-EUR"])]

    assert asked == [
        {"type": "subscribe", "product_ids": [name], "channels": ["matches", "heartbeat"]}
        for name in ("ETH-USD", "ETH-EUR")
    ]


def test_a_product_that_is_not_there_is_refused_for_good(stream):
    error = {
        "type": "error",
        "message": "Failed to subscribe",
        "reason": "NOPE-USD is not a valid product",
    }

    assert stream.read(json.dumps(error)) == [
        Refused(
            ("NOPE-USD",), "Failed to subscribe: NOPE-USD is not a valid product", permanent=True
        )
    ]
    assert stream.read('{"type": "error", "message": "Malformed JSON"}') == [
        Fault("Malformed JSON")
    ]


@pytest.mark.parametrize(
    ("field", "cell"), [("size", '"NaN"'), ("price", "null"), ("time", '"x"'), ("trade_id", "1.5")]
)
def test_a_trade_with_an_odd_field_is_a_fault(stream, field, cell):
    trade = json.loads(MATCH)
    trade[field] = json.loads(cell)
    (event,) = stream.read(json.dumps(trade))

    assert isinstance(event, Fault)


def test_no_other_timeframe_is_made_of_trades():
    with pytest.raises(SourceError, match="5m is not streamed"):
        CoinbaseStream(Timeframe.M5)
