"""Rows that answers held and that cannot be stored."""

from __future__ import annotations

import polars as pl
import pytest

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.work.refused import REFUSED_SCHEMA

M1 = Dataset.candles("crypto", Timeframe.M1)
DAY, NEXT = "2025-01-01", "2025-01-02"


def refused(*rows: tuple[str, str, str, int]) -> pl.DataFrame:
    """Rows of a symbol, a partition, a reason, and how many rows were refused."""
    values = [
        (symbol, key, "files", reason, count, None, "c=x") for symbol, key, reason, count in rows
    ]
    return pl.DataFrame(values, schema=REFUSED_SCHEMA, orient="row")


@pytest.fixture
def rows(store):
    """The symbol, partition, reason and count of what is recorded."""

    def count() -> list[tuple[object, ...]]:
        with store.writing("counting") as transaction:
            return transaction.connection.execute(
                "SELECT symbol, partition, reason, rows FROM ops.refused ORDER BY ALL"
            ).fetchall()

    return count


def test_the_latest_answers_take_the_place_of_earlier_ones(write, rows):
    write(
        "refused.put",
        M1,
        ["BTC"],
        [DAY, NEXT],
        refused(("BTC", DAY, "x", 1), ("BTC", NEXT, "x", 1)),
    )
    write("refused.put", M1, ["ETH"], [DAY], refused(("ETH", DAY, "x", 2)))
    write("refused.put", M1, ["BTC"], [DAY], refused(("BTC", DAY, "y", 5)))
    assert rows() == [("BTC", DAY, "y", 5), ("BTC", NEXT, "x", 1), ("ETH", DAY, "x", 2)]
    write("refused.put", M1, ["BTC"], [NEXT], refused())
    assert rows() == [("BTC", DAY, "y", 5), ("ETH", DAY, "x", 2)]


def test_rows_of_one_reason_are_counted_together(write, rows):
    write("refused.add", M1, refused(("BTC", DAY, "x", 1), ("BTC", DAY, "z", 7)))
    write("refused.add", M1, refused(("BTC", DAY, "x", 2), ("BTC", DAY, "y", 1)))
    write("refused.add", M1, refused())
    assert rows() == [("BTC", DAY, "x", 3), ("BTC", DAY, "y", 1), ("BTC", DAY, "z", 7)]


def test_a_copy_of_an_earlier_version_has_none(store):
    with store.writing("making it older") as transaction:
        transaction.connection.execute("DROP TABLE ops.refused")
        assert transaction.refused.present().is_empty()
