"""What the HTTP API asks of a table of candles, features or returns, beside its rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.columns import EXTRA_NAMES
from market_assets.market.timeframes import Window
from market_assets.store.database import Table, bounds
from market_assets.store.schema import CANDLE_COLUMNS, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.market.datasets import Dataset

_BACK = (timedelta(days=2), timedelta(days=35), timedelta(days=400), timedelta(days=200_000))
"""How far behind the newest row of all that of a symbol is looked for, step by step."""

_TICK = timedelta(microseconds=1)


class Served(Table):
    """Reads how far a table reaches, how many rows it has, and the newest candles."""

    def extent(self, dataset: Dataset) -> Window | None:
        """From the oldest `ts` of a table to behind the newest; None where it has no row."""
        ((first, last),) = self._db.execute(
            f"SELECT min(ts), max(ts) FROM {table_of(dataset)}"
        ).fetchall()
        if first is None:
            return None
        return Window(first.replace(tzinfo=UTC), last.replace(tzinfo=UTC) + _TICK)

    def columns(self, dataset: Dataset) -> list[str]:
        """The names of a table's columns, in their order."""
        rows = self._db.execute(
            """
            SELECT column_name
            FROM duckdb_columns()
            WHERE schema_name = ? AND table_name = ?
            ORDER BY column_index
            """,
            [dataset.owner, dataset.name],
        ).fetchall()
        return [name for (name,) in rows]

    def size(self, dataset: Dataset, symbols: Sequence[str], window: Window) -> int:
        """How many rows of some symbols a window has: 10 M in 50 ms."""
        ((rows,),) = self._db.execute(
            f"""
            SELECT count(*)
            FROM {table_of(dataset)}
            WHERE ts >= ? AND ts < ? AND list_contains(?, symbol)
            """,
            [*bounds(window), list(symbols)],
        ).fetchall()
        return int(rows)

    def latest(self, dataset: Dataset, symbols: Sequence[str]) -> pl.DataFrame:
        """The newest candle of each of some symbols that has one, by symbol.

        The newest days are looked at first, so that most questions touch few of the rows.

        Returns:
            symbol, ts, open, high, low, close, volume, source and the extra columns.
        """
        table = table_of(dataset)
        columns = ", ".join((*CANDLE_COLUMNS, *EXTRA_NAMES))
        ((newest,),) = self._db.execute(f"SELECT max(ts) FROM {table}").fetchall()
        frames: list[pl.DataFrame] = []
        lacking = set(symbols)
        for days in _BACK:
            rows = self._db.frame(
                f"""
                SELECT {columns}
                FROM {table}
                WHERE ts >= ? AND list_contains(?, symbol)
                QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY ts DESC) = 1
                """,
                _behind(newest, days),
                sorted(lacking),
            )
            frames.append(rows)
            lacking -= set(rows["symbol"])
            if not lacking or newest is None:
                break
        return pl.concat(frames).sort("symbol")


def _behind(newest: datetime | None, days: timedelta) -> datetime | None:
    return newest and newest - days
