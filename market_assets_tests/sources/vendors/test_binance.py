"""Binance's klines: what is asked for, and what comes back.

The tests cover also what a vendor can do wrong inside a well-formed HTTP answer.
"""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe, from_micros
from market_assets.practice.faults import Fault
from market_assets.sources.contract import CANDLE_SCHEMA, venue_of
from market_assets.sources.vendors.binance import (
    EXTRA_PLACES,
    BinanceSettings,
    BinanceSource,
    parse_klines,
)

if TYPE_CHECKING:
    import polars as pl

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def opens(frame: pl.DataFrame) -> list[datetime]:
    return [from_micros(micros) for micros in frame["ts"].to_physical()]


def minutes(start: datetime, count: int) -> list[datetime]:
    return [start + MINUTE * place for place in range(count)]


def bits(numbers: list[float]) -> list[str]:
    return [number.hex() for number in numbers]


class TestParsing:
    def test_recorded_answers_are_read_to_the_last_bit(self, shared):
        read = 0
        for path in sorted((shared / "wire" / "binance").glob("*klines*.json")):
            rows = json.loads(path.read_bytes())
            if not isinstance(rows, list) or "Price" in path.name:
                continue
            frame = parse_klines(path.read_bytes())

            assert frame.columns == [*CANDLE_SCHEMA, *EXTRA_PLACES]
            assert [micros // 1000 for micros in frame["ts"].to_physical()] == [
                row[0] for row in rows
            ]
            for place, name in enumerate(CANDLE_SCHEMA.names()[1:], start=1):
                assert bits(frame[name].to_list()) == bits([float(row[place]) for row in rows])
            for name, place in EXTRA_PLACES.items():
                assert bits(frame[name].to_list()) == bits([float(row[place]) for row in rows])
            read += 1
        assert read >= 20

    def test_whitespace_makes_no_difference(self, shared):
        pretty = (shared / "wire" / "binance" / "api_v3_klines__BTCUSDT_1m_02.json").read_bytes()
        compact = json.dumps(json.loads(pretty), separators=(",", ":")).encode()

        assert pretty != compact
        assert parse_klines(pretty).equals(parse_klines(compact))

    def test_a_recorded_refusal_is_an_error_with_the_vendors_words(self, shared):
        body = (shared / "wire" / "binance" / "dapi_v1_klines__BTCUSD_PERP_1d_18.json").read_bytes()

        with pytest.raises(SourceError, match="-4088 Maximum time interval is 200 days"):
            parse_klines(body)

    @given(
        st.lists(
            st.one_of(
                st.decimals(0, 10**9, places=8).map(str),
                st.floats(0, allow_nan=False, allow_infinity=False).map(repr),
                st.from_regex(r"[1-9][0-9]{0,20}\.[0-9]{1,25}", fullmatch=True),
            ),
            min_size=5,
            max_size=5,
        )
    )
    def test_every_number_is_the_double_nearest_to_its_text(self, texts):
        frame = parse_klines(
            json.dumps([[1704067200000, *texts, 0, "0", 0, "0", "0", "0"]]).encode()
        )

        assert bits(list(frame.row(0)[1:6])) == bits([float(text) for text in texts])

    @pytest.mark.parametrize(
        "cell", ['"NaN"', "NaN", "null", '"null"', '""', '"abc"', "[]", '"1e999"', "true"]
    )
    def test_a_cell_that_is_no_number_does_not_cost_the_page(self, cell):
        good = '[1704067200000,"1","2","0.5","1.5","10"]'
        frame = parse_klines(
            f'[{good},[1704067260000,{cell},"2","0.5","1.5","10"],{good}]'.encode()
        )

        assert frame.height == 3
        assert frame["high"].to_list() == [2.0, 2.0, 2.0]
        assert frame["open"][0] == frame["open"][2] == 1.0
        odd = frame["open"][1]
        assert odd is None or math.isnan(odd) or math.isinf(odd) or cell == "true"

    def test_a_time_that_is_no_number_is_null(self):
        assert parse_klines(b'[["soon","1","2","0.5","1.5","10"]]')["ts"].to_list() == [None]

    def test_an_empty_page_is_an_empty_frame(self):
        assert parse_klines(b"[]").equals(CANDLE_SCHEMA.to_frame())

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"", "not JSON"),
            (b"<html><body>Maintenance</body></html>", "not JSON"),
            (b'[[1704067200000,"1","2"', "not JSON"),
            (b'[[1704067200000,"1","2"]]', "not a list of candles"),
            (b'["a"]', "not a list of candles"),
            (b'{"rows":[]}', "not a list of candles"),
            (b"17", "not a list of candles"),
            (b"[" * 100_000, "not JSON"),
            (b"\xff\xfe", "not JSON"),
        ],
    )
    def test_what_is_no_list_of_rows_is_an_error_that_may_pass(self, body, words):
        with pytest.raises(SourceError, match=words) as caught:
            parse_klines(body)

        assert not caught.value.permanent
        assert len(str(caught.value)) < 400

    @pytest.mark.parametrize(
        ("code", "permanent"), [(-1121, True), (-1003, False), (-1001, False), ("odd", True)]
    )
    def test_an_error_in_a_200_body_is_permanent_by_its_code(self, code, permanent):
        with pytest.raises(SourceError, match=f"the answer is an error: {code} words") as caught:
            parse_klines(json.dumps({"code": code, "msg": "words"}).encode())

        assert caught.value.permanent == permanent


class TestFetching:
    def test_a_page_is_one_request_for_exactly_the_window(self, vendor, ask):
        answer = ask(vendor.url, bars=1000)

        assert opens(answer.frame) == minutes(START, 1000)
        (request,) = vendor.log
        assert (request["symbol"], request["interval"], request["limit"]) == (
            "BTCUSDT",
            "1m",
            "1000",
        )
        assert int(request["startTime"]) == START.timestamp() * 1000
        assert int(request["endTime"]) == (START + 999 * MINUTE).timestamp() * 1000 + 59_999

    def test_a_hole_at_the_tail_costs_one_more_request_and_nothing_else(self, vendor, ask):
        vendor.set_faults([Fault(fault="hole", start=START + 60 * MINUTE)])

        answer = ask(vendor.url, bars=100)

        assert opens(answer.frame) == minutes(START, 60)
        assert answer.usage.requests == 2

    def test_an_empty_page_is_an_empty_frame(self, vendor, ask):
        vendor.set_faults([Fault(fault="hole")])

        assert ask(vendor.url).frame.equals(CANDLE_SCHEMA.to_frame())

    def test_a_page_that_is_the_one_before_is_an_error(self, vendor, build):
        async def two_pages():
            source = build(vendor.url)
            async with source:
                await source.fetch("BTCUSDT", Timeframe.M1, START, START + 100 * MINUTE)
                vendor.set_faults([Fault(fault="repeat")])
                await source.fetch(
                    "BTCUSDT", Timeframe.M1, START + 100 * MINUTE, START + 200 * MINUTE
                )

        with pytest.raises(
            SourceError, match=r"BTCUSDT 1m 2024-01-01 01:40\.\..*the pages do not move forward"
        ) as caught:
            asyncio.run(two_pages())

        assert not caught.value.permanent

    def test_a_server_that_ignores_the_start_does_not_loop_for_ever(self, serve, reply, ask):
        page = json.dumps(
            [[1704067200000 + 60_000 * place, "1", "2", "0.5", "1.5", "10"] for place in range(10)]
        ).encode()
        server = serve(reply((200, {}, page)))

        with pytest.raises(SourceError, match="do not move forward"):
            ask(server.url)

        assert len(server.requests) == 2

    def test_rows_outside_the_window_are_handed_on(self, vendor, ask):
        vendor.set_faults([Fault(fault="outside", bars=2)])

        frame = ask(vendor.url, start=START + 10 * MINUTE, bars=5).frame

        assert opens(frame) == minutes(START + 8 * MINUTE, 9)

    def test_rows_beyond_the_window_alone_are_as_good_as_none_in_it(self, serve, reply, ask):
        page = json.dumps([[1704070800000, "1", "2", "0.5", "1.5", "10"]]).encode()
        server = serve(reply((200, {}, page)))

        assert ask(server.url, bars=10).frame.height == 1
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "fault",
        ["unsorted", "duplicate", "inverted", "nan", "null", "negative", "zero", "off_grid"],
    )
    def test_odd_rows_are_handed_on_as_they_came(self, vendor, ask, fault):
        vendor.set_faults([Fault(fault=fault, start=START + 10 * MINUTE, end=START + 12 * MINUTE)])

        answer = ask(vendor.url, bars=100)

        assert answer.frame.height == (102 if fault == "duplicate" else 100)
        assert answer.usage.requests == 1

    def test_microseconds_are_recognised(self, serve, reply, ask):
        page = json.dumps([[1735689600000000, "1", "2", "0.5", "1.5", "10"]]).encode()
        start = datetime(2025, 1, 1, tzinfo=UTC)

        assert opens(ask(serve(reply((200, {}, page))).url, start=start, bars=1).frame) == [start]

    def test_an_error_in_a_200_body_is_not_an_empty_page(self, vendor, ask):
        vendor.set_faults([Fault(fault="error", status=200, code=-1121, message="Invalid symbol.")])

        with pytest.raises(SourceError, match="-1121 Invalid symbol") as caught:
            ask(vendor.url)

        assert caught.value.permanent
        assert len(vendor.log) == 1

    def test_a_hidden_too_many_requests_is_tried_again(self, vendor, ask):
        vendor.set_faults([Fault(fault="error", status=200, code=-1003, times=1)])

        assert ask(vendor.url).frame.height == 100

    def test_several_symbols_are_in_flight_at_once(self, vendor, build):
        async def both():
            source = build(vendor.url)
            async with source:
                window = (START + timedelta(days=10), START + timedelta(days=10) + 500 * MINUTE)
                return await asyncio.gather(
                    *(
                        source.fetch(symbol, Timeframe.M1, *window)
                        for symbol in ("BTCUSDT", "ETHUSDT")
                    )
                )

        bitcoin, ether = asyncio.run(both())

        assert bitcoin.height == ether.height == 500
        assert not bitcoin["close"].equals(ether["close"])


class TestGenesis:
    def test_the_first_bar_is_found_with_one_request(self, vendor, build):
        async def probe(symbol, timeframe):
            source = build(vendor.url)
            async with source:
                return await source.earliest(symbol, timeframe), source.usage.requests

        assert asyncio.run(probe("ETHUSDT", Timeframe.M1)) == (
            datetime(2024, 1, 5, 7, 30, tzinfo=UTC),
            1,
        )
        assert asyncio.run(probe("ETHUSDT", Timeframe.D1)) == (datetime(2024, 1, 6, tzinfo=UTC), 1)

    def test_it_speaks_for_any_window(self, build):
        assert build("http://127.0.0.1:9").answers_for("BTCUSDT", Timeframe.M1) is None


class TestMarkets:
    """Spot and USD-M futures: where they are asked, and what the vendor charges for it."""

    @pytest.mark.parametrize(
        ("market", "url", "most"),
        [
            ("spot", "https://data-api.binance.vision", 6000),
            ("usdm", "https://fapi.binance.com", 2400),
        ],
    )
    def test_each_has_an_address_and_the_rate_that_the_vendor_allows_as_it_counts_it(
        self, market, url, most
    ):
        settings = BinanceSettings.model_validate({"market": market})
        traits = BinanceSource("binance", settings, base=Path(), kind="crypto").traits

        assert settings.base_url == url
        assert settings.rate == f"{most}/m"
        assert traits.counting.clock == 60
        assert traits.ceiling == 64

    def test_what_is_set_is_not_overruled(self):
        settings = BinanceSettings.model_validate(
            {"market": "usdm", "base_url": "http://a.example", "rate": None}
        )

        assert (settings.base_url, settings.rate) == ("http://a.example", None)

    @pytest.mark.parametrize(
        "wrong",
        [{"market": "coinm"}, {"market": []}, {"rate": "1/s"}, {"market": "usdm", "rate": "1/m"}],
    )
    def test_wrong_settings_are_refused(self, wrong):
        with pytest.raises(ValidationError):
            BinanceSettings.model_validate(wrong)

    @pytest.mark.parametrize(
        ("market", "size", "venue"), [("spot", 1000, "binance"), ("usdm", 499, "binance-usdm")]
    )
    def test_each_has_its_page_and_its_venue(self, build, market, size, venue):
        source = build("http://127.0.0.1:9", market=market)

        assert source.traits.page_size == size
        assert (
            venue_of(BinanceSource, BinanceSettings.model_validate({"market": market}), "crypto")
            == venue
        )

    @pytest.mark.parametrize(
        "case",
        [
            ("spot", 1, ["1000"], 2),
            ("spot", 1000, ["1000"], 2),
            ("usdm", 1, ["99"], 1),
            ("usdm", 99, ["99"], 1),
            ("usdm", 100, ["499"], 2),
            ("usdm", 499, ["499"], 2),
            ("usdm", 500, ["499", "99"], 3),
        ],
    )
    def test_a_window_is_asked_for_with_the_lightest_page_that_holds_it(
        self, vendor, build, tmp_path, case
    ):
        market, bars, limits, charged = case

        async def fetch() -> pl.DataFrame:
            async with build(
                vendor.url, market=market, rate="1000/m", limiter_path="counts.sqlite"
            ) as source:
                return await source.fetch("BTCUSDT", Timeframe.M1, START, START + bars * MINUTE)

        assert opens(asyncio.run(fetch())) == minutes(START, bars)
        assert [request["limit"] for request in vendor.log] == limits
        assert weight_in(tmp_path / "counts.sqlite") == charged

    @pytest.mark.parametrize(("market", "charged"), [("spot", 2), ("usdm", 1)])
    def test_the_first_bar_is_asked_for_at_the_least_weight(
        self, vendor, build, tmp_path, market, charged
    ):
        async def probe() -> datetime | None:
            async with build(
                vendor.url, market=market, rate="1000/m", limiter_path="counts.sqlite"
            ) as source:
                return await source.earliest("ETHUSDT", Timeframe.D1)

        assert asyncio.run(probe()) == datetime(2024, 1, 6, tzinfo=UTC)
        assert weight_in(tmp_path / "counts.sqlite") == charged


def weight_in(counts: Path) -> int:
    """What a limit's file says was spent."""
    with closing(sqlite3.connect(counts)) as connection:
        return connection.execute("SELECT sum(weight) FROM requests").fetchone()[0]
