"""An open connection to the store, and the operations that all tables share."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import TS
from market_assets.store.engine import narrow
from market_assets.store.literals import written_out
from market_assets.store.schema import CANDLE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import duckdb

    from market_assets.market.timeframes import Window

_BULK = 10_000
"""Rows that are worth the change of DuckDB's threads: it takes a third of a millisecond."""


class Database:
    """An open connection, and the instant that its writes are stamped with.

    Attributes:
        connection: Where statements go. Always read results to their end: since duckdb 2.0 a
            result that is not read to its end blocks its connection.
        now: The present instant as the store has it: UTC without a zone. Only writers need it.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, now: datetime | None = None) -> None:
        self.connection = connection
        self._now = now and naive(now)
        self._lent: dict[str, pl.DataFrame] = {}

    @property
    def now(self) -> datetime:
        """The present instant: UTC without a zone.

        Raises:
            RuntimeError: The connection was opened to read.
        """
        if self._now is None:
            raise RuntimeError("this connection was opened to read")
        return self._now

    def execute(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] | None = None
    ) -> duckdb.DuckDBPyConnection:
        """Run a statement."""
        self._offer(sql)
        return self.connection.execute(written_out(sql, parameters) if parameters else sql)

    def has(self, schema: str, table: str) -> bool:
        """Whether there is such a table; a copy that an earlier version has left may lack one."""
        # Always fetchall: since duckdb 2.0 a result not read to its end blocks its connection.
        rows = self.execute(
            "SELECT 1 FROM duckdb_tables() WHERE schema_name = ? AND table_name = ?",
            [schema, table],
        ).fetchall()
        return bool(rows)

    def frame(self, sql: str, *parameters: object, **named: object) -> pl.DataFrame:
        """The rows of a query; their times are UTC without a zone."""
        # A relation streams to polars by itself, where a result of `execute` needs pyarrow. With
        # parameters it would first make Python values of all of it.
        self._offer(sql)
        return pl.DataFrame(self.connection.sql(written_out(sql, named or parameters)))

    @contextmanager
    def lent(self, name: str, frame: pl.DataFrame) -> Iterator[None]:
        """Let statements of this object read a frame as a table of that name, once in each."""
        self._lent[name] = frame
        yield
        # Not after a failed statement: the connection is closed then, and its error is what counts.
        del self._lent[name]
        self.connection.unregister(name)

    def _offer(self, sql: str) -> None:
        """Give DuckDB the frames that a statement reads.

        A stream can be read once. For what can be read again, such as a table of pyarrow, DuckDB
        imports pyarrow.dataset and pandas, and takes two to four times as long with a few rows.
        """
        for name, frame in self._lent.items():
            if re.search(rf"\b{name}\b", sql):
                self.connection.register(name, frame.__arrow_c_stream__(None))

    def insert(
        self, table: str, rows: pl.DataFrame, columns: Sequence[str] = CANDLE_COLUMNS
    ) -> None:
        """Add rows to a table."""
        if rows.is_empty():
            return
        if len(rows) >= _BULK:
            narrow(self.connection)
        with self.lent("rows", rows):
            names = ", ".join(columns)
            self.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM rows")

    def replace(self, table: str, before: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """Replace rows of a table, and leave those that stay the same untouched.

        Args:
            table: The table's qualified name.
            before: The rows that are there.
            rows: The rows that are to be there instead; the columns of `before`, unique by symbol
                and ts.

        Returns:
            symbol, ts of the rows that differ.
        """
        key = ["symbol", "ts"]
        if before.is_empty():
            self.insert(table, rows, rows.columns)
            return rows.select(key)

        single, doubled = apart(before)
        added = rows.join(single, on=rows.columns, how="anti", nulls_equal=True)
        gone = pl.concat(
            [single.join(rows, on=rows.columns, how="anti", nulls_equal=True), doubled]
        )
        self.delete_keys(table, gone.select(key))
        self.insert(table, added, rows.columns)
        return pl.concat([added.select(key), gone.select(key)]).unique()

    def delete_keys(self, table: str, keys: pl.DataFrame) -> None:
        """Remove the rows of a table with some symbol and ts."""
        if keys.is_empty():
            return
        with self.lent("keys", keys):
            self.execute(
                f"DELETE FROM {table} t USING keys k WHERE t.symbol = k.symbol AND t.ts = k.ts"
            )


class Table:
    """Reads a table, or writes it, over one open connection."""

    def __init__(self, database: Database) -> None:
        self._db = database


def apart(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split the rows of a table by whether their symbol and ts is unique.

    Returns:
        The unique rows, and those that were stored twice.
    """
    doubled = rows.select("symbol", "ts").is_duplicated()
    return rows.filter(~doubled), rows.filter(doubled)


def bounds(window: Window) -> tuple[datetime, datetime]:
    """The start and the end of a window as DuckDB has them."""
    return naive(window.start), naive(window.end)


def windows_frame(windows: Mapping[str, Window]) -> pl.DataFrame:
    """Windows by symbol as a frame that statements read: symbol, start_ts, end_ts."""
    return pl.DataFrame(
        [(symbol, *bounds(window)) for symbol, window in windows.items()],
        schema={"symbol": pl.String, "start_ts": TS, "end_ts": TS},
        orient="row",
    )


def newest_opens(candles: pl.DataFrame) -> dict[str, datetime]:
    """By symbol, the newest `ts` of some rows, as an aware instant.

    Args:
        candles: symbol, ts, and any other columns.
    """
    newest = candles.group_by("symbol").agg(pl.max("ts"))
    return {symbol: aware(ts) for symbol, ts in newest.iter_rows()}


def naive(instant: datetime) -> datetime:
    """An aware instant as DuckDB's TIMESTAMP holds it: UTC without a zone."""
    return instant.astimezone(UTC).replace(tzinfo=None)


def aware(instant: datetime) -> datetime:
    """An instant of the store, which is UTC without a zone, with its zone."""
    return instant.replace(tzinfo=UTC)
