"""What is Bitfinex's own.

That is its recorded answer, what is sent to it, its first bar, and its errors in words.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets_tests.support.wire import (
    BITFINEX,
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
    folder = shared / "wire" / "bitfinex"
    expected = json.loads((folder / "v2_candles_1h_BTCUST_1bar.expected_ohlcv.json").read_bytes())

    frame = build(BITFINEX, NOWHERE, tmp_path).parse(
        (folder / "v2_candles_1h_BTCUST_1bar.json").read_bytes()
    )

    assert [[micros // 1000, *frame.row(0)[1:]] for micros in frame["ts"].to_physical()] == expected


def test_the_request_asks_for_the_oldest_first(serve, tmp_path):
    exchange = Exchange(BITFINEX, every(10))

    frame = ask(build(BITFINEX, serve(exchange).url, tmp_path), BITFINEX.symbol, bars=10)

    first = int(START.timestamp()) * 1000
    assert exchange.log == [
        {"sort": "1", "start": str(first), "end": str(first + 599_999), "limit": "10000"}
    ]
    assert opens(frame) == every(10)


class TestGenesis:
    @staticmethod
    def probe(source, symbol=BITFINEX.symbol, timeframe=Timeframe.M1):
        async def probe():
            async with source:
                return await source.earliest(symbol, timeframe), source.usage.requests

        return asyncio.run(probe())

    def test_the_first_bar_is_found_with_one_request(self, serve, tmp_path):
        exchange = Exchange(BITFINEX, every(50, start=START + 7 * MINUTE))

        first, requests = self.probe(build(BITFINEX, serve(exchange).url, tmp_path))

        assert (first, requests) == (START + 7 * MINUTE, 1)
        assert exchange.log == [{"sort": "1", "start": "0", "limit": "1"}]

    def test_a_symbol_without_a_bar_has_none(self, serve, tmp_path):
        exchange = Exchange(BITFINEX, every(50))

        assert self.probe(build(BITFINEX, serve(exchange).url, tmp_path), symbol="tNOPE") == (
            None,
            1,
        )


class TestSilence:
    def test_a_quiet_stretch_is_told_from_an_unknown_name_with_one_request(self, serve, tmp_path):
        exchange = Exchange(BITFINEX, every(5))
        source = build(BITFINEX, serve(exchange).url, tmp_path)

        quiet = START + 60 * MINUTE
        assert ask(source, BITFINEX.symbol, bars=10, start=quiet).equals(CANDLE_SCHEMA.to_frame())
        assert len(exchange.log) == 2

        ask(source, BITFINEX.symbol, bars=10, start=quiet)
        assert len(exchange.log) == 3

    def test_an_unknown_name_is_an_error_that_says_how_names_are_written(self, serve, tmp_path):
        exchange = Exchange(BITFINEX, every(5))

        with pytest.raises(
            SourceError, match=r"source mine: BTCUSD 1m: there is no bar of any time.*tBTCUSD"
        ) as caught:
            ask(build(BITFINEX, serve(exchange).url, tmp_path), "BTCUSD", bars=10)

        assert caught.value.permanent


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "words", "permanent", "retry_after"),
        [
            (["error", 10020, "limit: invalid"], "10020 limit: invalid", True, None),
            (["error", 20060, "maintenance"], "20060 maintenance", False, None),
            (["error", 11010, "ratelimit: error"], "11010 ratelimit: error", False, 60.0),
            ({"error": "ERR_RATE_LIMIT"}, "ERR_RATE_LIMIT", False, 60.0),
            ({"error": "ERR_MAINTENANCE"}, "ERR_MAINTENANCE", False, None),
        ],
    )
    def test_an_error_in_a_200_body_is_no_page(self, tmp_path, body, words, permanent, retry_after):
        with pytest.raises(SourceError, match=f"the answer is an error: {words}") as caught:
            build(BITFINEX, NOWHERE, tmp_path).parse(json.dumps(body).encode())

        assert (caught.value.permanent, caught.value.retry_after) == (permanent, retry_after)

    @pytest.mark.parametrize("body", [b'["error"]', b'["error",[]]', b'{"ok":1}'])
    def test_an_error_without_a_code_is_no_page_either(self, tmp_path, body):
        with pytest.raises(SourceError, match="the answer is"):
            build(BITFINEX, NOWHERE, tmp_path).parse(body)

    @pytest.mark.parametrize("status", [429, 200])
    def test_too_many_requests_are_followed_by_a_minute_of_silence(
        self, serve, reply, tmp_path, status
    ):
        server = serve(reply((status, {}, b'{"error":"ERR_RATE_LIMIT"}')))

        with pytest.raises(
            SourceError, match=r"left alone for another (60|59) s|no answer within"
        ) as caught:
            ask(build(BITFINEX, server.url, tmp_path), BITFINEX.symbol, bars=5)

        assert not caught.value.permanent
        assert len(server.requests) == 1


def test_a_bar_of_the_recorded_year_opens_on_the_hour(shared, tmp_path):
    body = (shared / "wire" / "bitfinex" / "v2_candles_1h_BTCUST_1bar.json").read_bytes()

    assert opens(build(BITFINEX, NOWHERE, tmp_path).parse(body)) == [
        int(datetime(2019, 3, 11, 10, tzinfo=UTC).timestamp())
    ]
