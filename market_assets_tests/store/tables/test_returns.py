"""The tables of aligned returns."""

from __future__ import annotations

import polars as pl

from market_assets.market.datasets import Dataset, Family
from market_assets.market.timeframes import TS, Timeframe

RETURNS = Dataset("crypto", Family.RETURNS, Timeframe.M1)
SCHEMA = {
    "symbol": pl.String,
    "ts": TS,
    "simple_return": pl.Float64,
    "log_return": pl.Float64,
    "bars": pl.Int32,
    "neutral": pl.String,
}


def test_all_returns_of_a_window_are_replaced_and_the_rest_stays(write, read, minutes):
    def rows(*values: tuple[str, int, float]) -> pl.DataFrame:
        made = [(symbol, minutes.naive(at), value, value, 1, None) for symbol, at, value in values]
        return pl.DataFrame(made, schema=SCHEMA, orient="row")

    write("returns.create", RETURNS)
    write("returns.create", RETURNS)
    first = rows(("A", 0, 0.1), ("A", 1, 0.2), ("B", 1, 0.3), ("A", 2, 0.4))
    assert write("returns.replace", RETURNS, minutes.window(0, 3), first).height == 4

    second = rows(("A", 1, 0.2), ("A", 0, 0.5))
    changed = write("returns.replace", RETURNS, minutes.window(0, 2), second)
    assert changed.sort("symbol", "ts").rows() == [("A", minutes.naive(0)), ("B", minutes.naive(1))]
    found = read("returns.of", RETURNS, minutes.window(0, 9))
    assert found["simple_return"].to_list() == [0.5, 0.2, 0.4]
