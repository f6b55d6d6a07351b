"""The view `ops.completeness`: how complete what is stored is, and what has no bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.datasets import Dataset, Family
from market_assets.market.timeframes import Timeframe
from market_assets.store.database import Table
from market_assets.store.literals import literal
from market_assets.store.schema import table_of, text_literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb


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

    def symbols_without_bars(self) -> pl.DataFrame:
        """The symbols without a bar in any judged partition though sources have answered.

        What retention has removed were bars.

        Returns:
            profile, symbol, timeframe, expected.
        """
        bare = self._db.frame(
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
        if bare.is_empty() or not self._db.has("ops", "pruned"):
            return bare
        had = self._db.frame(
            "SELECT DISTINCT profile, symbol, timeframe FROM ops.pruned WHERE rows > 0"
        )
        return bare.join(had, on=["profile", "symbol", "timeframe"], how="anti")


def create_completeness_view(datasets: Iterable[Dataset]) -> str:
    """DDL of `ops.completeness` over every candle table.

    What is stored is counted in the candle tables themselves, not taken from a ledger, so that a
    row deleted by hand shows as missing at once, and one that was doubled by hand counts once. What
    lies outside a series, because its start was moved, counts nowhere.

    Args:
        datasets: The candles whose table exists.
    """
    counts = " UNION ALL ".join(_count_of(dataset) for dataset in datasets)
    return f"""
    CREATE OR REPLACE VIEW ops.completeness AS
    WITH counted AS ({counts}),
    judged AS (
        SELECT profile, symbol, timeframe,
            sum(p.explained)::BIGINT AS explained,
            sum(p.stored)::BIGINT AS judged_stored,
            sum(p.missing)::BIGINT AS judged_missing
        FROM ops.partitions p
        JOIN ops.series s USING (profile, symbol, timeframe)
        WHERE s.start_ts IS NULL OR p.partition::DATE >= date_trunc('month', s.start_ts)
            AND (
                p.partition::DATE >= s.start_ts::DATE
                OR p.partition = strftime(date_trunc('month', s.start_ts), '%Y-%m-%d')
            )
            AND p.partition::TIMESTAMP < coalesce(s.end_ts, 'infinity'::TIMESTAMP)
            -- What a clock that was ahead has judged is not expected yet.
            AND p.partition::TIMESTAMP <= s.counted_until
        GROUP BY ALL
    ),
    matrix AS (
        SELECT profile, symbol, timeframe, expected,
            coalesce(stored, 0) AS stored,
            coalesce(explained, 0) AS explained,
            -- What was explained since the series was counted makes up for no hole before that.
            greatest(
                expected - coalesce(stored, 0) - coalesce(explained, 0),
                least(coalesce(judged_missing, 0), expected - coalesce(stored, 0)),
                0
            ) AS missing,
            first_ts,
            last_ts,
            coalesce(rows - stored, 0) AS doubled,
            -- The missing bars of a derived series lie in partitions that were not derived yet.
            derived
                AND coalesce(judged_missing, 0) = 0
                AND coalesce(stored, 0) >= coalesce(judged_stored, 0)
                AND bool_or(NOT derived AND stored > 0) OVER (PARTITION BY profile, symbol)
                AS to_derive
        FROM ops.series
            LEFT JOIN counted USING (profile, symbol, timeframe)
            LEFT JOIN judged USING (profile, symbol, timeframe)
    )
    SELECT profile, symbol, timeframe, expected, stored, explained, missing,
        CASE WHEN expected = 0 THEN 1.0 ELSE 1.0 - missing / expected END AS completeness,
        first_ts,
        last_ts,
        CASE
            WHEN doubled > 0 THEN 'DEGRADED'
            WHEN expected = 0 OR (missing > 0 AND to_derive) THEN 'PENDING'
            WHEN stored = 0 THEN 'MISSING'
            WHEN missing > 0 THEN 'DEGRADED'
            ELSE 'HEALTHY'
        END AS health,
        doubled
    FROM matrix
    """


def _count_of(dataset: Dataset) -> str:
    """SQL that counts the rows and the bars of each series of a candle table.

    A set of bits for each 64 bars counts 10 million of them in a quarter of a second; a set of
    times takes ten times as long.
    """
    # Counted from a year before any candle, so that no number is negative.
    bar = f"((epoch_us(ts) - epoch_us(TIMESTAMP '0001-01-01')) // {dataset.timeframe.micros})"
    return f"""
        SELECT profile, symbol, timeframe, sum(rows)::BIGINT AS rows,
            sum(bit_count(bars))::BIGINT AS stored, min(first_ts) AS first_ts,
            max(last_ts) AS last_ts
        FROM (
            SELECT s.profile, c.symbol, s.timeframe, count(*) AS rows,
                bit_or(1::UBIGINT << ({bar} & 63)::UBIGINT) AS bars, min(ts) AS first_ts,
                max(ts) AS last_ts
            FROM {table_of(dataset)} c
            JOIN ops.series s ON s.symbol = c.symbol
              AND s.profile = {text_literal(dataset.owner)}
              AND s.timeframe = {text_literal(dataset.timeframe)}
              AND ts >= coalesce(s.start_ts, ts)
              AND ts < coalesce(s.end_ts, 'infinity'::TIMESTAMP)
            GROUP BY s.profile, c.symbol, s.timeframe, {bar} // 64
        )
        GROUP BY ALL
        """


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
    names = [Family.CANDLES.name_of(timeframe) for timeframe in Timeframe]
    rows = connection.execute(
        f"""
        SELECT schema_name, table_name
        FROM duckdb_tables()
        WHERE list_contains({literal(names)}, table_name) AND schema_name NOT IN ('ops', 'main')
        ORDER BY ALL
        """
    ).fetchall()
    return [Dataset.named(owner, name) for owner, name in rows]
