"""The files that an archive's path means."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import build_source
from market_assets_tests.support.archives import archive, candles, fetch

START = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)


class TestLayouts:
    def test_a_day_a_file_makes_one_archive(self, tmp_path):
        days = [candles(3, START + timedelta(days=day)) for day in range(4)]
        (tmp_path / "SPY").mkdir()
        for day in days:
            day.write_parquet(tmp_path / "SPY" / f"{day['ts'][0]:%Y-%m-%d}.parquet")

        source = archive(tmp_path, "{symbol}/{date}.parquet")

        assert fetch(source).equals(pl.concat(days))
        assert fetch(source, start=START + timedelta(days=2), end=START + timedelta(days=3)).equals(
            days[2]
        )

    def test_only_files_that_hold_the_window_are_opened(self, tmp_path):
        good, other = candles(3), candles(3, START + timedelta(days=30))
        good.write_csv(tmp_path / "SPY-a.csv")
        other.write_csv(tmp_path / "SPY-b.csv")
        source = archive(tmp_path, "{symbol}-*.csv")
        assert source.answers_for("SPY", Timeframe.M1) is not None
        stat = (tmp_path / "SPY-b.csv").stat()
        (tmp_path / "SPY-b.csv").write_bytes(b"\xff" * stat.st_size)
        os.utime(tmp_path / "SPY-b.csv", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        source._table.cache_clear()

        assert fetch(source, end=START + timedelta(days=1)).equals(good)

    def test_a_symbol_with_the_signs_of_a_pattern_in_it_is_meant_literally(self, tmp_path):
        candles().write_parquet(tmp_path / "BTC[1]*.parquet")
        candles(2).write_parquet(tmp_path / "BTC1x.parquet")

        assert fetch(archive(tmp_path, "{symbol}.parquet"), "BTC[1]*").height == 5

    def test_the_profiles_kind_stands_in_the_path(self, tmp_path):
        (tmp_path / "futures").mkdir()
        candles().write_parquet(tmp_path / "futures" / "ES__1m.parquet")

        source = build_source(
            "archive",
            {"path": "{profile}/{symbol}__{timeframe}.parquet"},
            base=tmp_path,
            kind="futures",
        )

        assert fetch(source, "ES").height == 5


class TestTrouble:
    def test_no_file_for_the_symbol_names_the_pattern_and_what_is_near(self, tmp_path):
        for name in ("SPY__1m", "SPX__1m", "AAPL__1m"):
            candles().write_parquet(tmp_path / f"{name}.parquet")
        source = archive(tmp_path, "{symbol}__{timeframe}.parquet")

        for ask in (
            lambda: fetch(source, "SPYY"),
            lambda: source.answers_for("SPYY", Timeframe.M1),
        ):
            with pytest.raises(SourceError) as caught:
                ask()
            assert caught.value.permanent
            assert "SPYY 1m: no file matches {symbol}__{timeframe}.parquet in" in str(caught.value)
            assert "near it are SPY__1m.parquet" in str(caught.value)

    def test_no_folder_is_no_file(self, tmp_path):
        with pytest.raises(SourceError, match="no file matches"):
            fetch(archive(tmp_path, "nowhere/{symbol}.csv"))
