"""How complete what is stored is, over all datasets: `ops.completeness`, and what has no bar.

The view itself is made in `market_assets/store/completeness.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.store.database import Table

if TYPE_CHECKING:
    from market_assets.market.datasets import Dataset


class Completeness(Table):
    """Reads `ops.completeness`, and sums of `ops.partitions`."""

    def matrix(self) -> pl.DataFrame:
        """The completeness matrix: one row per profile, symbol and timeframe.

        It is empty before the first fill.
        """
        if not self._db.execute(
            "SELECT 1 FROM duckdb_views() WHERE view_name = 'completeness'"
        ).fetchall():
            return pl.DataFrame()
        return self._db.frame(
            """
            SELECT c.*, coalesce(g.abandoned, 0)::BIGINT AS abandoned
            FROM ops.completeness c
            LEFT JOIN (
                SELECT profile, symbol, timeframe, sum(bars) AS abandoned
                FROM ops.gaps
                WHERE status = 'abandoned'
                GROUP BY ALL
            ) g USING (profile, symbol, timeframe)
            ORDER BY profile, symbol, timeframe
            """
        )

    def worst_shares(self, dataset: Dataset, due: pl.DataFrame) -> pl.DataFrame:
        """How complete the worst partition is in each stretch of time, for a heat map.

        Args:
            dataset: Which dataset.
            due: symbol, partition, bucket (the first day of its stretch), expected (null, or fewer:
                as many bars as it was judged by); a row a partition that must have a bar.

        Returns:
            symbol, bucket, share (0 to 1), never_filled: some partition of it was never judged,
            which makes the share 0.
        """
        with self._db.lent("due", due):
            # Nothing is known of a partition that was judged before its symbol's first bar was.
            return self._db.frame(
                """
                WITH counted AS (
                    SELECT d.symbol, d.bucket, greatest(d.expected, p.expected) AS expected,
                        p.expected - p.missing AS known
                    FROM due d
                    LEFT JOIN ops.partitions p ON p.profile = ?
                      AND p.timeframe = ?
                      AND p.expected > 0
                      AND p.symbol = d.symbol
                      AND p.partition = d.partition
                )
                SELECT symbol, bucket,
                    min(CASE WHEN known IS NULL THEN 0.0 ELSE least(known / expected, 1.0) END)
                        AS share,
                    bool_or(known IS NULL) AS never_filled
                FROM counted
                GROUP BY symbol, bucket
                ORDER BY symbol, bucket
                """,
                dataset.owner,
                dataset.label,
            )

    def symbols_without_bars(self) -> pl.DataFrame:
        """The symbols without a bar in any judged partition though sources have answered.

        Returns:
            profile, symbol, timeframe, expected.
        """
        return self._db.frame(
            """
            WITH bare AS (
                SELECT profile, symbol, timeframe, sum(expected)::BIGINT AS expected
                FROM ops.partitions
                GROUP BY ALL
                HAVING sum(stored) = 0 AND sum(expected) > 0
            ),
            asked AS (
                SELECT profile, symbol, timeframe
                FROM ops.gaps
                WHERE attempts > 0
                UNION ALL
                SELECT profile, symbol, timeframe
                FROM ops.coverage
            )
            SELECT *
            FROM bare
            SEMI JOIN asked USING (profile, symbol, timeframe)
            ORDER BY ALL
            """
        )
