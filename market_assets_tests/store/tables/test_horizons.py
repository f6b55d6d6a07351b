"""Since when each source serves a series, where it refuses older candles."""

from __future__ import annotations

import polars as pl

from market_assets.market.timeframes import TS

SCHEMA = {
    "source": pl.String,
    "symbol": pl.String,
    "timeframe": pl.String,
    "start_ts": TS,
    "bars": pl.Int64,
    "words": pl.String,
    "learned_at": TS,
}


def learned(minutes, *rows: tuple[str, str, int]) -> pl.DataFrame:
    """Rows of a source, a symbol and the minute since which it serves."""
    values = [
        (source, symbol, "1m", minutes.naive(minute), 0, "too old", minutes.naive(9))
        for source, symbol, minute in rows
    ]
    return pl.DataFrame(values, schema=SCHEMA, orient="row")


def test_what_was_learned_last_of_a_series_takes_the_place_of_the_rest(write, read, minutes):
    write(
        "horizons.put",
        "crypto",
        learned(minutes, ("a", "BTC", 1), ("b", "BTC", 2), ("a", "LTC", 4)),
    )
    write("horizons.put", "crypto", learned(minutes, ("a", "BTC", 5), ("a", "ETH", 3)))
    write("horizons.put", "equity", learned(minutes, ("a", "BTC", 7)))
    found = read("horizons.all").select("profile", "source", "symbol", "start_ts").rows()
    assert found == [
        ("crypto", "a", "BTC", minutes.naive(5)),
        ("crypto", "a", "ETH", minutes.naive(3)),
        ("crypto", "a", "LTC", minutes.naive(4)),
        ("crypto", "b", "BTC", minutes.naive(2)),
        ("equity", "a", "BTC", minutes.naive(7)),
    ]


def test_a_copy_of_an_earlier_version_has_none(store):
    with store.writing("making it older") as transaction:
        transaction.connection.execute("DROP TABLE ops.horizons")
        assert transaction.horizons.all().is_empty()
