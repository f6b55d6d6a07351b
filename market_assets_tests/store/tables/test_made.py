"""What is made of candles is read by window and by symbol."""

from __future__ import annotations

import polars as pl
import pytest

from market_assets.market.datasets import Dataset, Family
from market_assets.market.timeframes import TS, Timeframe

FEATURES = Dataset("crypto", Family.FEATURES, Timeframe.M1)


@pytest.mark.parametrize(
    ("symbols", "found"),
    [
        (None, [("A", 1), ("A", 2), ("B", 1)]),
        (["A"], [("A", 1), ("A", 2)]),
        (["C"], []),
        ([], []),
    ],
)
def test_rows_of_a_window_come_sorted_by_symbol_and_time(
    write, read, minutes, symbols: list[str] | None, found: list[tuple[str, int]]
):
    keys = [("B", 1), ("A", 2), ("A", 1), ("A", 0), ("A", 3)]
    rows = pl.DataFrame(
        [(symbol, minutes.naive(at), 1.0) for symbol, at in keys],
        schema={"symbol": pl.String, "ts": TS, "rsi": pl.Float64},
        orient="row",
    )
    write("features.create", FEATURES, ["rsi"])
    write("features.replace", FEATURES, ["A", "B"], minutes.window(0, 9), rows)
    read_rows = read("features.of", FEATURES, minutes.window(1, 3), symbols)
    expected = [(symbol, minutes.naive(at)) for symbol, at in found]
    assert read_rows.select("symbol", "ts").rows() == expected
