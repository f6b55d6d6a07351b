"""Rows by partition, and how many there are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.fill.tallies import by_partition, tallies, tally
from market_assets.market.timeframes import TS

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.expected.scope import Scope


ROWS = pl.DataFrame(
    [
        ("BTC", "a", datetime.fromisoformat("2025-03-01T00:00")),
        ("BTC", "b", datetime.fromisoformat("2025-03-01T23:00")),
        ("ETH", "a", datetime.fromisoformat("2025-03-02T00:00")),
        ("BTC", "a", datetime.fromisoformat("2025-03-02T05:00")),
    ],
    schema={"symbol": pl.String, "source": pl.String, "ts": TS},
    orient="row",
)


@pytest.fixture
def hours(hours_of_march: Callable[[datetime], Scope]) -> Scope:
    return hours_of_march(datetime(2025, 3, 3, tzinfo=UTC))


def test_rows_are_counted_by_day_and_by_each_column(hours: Scope):
    by_symbol = {"2025-03-01": {"BTC": 2}, "2025-03-02": {"BTC": 1, "ETH": 1}}
    by_source = {"2025-03-01": {"a": 1, "b": 1}, "2025-03-02": {"a": 2}}
    assert tally(hours, ROWS) == by_symbol
    assert tallies(hours, ROWS, "symbol", "source") == [by_symbol, by_source]
    assert tally(hours, ROWS.clear()) == {}


def test_rows_are_parted_by_the_day_of_a_time_of_theirs(hours: Scope):
    parts = by_partition(hours, ROWS)
    assert {key: rows["symbol"].to_list() for key, rows in parts.items()} == {
        "2025-03-01": ["BTC", "BTC"],
        "2025-03-02": ["ETH", "BTC"],
    }
    assert by_partition(hours, ROWS.clear()) == {}
