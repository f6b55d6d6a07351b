"""The bars that are stored, as bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.store.tables.blocks import STORED_SCHEMA

if TYPE_CHECKING:
    from market_assets.store import Store

DATASET = Dataset.candles("crypto", Timeframe.M1)


def test_rows_of_one_bar_are_one_bit_and_those_between_the_minutes_none(
    store: Store, minutes
) -> None:
    window = minutes.window(0, 180)
    with store.writing("filling") as transaction:
        assert transaction.blocks.of(DATASET, window).equals(STORED_SCHEMA.to_frame())
        assert transaction.blocks.rows(DATASET) == 0
        transaction.candles.create(DATASET, derived=False)
        rows = minutes.candles(*(("BTC", minute, 1.0, 1.0) for minute in (0, 2, 59, 60, 130)))
        transaction.candles.merge(DATASET, ["BTC"], window, rows)
        table = "crypto.candles_1m"
        transaction.connection.execute(
            f"INSERT INTO {table} SELECT * FROM {table} WHERE ts < '2025-01-01 00:01'"
        )
        transaction.connection.execute(
            f"""
            INSERT INTO {table}
            SELECT * REPLACE (ts + INTERVAL 30 SECOND AS ts)
            FROM {table}
            WHERE ts = '2025-01-01 00:02'
            """
        )
    with store.reading("looking") as view:
        blocks = view.blocks.of(DATASET, minutes.window(0, 120)).sort("block")
        assert view.blocks.rows(DATASET) == 7
    first = blocks["block"][0]
    assert blocks.rows() == [
        ("BTC", first, 1 << 0 | 1 << 2 | 1 << 59, 4),
        ("BTC", first + 1, 1 << 0, 1),
    ]
