"""The series that the universe keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from market_assets.expected.counts import count_series
from market_assets.market.timeframes import TS, Timeframe, Window

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


def test_a_bar_that_is_stored_before_it_is_called_for_hides_none_that_is_missing(
    profile, store, minutes
):
    kept = profile("""
        kind: CRYPTO
        start: 2025-03-01
        timeframes: {fetch: [1m]}
        symbols: {BTC: {}}
    """)
    counted = count_series(kept, {}, datetime(2025, 3, 1, 0, 10, 30, tzinfo=UTC))
    first = datetime(2025, 3, 1, tzinfo=UTC)
    rows = minutes.candles(
        *(("BTC", minute, 1.0, 1.0) for minute in (0, 1, 2, 3, 5, 6, 7, 8, 9, 10))
    ).with_columns(ts=pl.col("ts") - (pl.col("ts").min() - first.replace(tzinfo=None)))
    with store.writing("filling") as transaction:
        dataset = kept.candles(Timeframe.M1)
        transaction.candles.create(dataset, derived=False)
        transaction.candles.merge(dataset, ["BTC"], Window(first, first + timedelta(hours=1)), rows)
        transaction.series.put(counted)

    with store.reading("looking") as view:
        row = view.completeness.matrix().row(0, named=True)
    found = (row["expected"], row["stored"], row["missing"], row["health"])
    assert found == (10, 9, 1, "DEGRADED")
