"""Which tables of a universe go to the lake, and what its `export` key may say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from market_assets.config.load import load_universe
from market_assets.errors import ExportError, UniverseError
from market_assets.export import tables_of
from market_assets.market.timeframes import Timeframe
from market_assets_tests.support.export_ground import MINUTES

if TYPE_CHECKING:
    from market_assets.config.universe import Universe


UNIVERSE = """
sources: {practice: {}, told: {type: action_files, path: "{symbol}.csv"}}
profiles:
  coins: {kind: CRYPTO, start: 2025-01-06, sources: [practice], symbols: {BTC: {}},
          timeframes: {fetch: [1m], derive: [30m, 1d, 1w], features: [30m]}}
  stocks: {kind: EQUITY, start: 2025-01-06, sources: [practice], actions: [told],
           symbols: {SPY: {}}, timeframes: {fetch: [1d], returns: [1d]}}
markets: {timeframes: [1d]}
"""

DAILY = "coins.candles_1d"

SPARK = {
    pa.string(),
    pa.large_string(),
    pa.date32(),
    pa.float64(),
    pa.int32(),
    pa.int64(),
    pa.timestamp("us", "UTC"),
}
"""What Spark reads as string, date, double, int, long and timestamp.

Spark has no unsigned numbers and no nanoseconds.
"""


def load(tmp_path: Path, more: str = "") -> Universe:
    path = tmp_path / "universe.yaml"
    path.write_text(UNIVERSE + more)
    return load_universe(path, environ={})


def test_all_that_is_kept_has_a_table_and_a_period_that_keeps_its_files_small(tmp_path):
    found = {str(table): str(table.period) for table in tables_of(load(tmp_path))}
    assert found == {
        "coins.candles_1m": "day",
        "coins.candles_30m": "month",
        "coins.candles_1d": "year",
        "coins.candles_1w": "year",
        "coins.features_30m": "month",
        "stocks.candles_1d": "year",
        "stocks.returns_1d": "year",
        "stocks.corporate_actions": "ever",
        "markets.returns_1d": "year",
    }


def test_profiles_and_timeframes_can_be_named(tmp_path):
    universe = load(tmp_path)
    assert [str(table) for table in tables_of(universe, ["markets"])] == ["markets.returns_1d"]
    assert [str(table) for table in tables_of(universe, ["stocks", "coins"], ["1m"])] == [
        "stocks.corporate_actions",
        "coins.candles_1m",
    ]
    with pytest.raises(ExportError, match=r"stock: no such profile; did you mean stocks\?"):
        tables_of(universe, ["stock"])


def test_nothing_is_exported_by_itself_until_the_universe_says_so(tmp_path):
    assert load(tmp_path).export is None
    settings = load(tmp_path, "export:\n").export
    assert settings is not None
    assert (settings.folder_in(Path("/home")), settings.timeframes, settings.every) == (
        Path("/home/lake"),
        (),
        timedelta(minutes=15),
    )
    settings = load(
        tmp_path, "export: {folder: /elsewhere, timeframes: [1d, 1m], every: 1h}\n"
    ).export
    assert settings is not None
    assert (settings.folder_in(Path("/home")), settings.timeframes) == (
        Path("/elsewhere"),
        (Timeframe.M1, Timeframe.D1),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{folderr: x}", "export.folderr: is no key here; did you mean folder?"),
        ("{timeframes: [1d, 1d]}", "export.timeframes: 1d is written 2 times"),
        ("{timeframes: [4h]}", "export.timeframes: 4h is kept by no profile"),
        ("{every: 7m}", "export.every: divides neither an hour"),
        ('{folder: ""}', "export.folder: "),
        ("[lake]", "export: must be a mapping"),
    ],
)
def test_a_mistake_is_told_with_its_key(tmp_path, text, problem):
    with pytest.raises(UniverseError) as error:
        load(tmp_path, f"export: {text}\n")
    assert any(line.startswith(problem) for line in error.value.problems), error.value.problems


def by_duckdb(folder, what: str = "*", zone: str = "America/New_York") -> list[tuple]:
    with duckdb.connect() as db:
        db.execute(f"SET TimeZone = '{zone}'")
        return db.sql(
            f"SELECT {what} FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true)"
        ).fetchall()


def test_duckdb_reads_the_folder_in_any_zone_and_prunes_by_the_keys(lake):
    total = lake.stored(MINUTES)["close"].sum()
    for zone in ("UTC", "America/New_York", "Asia/Tokyo"):
        what = (
            "count(*), sum(close), epoch_us(min(ts)), min(date)::VARCHAR, "
            "typeof(any_value(year)), typeof(any_value(month))"
        )
        found = by_duckdb(lake.of(MINUTES), what, zone)
        assert found == [(14_400, total, 1_738_195_200_000_000, "2025-01-30", "BIGINT", "BIGINT")]
    with duckdb.connect() as db:
        told = db.execute(
            "EXPLAIN ANALYZE SELECT sum(close) "
            f"FROM read_parquet('{lake.of(MINUTES)}/**/*.parquet') WHERE year = 2025 AND month = 2"
        ).fetchall()
    assert "Scanning Files: 3/5" in str(told)


def test_polars_scans_the_folder_itself(lake):
    scan = pl.scan_parquet(lake.of(MINUTES), hive_partitioning=True)
    assert scan.collect_schema() == {
        "symbol": pl.String,
        "ts": pl.Datetime("us", "UTC"),
        "date": pl.Date,
        "open": pl.Float64,
        "high": pl.Float64,
        "low": pl.Float64,
        "close": pl.Float64,
        "volume": pl.Float64,
        "source": pl.String,
        "quote_volume": pl.Float64,
        "trades": pl.Int64,
        "taker_buy_volume": pl.Float64,
        "vwap": pl.Float64,
        "year": pl.Int64,
        "month": pl.Int64,
    }
    found = scan.filter(pl.col("month") == 1, pl.col("symbol") == "ETH").collect()
    assert (found.height, found["date"].unique().sort().dt.day().to_list()) == (2880, [30, 31])


def test_pandas_reads_the_folder_itself(lake):
    found = pd.read_parquet(lake.of(MINUTES))
    assert len(found) == 14_400
    assert str(found["ts"].dtype) == "datetime64[us, UTC]"
    assert found["close"].sum() == lake.stored(MINUTES)["close"].sum()
    assert set(found["month"].astype(int)) == {1, 2}
    table = ds.dataset(lake.of(MINUTES), partitioning="hive").to_table(
        filter=ds.field("month") == 2
    )
    assert (table.num_rows, table.schema.field("month").type) == (3 * 2880, pa.int32())


def test_every_file_has_types_that_spark_knows_and_no_column_that_is_a_key(lake):
    for name in lake.names:
        keys = {part.split("=")[0] for file in lake.files(name) for part in file.split("/")[:-1]}
        for file in lake.files(name):
            parquet = pq.ParquetFile(lake.of(name) / file)
            assert set(parquet.schema_arrow.types) <= SPARK
            assert not keys & set(parquet.schema_arrow.names)
            stamp = parquet.schema.column(parquet.schema_arrow.names.index("ts"))
            assert (stamp.physical_type, str(stamp.logical_type)[:50]) == (
                "INT64",
                "Timestamp(isAdjustedToUTC=true, timeUnit=microseco",
            )
            assert {parquet.metadata.row_group(0).column(n).compression for n in range(3)} == {
                "ZSTD"
            }


def test_a_session_s_day_is_its_date_whatever_zone_a_reader_has(lake):
    (row,) = by_duckdb(lake.of(DAILY), "min(ts)::DATE::VARCHAR, min(date)::VARCHAR")
    assert row == ("2025-01-29", "2025-01-30"), "New York is behind: this is what `date` is for"


def test_nothing_but_parquet_is_in_a_table_s_folder_because_polars_reads_whatever_is_there(lake):
    for name in lake.names:
        assert {file.rsplit(".", 1)[1] for file in lake.files(name)} == {"parquet"}


def test_rows_are_sorted_so_that_one_symbol_is_in_few_row_groups(lake):
    file = lake.of(MINUTES) / next(iter(lake.files(MINUTES)))
    found = pl.read_parquet(file, hive_partitioning=False)
    assert found.equals(found.sort("symbol", "ts"))
    statistics = pq.ParquetFile(file).metadata.row_group(0).column(0).statistics
    assert (statistics.min, statistics.max) == ("BTC", "ETH")
