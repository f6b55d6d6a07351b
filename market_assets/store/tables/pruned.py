"""`ops.pruned`: the partitions that retention has removed, with all that was known of them.

From when on a dataset is kept is not known here: see `market_assets/expected/floors.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from market_assets.market.datasets import Family
from market_assets.market.timeframes import Window
from market_assets.store.database import Table, bounds, naive
from market_assets.store.prune import bytes_of
from market_assets.store.schema import identifier, table_of
from market_assets.store.tables.coverage import CoverageWriter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.market.datasets import Dataset
    from market_assets.market.partitions import Cadence

_LONG_AGO = datetime(1800, 1, 1, tzinfo=UTC)

_PARTITIONS = {"partitions": "partition < $key"}

_LEDGERS = {
    **_PARTITIONS,
    "gaps": "first_ts < $end",
    "refused": "partition < $key",
    "agreement": "partition < $key",
    "off_calendar": "day < $end::DATE",
    "revisions": "ts < $end",
    "repairs": "first_ts < $end",
}
"""Which rows of the ledgers of candles speak of the time before an instant."""

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Checksum(NamedTuple):
    """What rows come to, in whatever order: their number, and the sum of a hash of all columns."""

    rows: int
    hashes: int


class Pruned(Table):
    """Reads `ops.pruned`: the partitions that retention has removed."""

    def has(self, dataset: Dataset) -> bool:
        """Whether some rows of a dataset were ever removed."""
        return bool(self._rows("SELECT 1", "rows > 0 LIMIT 1", dataset))

    def keys(self, dataset: Dataset) -> set[str]:
        """The keys of all partitions of a dataset that were ever removed."""
        return {key for (key,) in self._rows("SELECT DISTINCT partition", "TRUE", dataset)}

    def partitions(self, dataset: Dataset) -> pl.DataFrame:
        """The archived partitions of a dataset: partition, symbol."""
        return self._db.frame(
            """
            SELECT DISTINCT partition, symbol
            FROM ops.pruned
            WHERE profile = ? AND timeframe = ? AND archived IS NOT NULL
            """,
            dataset.owner,
            dataset.label,
        )

    def symbols(self, dataset: Dataset) -> set[str]:
        """The symbols of a dataset of which something was removed."""
        return {name for (name,) in self._rows("SELECT DISTINCT symbol", "rows > 0", dataset)}

    def of(self, dataset: Dataset, partition: str, symbol: str | None = None) -> pl.DataFrame:
        """What was removed of a partition.

        Returns:
            symbol, rows, retention, pruned_at, archived (paths in the lake; null where it was not
            archived).
        """
        if not self._is_there():
            return pl.DataFrame()
        return self._db.frame(
            """
            SELECT symbol, rows, retention, pruned_at, archived
            FROM ops.pruned
            WHERE profile = ? AND timeframe = ? AND partition = ? AND symbol = coalesce(?, symbol)
            ORDER BY symbol
            """,
            *(dataset.owner, dataset.label, partition, symbol),
        )

    def archived(self, dataset: Dataset, since: str = "", until: str = "9") -> dict[str, str]:
        """The files of the lake that hold what was removed of a dataset.

        Args:
            dataset: Which one.
            since: Only of partitions with this key or a later one.
            until: Only of partitions with an earlier key.

        Returns:
            By path in the lake the key of the newest partition in it.
        """
        if not self._is_there():
            return {}
        rows = self._db.execute(
            """
            SELECT path, max(partition)
            FROM (
                SELECT partition, unnest(archived) AS path
                FROM ops.pruned
                WHERE profile = ? AND timeframe = ? AND archived IS NOT NULL
                  AND partition >= ? AND partition < ?
            )
            GROUP BY path
            ORDER BY path
            """,
            [dataset.owner, dataset.label, since, until],
        ).fetchall()
        return dict(rows)

    def due(self, dataset: Dataset, floor: datetime, cadence: Cadence) -> pl.DataFrame:
        """What a dataset has below its floor, oldest first.

        Args:
            dataset: Which one.
            floor: From when on it is kept: the start of a partition.
            cadence: How long its partitions are.

        Returns:
            partition, rows; also partitions that were judged and have no row.
        """
        stored = (
            f"SELECT {_key('ts', cadence)} AS partition, count(*) AS rows FROM {table_of(dataset)} "
            "WHERE ts < $floor GROUP BY ALL UNION ALL"
            if self._db.has(dataset.owner, dataset.name)
            else ""
        )
        return self._db.frame(
            f"""
            SELECT partition, sum(rows)::BIGINT AS rows
            FROM (
                {stored}
                SELECT {_key("partition::DATE", cadence)} AS partition, 0 AS rows
                FROM ops.partitions
                WHERE profile = $profile AND timeframe = $label
                  AND partition < strftime($floor::TIMESTAMP, '%Y-%m-%d')
            )
            GROUP BY partition
            ORDER BY partition
            """,
            floor=naive(floor),
            profile=dataset.owner,
            label=dataset.label,
        )

    def row_bytes(self, dataset: Dataset) -> float:
        """About how many bytes of the file a row of a dataset takes."""
        if not self._db.has(dataset.owner, dataset.name):
            return 0.0
        table = table_of(dataset)
        ((rows,),) = self._db.execute(f"SELECT count(*) FROM {table}").fetchall()
        return bytes_of(self._db.connection, table) / rows if rows else 0.0

    def ledger_rows(
        self, dataset: Dataset, end: datetime, gone: Mapping[str, str] = _NOTHING
    ) -> dict[str, int]:
        """How many rows of each ledger speak only of the time of a dataset before an instant.

        Args:
            dataset: Which one.
            end: The instant.
            gone: By ledger SQL of the row ids that do not count: see `store.prune.old_rows`.
        """
        counts = {}
        for ledger, condition in _ledgers_of(dataset).items():
            left = f"rowid NOT IN ({gone[ledger]})" if ledger in gone else "TRUE"
            ((rows,),) = self._db.execute(
                f"SELECT count(*) FROM ops.{ledger} WHERE {_OF} AND {condition} AND {left}",
                _named(dataset, end, condition),
            ).fetchall()
            counts[ledger] = int(rows)
        return counts

    def checksum(self, dataset: Dataset, window: Window) -> Checksum:
        """What the stored rows of a window come to."""
        return self._checksum(
            table_of(dataset), self._columns(dataset), "WHERE ts >= ? AND ts < ?", *bounds(window)
        )

    def checksum_of(self, dataset: Dataset, rows: pl.DataFrame, window: Window) -> Checksum:
        """What those rows come to that the table of a dataset has in a window too.

        Args:
            dataset: Which one.
            rows: The columns of its table, in any order.
            window: Where.
        """
        start, end = bounds(window)
        with self._db.lent("read_back", rows):
            return self._checksum(
                "read_back",
                self._columns(dataset),
                f"SEMI JOIN (SELECT symbol, ts FROM {table_of(dataset)} WHERE ts >= ? AND ts < ?) "
                "USING (symbol, ts)",
                *(start, end),
            )

    def _checksum(
        self, source: str, columns: Sequence[str], where: str, *parameters: object
    ) -> Checksum:
        names = ", ".join(map(identifier, columns))
        ((rows, hashes),) = self._db.execute(
            f"SELECT count(*), coalesce(sum(hash({names})::HUGEINT), 0) FROM {source} {where}",
            list(parameters),
        ).fetchall()
        return Checksum(int(rows), int(hashes))

    def _columns(self, dataset: Dataset) -> list[str]:
        rows = self._db.execute(
            """
            SELECT column_name
            FROM duckdb_columns()
            WHERE schema_name = ? AND table_name = ? AND database_name = current_database()
            ORDER BY column_index
            """,
            [dataset.owner, dataset.name],
        ).fetchall()
        return [name for (name,) in rows]

    def archives(self) -> dict[str, list[str]]:
        """The files of the lake that hold what was removed, by the profile that it was of."""
        if not self._is_there():
            return {}
        rows = self._db.execute(
            """
            SELECT profile, list_sort(list(DISTINCT path))
            FROM (SELECT profile, unnest(archived) AS path FROM ops.pruned)
            GROUP BY profile
            ORDER BY profile
            """
        ).fetchall()
        return dict(rows)

    def _rows(self, select: str, condition: str, dataset: Dataset) -> list[tuple[str]]:
        if not self._is_there():
            return []
        rows: list[tuple[str]] = self._db.execute(
            f"{select} FROM ops.pruned WHERE profile = ? AND timeframe = ? AND {condition}",
            [dataset.owner, dataset.label],
        ).fetchall()
        return rows

    def _is_there(self) -> bool:
        return self._db.has("ops", "pruned")


class PrunedWriter(Pruned):
    """Removes partitions, and writes to `ops.pruned` that they are gone."""

    def remove(
        self,
        dataset: Dataset,
        window: Window,
        cadence: Cadence,
        *,
        retention: str,
        archived: pl.DataFrame | None = None,
    ) -> int:
        """Remove what a dataset has in a window, and what ledgers know of the time up to its end.

        Args:
            dataset: Which one.
            window: Some whole partitions. What lies before must have been removed already, or have
                no row.
            cadence: How long partitions are.
            retention: How long it is kept, as the universe says it: candles_1m: 2y.
            archived: partition, paths: the files of the lake in which each partition is; None where
                it is not archived.

        Returns:
            How many rows went.
        """
        series = {"profile": dataset.owner, "label": dataset.label}
        counted = pl.DataFrame(
            schema={"partition": pl.String, "symbol": pl.String, "rows": pl.Int64}
        )
        if self._db.has(dataset.owner, dataset.name):
            counted = self._db.frame(
                f"""
                SELECT {_key("ts", cadence)} AS partition, symbol, count(*) AS rows
                FROM {table_of(dataset)}
                WHERE ts >= ? AND ts < ?
                GROUP BY ALL
                """,
                *bounds(window),
            )
            self._db.execute(
                f"DELETE FROM {table_of(dataset)} WHERE ts >= ? AND ts < ?", list(bounds(window))
            )
        paths = (
            pl.DataFrame(schema={"partition": pl.String, "paths": pl.List(pl.String)})
            if archived is None
            else archived
        )
        with self._db.lent("counted", counted), self._db.lent("paths", paths):
            before = self._db.frame(
                """
                DELETE FROM ops.pruned p
                USING counted c
                WHERE p.profile = $profile AND p.timeframe = $label
                  AND p.partition = c.partition AND p.symbol = c.symbol
                RETURNING p.partition, p.symbol, p.rows, p.archived
                """,
                **series,
            )
            with self._db.lent("earlier", before):
                # A month may go in days, and a partition that was filled again once more.
                self._db.execute(
                    """
                    INSERT INTO ops.pruned BY NAME
                    SELECT $profile AS profile, $label AS timeframe, c.partition, c.symbol,
                        c.rows + coalesce(e.rows, 0) AS rows, $retention AS retention,
                        $now AS pruned_at,
                        CASE
                            WHEN p.paths IS NULL THEN e.archived
                            ELSE list_sort(list_distinct(
                                list_concat(p.paths, coalesce(e.archived, []))
                            ))
                        END AS archived
                    FROM counted c
                    LEFT JOIN paths p USING (partition)
                    LEFT JOIN earlier e USING (partition, symbol)
                    """,
                    {**series, "retention": retention, "now": self._db.now},
                )
        for ledger, condition in _ledgers_of(dataset).items():
            self._db.execute(
                f"DELETE FROM ops.{ledger} WHERE {_OF} AND {condition}",
                _named(dataset, window.end, condition),
            )
        if dataset.family is Family.CANDLES:
            # What was answered for is asked for again if it is to be kept again.
            CoverageWriter(self._db).forget(dataset, [Window(_LONG_AGO, window.end)])
        self._db.execute(
            "UPDATE ops.store SET commits = commits + 1, committed_at = ?", [self._db.now]
        )
        return int(counted["rows"].sum())


def _key(instant: str, cadence: Cadence) -> str:
    """SQL of the key of the partition that holds an instant."""
    return f"strftime(date_trunc('{cadence.value}', {instant}), '%Y-%m-%d')"


_OF = "profile = $profile AND timeframe = $timeframe"


def _ledgers_of(dataset: Dataset) -> dict[str, str]:
    """The ledgers that have rows of a dataset, and which of these are old."""
    return _LEDGERS if dataset.family is Family.CANDLES else _PARTITIONS


def _named(dataset: Dataset, end: datetime, condition: str) -> dict[str, object]:
    """The parameters of a statement about the rows of a ledger."""
    values: dict[str, object] = {"end": naive(end), "key": end.date().isoformat()}
    used = {name: value for name, value in values.items() if f"${name}" in condition}
    return {"profile": dataset.owner, "timeframe": dataset.label, **used}
