"""The tables of aligned returns, `<profile>.returns_<timeframe>`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.store.database import Table, bounds
from market_assets.store.schema import create_returns_table, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from market_assets.market.datasets import Dataset
    from market_assets.market.timeframes import Window


class Returns(Table):
    """Reads the tables of aligned returns, `<profile>.returns_<timeframe>`."""

    def of(
        self, dataset: Dataset, window: Window, symbols: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Aligned returns in a window, sorted by symbol and ts.

        Returns:
            symbol, ts, simple_return, log_return, bars, neutral.
        """
        return self._db.frame(
            f"""
            SELECT *
            FROM {table_of(dataset)}
            WHERE ts >= ? AND ts < ? AND (? IS NULL OR list_contains(?, symbol))
            ORDER BY symbol, ts
            """,
            *(*bounds(window), *(2 * [None if symbols is None else list(symbols)])),
        )


class ReturnsWriter(Returns):
    """Reads and writes the tables of aligned returns, `<profile>.returns_<timeframe>`."""

    def create(self, dataset: Dataset) -> None:
        """Create the table of aligned returns where it does not exist.

        It belongs to a profile, or to the matrix across profiles.
        """
        self._db.execute(create_returns_table(dataset))

    def replace(self, dataset: Dataset, window: Window, rows: pl.DataFrame) -> pl.DataFrame:
        """Put aligned returns in the place of all those in a window.

        Args:
            dataset: Which dataset.
            window: Holds every row.
            rows: symbol, ts, simple_return, log_return, bars, neutral; unique by symbol and ts.

        Returns:
            symbol, ts of the rows that differ from what was there.
        """
        table = table_of(dataset)
        before = self._db.frame(f"SELECT * FROM {table} WHERE ts >= ? AND ts < ?", *bounds(window))
        return self._db.replace(table, before, rows.select(before.columns).sort("ts", "symbol"))
