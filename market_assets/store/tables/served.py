"""What the HTTP API asks of a table of candles, features or returns, beside its rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.columns import EXTRA_NAMES
from market_assets.market.timeframes import Window
from market_assets.store.database import Table, aware, bounds
from market_assets.store.schema import CANDLE_COLUMNS, identifier, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from market_assets.market.datasets import Dataset

_BACK = (timedelta(days=2), timedelta(days=35), timedelta(days=400), timedelta(days=200_000))
"""How far behind the newest row of all that of a symbol is looked for, step by step."""

_TICK = timedelta(microseconds=1)


class Served(Table):
    """Reads how far a table reaches, how many rows it has, the newest candles, and longer ones."""

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

    def span(
        self, dataset: Dataset, symbol: str, window: Window
    ) -> tuple[datetime, datetime, int] | None:
        """The first and the last `ts` (UTC) of a symbol in a window, and how many rows are there.

        None where it has none.
        """
        ((first, last, rows),) = self._db.execute(
            f"""
            SELECT min(ts), max(ts), count(*)
            FROM {table_of(dataset)}
            WHERE ts >= ? AND ts < ? AND symbol = ?
            """,
            [*bounds(window), symbol],
        ).fetchall()
        if first is None:
            return None
        return aware(first), aware(last), int(rows)

    def candles_in(
        self, dataset: Dataset, symbol: str, bars: pl.DataFrame, day: date | None = None
    ) -> pl.DataFrame:
        """Longer candles of a symbol, made while they are read: a year of minutes in 200 ms.

        Args:
            dataset: The candles that they are made of.
            symbol: Whose.
            bars: At least one: ts, since, until (TS) of each longer bar, sorted. It is made of the
                candles whose `ts` lies from `since` on and before `until`.
            day: On the footing of which day the prices are; None for prices as sources gave them.

        Returns:
            ts, open, high, low, close, volume; sorted, without a bar that has no candle.
        """
        source = table_of(dataset)
        if day is not None:
            source = (
                f"{identifier(dataset.owner)}.adjusted_{dataset.timeframe}"
                f"(DATE '{day.isoformat()}')"
            )
        with self._db.lent("longer", bars):
            return self._db.frame(
                f"""
                SELECT b.ts, arg_min(c.open, c.ts) AS open, max(c.high) AS high, min(c.low) AS low,
                    arg_max(c.close, c.ts) AS close, sum(c.volume) AS volume
                FROM (
                    SELECT ts, open, high, low, close, volume
                    FROM {source}
                    WHERE symbol = ? AND ts >= ? AND ts < ?
                ) c
                ASOF JOIN longer b ON c.ts >= b.since
                WHERE c.ts < b.until
                GROUP BY b.ts
                ORDER BY b.ts
                """,
                symbol,
                bars["since"][0],
                bars["until"].max(),
            )

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
