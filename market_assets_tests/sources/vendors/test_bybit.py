"""Bybit's own: its recorded answer, what is sent to it, and its errors in words."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets_tests.support.wire import (
    BYBIT,
    MINUTE,
    START,
    Exchange,
    ask,
    build,
    every,
    opens,
    rows,
    tell,
)


def failure(code, words="words"):
    return json.dumps({"retCode": code, "retMsg": words, "result": {}}).encode()


def test_a_recorded_answer_is_read_to_the_last_bit(shared, tmp_path):
    body = (shared / "wire" / "bybit" / "v5_kline_linear.json").read_bytes()
    (row,) = json.loads(body)["result"]["list"]

    frame = build(BYBIT, "http://127.0.0.1:9", tmp_path).parse(body)

    assert frame["ts"].to_physical().to_list() == [int(row[0]) * 1000]
    assert frame.row(0)[1:] == tuple(map(float, row[1:7]))
    assert frame.columns[-1] == "quote_volume"


def test_the_request_names_the_first_millisecond_and_the_last(serve, tmp_path):
    exchange = Exchange(BYBIT, every(10))

    ask(build(BYBIT, serve(exchange).url, tmp_path), "BTCUSDT", bars=10)

    first = int(START.timestamp()) * 1000
    assert exchange.log == [
        {
            "category": "spot",
            "symbol": "BTCUSDT",
            "interval": "1",
            "start": str(first),
            "end": str(first + 599_999),
            "limit": "1000",
        }
    ]


def test_the_category_is_a_setting(serve, tmp_path):
    exchange = Exchange(BYBIT, every(10, step=Timeframe.D1.duration))

    ask(
        build(BYBIT, serve(exchange).url, tmp_path, category="linear"),
        "BTCUSDT",
        bars=10,
        timeframe=Timeframe.D1,
    )

    assert [(query["category"], query["interval"]) for query in exchange.log] == [("linear", "D")]
    with pytest.raises(ValidationError, match="category"):
        build(BYBIT, "http://127.0.0.1:9", tmp_path, category="option")


def test_pages_come_newest_first_and_are_gone_on_with_backwards(serve, tmp_path):
    exchange = Exchange(BYBIT, every(60), cap=20)

    frame = ask(build(BYBIT, serve(exchange).url, tmp_path), "BTCUSDT", bars=50)

    assert opens(frame) == every(60)[49:29:-1] + every(60)[29:9:-1] + every(60)[9::-1]
    assert [int(query["end"]) + 1 for query in exchange.log] == [
        int((START + minutes * MINUTE).timestamp() * 1000) for minutes in (50, 30, 10)
    ]


@pytest.mark.parametrize(
    ("code", "permanent", "retry_after"),
    [
        (10001, True, None),
        (10029, True, None),
        ("odd", True, None),
        (10016, False, None),
        (10006, False, 5.0),
        (10018, False, 600.0),
    ],
)
def test_an_error_in_a_200_body_is_permanent_by_its_code(tmp_path, code, permanent, retry_after):
    with pytest.raises(SourceError, match=f"the answer is an error: {code} words") as caught:
        build(BYBIT, "http://127.0.0.1:9", tmp_path).parse(failure(code))

    assert (caught.value.permanent, caught.value.retry_after) == (permanent, retry_after)


def test_a_fault_of_the_vendors_is_tried_again(serve, reply, tmp_path):
    server = serve(reply((200, {}, failure(10016)), (200, {}, tell(BYBIT, *every(5)))))

    assert len(rows(ask(build(BYBIT, server.url, tmp_path), "BTCUSDT", bars=5))) == 5
    assert len(server.requests) == 2


@pytest.mark.parametrize(("status", "body"), [(403, b"access too frequent"), (200, failure(10018))])
def test_a_ban_is_waited_out_and_not_knocked_against(serve, reply, tmp_path, status, body):
    server = serve(reply((status, {}, body)))

    with pytest.raises(
        SourceError, match=r"left alone for another (600|599) s|no answer within"
    ) as caught:
        ask(build(BYBIT, server.url, tmp_path), "BTCUSDT", bars=5)

    assert not caught.value.permanent
    assert len(server.requests) == 1
