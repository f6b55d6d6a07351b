"""The tables of aligned returns, `<profile>.returns_<timeframe>`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.store.database import bounds
from market_assets.store.schema import create_returns_table, table_of
from market_assets.store.tables.made import MadeTable

if TYPE_CHECKING:
    import polars as pl

    from market_assets.market.datasets import Dataset
    from market_assets.market.timeframes import Window


class Returns(MadeTable):
    """Reads the tables of aligned returns, `<profile>.returns_<timeframe>`.

    Their columns are symbol, ts, simple_return, log_return, bars, neutral.
    """


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
            rows: symbol, ts, simple_return, log_return, bars, neutral; unique by symbol and ts, and
                best sorted by them, which is the order in which they are stored.

        Returns:
            symbol, ts of the rows that differ from what was there.
        """
        table = table_of(dataset)
        before = self._db.frame(f"SELECT * FROM {table} WHERE ts >= ? AND ts < ?", *bounds(window))
        return self._db.replace(table, before, rows.select(before.columns))
