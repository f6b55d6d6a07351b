"""What is in a zip: read, or an error of ours."""

from __future__ import annotations

import struct
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_assets.errors import SourceError
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets.sources.vendors.binance_zip import unpack
from market_assets_tests.support.binance_archives import packed


class TestUnpacking:
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
        frame = unpack(
            packed({"a.csv": f"1735689600000000,{','.join(texts)},1,2,3,4,5,0\n".encode()}), "a.csv"
        )

        assert [number.hex() for number in frame.row(0)[1:6]] == [
            float(text).hex() for text in texts
        ]

    @pytest.mark.parametrize("cell", ["", "null", "abc", "[]", '"1.5"', "1.5 x"])
    def test_a_cell_that_is_no_number_does_not_cost_the_rest(self, cell):
        good = "1735689600000000,1,2,0.5,1.5,10,9,8,7,6,5,0\n"
        text = f"{good}1735689660000000,{cell},2,0.5,1.5,10,9,8,7,6,5,0\n{good}"

        frame = unpack(packed({"a.csv": text.encode()}), "a.csv")

        assert frame["open"].to_list() == [1.0, None, 1.0]
        assert frame["high"].to_list() == [2.0, 2.0, 2.0]

    def test_lines_of_any_length_and_ending_are_read(self):
        text = (
            b"1735689600000000,1,2,0.5,1.5,10\r\n1735689660000000,1,2,0.5\r\n"
            b"1735689720000000,1,2,0.5,1.5,10,x,y\r\n"
        )

        frame = unpack(packed({"a.csv": text}), "a.csv")

        assert frame["volume"].to_list() == [10.0, None, 10.0]
        assert frame["ts"].diff().drop_nulls().to_list() == [timedelta(minutes=1)] * 2

    def test_what_unpacks_to_too_much_is_refused_unread(self):
        bomb = packed({"a.csv": b"\0" * (16 * 1024**2 + 1)})

        with pytest.raises(SourceError, match="16,777,217 bytes, more than candles have"):
            unpack(bomb, "a.csv")

    @pytest.mark.parametrize(
        "text", [b"1\n" * 100_000, b"1," * 10**6, b"open_time,\n" + b"1," * 10**6]
    )
    def test_more_lines_or_cells_than_a_month_has_are_not_read(self, text):
        with pytest.raises(SourceError, match="its lines are not candles"):
            unpack(packed({"a.csv": text}), "a.csv")

    @given(
        st.one_of(
            st.binary(),
            st.lists(st.text('0123456789.,-e\n\r"x', min_size=1)).map(
                lambda cells: ",".join(cells).encode()
            ),
        )
    )
    def test_whatever_a_file_holds_is_read_or_an_error_of_ours(self, text):
        try:
            frame = unpack(packed({"a.csv": text}), "a.csv")
        except SourceError:
            return
        assert frame.select(CANDLE_SCHEMA.names()).schema == CANDLE_SCHEMA

    def test_what_unpacks_to_more_than_it_tells_is_refused(self):
        bomb = packed({"a.csv": b"\0" * 10**6}).replace(
            struct.pack("<I", 10**6), struct.pack("<I", 1000)
        )

        with pytest.raises(SourceError, match="no zip, or damaged: Bad CRC"):
            unpack(bomb, "a.csv")

    def test_what_wants_a_password_is_refused(self):
        locked = bytearray(packed({"a.csv": b"1,2,3,4,5,6\n"}))
        locked[6] |= 1
        locked[locked.index(b"PK\1\2") + 8] |= 1

        with pytest.raises(SourceError, match="password required"):
            unpack(bytes(locked), "a.csv")

    @settings(max_examples=200)
    @given(st.integers(0, 10**6), st.binary(min_size=1, max_size=4))
    def test_whatever_is_damaged_is_read_or_an_error_of_ours(self, place, other):
        body = packed({"a.csv": b"1735689600000000,1,2,0.5,1.5,10,9,8,7,6,5,0\n" * 50})
        at = place % len(body)

        try:
            frame = unpack(body[:at] + other + body[at + len(other) :], "a.csv")
        except SourceError:
            return
        assert frame.select(CANDLE_SCHEMA.names()).schema == CANDLE_SCHEMA
