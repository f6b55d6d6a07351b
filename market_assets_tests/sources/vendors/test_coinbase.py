"""Coinbase's own: its recorded answers, what is sent to it, and its refusals."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.wire import (
    COINBASE,
    MINUTE,
    START,
    Exchange,
    ask,
    build,
    every,
    opens,
)

NOWHERE = "http://127.0.0.1:9"


def test_a_recorded_answer_is_read_as_the_peer_reads_it(shared, tmp_path):
    folder = shared / "wire" / "coinbase"
    expected = json.loads(
        (folder / "exchange_candles_1h_BTC-USDT_1bar.expected_ohlcv.json").read_bytes()
    )

    frame = build(COINBASE, NOWHERE, tmp_path).parse(
        (folder / "exchange_candles_1h_BTC-USDT_1bar.json").read_bytes()
    )

    assert [[micros // 1000, *frame.row(0)[1:]] for micros in frame["ts"].to_physical()] == expected


def test_a_recorded_page_is_read_to_the_last_bit(shared, tmp_path):
    body = (shared / "wire" / "coinbase" / "exchange_candles_xchange.json").read_bytes()
    given = json.loads(body)

    frame = build(COINBASE, NOWHERE, tmp_path).parse(body)

    assert opens(frame) == [row[0] for row in given]
    for name, place in {"low": 1, "high": 2, "open": 3, "close": 4, "volume": 5}.items():
        assert frame[name].to_list() == [float(row[place]) for row in given]
    assert (frame["high"] >= frame["open"]).all()
    assert (frame["low"] <= frame["close"]).all()


def test_the_request_names_the_first_open_and_the_last(serve, tmp_path):
    exchange = Exchange(COINBASE, every(300))

    ask(build(COINBASE, serve(exchange).url, tmp_path), "BTC-USD", bars=300)

    assert exchange.log == [
        {"granularity": "60", "start": "2024-01-01T00:00:00Z", "end": "2024-01-01T04:59:00Z"}
    ]


@pytest.mark.parametrize(
    ("timeframe", "end"),
    [(Timeframe.H1, "2024-01-13T11:00:00Z"), (Timeframe.D1, "2024-10-26T00:00:00Z")],
)
def test_a_page_of_longer_bars_asks_for_no_more_than_300_either(serve, tmp_path, timeframe, end):
    exchange = Exchange(COINBASE, every(300, step=timeframe.duration))

    frame = ask(
        build(COINBASE, serve(exchange).url, tmp_path), "BTC-USD", bars=300, timeframe=timeframe
    )

    assert frame.height == 300
    assert [query["end"] for query in exchange.log] == [end]


def test_a_window_between_two_opens_is_asked_for_without_an_end_before_its_start(tmp_path):
    source = build(COINBASE, NOWHERE, tmp_path)
    between = Window(START + timedelta(seconds=20), START + timedelta(seconds=30))

    _, query = source.request("BTC-USD", Timeframe.M1, between)

    assert (query["start"], query["end"]) == ("2024-01-01T00:00:20Z", "2024-01-01T00:00:20Z")


def test_rows_before_the_start_show_that_the_page_reaches_it(serve, tmp_path):
    bars = [*every(5), *every(60)[30:]]
    exchange = Exchange(COINBASE, bars, wider=30)

    frame = ask(
        build(COINBASE, serve(exchange).url, tmp_path),
        "BTC-USD",
        bars=40,
        start=START + 20 * MINUTE,
    )

    assert sorted(opens(frame)) == every(60)[30:]
    assert len(exchange.log) == 1


def test_a_refusal_is_told_in_the_vendors_words(serve, reply, tmp_path):
    server = serve(reply((404, {}, b'{"message":"NotFound"}')))

    with pytest.raises(
        SourceError, match=r"source mine: NOPE 1m 2024-01-01 00:00\.\..*HTTP 404: .*NotFound"
    ) as caught:
        ask(build(COINBASE, server.url, tmp_path), "NOPE", bars=5)

    assert caught.value.permanent


def test_an_error_in_a_200_body_is_no_absence(serve, reply, tmp_path):
    server = serve(reply((200, {}, b'{"message":"Internal server error"}')))

    with pytest.raises(SourceError, match=r"not a list of candles: .*Internal server error"):
        ask(build(COINBASE, server.url, tmp_path), "BTC-USD", bars=5)
