"""The tables of candles, `<profile>.candles_<timeframe>`, and `ops.revisions`.

`ops.revisions` has the old values of candles that changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.columns import EXTRA_NAMES, EXTRA_SCHEMA, extras_in
from market_assets.market.datasets import Family
from market_assets.market.timeframes import TS, Timeframe
from market_assets.store.completeness import renew_completeness_view
from market_assets.store.database import Table, bounds, naive
from market_assets.store.schema import (
    CANDLE_COLUMNS,
    DERIVED_COLUMNS,
    create_candle_table,
    identifier,
    table_of,
)
from market_assets.store.tables.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import date

    from market_assets.market.datasets import Dataset
    from market_assets.market.timeframes import Window


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Attributes:
        new: symbol, ts of the rows that were not there before.
        revised: symbol, ts of the rows whose values changed; their old values are in ops.revisions.
        rows: All rows of the window after the merge: the candle columns.
        filled: symbol, ts of the rows whose values stayed, and that have extra columns now which
            were null.
    """

    new: pl.DataFrame
    revised: pl.DataFrame
    rows: pl.DataFrame
    filled: pl.DataFrame


_VALUES = ("open", "high", "low", "close", "volume")


class Candles(Table):
    """Reads the tables of candles, and the old values of their rows in `ops.revisions`."""

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
        return self._columns(table, window, symbols, extras=extras_in(extras), probe=table)

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

    def shrunk(
        self,
        dataset: Dataset,
        symbols: Sequence[str],
        length: str,
        since: datetime | None = None,
    ) -> pl.DataFrame:
        """Partitions that hold fewer candles than were stored in them: rows were deleted.

        Counts the candle table itself: 10 M candles in 0.1 s, the newest days in 2 ms.

        Args:
            dataset: Which dataset.
            symbols: Whose candles.
            length: How long a partition is: day or month.
            since: Only partitions that begin at this instant or later; None for all of them.

        Returns:
            partition, symbol, stored (as it was judged), there (what is left of it).
        """
        start = None if since is None else naive(since)
        first = "ts::DATE" if length == "day" else f"date_trunc('{length}', ts)"
        newest = "" if start is None else "WHERE ts >= $start"
        # Without its table a series has lost all.
        counted = (
            f"""
            SELECT symbol, strftime(first, '%Y-%m-%d') AS partition, there
            FROM (
                SELECT symbol, {first} AS first, count(*) AS there
                FROM {table_of(dataset)}
                {newest}
                GROUP BY ALL
            )
            """
            if self.has(dataset)
            else """
            SELECT NULL::VARCHAR AS symbol, NULL::VARCHAR AS partition, 0 AS there
            WHERE FALSE
            """
        )
        return self._db.frame(
            f"""
            WITH counted AS ({counted})
            SELECT p.partition, p.symbol, p.stored, coalesce(c.there, 0) AS there
            FROM ops.partitions p
            LEFT JOIN counted c USING (partition, symbol)
            WHERE p.profile = $profile
              AND p.timeframe = $timeframe
              AND list_contains($symbols, p.symbol)
              AND p.partition >= coalesce(strftime($start::TIMESTAMP, '%Y-%m-%d'), '')
              AND p.stored > coalesce(c.there, 0)
            ORDER BY ALL
            """,
            profile=dataset.owner,
            timeframe=dataset.timeframe,
            symbols=list(symbols),
            start=start,
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
        return self._columns(
            source, window, symbols, extras=EXTRA_NAMES, absent=EXTRA_NAMES, probe=probe
        )

    def revisions(self, dataset: Dataset, symbol: str, ts: datetime) -> pl.DataFrame:
        """The values of one bar before they changed, oldest first.

        Returns:
            open, high, low, close, volume, source, revised_at.
        """
        return self._db.frame(
            """
            SELECT open, high, low, close, volume, source, revised_at
            FROM ops.revisions
            WHERE profile = ? AND timeframe = ? AND symbol = ? AND ts = ?
            ORDER BY revised_at
            """,
            dataset.owner,
            dataset.timeframe,
            symbol,
            naive(ts),
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
            return self._columns(
                source, window, symbols, extras=EXTRA_NAMES, absent=EXTRA_NAMES, probe=source
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

    def _columns(
        self,
        source: str,
        window: Window,
        symbols: Sequence[str] | None,
        *,
        extras: Sequence[str],
        absent: Sequence[str] = (),
        probe: str | None = None,
    ) -> pl.DataFrame:
        """The rows of some or all symbols in a window.

        The rows have all columns of the table, but of the extra ones only those with a value:
        columns of nulls would take as much memory as columns of prices.

        Args:
            source: The table, or what gives one.
            window: Where.
            symbols: Whose; None for all.
            extras: The extra columns that are wanted.
            absent: Those of them that are to be there, of nulls, where they have no value.
            probe: The table that says which of them have a value; None where that is not to be
                looked for.
        """
        where = "WHERE ts >= $start AND ts < $end"
        named: dict[str, object] = dict(zip(("start", "end"), bounds(window), strict=True))
        if symbols is not None:
            where += " AND list_contains($symbols, symbol)"
            named["symbols"] = list(symbols)
        # Tables that an earlier version has left to readers have none.
        if not extras:
            quoted_names = ", ".join(f"'{name}'" for name in EXTRA_NAMES)
            return self._db.frame(
                f"SELECT COLUMNS(name -> name NOT IN ({quoted_names})) FROM {source} {where}",
                **named,
            )
        result = self._db.execute(f"SELECT * FROM {source} LIMIT 0")
        columns = [str(name) for name, *_ in result.description or ()]
        result.fetchall()
        held = extras_in({*columns} & {*extras})
        if held and probe:
            counts = ", ".join(f"count({name})" for name in held)
            (sizes,) = self._db.execute(f"SELECT {counts} FROM {probe} {where}", named).fetchall()
            held = [name for name, count in zip(held, sizes, strict=True) if count]
        wanted = [identifier(name) for name in columns if name not in EXTRA_NAMES or name in held]
        rows = self._db.frame(f"SELECT {', '.join(wanted)} FROM {source} {where}", **named)
        if not absent:
            return rows
        nulls = [
            pl.lit(None, EXTRA_SCHEMA[name]).alias(name) for name in absent if name not in held
        ]
        return rows.with_columns(nulls).select(
            *(name for name in rows.columns if name not in EXTRA_NAMES), *absent
        )


class CandlesWriter(Candles):
    """Reads and writes the tables of candles, and the old values of their rows."""

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
        table, key = table_of(dataset), ["symbol", "ts"]
        # Nobody looks for those of which nothing came.
        wanted = EXTRA_NAMES if extras_in(incoming.columns) else ()
        before = self.of(dataset, symbols, window, extras=wanted)
        extras = extras_in({*incoming.columns, *before.columns})
        columns = [*CANDLE_COLUMNS, *extras]
        before, incoming = _with_columns(before, extras), _with_columns(incoming, extras)
        incoming = incoming.select(columns).sort(key)
        filled = incoming.clear()
        if before.is_empty():
            new, revised = incoming, before
        else:
            new = incoming.join(before, on=key, how="anti")
            matched = before.join(incoming, on=key, how="inner", suffix="_new")
            differs = _differ(_VALUES)
            # A bar that somebody stored twice is replaced by the one row that came.
            doubled = pl.Series(matched.select(key).is_duplicated())
            if extras:
                differs, filled = _with_extras(matched, differs | doubled, extras, columns)
            revised = matched.filter(differs | doubled)
        if not revised.is_empty():
            self._keep_revisions(dataset, revised.select(key).unique())
            # What the new row does not say, the old one of the same values and source still does.
            changed = incoming.join(revised, on=key, how="semi")
            if extras:
                old_extras = revised.filter(
                    ~_differ(_VALUES), pl.col("source") == pl.col("source_new")
                ).select(*key, *(pl.col(name).alias(f"{name}_old") for name in extras))
                changed = (
                    changed.join(old_extras.unique(key), on=key, how="left", maintain_order="left")
                    .with_columns(pl.coalesce(name, f"{name}_old") for name in extras)
                    .select(columns)
                )
        else:
            changed = incoming.clear()
        gone = pl.concat([revised.select(key), filled.select(key)])
        self._db.delete_keys(table, gone)
        self._db.insert(table, pl.concat([new, changed, filled]), columns)
        kept = before.join(gone, on=key, how="anti") if len(gone) else before
        return Merged(
            new=new.select(key),
            revised=revised.select(key).unique(maintain_order=True),
            rows=pl.concat([rows.select(CANDLE_COLUMNS) for rows in (kept, new, changed, filled)]),
            filled=filled.select(key),
        )

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
            _with_columns(rows, extras)
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
            self._keep_revisions(dataset, gone.select("symbol", "ts").unique())
        self._db.delete_keys(name, gone.select("symbol", "ts"))
        return len(gone)

    def _keep_revisions(self, dataset: Dataset, keys: pl.DataFrame) -> None:
        """Keep what the candles of some keys are before they change: symbol, ts; unique."""
        names = ", ".join((*_VALUES, "source", *EXTRA_NAMES))
        with self._db.lent("old", keys):
            self._db.execute(
                f"""
                INSERT INTO ops.revisions BY NAME
                SELECT ? AS profile, symbol, ? AS timeframe, ts, {names}, ? AS revised_at
                FROM {table_of(dataset)}
                SEMI JOIN old USING (symbol, ts)
                """,
                [dataset.owner, dataset.timeframe, self._db.now],
            )


def _with_columns(rows: pl.DataFrame, extras: Sequence[str]) -> pl.DataFrame:
    """Rows with some extra columns in their types, of nulls where there are none."""
    return rows.with_columns(
        (pl.col(name) if name in rows.columns else pl.lit(None))
        .cast(EXTRA_SCHEMA[name])
        .alias(name)
        for name in extras
    )


def _differ(names: Iterable[str]) -> pl.Expr:
    """Whether one of some columns of a row is not what came for it (with _new)."""
    return pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_new")) for name in names)


def _with_extras(
    matched: pl.DataFrame, differs: pl.Expr, extras: Sequence[str], columns: Sequence[str]
) -> tuple[pl.Expr, pl.DataFrame]:
    """What extra columns add to a comparison of stored rows with those that came (with _new).

    A volume tells that two sources speak of the same trades; without one, only the same source
    knows what it counts.

    Returns:
        Whether a row is revised; and the rows, with some columns, that are not and of which nulls
        are filled.
    """
    same_source = pl.col("source") == pl.col("source_new")
    other = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_new") for name in extras).fill_null(
        value=False
    )
    revised = differs | (same_source & other)
    gained = pl.any_horizontal(
        pl.col(name).is_null() & pl.col(f"{name}_new").is_not_null() for name in extras
    )
    filled = matched.filter(~revised, gained, same_source | pl.col("volume").is_not_null())
    return revised, filled.with_columns(pl.coalesce(name, f"{name}_new") for name in extras).select(
        columns
    )
