"""The prices and volumes of a file, out of the cells that they are written in."""

# ruff: noqa: DTZ001 - a frame's times bear no zone

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest

from market_assets.errors import SourceError
from market_assets_tests.support.archives import archive, fetch
from market_assets_tests.support.file_fills import HEAD

MARCH_11 = datetime(2024, 3, 11)


class TestNumbersAndStampsAsTheyAreWritten:
    def test_a_volume_may_stand_for_none(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(
            HEAD + "2024-03-11,1,2,0.5,1.5,-1\n2024-03-12,1,2,0.5,1.5,3\n"
        )

        assert fetch(archive(tmp_path, "{symbol}.csv", null_volume=-1))["volume"].to_list() == [
            None,
            3.0,
        ]


class TestFixedPointPrices:
    TEXT = HEAD + "2024-03-11,10000000000,10500000000,9990000000,10250000000,3\n"

    def test_they_are_refused_where_nobody_says_so(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(self.TEXT)

        with pytest.raises(SourceError, match=r"look like fixed-point numbers: set price_scale"):
            fetch(archive(tmp_path, "{symbol}.csv"))

    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_with_a_scale_they_are_prices(self, tmp_path, suffix):
        (tmp_path / "SPY.csv").write_text(self.TEXT)
        pl.read_csv(self.TEXT.encode(), try_parse_dates=True).write_parquet(
            tmp_path / "SPY.parquet"
        )

        row = fetch(archive(tmp_path, "{symbol}." + suffix, price_scale=1e-9)).row(0)

        assert row == (MARCH_11, 10.0, 10.5, 9.99, 10.25, 3.0)

    def test_so_are_those_of_a_parquet_file(self, tmp_path):
        pl.read_csv(self.TEXT.encode(), try_parse_dates=True).write_parquet(
            tmp_path / "SPY.parquet"
        )

        with pytest.raises(SourceError, match="price_scale"):
            fetch(archive(tmp_path, "{symbol}.parquet"))

    def test_a_scale_of_one_says_that_they_are_prices_as_they_stand(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(self.TEXT)

        assert fetch(archive(tmp_path, "{symbol}.csv", price_scale=1))["close"].to_list() == [
            10250000000.0
        ]

    def test_no_price_of_theirs_is_none(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(
            HEAD + f"2024-03-11,{2**63 - 1},{2**63 - 1},{2**63 - 1},{2**63 - 1},3\n"
        )

        assert fetch(archive(tmp_path, "{symbol}.csv", price_scale=1e-9))["close"].to_list() == [
            None
        ]

    def test_they_are_right_to_the_last_bit(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(
            HEAD + "2024-03-11,172700000000,172940000000,172610000000,172930000000,3\n"
        )

        row = fetch(archive(tmp_path, "{symbol}.csv", price_scale=1e-9)).row(0)

        assert row[1:5] == (172.7, 172.94, 172.61, 172.93)

    def test_a_whole_price_among_fractions_is_one_as_it_stands(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(HEAD + "2024-03-11,172.94,173.06,172.7,173,3\n")

        assert fetch(archive(tmp_path, "{symbol}.csv", price_scale=1e-9)).row(0)[1:5] == (
            172.94,
            173.06,
            172.7,
            173.0,
        )

    def test_billionths_beside_fractions_are_billionths(self, tmp_path):
        rows = (
            "2024-03-11,172.94,173.06,172.7,173.5,3\n"
            "2024-03-12,172940000000,173060000000,172700000000,173000000000,3\n"
        )
        (tmp_path / "SPY.csv").write_text(HEAD + rows)

        closes = fetch(archive(tmp_path, "{symbol}.csv", price_scale=1e-9))["close"].to_list()

        assert closes == [173.5, 173.0]

    def test_whole_prices_that_are_no_billionths_are_refused(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(HEAD + "2024-03-11,17,18,16,17,3\n")

        with pytest.raises(SourceError, match="price_scale: 1 where they are prices as they stand"):
            fetch(archive(tmp_path, "{symbol}.csv", price_scale=1e-9))

    def test_cents_may_have_fractions(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(HEAD + "2024-03-11,1000,1050.5,950,1000,3\n")

        assert fetch(archive(tmp_path, "{symbol}.csv", price_scale=0.01)).row(0)[1:5] == (
            10.0,
            10.505,
            9.5,
            10.0,
        )
