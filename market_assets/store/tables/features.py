"""The tables of features, `<profile>.features_<timeframe>`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.store.database import apart, bounds
from market_assets.store.schema import (
    create_feature_table,
    identifier,
    table_of,
)
from market_assets.store.tables.made import MadeTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.market.datasets import Dataset
    from market_assets.market.timeframes import Window


_ROUNDING = 1e-9
"""The share of a value below which a difference is rounding."""


class Features(MadeTable):
    """Reads the tables of features, `<profile>.features_<timeframe>`."""


class FeaturesWriter(Features):
    """Reads and writes the tables of features, `<profile>.features_<timeframe>`."""

    def create(self, dataset: Dataset, features: Sequence[str]) -> None:
        """Create a table of features where it does not exist, and the columns that it lacks.

        A new column is null until the rows are computed again.
        """
        self._db.execute(create_feature_table(dataset, features))

    def replace(
        self,
        dataset: Dataset,
        symbols: Sequence[str],
        window: Window,
        rows: pl.DataFrame,
    ) -> pl.DataFrame:
        """Put features in the place of all those of some symbols in a window.

        A row whose values are what they were but for their rounding stays as it is.

        Args:
            dataset: Which dataset.
            symbols: Whose features.
            window: Holds every row.
            rows: symbol, ts and the features; unique by symbol and ts, and best sorted by them,
                which is the order in which they are stored. A column of the table that is not among
                them becomes null in a row that is replaced.

        Returns:
            symbol, ts of the rows that differ from what was there.
        """
        table, key = table_of(dataset), ["symbol", "ts"]
        names = [name for name in rows.columns if name not in key]
        columns = [identifier(name) for name in rows.columns]
        before = self._db.frame(
            f"""
            SELECT {", ".join(columns)}
            FROM {table}
            WHERE ts >= ? AND ts < ? AND list_contains(?, symbol)
            """,
            *(*bounds(window), list(symbols)),
        )
        if before.is_empty():
            self._db.insert(table, rows, columns)
            return rows.select(key)

        single, _ = apart(before)
        kept = rows.join(single, on=key, suffix="_before").filter(_alike(names)).select(key)
        added = rows.join(kept, on=key, how="anti").sort(key)
        gone = before.join(kept, on=key, how="anti").select(key)
        self._db.delete_keys(table, gone)
        self._db.insert(table, added, columns)
        return pl.concat([added.select(key), gone]).unique()


def _alike(names: Sequence[str]) -> pl.Expr:
    """Whether the columns of a row have their old values, but for rounding.

    The old value of a column has its name with `_before`.
    """
    pairs = [(pl.col(name), pl.col(f"{name}_before")) for name in names]
    near = [
        now.eq_missing(before)
        | ((now - before).abs() <= _ROUNDING * pl.max_horizontal(now.abs(), before.abs()))
        for now, before in pairs
    ]
    return pl.all_horizontal(
        pl.lit(value=True), *(expression.fill_null(value=False) for expression in near)
    )
