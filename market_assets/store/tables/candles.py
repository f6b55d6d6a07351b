"""The tables of candles, `<profile>.candles_<timeframe>`.

How candles are merged is in `market_assets/store/merge.py`; what they were before in
`ops.revisions`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.columns import EXTRA_NAMES, OHLCV, extras_in
from market_assets.market.datasets import Family
from market_assets.market.timeframes import TS, Timeframe
from market_assets.store.database import Table, bounds, naive, windows_frame
from market_assets.store.extras import rows_of
from market_assets.store.merge import Merge, Merged, with_columns
from market_assets.store.schema import (
    CANDLE_COLUMNS,
    DERIVED_COLUMNS,
    create_candle_table,
    identifier,
    table_of,
)
from market_assets.store.tables.catalog import Catalog
from market_assets.store.tables.completeness import renew_completeness_view
from market_assets.store.tables.revisions import RevisionsWriter

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date

    from market_assets.market.datasets import Dataset
    from market_assets.market.timeframes import Window


class Candles(Table):
    """Reads the tables of candles."""

    def has(self, dataset: Dataset) -> bool:
        """True when the series' table exists."""
        return Catalog(self._db).has(dataset.owner, dataset.name)

    def of(
        self,
        dataset: Dataset,
        symbols: Sequence[str],
        window: Window,
        *,
        extras: Collection[str] = (),
    ) -> pl.DataFrame:
        """The stored candles of some symbols in a window, in no particular order.

        Args:
            dataset: Which dataset.
            symbols: Whose.
            window: Where.
            extras: Which extra columns are wanted (EXTRA_NAMES).

        Returns:
            All other columns of the table, and of these the ones that have a value somewhere.
        """
        table = table_of(dataset)
        return rows_of(self._db, table, window, symbols, extras=extras_in(extras), probe=table)

    def prices(
        self,
        dataset: Dataset,
        symbols: Sequence[str],
        window: Window,
        columns: Sequence[str] = OHLCV,
    ) -> pl.DataFrame:
        """Some columns of the stored candles of some symbols in a window, in the table's order.

        Returns:
            number (Int32: the place of the candle's symbol among the symbols, from 0 on), ts, and
            the columns; no other column is read.
        """
        return self._db.frame(
            f"""
            SELECT (list_position($symbols, symbol) - 1)::INTEGER AS number, ts,
                {", ".join(columns)}
            FROM {table_of(dataset)}
            WHERE ts >= $start AND ts < $end AND list_contains($symbols, symbol)
            """,
            **dict(zip(("start", "end"), bounds(window), strict=True)),
            symbols=list(symbols),
        )

    def reach_back(
        self, dataset: Dataset, symbols: Sequence[str], window: Window, bars: int
    ) -> dict[str, tuple[datetime, int]]:
        """How far back the newest stored candles of each symbol in a window reach.

        Args:
            dataset: Which dataset.
            symbols: Whose candles.
            window: Where they lie.
            bars: How many of the newest candles of a symbol count, at most.

        Returns:
            By symbol the open (UTC) of the oldest of them, and how many there are; without the
            symbols that have none.
        """
        rows = self._db.execute(
            f"""
            SELECT symbol, list_min(max(ts, ?)), least(count(*), ?)
            FROM {table_of(dataset)}
            WHERE ts >= ? AND ts < ? AND list_contains(?, symbol)
            GROUP BY symbol
            """,
            [bars, bars, *bounds(window), list(symbols)],
        ).fetchall()
        return {symbol: (ts.replace(tzinfo=UTC), count) for symbol, ts, count in rows}

    def last_closes(self, dataset: Dataset, symbols: Sequence[str], window: Window) -> pl.DataFrame:
        """The close of each symbol's newest stored candle in a window: symbol, close."""
        return self._db.frame(
            f"""
            SELECT symbol, arg_max(close, ts) AS close
            FROM {table_of(dataset)}
            WHERE ts >= ? AND ts < ? AND list_contains(?, symbol)
            GROUP BY symbol
            """,
            *bounds(window),
            list(symbols),
        )

    def opens(self, dataset: Dataset, symbols: Sequence[str], window: Window) -> pl.DataFrame:
        """The opens of the stored candles: symbol, ts."""
        start, end = bounds(window)
        return self._db.frame(
            f"""
            SELECT symbol, ts
            FROM {table_of(dataset)}
            WHERE ts >= ? AND ts < ? AND list_contains(?, symbol)
            """,
            start,
            end,
            list(symbols),
        )

    def first(self, dataset: Dataset, symbols: Sequence[str]) -> dict[str, datetime]:
        """The open of the oldest stored candle of each of some symbols that has one."""
        rows = self._db.execute(
            f"""
            SELECT symbol, min(ts)
            FROM {table_of(dataset)}
            WHERE list_contains(?, symbol)
            GROUP BY symbol
            """,
            [list(symbols)],
        ).fetchall()
        return {symbol: ts.replace(tzinfo=UTC) for symbol, ts in rows}

    def symbols_in(self, dataset: Dataset, windows: Mapping[str, Window]) -> set[str]:
        """The symbols of which a candle is stored in a window of their own."""
        if not windows:
            return set()
        with self._db.lent("looked_at", windows_frame(windows)):
            rows = self._db.execute(
                f"""
                SELECT DISTINCT symbol
                FROM {table_of(dataset)}
                JOIN looked_at USING (symbol)
                WHERE ts >= start_ts AND ts < end_ts AND ts < ?
                """,
                [max(bounds(window)[1] for window in windows.values())],
            ).fetchall()
        return {symbol for (symbol,) in rows}

    def marks(self, dataset: Dataset, stretches: pl.DataFrame) -> pl.DataFrame:
        """A checksum of the stored candles of each symbol in a stretch of its own.

        Args:
            dataset: Which dataset.
            stretches: symbol, begin, end (TS).

        Returns:
            symbol, held (how many there are), mark (UInt64); a row for each stretch.
        """
        with self._db.lent("stretches", stretches):
            marks = self._db.frame(
                f"""
                SELECT symbol, count(*) AS held,
                    bit_xor(hash(ts, open, high, low, close, volume)) AS mark
                FROM {table_of(dataset)}
                JOIN stretches USING (symbol)
                WHERE ts >= ? AND ts < ? AND ts >= begin AND ts < "end"
                GROUP BY symbol
                """,
                stretches["begin"].min(),
                stretches["end"].max(),
            )
        return (
            stretches.select("symbol")
            .join(marks, on="symbol", how="left")
            .with_columns(pl.col("held", "mark").fill_null(0))
        )

    def newest_open(self, dataset: Dataset, window: Window) -> datetime | None:
        """The open of the newest stored candle of any symbol.

        None where it lies before the window.
        """
        ((newest,),) = self._db.execute(
            f"SELECT max(ts) FROM {table_of(dataset)} WHERE ts >= ?",
            [bounds(window)[0]],
        ).fetchall()
        return None if newest is None else newest.replace(tzinfo=UTC)

    def count(self, dataset: Dataset, symbols: Sequence[str], window: Window) -> dict[str, int]:
        """How many candles of some symbols are stored in a window.

        A symbol that has none is left out.
        """
        rows = self._db.execute(
            f"""
            SELECT symbol, count(*)
            FROM {table_of(dataset)}
            WHERE ts >= ? AND ts < ? AND list_contains(?, symbol)
            GROUP BY symbol
            """,
            [*bounds(window), list(symbols)],
        ).fetchall()
        return dict(rows)

    def extents(self, dataset: Dataset, window: Window) -> pl.DataFrame:
        """The first and the last candle of each symbol in a window.

        Returns:
            symbol, first_ts, last_ts; empty where the table does not exist.
        """
        if not self.has(dataset):
            return pl.DataFrame(schema={"symbol": pl.String, "first_ts": TS, "last_ts": TS})
        return self._db.frame(
            f"""
            SELECT symbol, min(ts) AS first_ts, max(ts) AS last_ts
            FROM {table_of(dataset)}
            WHERE ts >= ? AND ts < ?
            GROUP BY symbol
            """,
            *bounds(window),
        )

    def newest(
        self,
        dataset: Dataset,
        *,
        symbols: Sequence[str],
        limit: int,
        after: datetime | None = None,
        extras: Collection[str] = (),
    ) -> pl.DataFrame:
        """The newest candles of some symbols, oldest first.

        Args:
            dataset: Which dataset.
            symbols: Whose.
            limit: How many at most, of all symbols together.
            after: Only those whose `ts` lies later.
            extras: Extra columns that are wanted too.

        Returns:
            symbol, ts, open, high, low, close, volume, source and the extra columns; empty without
            a table.
        """
        names = (*CANDLE_COLUMNS, *extras_in(extras))
        if not self.has(dataset):
            return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
        return self._db.frame(
            f"""
            SELECT *
            FROM (
                SELECT {", ".join(names)}
                FROM {table_of(dataset)}
                WHERE list_contains(?, symbol) AND (? IS NULL OR ts > ?)
                ORDER BY ts DESC, symbol DESC
                LIMIT ?
            )
            ORDER BY ts, symbol
            """,
            list(symbols),
            *(2 * [after and naive(after)]),
            limit,
        )

    def adjusted(
        self, dataset: Dataset, symbols: Sequence[str], window: Window, day: date
    ) -> pl.DataFrame:
        """Candles on the footing of a day, in no particular order.

        Returns:
            symbol, ts, open, high, low, close, volume and EXTRA_NAMES.
        """
        source = (
            f"{identifier(dataset.owner)}.adjusted_{dataset.timeframe}(DATE '{day.isoformat()}')"
        )
        # Weeks are made of days, some of which lie outside of the window.
        probe = None if dataset.timeframe is Timeframe.W1 else table_of(dataset)
        return rows_of(
            self._db, source, window, symbols, extras=EXTRA_NAMES, absent=EXTRA_NAMES, probe=probe
        )

    def rows(
        self, name: str, table: str, symbols: Sequence[str] | None, window: Window
    ) -> pl.DataFrame:
        """The rows of some or all symbols in a window, in no particular order.

        Args:
            name: The schema: a profile, or a market.
            table: A table with symbol and ts, or a view of that kind.
            symbols: Whose rows; None for all.
            window: Which rows, by their ts.

        Returns:
            All columns of the table.
        """
        source = f"{identifier(name)}.{identifier(table)}"
        if table.startswith("candles_"):
            return rows_of(
                self._db,
                source,
                window,
                symbols,
                extras=EXTRA_NAMES,
                absent=EXTRA_NAMES,
                probe=source,
            )
        # A feature may be called as an extra column is.
        return self._db.frame(
            f"""
            SELECT *
            FROM {source}
            WHERE ts >= ? AND ts < ? AND (? IS NULL OR list_contains(?, symbol))
            """,
            *(*bounds(window), *(2 * [None if symbols is None else list(symbols)])),
        )


class CandlesWriter(Candles):
    """Reads and writes the tables of candles; the old values of rows that change are kept."""

    def create(self, dataset: Dataset, *, derived: bool) -> None:
        """Create a series' table where it does not exist, and add it to the completeness view."""
        if self.has(dataset):
            return
        self._db.execute(create_candle_table(dataset, derived=derived))
        renew_completeness_view(self._db.connection)

    def merge(
        self,
        dataset: Dataset,
        symbols: Sequence[str],
        window: Window,
        incoming: pl.DataFrame,
    ) -> Merged:
        """Merge candles into a window.

        New candles are inserted; changed ones are replaced, and their old values kept.

        What a row has in its extra columns goes with its values: a row that is replaced has those
        of the new one. Of a bar whose values stay, an extra column that was null is filled, which
        is no revision; it stays where the new one is null, or is another source's. Another value of
        the same source is a revision.

        Args:
            dataset: Which dataset.
            symbols: The symbols that the window is merged for.
            window: Holds every incoming row.
            incoming: symbol, ts, open, high, low, close, volume, source, any extra columns; unique
                by symbol and ts.
        """
        # Nobody looks for those of which nothing came.
        wanted = EXTRA_NAMES if extras_in(incoming.columns) else ()
        before = self.of(dataset, symbols, window, extras=wanted)
        merge = Merge.of(before, incoming)

        if not merge.revised.is_empty():
            RevisionsWriter(self._db).keep(dataset, merge.revised)
        table = table_of(dataset)
        self._db.delete_keys(table, merge.gone)
        self._db.insert(table, merge.written, merge.written.columns)
        return merge.result

    def replace_derived(
        self, dataset: Dataset, bars: pl.DataFrame, rows: pl.DataFrame
    ) -> pl.DataFrame:
        """Put derived candles in the place of those that opened at the same times.

        Args:
            dataset: Which dataset.
            bars: symbol, ts of every bar that was derived again, also of those that came out with
                no row.
            rows: symbol, ts, open, high, low, close, volume, source, bars, bars_expected, any extra
                columns.

        Returns:
            symbol, ts of the bars that differ from what was stored.
        """
        table = table_of(dataset)
        key = ["symbol", "ts"]
        with self._db.lent("derived_bars", bars.select(key)):
            before = self._db.frame(
                f"SELECT t.* FROM {table} t SEMI JOIN derived_bars USING (symbol, ts)"
            )
        # Extra columns that are null now may have had values before.
        held = {name for name in EXTRA_NAMES if before[name].null_count() < len(before)}
        extras = extras_in(held | {*rows.columns})
        rows = (
            with_columns(rows, extras)
            .select(*DERIVED_COLUMNS, *extras)
            .with_columns(pl.col("bars", "bars_expected").cast(pl.Int32))
            .sort(key)
        )
        return self._db.replace(table, before, rows)

    def forget(self, dataset: Dataset, window: Window, kept: pl.Series) -> int:
        """Remove the rows of a window whose `ts` is none of those kept.

        The old values of candles stay in `ops.revisions`.

        Args:
            dataset: Which dataset.
            window: Where.
            kept: The opens (TS) that the calendar has there.

        Returns:
            How many rows went.
        """
        if not Catalog(self._db).has(dataset.owner, dataset.name):
            return 0
        name = table_of(dataset)
        rows = self._db.frame(f"SELECT * FROM {name} WHERE ts >= ? AND ts < ?", *bounds(window))
        gone = rows.filter(~pl.col("ts").is_in(kept.implode()))
        if gone.is_empty():
            return 0
        if dataset.family is Family.CANDLES:
            RevisionsWriter(self._db).keep(dataset, gone.select("symbol", "ts").unique())
        self._db.delete_keys(name, gone.select("symbol", "ts"))
        return len(gone)
