"""The series that the universe keeps."""

from __future__ import annotations

import polars as pl

from market_assets.market.timeframes import TS

SCHEMA = {
    "profile": pl.String,
    "symbol": pl.String,
    "timeframe": pl.String,
    "derived": pl.Boolean,
    "expected": pl.Int64,
    "counted_until": TS,
    "start_ts": TS,
    "end_ts": TS,
}


def test_the_series_of_the_profiles_that_are_named_are_replaced(store, minutes):
    def series(*rows: tuple[str, str]) -> pl.DataFrame:
        at = [minutes.naive(0)] * 3
        values = [(profile, symbol, "1m", False, 1, *at) for profile, symbol in rows]
        return pl.DataFrame(values, schema=SCHEMA, orient="row")

    with store.writing("testing") as transaction:
        transaction.series.put(series(("crypto", "BTC"), ("crypto", "ETH"), ("equity", "SPY")))
        transaction.series.put(series(("crypto", "ETH"), ("crypto", "LTC")))
        found = transaction.connection.execute(
            "SELECT profile, symbol FROM ops.series ORDER BY ALL"
        ).fetchall()
    assert found == [("crypto", "ETH"), ("crypto", "LTC"), ("equity", "SPY")]
