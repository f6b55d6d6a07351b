"""Rows in files of the lake, as the store had them; `test_expiry` reads them beside a store."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl

from market_assets.market.timeframes import TS, Window
from market_assets.reports.archive import read_archived

DAY = Window(datetime(2025, 1, 28, tzinfo=UTC), datetime(2025, 1, 29, tzinfo=UTC))


def hour(day: int, number: int) -> datetime:
    """An hour of January as the store has it: UTC, without a zone."""
    return datetime(2025, 1, day, number)  # noqa: DTZ001


def write(path, *hours: datetime, **columns: object) -> None:
    """Write a file as the exporter does: times with a zone, and a column with the date."""
    stamps = [stamp.replace(tzinfo=UTC) for stamp in hours]
    rows = pl.DataFrame({"symbol": "BTC", "ts": stamps, "close": 1.0, **columns})
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.with_columns(date=pl.lit(date(2025, 1, 28))).write_parquet(path)


def test_the_rows_of_a_window_are_read_as_the_store_had_them(tmp_path):
    path = tmp_path / "year=2025" / "month=1" / "2025-01-28.parquet"
    write(path, hour(27, 23), hour(28, 0), hour(28, 23), hour(29, 0))

    rows = read_archived([path], DAY)

    # Neither the folders nor the exporter's date are columns of a table.
    assert rows.schema == {"symbol": pl.String, "ts": TS, "close": pl.Float64}
    assert rows["ts"].to_list() == [hour(28, 0), hour(28, 23)]


def test_files_with_different_columns_are_read_together(tmp_path):
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    write(old, hour(28, 0))
    write(new, hour(28, 1), trades=7)

    rows = read_archived([old, new], DAY)

    assert rows.select("ts", "trades").rows() == [(hour(28, 0), None), (hour(28, 1), 7)]


def test_without_a_file_there_is_no_frame():
    assert read_archived([], DAY) is None
