"""What the tables have in common that are made of candles: a row for each symbol and ts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.store.database import Table, bounds
from market_assets.store.schema import table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from market_assets.market.datasets import Dataset
    from market_assets.market.timeframes import Window


class MadeTable(Table):
    """Reads tables of what is made of candles, `<profile>.<dataset>`."""

    def of(
        self, dataset: Dataset, window: Window, symbols: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """The stored rows in a window, sorted by symbol and ts: all columns of the table."""
        return self._db.frame(
            f"""
            SELECT *
            FROM {table_of(dataset)}
            WHERE ts >= ? AND ts < ? AND (? IS NULL OR list_contains(?, symbol))
            ORDER BY symbol, ts
            """,
            *(*bounds(window), *(2 * [None if symbols is None else list(symbols)])),
        )
