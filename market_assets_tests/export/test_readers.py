"""What DuckDB, polars, pandas and Spark make of the lake.

They have the same rows, the same types, and one idea of the time.
"""

from __future__ import annotations

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from market_assets_tests.support.export_ground import MINUTES

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
