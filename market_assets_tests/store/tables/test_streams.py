"""`ops.streams`: one row a series, the newest that was noted."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from market_assets.store.tables.streams import STREAM_SCHEMA

AT = datetime(2025, 3, 1, 12)  # noqa: DTZ001 - as the store holds it


def row(symbol: str, state: str, profile: str = "crypto") -> tuple[object, ...]:
    return (profile, "1m", symbol, "binance", state, "", AT, AT, AT, AT, 0, AT)


def frame(*rows: tuple[object, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=STREAM_SCHEMA, orient="row")


def test_what_is_noted_takes_the_place_of_what_was_noted_of_the_same_series(store):
    with store.writing("testing") as transaction:
        transaction.streams.put(frame(row("BTC", "live"), row("ETH", "live")))
        transaction.streams.put(frame(row("BTC", "silent"), row("BTC", "live", "other")))
        transaction.streams.put(frame())

    with store.reading("testing") as view:
        streams = view.streams.all()

    assert streams.schema == STREAM_SCHEMA
    assert streams.select("profile", "symbol", "state").rows() == [
        ("crypto", "BTC", "silent"),
        ("crypto", "ETH", "live"),
        ("other", "BTC", "live"),
    ]


def test_a_copy_of_an_earlier_version_has_no_streams(store):
    with store.writing("testing") as transaction:
        transaction.connection.execute("DROP TABLE ops.streams")

        assert transaction.streams.all().is_empty()
