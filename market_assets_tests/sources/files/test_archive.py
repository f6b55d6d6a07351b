"""What an archive of files speaks for, and real files of many vendors."""

from __future__ import annotations

import asyncio
import gzip
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import yaml

from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.sources.contract import CANDLE_SCHEMA, build_source
from market_assets_tests.support.archives import archive, candles, fetch

START = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)


class TestLayouts:
    def test_a_file_that_changes_is_read_again(self, tmp_path):
        path = tmp_path / "SPY.csv"
        candles(3).write_csv(path)
        source = archive(tmp_path, "{symbol}.csv")
        assert fetch(source).height == 3

        candles(7).write_csv(path)

        assert fetch(source).height == 7
        assert source.answers_for("SPY", Timeframe.M1) == Window(
            START.replace(minute=0), START.replace(hour=15, minute=0)
        )


class TestWhatAnArchiveSpeaksFor:
    def test_it_is_the_hours_from_the_first_row_to_the_last(self, tmp_path):
        candles(5).write_parquet(tmp_path / "SPY-1.parquet")
        candles(5, START + timedelta(days=3)).write_parquet(tmp_path / "SPY-2.parquet")

        window = archive(tmp_path, "{symbol}-*.parquet").answers_for("SPY", Timeframe.M1)

        assert window == Window(
            START.replace(minute=0), START.replace(minute=0) + timedelta(days=3, hours=1)
        )

    def test_of_a_file_without_rows_it_is_nothing(self, tmp_path):
        candles(0).write_parquet(tmp_path / "SPY.parquet")
        source = archive(tmp_path, "{symbol}.parquet")

        assert source.answers_for("SPY", Timeframe.M1).empty
        assert fetch(source).equals(CANDLE_SCHEMA.to_frame())

    @pytest.mark.parametrize(("quiet_minutes", "emits"), [("present", True), ("omitted", False)])
    def test_whether_quiet_minutes_are_there_is_a_setting(self, tmp_path, quiet_minutes, emits):
        assert (
            archive(tmp_path, "{symbol}.csv", quiet_minutes=quiet_minutes).traits.emits_empty_bars
            == emits
        )

    def test_it_knows_no_first_bar(self, tmp_path):
        assert asyncio.run(archive(tmp_path, "{symbol}.csv").earliest("SPY", Timeframe.M1)) is None


class TestRealFiles:
    def test_every_file_of_the_real_universe_is_read_bit_for_bit(self, shared):
        universe = yaml.safe_load((shared / "universe.real.yaml").read_text())
        read = 0
        for profile in universe["profiles"].values():
            kind = profile["kind"].lower()
            for symbol in profile["symbols"].values():
                for named in symbol["sources"]:
                    ((name, own_name),) = named.items()
                    for text in profile["timeframes"]["fetch"]:
                        source = build_source(
                            name, universe["sources"][name], base=shared, kind=kind
                        )
                        whole = pl.read_parquet(
                            shared / "data" / kind / f"{own_name}__{text}.parquet"
                        )

                        frame = fetch(source, own_name, Timeframe(text))

                        assert frame.equals(whole.select(CANDLE_SCHEMA.names()))
                        assert source.traits.emits_empty_bars == (name == "archive")
                        window = source.answers_for(own_name, Timeframe(text))
                        assert whole.filter(window.holds()).height == whole.height
                        read += 1
        assert read == 15

    def test_a_real_file_of_many_symbols_gives_each_of_them(self, shared):
        whole = pl.read_parquet(shared / "data" / "equity" / "yahoo__PANEL20__1m.parquet")
        source = archive(
            shared, "data/equity/yahoo__PANEL20__1m.parquet", columns={"symbol": "symbol"}
        )

        for (symbol,), rows in whole.group_by("symbol"):
            assert fetch(source, str(symbol)).equals(rows.select(CANDLE_SCHEMA.names()))

    def test_a_real_year_of_minutes_as_gzipped_csv_is_the_same_as_parquet(self, shared, tmp_path):
        path = shared / "data" / "equity" / "admf-spy__SPY__1m.parquet"
        whole = pl.read_parquet(path).select(CANDLE_SCHEMA.names())
        (tmp_path / "SPY.csv.gz").write_bytes(gzip.compress(whole.write_csv().encode(), 1))

        assert whole.schema["ts"] == TS
        assert fetch(archive(tmp_path, "{symbol}.csv.gz")).equals(whole)
