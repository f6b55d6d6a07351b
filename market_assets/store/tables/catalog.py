"""Which tables the store has, and what concerns all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.datasets import Family
from market_assets.market.timeframes import TS, Timeframe
from market_assets.store.database import Table
from market_assets.store.prune import NO_AGES, free_bytes, prune_ledgers, table_sizes
from market_assets.store.schema import (
    identifier,
)
from market_assets.store.tables.completeness import renew_completeness_view

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from market_assets.config.services import RetentionSettings
    from market_assets.market.durations import Age
    from market_assets.store.prune import Pruned, TableSize


class Catalog(Table):
    """Reads which tables there are, how large they are, and rows of any of them."""

    def has(self, schema: str, table: str) -> bool:
        """True when a profile, or the matrix across profiles, has a table of that name."""
        return self._db.has(schema, table)

    def schemas(self) -> list[str]:
        """The schemas that hold tables, in the order of the alphabet."""
        rows = self._db.execute(
            "SELECT DISTINCT schema_name FROM duckdb_tables() ORDER BY ALL"
        ).fetchall()
        return [schema for (schema,) in rows]

    def holdings(self) -> pl.DataFrame:
        """What every table of candles, features and returns holds, of every profile.

        Returns:
            schema (the profile's name, or that of the matrix across profiles), asset (the table's
            name), rows, symbols, first_ts, last_ts; sorted by the first two.
        """
        names = [family.name_of(timeframe) for family in Family for timeframe in Timeframe]
        tables = self._db.execute(
            """
            SELECT schema_name, table_name
            FROM duckdb_tables()
            WHERE list_contains(?, table_name) AND schema_name NOT IN ('ops', 'main')
            ORDER BY ALL
            """,
            [names],
        ).fetchall()
        counted = []
        for schema, table in tables:
            (extent,) = self._db.execute(
                f"""
                SELECT count(*), count(DISTINCT symbol), min(ts), max(ts)
                FROM {identifier(schema)}.{identifier(table)}
                """
            ).fetchall()
            counted.append((schema, table, *extent))
        columns = [
            ("schema", pl.String()),
            ("asset", pl.String()),
            ("rows", pl.Int64()),
            ("symbols", pl.Int64()),
            ("first_ts", TS),
            ("last_ts", TS),
        ]
        return pl.DataFrame(counted, schema=pl.Schema(columns), orient="row")

    def sizes(self) -> list[TableSize]:
        """How large each table of the schema `ops` is."""
        return table_sizes(self._db.connection)

    def free_bytes(self) -> int:
        """How many bytes of the file hold nothing and are used again."""
        return free_bytes(self._db.connection)

    def prunable(
        self, settings: RetentionSettings, now: datetime, ops: Mapping[str, Age] = NO_AGES
    ) -> list[Pruned]:
        """What `CatalogWriter.prune` would remove."""
        return prune_ledgers(self._db.connection, settings, now, ops, dry_run=True)


class CatalogWriter(Catalog):
    """Reads which tables there are, removes those of a profile, and prunes ledgers."""

    def drop_profile(self, name: str, *, archive: bool = False) -> None:
        """Remove all that is stored of a profile: its schema, and its rows in every ledger.

        Args:
            name: What it was called.
            archive: Also the rows of `ops.pruned` that say in which files of the lake rows are that
                retention has removed: without these nobody finds them any more.
        """
        ledgers = self._db.execute(
            """
            SELECT table_name
            FROM duckdb_columns()
            WHERE schema_name = 'ops' AND column_name = 'profile' AND table_name IN (
                SELECT table_name
                FROM duckdb_tables()
                WHERE schema_name = 'ops'
            )
            """
        ).fetchall()
        for (ledger,) in ledgers:
            is_kept = "archived IS NULL" if ledger == "pruned" and not archive else "TRUE"
            self._db.execute(
                f"DELETE FROM ops.{identifier(ledger)} WHERE profile = ? AND {is_kept}", [name]
            )
        # The completeness view reads the candle tables: it has to leave them before they go.
        renew_completeness_view(self._db.connection, without=name)
        self._db.execute(f"DROP SCHEMA IF EXISTS {identifier(name)} CASCADE")

    def prune(
        self, settings: RetentionSettings, now: datetime, ops: Mapping[str, Age] = NO_AGES
    ) -> list[Pruned]:
        """Remove the old rows of the ledgers, and merge what sources have answered for.

        Args:
            settings: How long rows are kept.
            now: The present instant, aware.
            ops: By profile, how long its rows are kept at most.
        """
        return prune_ledgers(self._db.connection, settings, now, ops, dry_run=False)
