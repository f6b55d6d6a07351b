"""`ops.revisions`: the old values of candles that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.market.columns import EXTRA_NAMES, OHLCV
from market_assets.store.database import Table, naive
from market_assets.store.schema import table_of

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from market_assets.market.datasets import Dataset


class Revisions(Table):
    """Reads `ops.revisions`: the old values of candles that changed."""

    def of(self, dataset: Dataset, symbol: str, ts: datetime) -> pl.DataFrame:
        """The values of one bar before they changed, oldest first.

        Returns:
            open, high, low, close, volume, source, revised_at.
        """
        return self._db.frame(
            """
            SELECT open, high, low, close, volume, source, revised_at
            FROM ops.revisions
            WHERE profile = ? AND timeframe = ? AND symbol = ? AND ts = ?
            ORDER BY revised_at
            """,
            dataset.owner,
            dataset.timeframe,
            symbol,
            naive(ts),
        )


class RevisionsWriter(Revisions):
    """Reads and writes `ops.revisions`."""

    def keep(self, dataset: Dataset, keys: pl.DataFrame) -> None:
        """Keep what the candles of some keys are before they change: symbol, ts; unique."""
        names = ", ".join((*OHLCV, "source", *EXTRA_NAMES))
        with self._db.lent("old", keys):
            self._db.execute(
                f"""
                INSERT INTO ops.revisions BY NAME
                SELECT ? AS profile, symbol, ? AS timeframe, ts, {names}, ? AS revised_at
                FROM {table_of(dataset)}
                SEMI JOIN old USING (symbol, ts)
                """,
                [dataset.owner, dataset.timeframe, self._db.now],
            )
