"""`ops.repairs`: absences that were filled later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.store.database import Table, naive

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from market_assets.market.datasets import Dataset


class Repairs(Table):
    """Reads `ops.repairs`: absences that were filled later."""

    def of(self, dataset: Dataset, symbol: str, ts: datetime) -> pl.DataFrame:
        """The absences that were filled later and included one bar, oldest first.

        Returns:
            All columns of `ops.repairs`.
        """
        return self._db.frame(
            """
            SELECT *
            FROM ops.repairs
            WHERE profile = ? AND timeframe = ? AND symbol = ? AND first_ts <= ? AND last_ts >= ?
            ORDER BY repaired_at
            """,
            *(dataset.owner, dataset.timeframe, symbol, naive(ts), naive(ts)),
        )

    def since(self, instant: datetime) -> pl.DataFrame:
        """The absences that were filled at an instant or after it.

        Returns:
            profile, symbol, timeframe, first_ts, bars, attempts, repaired_at.
        """
        return self._db.frame(
            """
            SELECT profile, symbol, timeframe, first_ts, bars, attempts, repaired_at
            FROM ops.repairs
            WHERE repaired_at >= ?
            """,
            naive(instant),
        )


class RepairsWriter(Repairs):
    """Reads and writes `ops.repairs`: absences that were filled later."""

    def put(self, dataset: Dataset, repairs: pl.DataFrame) -> None:
        """Add absences that were filled.

        Args:
            dataset: Which dataset.
            repairs: symbol, first_ts, last_ts, bars, was, attempts, first_seen.
        """
        if repairs.is_empty():
            return
        with self._db.lent("filled", repairs):
            self._db.execute(
                """
                INSERT INTO ops.repairs BY NAME
                SELECT ? AS profile, ? AS timeframe, ? AS repaired_at, *
                FROM filled
                """,
                [dataset.owner, dataset.timeframe, self._db.now],
            )
