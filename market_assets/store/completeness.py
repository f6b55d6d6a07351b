"""The view `ops.completeness`, over the candle tables that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.market.timeframes import Timeframe
from market_assets.store.schema import (
    create_completeness_view,
)

if TYPE_CHECKING:
    import duckdb


def renew_completeness_view(connection: duckdb.DuckDBPyConnection, *, without: str = "") -> None:
    """Make the completeness view over the candle tables that there are, but for those of one schema."""
    tables = [
        (profile, timeframe)
        for profile, timeframe in candle_tables(connection)
        if profile != without
    ]
    if tables:
        connection.execute(create_completeness_view(tables))
    else:
        connection.execute("DROP VIEW IF EXISTS ops.completeness")


def candle_tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, Timeframe]]:
    """The profiles and timeframes that have a table of candles."""
    # Whatever else somebody keeps in this file, under a name such as candles_mine, is no business
    # of ours.
    found = connection.execute(
        """
        SELECT schema_name, table_name[9:]
        FROM duckdb_tables()
        WHERE list_contains(?, table_name) AND schema_name NOT IN ('ops', 'main')
        ORDER BY ALL
        """,
        [[f"candles_{timeframe}" for timeframe in Timeframe]],
    ).fetchall()
    return [(profile, Timeframe(timeframe)) for profile, timeframe in found]
