"""Kraken's own: its recorded answers, its latest 720 bars, and its errors in words."""

from __future__ import annotations

import json

import pytest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets_tests.support.wire import (
    KRAKEN,
    MINUTE,
    START,
    Exchange,
    ask,
    build,
    every,
    opens,
    tell,
)

NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "name", ["ohlc_XBTUSDT_1m_720_2025-11-10.json", "ohlc_xchange_example.json"]
)
def test_recorded_answers_are_read_to_the_last_bit_and_hold_a_flat_bar_for_a_quiet_minute(
    shared, tmp_path, name
):
    body = (shared / "wire" / "kraken" / name).read_bytes()
    (given,) = (rows for key, rows in json.loads(body)["result"].items() if key != "last")

    frame = build(KRAKEN, NOWHERE, tmp_path).parse(body)

    assert frame.height >= 720
    assert (
        opens(frame)
        == [row[0] for row in given]
        == [given[0][0] + 60 * place for place in range(len(given))]
    )
    for column, place in {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 6}.items():
        assert frame[column].to_list() == [float(row[place]) for row in given]
    quiet = frame.filter(frame["volume"] == 0)
    assert not quiet.is_empty()
    assert (quiet["high"] == quiet["low"]).all()


def test_the_request_asks_for_what_opens_after_the_second_before_the_window(serve, tmp_path):
    exchange = Exchange(KRAKEN, every(10, step=Timeframe.H4.duration))

    ask(build(KRAKEN, serve(exchange).url, tmp_path), "XBTUSD", bars=10, timeframe=Timeframe.H4)

    assert exchange.log == [
        {"pair": "XBTUSD", "interval": "240", "since": str(int(START.timestamp()) - 1)}
    ]


def test_bars_behind_the_window_are_cut_and_show_that_it_is_covered(serve, tmp_path):
    exchange = Exchange(KRAKEN, [*every(5), *every(40)[20:]])

    frame = ask(build(KRAKEN, serve(exchange).url, tmp_path), "XBTUSD", bars=10)

    assert opens(frame) == every(5)
    assert len(exchange.log) == 1


def test_what_is_older_than_its_latest_bars_is_not_there(serve, tmp_path):
    exchange = Exchange(KRAKEN, every(1500))

    frame = ask(build(KRAKEN, serve(exchange).url, tmp_path), "XBTUSD", bars=10)
    newest = ask(
        build(KRAKEN, serve(exchange).url, tmp_path), "XBTUSD", bars=720, start=START + 780 * MINUTE
    )

    assert frame.equals(CANDLE_SCHEMA.to_frame())
    assert opens(newest) == every(1500)[780:]


@pytest.mark.parametrize(
    ("error", "permanent", "retry_after"),
    [
        ("EQuery:Unknown asset pair", True, None),
        ("EGeneral:Invalid arguments", True, None),
        ("EService:Unavailable", False, None),
        ("EGeneral:Internal error", False, None),
        ("EAPI:Rate limit exceeded", False, 60.0),
        ("EGeneral:Temporary lockout", False, 900.0),
    ],
)
def test_an_error_in_a_200_body_is_permanent_by_its_words(tmp_path, error, permanent, retry_after):
    with pytest.raises(SourceError, match=f"the answer is an error: {error}") as caught:
        build(KRAKEN, NOWHERE, tmp_path).parse(json.dumps({"error": [error]}).encode())

    assert (caught.value.permanent, caught.value.retry_after) == (permanent, retry_after)


def test_a_warning_is_no_error(tmp_path):
    answer = json.loads(tell(KRAKEN, *every(3))) | {"error": ["WQuery:Slow"]}

    assert opens(build(KRAKEN, NOWHERE, tmp_path).parse(json.dumps(answer).encode())) == every(3)


@pytest.mark.parametrize(
    "answer",
    [
        {"error": []},
        {"error": [], "result": {"last": 3}},
        {"error": [7]},
        {"error": [], "result": []},
    ],
)
def test_an_answer_without_rows_is_no_page(tmp_path, answer):
    with pytest.raises(SourceError, match="not a list of candles"):
        build(KRAKEN, NOWHERE, tmp_path).parse(json.dumps(answer).encode())


def test_too_many_requests_are_followed_by_a_minute_of_silence(serve, reply, tmp_path):
    server = serve(reply((200, {}, b'{"error":["EAPI:Rate limit exceeded"]}')))

    with pytest.raises(SourceError, match=r"left alone for another (60|59) s|no answer within"):
        ask(build(KRAKEN, server.url, tmp_path), "XBTUSD", bars=5)

    assert len(server.requests) == 1
