"""Absences that were filled later."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe

M1 = Dataset.candles("crypto", Timeframe.M1)


def filled(minutes, symbol: str, first: int, last: int) -> pl.DataFrame:
    schema = {
        "symbol": pl.String,
        "first_ts": TS,
        "last_ts": TS,
        "bars": pl.Int64,
        "was": pl.String,
        "attempts": pl.Int32,
        "first_seen": TS,
    }
    bounds = (minutes.naive(first), minutes.naive(last))
    row = (symbol, *bounds, last - first + 1, "open", 2, minutes.naive(0))
    return pl.DataFrame([row], schema=schema, orient="row")


def test_a_bar_has_every_repair_that_it_was_part_of_the_oldest_first(write, read, minutes, clock):
    write("repairs.put", M1, filled(minutes, "BTC", 2, 4))
    clock.now += timedelta(hours=1)
    write("repairs.put", M1, filled(minutes, "BTC", 4, 4))
    write("repairs.put", M1, filled(minutes, "ETH", 4, 4))
    write("repairs.put", M1, filled(minutes, "ETH", 4, 4).clear())
    by_minute = {
        minute: read("repairs.of", M1, "BTC", minutes.at(minute))["bars"].to_list()
        for minute in (1, 2, 4, 5)
    }
    assert by_minute == {1: [], 2: [3], 4: [3, 1], 5: []}
    assert read("repairs.since", clock.now)["symbol"].to_list() == ["BTC", "ETH"]
