"""Numbers as vendors write them."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market_assets_tests.support.archives import archive, fetch
from market_assets_tests.support.file_fills import HEAD


class TestFormats:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
    @given(
        st.lists(
            st.one_of(
                st.decimals(-(10**9), 10**9, places=8).map(str),
                st.floats(allow_nan=False).map(repr),
            ),
            min_size=4,
            max_size=4,
        )
    )
    def test_every_number_of_a_csv_is_the_double_nearest_to_its_text(self, tmp_path, texts):
        (tmp_path / "SPY.csv").write_text(
            "ts,open,high,low,close\n1704205800," + ",".join(texts) + "\n"
        )
        row = fetch(archive(tmp_path, "{symbol}.csv")).row(0)

        assert [struct.pack("d", number) for number in row[1:5]] == [
            struct.pack("d", float(text)) for text in texts
        ]

    def test_cells_that_are_no_numbers_are_null_and_cost_nothing_else(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(
            "ts,open,high,low,close,volume\n1704205800,abc,2,,NaN,\n1704205860,1,2,0.5,1.5,3\n"
        )
        first, second = fetch(archive(tmp_path, "{symbol}.csv")).rows()

        assert first[1:4] == (None, 2.0, None)
        assert math.isnan(first[4])
        assert first[5] is None
        assert second[1:] == (1.0, 2.0, 0.5, 1.5, 3.0)


QUOTE = (1234.5, 1300.0, 1200.0, 1250.25)
"""Open, high, low and close."""


class TestNumbersAndStampsAsTheyAreWritten:
    @pytest.mark.parametrize(
        ("cells", "numbers"),
        [
            ('"1,234.50","1,300.00","1,200.00","1,250.25","12,345"', (*QUOTE, 12345.0)),
            ("1 234.50,1 300.00,1 200.00,1 250.25,12345", (*QUOTE, 12345.0)),
            ('"1234,50","1300,00","1200,00","1250,25","12.345"', (*QUOTE, 12345.0)),
            ('"1.234,50","1.300,00","1.200,00","1.250,25","12.345"', (*QUOTE, 12345.0)),
            (
                "1\u2019234.50,1\u2019300.00,1\u2019200.00,1\u2019250.25,12\u2019345",
                (*QUOTE, 12345.0),
            ),
            (
                "1\u2009234.50,1\u2009300.00,1\u2009200.00,1\u2009250.25,12\u2009345",
                (*QUOTE, 12345.0),
            ),
            (
                '"1,01,234.50","1,01,300","1,01,200","1,01,250.25","12,34,567"',
                (101234.5, 101300.0, 101200.0, 101250.25, 1234567.0),
            ),
            (
                '"1,234","1,300","1,200","1,250","1,234,567"',
                (1234.0, 1300.0, 1200.0, 1250.0, 1234567.0),
            ),
            ("1234.5,1300,1200,1250.25,60.14M", (*QUOTE, 60140000.0)),
            ("1234.5,1300,1200,1250.25,3.4m", (*QUOTE, 3400000.0)),
            ("1234.5,1300,1200,1250.25,1.2 k", (*QUOTE, 1200.0)),
            ("1234.5,1300,1200,1250.25,2.5B", (*QUOTE, 2.5e9)),
            (
                '"1234,5","1300,25","1200,5","1250,25","60,14M"',
                (1234.5, 1300.25, 1200.5, 1250.25, 60140000.0),
            ),
            (
                '"1234,5","1300,25","1200,5","1250,25","1,5 Mio."',
                (1234.5, 1300.25, 1200.5, 1250.25, 1500000.0),
            ),
        ],
    )
    def test_thousands_may_be_parted_and_a_comma_may_stand_before_a_fraction(
        self, tmp_path, cells, numbers
    ):
        (tmp_path / "SPY.csv").write_text(HEAD + f"2024-03-11,{cells}\n")

        assert fetch(archive(tmp_path, "{symbol}.csv")).row(0)[1:] == numbers

    def test_a_number_that_can_be_two_is_none(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(
            "ts;open;high;low;close;volume\n2024-03-11;1,234;1,234;1,234;1,234;1\n"
        )
        source = archive(tmp_path, "{symbol}.csv")

        assert fetch(source)["close"].to_list() == [None]
        assert fetch(archive(tmp_path, "{symbol}.csv", decimal=","))["close"].to_list() == [1.234]
        assert fetch(archive(tmp_path, "{symbol}.csv", decimal="."))["close"].to_list() == [1234.0]
