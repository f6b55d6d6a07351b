"""The tables of candles: what is derived, and the oldest of each symbol."""

from __future__ import annotations

import polars as pl
from polars.testing import assert_frame_equal

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe

M1, H1 = Timeframe.M1, Timeframe.H1

# Genesis


def test_the_oldest_candle_of_each_symbol(write, read, minutes):
    write("candles.create", Dataset.candles("crypto", M1), derived=False)
    rows = minutes.candles(("BTC", 3, 1.0, 1.0), ("BTC", 1, 1.0, 1.0), ("ETH", 0, 1.0, 1.0))
    write(
        "candles.merge", Dataset.candles("crypto", M1), ["BTC", "ETH"], minutes.window(0, 4), rows
    )
    assert read("candles.first", Dataset.candles("crypto", M1), ["BTC", "XRP"]) == {
        "BTC": minutes.at(1)
    }


def test_prices_are_read_with_the_place_of_their_symbol_and_no_other_column(write, read, minutes):
    candles = Dataset.candles("crypto", M1)
    write("candles.create", candles, derived=False)
    rows = minutes.candles(("ETH", 1, 2.0, 5.0), ("BTC", 2, 3.0, None), ("XRP", 1, 4.0, 1.0))
    write("candles.merge", candles, ["BTC", "ETH", "XRP"], minutes.window(0, 9), rows)
    found = read("candles.prices", candles, ["ETH", "ADA", "BTC"], minutes.window(1, 3))
    assert found.columns == ["number", "ts", "open", "high", "low", "close", "volume"]
    assert found.select("number", "close", "volume").sort("number").rows() == [
        (0, 2.0, 5.0),
        (2, 3.0, None),
    ]
    later = read("candles.prices", candles, ["ETH", "BTC"], minutes.window(2, 3), ["close"])
    assert later.rows() == [(1, minutes.naive(2), 3.0)]


# Derived candles


def derived(minutes, *rows: tuple[str, int, float, int]) -> pl.DataFrame:
    flat = minutes.candles(
        *((symbol, minute, close, 1.0) for symbol, minute, close, _ in rows), source="candles_1m"
    )
    return flat.with_columns(
        pl.Series("bars", [made_of for *_, made_of in rows], pl.Int32), bars_expected=pl.lit(60)
    )


def test_derived_bars_are_replaced_only_where_they_differ(write, read, minutes):
    write("candles.create", Dataset.candles("crypto", H1), derived=True)
    rows = derived(minutes, ("BTC", 0, 1.0, 60), ("BTC", 60, 1.0, 60), ("BTC", 120, 1.0, 60))
    every = rows.select("symbol", "ts")
    assert_frame_equal(
        write("candles.replace_derived", Dataset.candles("crypto", H1), every, rows),
        every,
        check_row_order=False,
    )
    assert write("candles.replace_derived", Dataset.candles("crypto", H1), every, rows).is_empty()

    renewed = derived(minutes, ("BTC", 0, 1.0, 59), ("BTC", 120, 1.0, 60))
    changed = write("candles.replace_derived", Dataset.candles("crypto", H1), every, renewed)
    assert sorted(changed["ts"]) == [minutes.naive(0), minutes.naive(60)]
    found = read("candles.of", Dataset.candles("crypto", H1), ["BTC"], minutes.window(0, 200)).sort(
        "ts"
    )
    assert_frame_equal(found, renewed.with_columns(pl.col("bars_expected").cast(pl.Int32)))


def test_derived_bars_that_were_not_made_again_stay(write, read, minutes):
    write("candles.create", Dataset.candles("crypto", H1), derived=True)
    rows = derived(minutes, ("BTC", 0, 1.0, 60), ("ETH", 0, 1.0, 60), ("BTC", 60, 1.0, 60))
    write("candles.replace_derived", Dataset.candles("crypto", H1), rows, rows)
    write("candles.replace_derived", Dataset.candles("crypto", H1), rows.head(1), rows.clear())
    found = read(
        "candles.of", Dataset.candles("crypto", H1), ["BTC", "ETH"], minutes.window(0, 200)
    ).sort("symbol")
    assert found.select("symbol", "ts").rows() == [
        ("BTC", minutes.naive(60)),
        ("ETH", minutes.naive(0)),
    ]
