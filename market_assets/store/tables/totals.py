"""Sums over the ledgers, for those who watch the store from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.store.database import Table, bounds
from market_assets.store.prune import SPENT_BY_JOBS
from market_assets.store.schema import table_of

if TYPE_CHECKING:
    import polars as pl

    from market_assets.market.datasets import Dataset
    from market_assets.market.timeframes import Window


class Totals(Table):
    """Reads sums over the ledgers. The candles themselves are not counted."""

    def bars(self) -> pl.DataFrame:
        """How many bars each series must have, has and lacks.

        Partitions count as they were judged last; what no partition was judged for is missing.

        Returns:
            profile, timeframe, symbol, expected, stored, explained, missing.
        """
        return self._db.frame(
            """
            SELECT profile, timeframe, symbol,
                greatest(s.expected, coalesce(p.expected, 0))::BIGINT AS expected,
                coalesce(stored, 0)::BIGINT AS stored,
                coalesce(explained, 0)::BIGINT AS explained,
                (coalesce(missing, 0) + greatest(s.expected - coalesce(p.expected, 0), 0))::BIGINT
                    AS missing
            FROM ops.series s
            LEFT JOIN (
                SELECT profile, timeframe, symbol, sum(expected) AS expected,
                    sum(stored) AS stored, sum(explained) AS explained, sum(missing) AS missing
                FROM ops.partitions
                GROUP BY ALL
            ) p USING (profile, timeframe, symbol)
            ORDER BY ALL
            """
        )

    def absences(self) -> pl.DataFrame:
        """The absent bars by what is known of them.

        Returns:
            profile, timeframe, symbol, status, gaps, bars.
        """
        return self._db.frame(
            """
            SELECT profile, timeframe, symbol, status, count(*) AS gaps, sum(bars)::BIGINT AS bars
            FROM ops.gaps
            GROUP BY ALL
            ORDER BY ALL
            """
        )

    def partitions(self) -> pl.DataFrame:
        """How many partitions are whole, and how many lack a bar, by dataset.

        Returns:
            profile, timeframe (`features_1h` and the like for other data than candles), state
            (whole or lacking), partitions.
        """
        return self._db.frame(
            """
            SELECT profile, timeframe, state, count(*) AS partitions
            FROM (
                SELECT profile, timeframe, partition,
                    CASE WHEN sum(missing) > 0 THEN 'lacking' ELSE 'whole' END AS state
                FROM ops.partitions
                GROUP BY ALL
            )
            GROUP BY ALL
            ORDER BY ALL
            """
        )

    def last_opens(self, dataset: Dataset, window: Window) -> pl.DataFrame:
        """The open of the newest candle of each symbol that has one in a window: symbol, ts."""
        return self._db.frame(
            f"""
            SELECT symbol, max(ts) AS ts
            FROM {table_of(dataset)}
            WHERE ts >= ? AND ts < ?
            GROUP BY symbol
            ORDER BY symbol
            """,
            *bounds(window),
        )

    def refused(self) -> pl.DataFrame:
        """The rows of the latest answers that cannot be stored: profile, source, rows."""
        return self._db.frame(
            """
            SELECT profile, source, sum(rows)::BIGINT AS rows
            FROM ops.refused
            GROUP BY ALL
            ORDER BY ALL
            """
        )

    def last_jobs(self) -> pl.DataFrame:
        """The newest job of each kind that has ended, and how many run.

        Returns:
            profile, kind, timeframe, status, seconds, ended_at, running.
        """
        return self._db.frame(
            """
            SELECT profile, kind, timeframe,
                arg_max(status, ended_at) AS status,
                arg_max(epoch(ended_at - started_at), ended_at) AS seconds,
                max(ended_at) AS ended_at,
                count(*) FILTER (status = 'RUNNING') AS running
            FROM ops.jobs
            GROUP BY ALL
            ORDER BY ALL
            """
        )

    def waits(self) -> tuple[int, float]:
        """How often somebody who has committed waited for the store, and how many seconds in all.

        Neither ever shrinks.
        """
        if not self._db.has("ops", "waits"):
            return 0, 0.0
        ((waits, seconds),) = self._db.execute("SELECT waits, seconds FROM ops.waits").fetchall()
        return waits, seconds

    def spent(self) -> pl.DataFrame:
        """What the sources have cost since the store was made; none of the sums ever shrinks.

        Returns:
            profile, source, requests, retries, waits (seconds), bytes.
        """
        kept = "UNION ALL SELECT * FROM ops.spent" if self._db.has("ops", "spent") else ""
        return self._db.frame(
            f"""
            SELECT profile, source, sum(requests)::BIGINT AS requests,
                sum(retries)::BIGINT AS retries, sum(waits) AS waits, sum(bytes)::BIGINT AS bytes
            FROM ({SPENT_BY_JOBS.format(where="")} {kept})
            GROUP BY ALL
            ORDER BY ALL
            """
        )
