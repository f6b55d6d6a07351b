"""What every source of paged JSON does alike, each speaking to a server of its own format."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.errors import SourceError
from market_assets.market.timeframes import from_micros
from market_assets.sources.contract import CANDLE_SCHEMA, build_source
from market_assets.sources.transport.rest import candles, refusal
from market_assets_tests.support.wire import (
    KRAKEN,
    MINUTE,
    START,
    WIRES,
    Exchange,
    ask,
    build,
    every,
    opens,
)

if TYPE_CHECKING:
    from market_assets_tests.support.wire import Wire

LIST = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}
KEYS = {"ts": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}


@pytest.fixture(params=WIRES)
def wire(request) -> Wire:
    """Each vendor's format in turn."""
    return WIRES[request.param]


@pytest.fixture(params=[name for name in WIRES if name != "kraken"])
def cut(request) -> Wire:
    """Each format whose answers can be cut short: Kraken's are all there is since a time."""
    return WIRES[request.param]


@pytest.fixture
def given_by(serve, tmp_path):
    """Ask a server in some state for so many bars; gives the frame and the requests it took."""

    def given_by(exchange, *, bars, start=START, symbol=None, **more):
        source = build(exchange.wire, serve(exchange).url, tmp_path)
        return ask(source, symbol or exchange.wire.symbol, bars=bars, start=start, **more), len(
            exchange.log
        )

    return given_by


class TestPages:
    def test_a_hole_where_pages_end_costs_one_request(self, cut, given_by):
        bars = every(20)[5:15]

        frame, requests = given_by(Exchange(cut, bars), bars=20)

        assert sorted(opens(frame)) == bars
        assert requests == 2

    def test_pages_that_overlap_give_no_bar_twice(self, cut, given_by):
        frame, _ = given_by(
            Exchange(cut, every(40), cap=7, wider=2), bars=20, start=START + 10 * MINUTE
        )

        inside = [ts for ts in opens(frame) if ts in every(20, start=START + 10 * MINUTE)]
        assert sorted(inside) == every(20, start=START + 10 * MINUTE)

    def test_rows_outside_the_window_are_cut_where_they_are_known_to_come_and_handed_on_elsewhere(
        self, wire, given_by
    ):
        exchange = Exchange(wire, every(40), wider=2)

        frame, _ = given_by(exchange, bars=5, start=START + 10 * MINUTE)

        around = every(9, start=START + 8 * MINUTE)
        assert sorted(opens(frame)) == (around[2:-2] if wire.source.exceeds else around)

    def test_a_server_that_ignores_the_window_does_not_loop_for_ever(self, wire, given_by):
        bars = every(10, start=START + 10 * MINUTE) if wire.source.newest_first else every(10)
        exchange = Exchange(wire, bars, fixed=True)

        with pytest.raises(
            SourceError, match=r"01 00:00\.\..*the pages do not move forward"
        ) as caught:
            given_by(exchange, bars=20)

        assert not caught.value.permanent
        assert len(exchange.log) == 2

    def test_a_server_that_gives_a_row_a_page_is_given_up(self, cut, given_by):
        exchange = Exchange(cut, every(200), cap=1)

        with pytest.raises(SourceError, match="is still to come after 100 pages"):
            given_by(exchange, bars=200)

        assert len(exchange.log) == 100

    @pytest.mark.parametrize(
        "body", [b"17", b"null", b"{}", b'["a"]', b'[["1704067200000","1"]]', b'"words"', b"[{}]"]
    )
    def test_json_of_another_kind_is_an_error_too(self, wire, serve, reply, tmp_path, body):
        server = serve(reply((200, {}, body)))

        with pytest.raises(SourceError, match="the answer is not a list of candles"):
            ask(build(wire, server.url, tmp_path), wire.symbol, bars=5)


class TestTraits:
    def test_they_are_for_crypto_without_a_key(self, wire):
        traits = wire.source.traits

        assert traits.kinds == {"crypto"}
        assert not traits.needs_key

    def test_they_speak_for_any_window(self, wire, tmp_path):
        assert (
            build(wire, "http://127.0.0.1:9", tmp_path).answers_for(
                wire.symbol, min(wire.source.traits.timeframes)
            )
            is None
        )

    @pytest.mark.parametrize("name", WIRES)
    def test_they_are_installed_under_their_names(self, name, tmp_path):
        kind, _, _ = name.partition("-")
        source = build_source(kind, dict(WIRES[name].settings), base=tmp_path, kind="crypto")

        assert type(source) is WIRES[name].source
        assert source.traits == WIRES[name].traits

    def test_only_kraken_serves_its_latest_bars_alone(self):
        limited = {
            name: count
            for name, wire in WIRES.items()
            if (count := wire.traits.latest_only) is not None
        }

        assert limited == {"kraken": KRAKEN.traits.page_size}


def bits(numbers):
    return [number.hex() for number in numbers]


class TestCandles:
    @given(
        st.lists(
            st.one_of(
                st.decimals(0, 10**9, places=8).map(str),
                st.floats(0, allow_nan=False, allow_infinity=False).map(repr),
                st.from_regex(r"[1-9][0-9]{0,20}\.[0-9]{1,25}", fullmatch=True),
            ),
            min_size=5,
            max_size=5,
        ),
        st.booleans(),
    )
    def test_every_number_is_the_double_nearest_to_its_text(self, texts, quoted):
        cells = ",".join(f'"{text}"' if quoted else text for text in texts)
        frame = candles(f"[[1704067200000,{cells}]]".encode(), lambda rows: rows, LIST)

        assert bits(frame.row(0)[1:]) == bits(map(float, texts))

    @pytest.mark.parametrize("cell", ['"NaN"', "NaN", "null", '""', '"abc"', "[]", "{}", '"1e999"'])
    def test_a_cell_that_is_no_number_does_not_cost_the_page(self, cell):
        good = '[1704067200000,"1","2","0.5","1.5","10"]'
        frame = candles(
            f'[{good},[1704067260000,{cell},"2","0.5","1.5","10"],{good}]'.encode(),
            lambda rows: rows,
            LIST,
        )

        assert frame["high"].to_list() == [2.0, 2.0, 2.0]
        assert frame["open"][0] == frame["open"][2] == 1.0
        odd = frame["open"][1]
        assert odd is None or math.isnan(odd) or math.isinf(odd)

    @pytest.mark.parametrize(
        "stamp",
        [1735689600, 1735689600000, 1735689600000000, "1735689600", "1735689600000", 1735689600.0],
    )
    def test_a_time_is_read_in_whatever_unit_it_is(self, stamp):
        frame = candles(json.dumps([[stamp, 1, 2, 0, 1, 5]]).encode(), lambda rows: rows, LIST)

        assert from_micros(frame["ts"].to_physical()[0]) == datetime(2025, 1, 1, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("text", "instant"),
        [
            ("2025-01-01T00:00:00Z", datetime(2025, 1, 1, tzinfo=UTC)),
            ("2025-01-01T00:00:00.000000000Z", datetime(2025, 1, 1, tzinfo=UTC)),
            ("2025-01-01T01:00:00+01:00", datetime(2025, 1, 1, tzinfo=UTC)),
        ],
    )
    def test_a_time_may_be_text(self, text, instant):
        body = json.dumps([{"t": text, "o": 1, "h": 2, "l": 0, "c": 1, "v": 5}]).encode()
        frame = candles(body, lambda rows: rows, KEYS, iso=True)

        assert frame.schema == CANDLE_SCHEMA
        assert from_micros(frame["ts"].to_physical()[0]) == instant

    @pytest.mark.parametrize(
        ("stamp", "iso"),
        [("soon", False), (None, False), ([], False), (2**70, False), ("soon", True), (17, True)],
    )
    def test_a_time_that_is_none_is_null(self, stamp, iso):
        frame = candles(
            json.dumps([[stamp, 1, 2, 0, 1, 5]]).encode(), lambda rows: rows, LIST, iso=iso
        )

        assert frame["ts"].to_list() == [None]

    def test_a_volume_that_has_no_place_is_null(self):
        places = {name: place for name, place in LIST.items() if name != "volume"}
        frame = candles(b"[[1704067200000,1,2,0,1]]", lambda rows: rows, places)

        assert frame.schema == CANDLE_SCHEMA
        assert frame["volume"].to_list() == [None]

    def test_no_rows_are_an_empty_frame(self):
        assert candles(b"[]", lambda rows: rows, LIST).equals(CANDLE_SCHEMA.to_frame())
        assert candles(b"[]", lambda rows: rows, LIST, iso=True).equals(CANDLE_SCHEMA.to_frame())

    @pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff\xfe", b"[1", b""])
    def test_what_is_no_json_is_an_error_that_may_pass(self, body):
        with pytest.raises(SourceError, match="not JSON") as caught:
            candles(body, lambda rows: rows, LIST)

        assert not caught.value.permanent
        assert len(str(caught.value)) < 400

    def test_the_words_of_a_refusal_are_one_short_line(self):
        text = str(refusal("a\nb " + "x" * 1000, permanent=True))

        assert text.startswith("the answer is an error: a b xxx")
        assert len(text) < 300


def test_of_extra_columns_a_row_may_lack_any() -> None:
    places = {**LIST, "trades": 6, "vwap": 7}
    body = b'[[0,1,2,0.5,1.5,10,3,"1.25"],[60,1,2,0.5,1.5,10],[120,1,2,0.5,1.5,10,null,"odd"]]'

    frame = candles(body, lambda rows: rows, places)

    assert frame["trades"].to_list() == [3.0, None, None]
    assert frame["vwap"].to_list() == [1.25, None, None]
    assert frame["close"].to_list() == [1.5, 1.5, 1.5]
    assert (
        candles(b"[[0,1,2,0.5,1.5,10]]", lambda rows: rows, places).columns == CANDLE_SCHEMA.names()
    )
