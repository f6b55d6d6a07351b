"""`ops.agreement`: the findings of comparing sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.store.database import Table, bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from market_assets.market.datasets import Dataset
    from market_assets.market.timeframes import Window


class Agreement(Table):
    """Reads `ops.agreement`: the findings of comparing sources."""

    def of(self, dataset: Dataset, partitions: Sequence[str]) -> pl.DataFrame:
        """The findings of comparing sources in some partitions.

        Returns:
            The columns of `ops.agreement` but profile and timeframe; one row per finding.
        """
        return self._db.frame(
            """
            SELECT * EXCLUDE (profile, timeframe)
            FROM ops.agreement
            WHERE profile = ? AND timeframe = ? AND list_contains(?, partition)
            ORDER BY partition, symbol, other, rowid
            """,
            dataset.owner,
            dataset.timeframe,
            list(partitions),
        )

    def disagreements(self) -> pl.DataFrame:
        """Everything in which sources were found to disagree, newest partition first.

        Returns:
            All columns of `ops.disagreements`.
        """
        return self._db.frame(
            """
            SELECT *
            FROM ops.disagreements
            ORDER BY partition DESC, profile, timeframe, symbol, other, kind
            """
        )

    def trust(self, dataset: Dataset, symbols: Sequence[str], window: Window) -> pl.DataFrame:
        """What the ledgers know of some symbols' bars in a window.

        A comparison confirms nothing in a partition that has changed since. One of an earlier
        version, which has not noted the bars it is about, disputes a whole partition and confirms
        none.

        Returns:
            Frame of `verdicts.trust.TRUST_SCHEMA`, in no particular order.
        """
        named = {
            "profile": dataset.owner,
            "timeframe": str(dataset.timeframe),
            "symbols": list(symbols),
            **dict(zip(("start", "end"), bounds(window), strict=True)),
        }
        # Of a store that an earlier version has left to readers.
        noted = self._db.execute(
            """
            SELECT 1
            FROM duckdb_columns()
            WHERE schema_name = 'ops' AND table_name = 'agreement' AND column_name = 'apart'
            """
        ).fetchall()
        lists = (
            "apart, alone" if noted else "NULL::TIMESTAMP[] AS apart, NULL::TIMESTAMP[] AS alone"
        )
        condition = (
            "profile = $profile AND timeframe = $timeframe AND list_contains($symbols, symbol)"
        )
        return self._db.frame(
            f"""
            WITH compared AS (
                SELECT
                    symbol,
                    partition,
                    partition::TIMESTAMP AS since,
                    until_ts AS until,
                    other,
                    kind,
                    checked_at,
                    {lists}
                FROM ops.agreement
                WHERE {condition}
                    AND kind <> 'not compared'
                    AND partition::TIMESTAMP < $end
                    AND until_ts > $start
            ),
            valid AS (
                SELECT DISTINCT symbol, partition, c.since, c.until, other, alone
                FROM compared c
                LEFT JOIN (
                    SELECT symbol, partition, changed_at
                    FROM ops.partitions
                    WHERE {condition}
                ) p USING (symbol, partition)
                WHERE alone IS NOT NULL AND coalesce(p.changed_at <= c.checked_at, TRUE)
            ),
            lonely AS (SELECT symbol, partition, other, unnest(alone) AS ts FROM valid),
            others AS (
                SELECT symbol, partition, count(DISTINCT other) AS others
                FROM valid
                GROUP BY ALL
            )
            SELECT symbol, ts AS since, ts + INTERVAL 1 MICROSECOND AS until, 'revised' AS quality
            FROM ops.revisions
            WHERE {condition} AND ts >= $start AND ts < $end
            UNION ALL
            SELECT symbol, first_ts, last_ts + INTERVAL 1 MICROSECOND, 'late'
            FROM ops.repairs
            WHERE {condition} AND last_ts >= $start AND first_ts < $end
            UNION ALL
            SELECT symbol, ts, ts + INTERVAL 1 MICROSECOND, 'disputed'
            FROM (SELECT symbol, unnest(apart) AS ts FROM compared WHERE kind <> 'agrees')
            UNION ALL
            SELECT symbol, since, until, 'disputed'
            FROM compared
            WHERE kind <> 'agrees' AND apart IS NULL
            UNION ALL
            SELECT symbol, since, until, 'confirmed'
            FROM valid
            UNION ALL
            SELECT symbol, ts, ts + INTERVAL 1 MICROSECOND, 'alone'
            FROM lonely
            JOIN others USING (symbol, partition)
            GROUP BY symbol, partition, ts, others
            HAVING count(DISTINCT other) = others
            """,
            **named,
        )


class AgreementWriter(Agreement):
    """Reads and writes `ops.agreement`: the findings of comparing sources."""

    def put(self, dataset: Dataset, findings: pl.DataFrame) -> None:
        """Replace the findings of comparing a symbol of a partition with another source.

        Args:
            dataset: Which dataset.
            findings: The other columns of `ops.agreement`; every comparison has a row.
        """
        if findings.is_empty():
            return
        with self._db.lent("findings", findings):
            self._db.execute(
                """
                DELETE FROM ops.agreement a
                USING findings f
                WHERE a.profile = ?
                  AND a.timeframe = ?
                  AND a.partition = f.partition
                  AND a.symbol = f.symbol
                  AND a.other = f.other
                """,
                [dataset.owner, dataset.timeframe],
            )
            self._db.execute(
                """
                INSERT INTO ops.agreement BY NAME
                SELECT ? AS profile, ? AS timeframe, *
                FROM findings
                """,
                [dataset.owner, dataset.timeframe],
            )
