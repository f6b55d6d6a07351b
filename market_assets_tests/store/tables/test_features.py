"""The tables of features."""

from __future__ import annotations

import polars as pl
import pytest

from market_assets.market.datasets import Dataset, Family
from market_assets.market.timeframes import TS, Timeframe

FEATURES = Dataset("crypto", Family.FEATURES, Timeframe.M1)


def rows(minutes, *values: tuple[str, int, float | None], name: str = "rsi") -> pl.DataFrame:
    """Rows of a symbol, a minute and a feature."""
    made = [(symbol, minutes.naive(at), value) for symbol, at, value in values]
    schema = {"symbol": pl.String, "ts": TS, name: pl.Float64}
    return pl.DataFrame(made, schema=schema, orient="row")


@pytest.fixture
def replace(write, minutes):
    """Replaces the features of A, and gives the minutes that differ."""
    write("features.create", FEATURES, ["rsi"])

    def put(frame: pl.DataFrame) -> list[int]:
        changed = write("features.replace", FEATURES, ["A"], minutes.window(0, 9), frame)
        return sorted((ts - minutes.naive(0)).seconds // 60 for ts in changed["ts"])

    return put


def test_only_rows_that_differ_are_written(replace, minutes):
    assert replace(rows(minutes, ("A", 0, 1.0), ("A", 1, None))) == [0, 1]
    assert replace(rows(minutes, ("A", 0, 1.0), ("A", 1, None))) == []
    assert replace(rows(minutes, ("A", 0, 1.0 + 1e-15), ("A", 1, 2.0))) == [1]
    assert replace(rows(minutes, ("A", 1, 2.0))) == [0]


def test_another_symbol_and_what_lies_outside_stay(replace, write, read, minutes):
    beside = rows(minutes, ("B", 0, 5.0))
    write("features.replace", FEATURES, ["B"], minutes.window(0, 9), beside)
    outside = rows(minutes, ("A", 20, 7.0))
    write("features.replace", FEATURES, ["A"], minutes.window(20, 21), outside)
    replace(rows(minutes, ("A", 0, 1.0)))
    assert read("features.of", FEATURES, minutes.window(0, 99))["rsi"].to_list() == [1.0, 7.0, 5.0]


def test_a_column_that_is_added_is_null_until_it_is_made(replace, write, read, minutes):
    replace(rows(minutes, ("A", 0, 1.0)))
    write("features.create", FEATURES, ["rsi", "an odd name"])
    found = read("features.of", FEATURES, minutes.window(0, 9))
    assert found.columns == ["symbol", "ts", "rsi", "an odd name"]
    assert found.row(0)[2:] == (1.0, None)
