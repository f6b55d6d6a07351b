"""`ops.partitions`: the counts and versions of every judged partition.

They say what a partition has, when it was judged, and what it was made of.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import TS
from market_assets.store.database import Table, naive

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import timedelta

    from market_assets.market.datasets import Dataset


OUTDATED = datetime(1970, 1, 1)  # noqa: DTZ001 - as frames and the store have it
"""The version of its inputs that a partition to be made again has: older than any."""


class Partitions(Table):
    """Reads `ops.partitions`: the counts, versions and inputs of every judged partition."""

    def counts(self, dataset: Dataset, partitions: Sequence[str] | None = None) -> pl.DataFrame:
        """The counts of every judged partition, or of some.

        Returns:
            partition, symbol, expected, stored, explained, missing, judged_at; sorted by the first
            two.
        """
        return self._db.frame(
            """
            SELECT partition, symbol, expected, stored, explained, missing, judged_at
            FROM ops.partitions
            WHERE profile = ? AND timeframe = ? AND (? IS NULL OR list_contains(?, partition))
            ORDER BY partition, symbol
            """,
            dataset.owner,
            dataset.label,
            *(2 * [None if partitions is None else list(partitions)]),
        )

    def labels(self, profile: str) -> list[str]:
        """The timeframes and names of a profile's datasets that have judged partitions."""
        rows = self._db.execute(
            "SELECT DISTINCT timeframe FROM ops.partitions WHERE profile = ? ORDER BY timeframe",
            [profile],
        ).fetchall()
        return [label for (label,) in rows]

    def changes(self, dataset: Dataset) -> pl.DataFrame:
        """When each judged partition has changed last, oldest first.

        Args:
            dataset: Which dataset.

        Returns:
            partition, changed_at (null where that was never noted), expected: the bars that it must
            have, of all symbols.
        """
        return self._db.frame(
            """
            SELECT partition, max(changed_at) AS changed_at, sum(expected)::BIGINT AS expected
            FROM ops.partitions
            WHERE profile = ? AND timeframe = ?
            GROUP BY partition
            ORDER BY partition
            """,
            dataset.owner,
            dataset.label,
        )

    def standing(self, dataset: Dataset, since: str = "") -> pl.DataFrame:
        """How far each judged partition of a dataset is, oldest first.

        Args:
            dataset: Which dataset.
            since: Only partitions with this key or a later one.

        Returns:
            partition, changed_at (its version), judged_at (until when it was judged), reported_at
            (the version that was reported to Dagster), made_of (the newest version of its inputs),
            stored (its bars, of all symbols).
        """
        return self._db.frame(
            """
            SELECT partition, max(changed_at) AS changed_at, max(judged_at) AS judged_at,
                max(reported_at) AS reported_at, max(made_of) AS made_of,
                sum(stored)::BIGINT AS stored
            FROM ops.partitions
            WHERE profile = ? AND timeframe = ? AND partition >= ?
            GROUP BY partition
            ORDER BY partition
            """,
            dataset.owner,
            dataset.label,
            since,
        )

    def fingerprints(self, before: str | None = None) -> dict[tuple[str, str], str]:
        """A text per dataset that changes as soon as one of its partitions does.

        Args:
            before: Only partitions whose key is less than this; all of them if not given.

        Returns:
            By profile (or the matrix across profiles) and label.
        """
        rows = self._db.execute(
            """
            SELECT profile, timeframe,
                concat_ws(' ', count(*), sum(epoch_us(changed_at)), count(*) FILTER (made_of = ?))
            FROM ops.partitions
            WHERE changed_at IS NOT NULL AND (? IS NULL OR partition < ?)
            GROUP BY profile, timeframe
            """,
            [OUTDATED, before, before],
        ).fetchall()
        return {(profile, label): text for profile, label, text in rows}

    def keys(self, dataset: Dataset) -> set[str]:
        """The keys of all partitions that were ever judged."""
        rows = self._db.execute(
            "SELECT DISTINCT partition FROM ops.partitions WHERE profile = ? AND timeframe = ?",
            [dataset.owner, dataset.label],
        ).fetchall()
        return {partition for (partition,) in rows}

    def judged_until(self, dataset: Dataset, symbols: Sequence[str]) -> pl.DataFrame:
        """Until when each partition has been judged, and for how many of some symbols.

        Returns:
            partition, judged_at, symbols.
        """
        return self._db.frame(
            """
            SELECT partition, min(judged_at) AS judged_at, count(*) AS symbols
            FROM ops.partitions
            WHERE profile = ? AND timeframe = ? AND expected > 0 AND list_contains(?, symbol)
            GROUP BY partition
            """,
            dataset.owner,
            dataset.label,
            list(symbols),
        )

    def newest_judged_at(self, dataset: Dataset) -> datetime | None:
        """Until when the newest partition has been judged; None before the first."""
        ((judged_at,),) = self._db.execute(
            """
            SELECT max_by(judged_at, (partition, judged_at))
            FROM ops.partitions
            WHERE profile = ? AND timeframe = ?
            """,
            [dataset.owner, dataset.label],
        ).fetchall()
        return None if judged_at is None else judged_at.replace(tzinfo=UTC)

    def judged_early(self, dataset: Dataset, length: timedelta) -> list[str]:
        """The keys of the partitions that were judged before they ended.

        A partition ends some length after its first day.
        """
        rows = self._db.execute(
            """
            SELECT DISTINCT partition
            FROM ops.partitions
            WHERE profile = ? AND timeframe = ? AND judged_at < partition::TIMESTAMP + ?
            ORDER BY partition
            """,
            [dataset.owner, dataset.label, length],
        ).fetchall()
        return [partition for (partition,) in rows]


class PartitionsWriter(Partitions):
    """Reads and writes `ops.partitions`: the counts and versions of every judged partition."""

    def put(
        self,
        dataset: Dataset,
        counts: pl.DataFrame,
        as_of: datetime | None = None,
        *,
        changed: Collection[str] = (),
    ) -> None:
        """Replace the counts of partitions, and record which of these have changed.

        Args:
            dataset: Which dataset.
            counts: partition, symbol, expected, stored, explained, missing and, where they are of
                candles, evidence: another text as soon as something else is known of the absent
                bars.
            as_of: Bars that closed later were not judged; the present instant if it is not given.
            changed: The partitions whose candles changed; one whose counts or evidence differ from
                before has changed as well.
        """
        if counts.is_empty():
            return
        if "evidence" not in counts.columns:
            counts = counts.with_columns(evidence=pl.lit(None, pl.String))
        with self._db.lent("counts", counts):
            # A version is never given twice, whatever the clock does.
            judged = self._db.frame(
                """
                WITH before AS (
                    SELECT *
                    FROM ops.partitions
                    WHERE profile = ? AND timeframe = ?
                ),
                known AS (
                    SELECT partition, max(changed_at) AS newest, max(reported_at) AS reported_at,
                        max(made_of) AS made_of
                    FROM before
                    GROUP BY partition
                )
                SELECT ? AS profile, ? AS timeframe, c.*, ? AS judged_at,
                    CASE
                        WHEN NOT list_contains(?, c.partition)
                            AND (p.expected, p.stored, p.explained, p.missing)
                                = (c.expected, c.stored, c.explained, c.missing)
                            AND coalesce(p.evidence = c.evidence, TRUE)
                        THEN p.changed_at
                        ELSE greatest(?, k.newest + INTERVAL 1 MICROSECOND)
                    END AS changed_at,
                    k.reported_at,
                    k.made_of
                FROM counts c
                LEFT JOIN before p USING (partition, symbol)
                LEFT JOIN known k USING (partition)
                """,
                *(
                    dataset.owner,
                    dataset.label,
                    dataset.owner,
                    dataset.label,
                    self._db.now if as_of is None else naive(as_of),
                ),
                *(list(changed), self._db.now),
            )
        with self._db.lent("judged", judged):
            self._db.execute(
                """
                DELETE FROM ops.partitions p
                USING judged j
                WHERE p.profile = j.profile
                  AND p.timeframe = j.timeframe
                  AND p.partition = j.partition
                  AND p.symbol = j.symbol
                """
            )
            self._db.execute("INSERT INTO ops.partitions BY NAME SELECT * FROM judged")
        # By this a store that was deleted, or restored from an older copy, is told from this one.
        self._db.execute(
            "UPDATE ops.store SET commits = commits + 1, committed_at = ?", [self._db.now]
        )

    def versions(self, dataset: Dataset, partitions: Sequence[str]) -> dict[str, str]:
        """The version of each of some judged partitions: the instant of the last change.

        It changes when the candles do, or what is known of the absent ones.

        Returns:
            The version (a text of UTC) by partition key; without those that have none.
        """
        rows = self._db.execute(
            """
            SELECT partition, strftime(max(changed_at), '%Y-%m-%dT%H:%M:%S.%fZ')
            FROM ops.partitions
            WHERE profile = ?
              AND timeframe = ?
              AND list_contains(?, partition)
              AND changed_at IS NOT NULL
            GROUP BY partition
            """,
            [dataset.owner, dataset.label, list(partitions)],
        ).fetchall()
        return dict(rows)

    def renew_versions(self, dataset: Dataset, partitions: Sequence[str]) -> None:
        """Give judged partitions another version.

        Their candles were written along with those of a neighbour.
        """
        if partitions:
            self._db.execute(
                """
                UPDATE ops.partitions
                SET changed_at = greatest(?, changed_at + INTERVAL 1 MICROSECOND)
                WHERE profile = ? AND timeframe = ? AND list_contains(?, partition)
                """,
                [self._db.now, dataset.owner, dataset.label, list(partitions)],
            )

    def put_made_of(self, dataset: Dataset, versions: Mapping[str, datetime | None]) -> None:
        """Record the newest version of the inputs of some judged partitions.

        None is for a partition whose inputs have no version.

        Args:
            dataset: Which dataset.
            versions: By partition key, aware UTC.
        """
        self._put_versions("made_of", dataset, versions)

    def outdate(self, dataset: Dataset, since: str = "") -> None:
        """Have the partitions of a dataset be made again, from a key on.

        They count as made of a version that is older than any.

        Args:
            dataset: Which dataset.
            since: The key of the first one.
        """
        self._db.execute(
            """
            UPDATE ops.partitions
            SET made_of = ?
            WHERE profile = ? AND timeframe = ? AND partition >= ?
            """,
            [OUTDATED, dataset.owner, dataset.label, since],
        )

    def outdate_across(self, profile: str, since: str) -> None:
        """Do the same for the matrix across profiles, where it has symbols of a profile."""
        self._db.execute(
            """
            UPDATE ops.partitions
            SET made_of = ?
            WHERE partition >= ? AND profile IN (
                SELECT DISTINCT profile
                FROM ops.partitions
                WHERE starts_with(timeframe, 'returns_')
                  AND starts_with(symbol, ? || '.')
                  AND profile <> ?
            )
            """,
            [OUTDATED, since, profile, profile],
        )

    def put_reported(self, dataset: Dataset, versions: Mapping[str, datetime | None]) -> None:
        """Record which version of some judged partitions was reported to Dagster.

        See `put_made_of` for the arguments.
        """
        self._put_versions("reported_at", dataset, versions)

    def _put_versions(
        self, column: str, dataset: Dataset, versions: Mapping[str, datetime | None]
    ) -> None:
        rows = [(key, at and naive(at)) for key, at in versions.items()]
        noted = pl.DataFrame(rows, schema={"partition": pl.String, "version": TS}, orient="row")
        with self._db.lent("noted", noted):
            self._db.execute(
                f"""
                UPDATE ops.partitions p
                SET {column} = n.version
                FROM noted n
                WHERE p.profile = ? AND p.timeframe = ? AND p.partition = n.partition
                """,
                [dataset.owner, dataset.label],
            )
