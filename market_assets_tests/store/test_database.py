"""What all tables share: rows by symbol and time, and instants of the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import duckdb
import polars as pl
import pytest

from market_assets.market.timeframes import Window
from market_assets.store.database import Database, apart, aware, bounds, naive

COLUMNS = ("symbol", "ts", "close")


@pytest.fixture
def database():
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE kept (symbol VARCHAR, ts TIMESTAMP, close DOUBLE)")
        yield Database(connection)


def rows(minutes, *values: tuple[str, int, float | None]) -> pl.DataFrame:
    made = [(symbol, minutes.naive(at), close) for symbol, at, close in values]
    schema = {"symbol": pl.String, "ts": pl.Datetime("us"), "close": pl.Float64}
    return pl.DataFrame(made, schema=schema, orient="row")


def test_rows_that_stay_the_same_are_left_untouched(database, minutes):
    before = rows(minutes, ("A", 1, 1.0), ("A", 2, None), ("A", 3, 3.0))
    database.insert("kept", before, COLUMNS)
    after = rows(minutes, ("A", 1, 1.0), ("A", 2, None), ("A", 4, 4.0), ("A", 3, 9.0))
    changed = database.replace("kept", before, after)
    assert changed.sort("ts")["ts"].to_list() == [minutes.naive(3), minutes.naive(4)]
    stored = database.frame("SELECT * FROM kept ORDER BY ts")
    assert stored.rows() == after.sort("ts").rows()


def test_a_row_that_was_stored_twice_is_stored_once_again(database, minutes):
    before = rows(minutes, ("A", 1, 1.0), ("A", 1, 1.0), ("B", 1, 1.0))
    database.insert("kept", before, COLUMNS)
    changed = database.replace("kept", before, rows(minutes, ("A", 1, 1.0), ("B", 1, 1.0)))
    assert changed.rows() == [("A", minutes.naive(1))]
    assert database.frame("SELECT * FROM kept").height == 2


def test_rows_that_replace_nothing_all_differ(database, minutes):
    nothing, after = rows(minutes), rows(minutes, ("A", 1, None), ("B", 1, 2.0))
    changed = database.replace("kept", nothing, after)
    assert changed.rows() == after.select("symbol", "ts").rows()
    assert database.frame("SELECT * FROM kept").rows() == after.rows()


def test_rows_are_parted_by_whether_their_symbol_and_time_is_unique(minutes):
    frame = rows(minutes, ("A", 1, 1.0), ("A", 1, 2.0), ("A", 2, 1.0), ("B", 1, 1.0))
    single, doubled = apart(frame)
    assert single["symbol"].to_list() == ["A", "B"]
    assert doubled["close"].to_list() == [1.0, 2.0]


def test_many_rows_are_added_with_one_thread_and_few_with_all(database, minutes):
    setting = "SELECT current_setting('threads') AS threads"
    database.execute("SET threads = 2")
    few = rows(minutes, ("A", 1, 1.0))
    database.insert("kept", few, COLUMNS)
    assert database.frame(setting).item() == 2
    database.insert("kept", pl.concat([few] * 10_000), COLUMNS)
    assert database.frame(setting).item() == 1


def test_nothing_added_or_removed_is_no_statement(database, minutes):
    database.insert("there is no such table", rows(minutes), COLUMNS)
    database.delete_keys("there is no such table", rows(minutes).select("symbol", "ts"))


def test_an_instant_is_utc_without_a_zone_and_back():
    tokyo = datetime(2025, 3, 1, 9, tzinfo=timezone(timedelta(hours=9)))
    assert naive(tokyo).isoformat() == "2025-03-01T00:00:00"
    assert aware(naive(tokyo)) == tokyo
    assert aware(naive(tokyo)).tzinfo is UTC
    window = Window(tokyo, tokyo + timedelta(hours=1))
    assert bounds(window) == (naive(tokyo), naive(tokyo) + timedelta(hours=1))
