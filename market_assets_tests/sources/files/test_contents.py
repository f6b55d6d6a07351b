"""What is in a file that is read whole, by symbol."""

from __future__ import annotations

import polars as pl
import pytest

from market_assets.errors import SourceError
from market_assets_tests.support.archives import archive, candles, fetch


class TestLayouts:
    def test_a_file_of_many_symbols_gives_the_one_asked_for(self, tmp_path):
        spy, qqq = candles(), candles().with_columns(pl.col("close") + 1000)
        panel = pl.concat(
            [spy.with_columns(ticker=pl.lit("SPY")), qqq.with_columns(ticker=pl.lit("QQQ"))]
        ).sort("ts")
        panel.write_csv(tmp_path / "panel.csv")
        panel.write_parquet(tmp_path / "panel.parquet")
        for suffix in ("csv", "parquet"):
            source = archive(tmp_path, f"panel.{suffix}", columns={"symbol": "ticker"})

            assert fetch(source, "SPY").equals(spy)
            assert fetch(source, "QQQ").equals(qqq)
            with pytest.raises(SourceError, match="near it are QQQ") as caught:
                fetch(source, "QQQQ")
            assert caught.value.permanent


class TestSeveralSymbols:
    TEXT = (
        "ts,ticker,open,high,low,close,volume\n2024-03-11,SPY,1,2,0.5,1.5,3\n"
        "{},QQQ,100,200,50,150,3\n"
    )

    @pytest.mark.parametrize("columns", [{}, {"symbol": "ticker"}])
    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_a_file_of_several_gives_each_its_own(self, tmp_path, suffix, columns):
        text = self.TEXT.format("2024-03-11")
        (tmp_path / "SPY.csv").write_text(text)
        pl.read_csv(text.encode(), try_parse_dates=True).cast(
            {"high": pl.Float64, "open": pl.Float64}
        ).with_columns(pl.col("ts").cast(pl.Datetime("us"))).write_parquet(tmp_path / "SPY.parquet")

        assert fetch(archive(tmp_path, "{symbol}." + suffix, columns=columns))[
            "close"
        ].to_list() == [1.5]

    def test_none_of_them_is_taken_for_one_that_it_does_not_name(self, tmp_path):
        (tmp_path / "spy-1m.csv").write_text(self.TEXT.format("2024-03-11"))

        with pytest.raises(
            SourceError,
            match=r"several symbols at the same times, such as QQQ, SPY, and none of spy-1m",
        ):
            fetch(archive(tmp_path, "{symbol}.csv"), symbol="spy-1m")

    def test_one_that_was_renamed_is_one(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(self.TEXT.format("2024-03-12"))

        assert fetch(archive(tmp_path, "{symbol}.csv"))["close"].to_list() == [1.5, 150.0]
