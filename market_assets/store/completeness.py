"""The view `ops.completeness`, over the candle tables that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.market.datasets import Dataset, Family
from market_assets.market.timeframes import Timeframe
from market_assets.store.schema import (
    create_completeness_view,
)

if TYPE_CHECKING:
    import duckdb


def renew_completeness_view(connection: duckdb.DuckDBPyConnection, *, without: str = "") -> None:
    """Make the completeness view over the candle tables that exist.

    Args:
        connection: Where.
        without: A profile whose tables are left out, because they are about to go.
    """
    datasets = [dataset for dataset in candle_tables(connection) if dataset.owner != without]
    if datasets:
        connection.execute(create_completeness_view(datasets))
    else:
        connection.execute("DROP VIEW IF EXISTS ops.completeness")


def candle_tables(connection: duckdb.DuckDBPyConnection) -> list[Dataset]:
    """The candles that have a table."""
    # Tables that others keep in this file, under a name such as candles_mine, are not ours.
    rows = connection.execute(
        """
        SELECT schema_name, table_name
        FROM duckdb_tables()
        WHERE list_contains(?, table_name) AND schema_name NOT IN ('ops', 'main')
        ORDER BY ALL
        """,
        [[Family.CANDLES.name_of(timeframe) for timeframe in Timeframe]],
    ).fetchall()
    return [Dataset.named(owner, name) for owner, name in rows]
