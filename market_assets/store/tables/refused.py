"""`ops.refused`: rows that answers held and that cannot be stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.store.database import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.market.datasets import Dataset


class Refused(Table):
    """Reads `ops.refused`: rows that answers held and that cannot be stored."""

    def present(self) -> pl.DataFrame:
        """The rows of the latest answers that cannot be stored, where bars are missing.

        Only partitions that lack bars of the symbol count.

        Returns:
            profile, symbol, timeframe, partition, source, reason, rows, example_ts, example,
            refused_at.
        """
        if not self._db.has("ops", "refused"):
            return pl.DataFrame(schema=dict.fromkeys(("profile", "symbol"), pl.String))
        return self._db.frame(
            """
            SELECT r.*
            FROM ops.refused r
            SEMI JOIN (
                SELECT *
                FROM ops.partitions
                WHERE missing > 0
            ) p USING (profile, symbol, timeframe, partition)
            ORDER BY ALL
            """
        )


class RefusedWriter(Refused):
    """Reads and writes `ops.refused`: rows that answers held and that cannot be stored."""

    def put(
        self,
        dataset: Dataset,
        symbols: Sequence[str],
        partitions: Sequence[str],
        refused: pl.DataFrame,
    ) -> None:
        """Record which rows of the latest answers for some partitions cannot be stored.

        They replace what was recorded before.

        Args:
            dataset: Which dataset.
            symbols: Of which something was asked for.
            partitions: The keys of the partitions.
            refused: symbol, partition, source, reason, rows, example_ts, example.
        """
        self._db.execute(
            """
            DELETE FROM ops.refused
            WHERE profile = ?
              AND timeframe = ?
              AND list_contains(?, symbol)
              AND list_contains(?, partition)
            """,
            [dataset.owner, dataset.timeframe, list(symbols), list(partitions)],
        )
        self._insert(dataset, refused)

    def add(self, dataset: Dataset, refused: pl.DataFrame) -> None:
        """Record rows that cannot be stored beside those that were recorded before.

        Rows of the same symbol, partition, source and reason are counted together.

        Args:
            dataset: Which dataset.
            refused: symbol, partition, source, reason, rows, example_ts, example.
        """
        if refused.is_empty():
            return
        with self._db.lent("rejects", refused):
            before = self._db.frame(
                """
                DELETE FROM ops.refused o
                USING rejects r
                WHERE o.profile = ?
                  AND o.timeframe = ?
                  AND o.symbol = r.symbol
                  AND o.partition = r.partition
                  AND o.source = r.source
                  AND o.reason = r.reason
                RETURNING o.symbol, o.partition, o.source, o.reason, o.rows
                """,
                dataset.owner,
                dataset.timeframe,
            )
        key = ["symbol", "partition", "source", "reason"]
        totals = refused.join(before.rename({"rows": "earlier"}), on=key, how="left")
        rows = pl.col("rows") + pl.col("earlier").fill_null(0)
        self._insert(dataset, totals.with_columns(rows).drop("earlier"))

    def _insert(self, dataset: Dataset, refused: pl.DataFrame) -> None:
        if not refused.is_empty():
            with self._db.lent("rejects", refused):
                self._db.execute(
                    """
                    INSERT INTO ops.refused BY NAME
                    SELECT ? AS profile, ? AS timeframe, ? AS refused_at, *
                    FROM rejects
                    """,
                    [dataset.owner, dataset.timeframe, self._db.now],
                )
