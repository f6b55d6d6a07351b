"""The DuckDB store: short transactions behind a lock, never a file held open between two of them."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import uuid
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import duckdb
import polars as pl

from market_assets.errors import StoreBusyError, StoreError, first_line
from market_assets.market.columns import EXTRA_NAMES, EXTRA_SCHEMA, extras_in
from market_assets.market.timeframes import TS, Timeframe
from market_assets.private import OURS_ALONE
from market_assets.store.adjusted import (
    ACTION_COLUMNS,
    action_table,
    create_action_table,
    create_adjusted,
)
from market_assets.store.compact import remove_draft, worth_compacting, write_compacted
from market_assets.store.coverage import COVERAGE_COLUMNS, merge_coverage, without
from market_assets.store.engine import close_file, open_file
from market_assets.store.holders import Hindrance, Holders
from market_assets.store.lock import TELL_AFTER, TELL_AGAIN, StoreLock
from market_assets.store.prune import free_bytes, prune_ledgers, table_sizes
from market_assets.store.published import Copy, Published, replace_by_copy
from market_assets.store.schema import (
    CANDLE_COLUMNS,
    DERIVED_COLUMNS,
    MIGRATIONS,
    VERSION,
    add_extras,
    candle_table,
    create_candle_table,
    create_completeness_view,
    create_feature_table,
    create_returns_table,
    feature_table,
    identifier,
    returns_table,
)
from market_assets.store.signals import HeldBack

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from market_assets.config.universe import RetentionSettings
    from market_assets.market.timeframes import Window
    from market_assets.store.prune import Pruned, TableSize

log = logging.getLogger("market_assets.store")

_VALUES = ("open", "high", "low", "close", "volume")
_POLL = 0.02
READERS_PATIENCE, _COPIED_PER_SECOND = 5.0, 20e6
"""Seconds for which other programs may read the file before a writer goes on in a copy of it, and
one more per so many bytes: who opens it again and again makes no more than these be written."""

_BRIEFLY = timedelta(seconds=3)
"""How long a reader who has an older copy waits for a newer one."""

OUTDATED = datetime(1970, 1, 1)  # noqa: DTZ001 - as frames and the store have it
"""What a partition counts as made of that is to be made again: a version older than any."""

_OPENINGS = 5
"""A copy may be removed between reading its name and opening it, by two newer ones."""

_ROUNDING = 1e-9
"""So little of a value is nothing but rounding."""


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


@dataclass(frozen=True)
class StoreMark:
    """Which store a file is, and how far it has come.

    Attributes:
        store_id: Given at its making, and never to another store.
        commits: How many commits have judged partitions since; a copy has those of its day.
        committed_at: When the last of them was (UTC); None before the first.
    """

    store_id: str
    commits: int
    committed_at: datetime | None


@dataclass(frozen=True)
class ActionsMerged:
    """What became of the recorded corporate actions when sources had answered.

    Attributes:
        new: Actions that were not there before.
        changed: Actions of which something else is said now; their old rows are in
            ops.action_revisions.
        withdrawn: Actions that are said no more; their rows are there too.
        since: The oldest ex-date of which something else is said than before; None where nothing
            is.
    """

    new: int = 0
    changed: int = 0
    withdrawn: int = 0
    since: date | None = None


class Snapshot:
    """Read access to the store while it is open; every frame's time columns are UTC without a zone."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._db = connection

    def _frame(self, sql: str, *parameters: object, **named: object) -> pl.DataFrame:
        # Not `sql`: with parameters that makes Python values of all of a result first, forty times
        # slower.
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="Arrow output", category=UserWarning
            )  # duckdb 2 advises `sql`
            found = pl.from_arrow(self._db.execute(sql, named or list(parameters)).to_arrow_table())
        return found if isinstance(found, pl.DataFrame) else found.to_frame()

    def mark(self) -> StoreMark:
        """Which store this is, and how far it has come."""
        ((store_id, commits, at),) = self._db.execute(
            "SELECT store_id, commits, committed_at FROM ops.store"
        ).fetchall()
        return StoreMark(store_id, commits, at and at.replace(tzinfo=UTC))

    def put_alerts(self, alerts: pl.DataFrame) -> None:
        """Add alerts, or replace those of the same alert_id: all columns of `ops.alerts`."""
        if alerts.is_empty():
            return
        with self._lent("new_alerts", alerts):
            self._db.execute(
                "DELETE FROM ops.alerts a USING new_alerts n WHERE a.alert_id = n.alert_id"
            )
            self._db.execute("INSERT INTO ops.alerts BY NAME SELECT * FROM new_alerts")

    @contextmanager
    def _lent(self, name: str, frame: pl.DataFrame) -> Iterator[None]:
        """Let statements read a frame as a table of that name."""
        self._db.register(name, frame.to_arrow())
        yield
        # Not when a statement failed: the connection is closed then, and what it said is what
        # counts.
        self._db.unregister(name)

    def returns(
        self, name: str, timeframe: Timeframe, window: Window, symbols: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Aligned returns in a window, sorted by symbol and ts: symbol, ts, simple_return, log_return, bars, neutral."""
        return self._frame(
            f"""
            SELECT *
            FROM {returns_table(name, timeframe)}
            WHERE ts >= ? AND ts < ? AND (? IS NULL OR list_contains(?, symbol))
            ORDER BY symbol, ts
            """,
            *(*_bounds(window), *(2 * [None if symbols is None else list(symbols)])),
        )

    def rows(
        self, name: str, table: str, symbols: Sequence[str] | None, window: Window
    ) -> pl.DataFrame:
        """The rows of some or all symbols in a window, in no particular order: all columns of a table with symbol and ts."""
        source = f"{identifier(name)}.{identifier(table)}"
        if table.startswith("candles_"):
            return self._columns(
                source, window, symbols, extras=EXTRA_NAMES, absent=EXTRA_NAMES, probe=source
            )
        # A feature may be called as an extra column is.
        return self._frame(
            f"""
            SELECT *
            FROM {source}
            WHERE ts >= ? AND ts < ? AND (? IS NULL OR list_contains(?, symbol))
            """,
            *(*_bounds(window), *(2 * [None if symbols is None else list(symbols)])),
        )

    def adjusted(
        self, profile: str, timeframe: Timeframe, symbols: Sequence[str], window: Window, day: date
    ) -> pl.DataFrame:
        """Candles on the footing of a day, in no particular order: symbol, ts, open, high, low, close, volume, EXTRA_NAMES."""
        source = (
            f"{identifier(profile)}.{identifier(f'adjusted_{timeframe}')}(DATE '{day.isoformat()}')"
        )
        # Weeks are made of days, some of which lie outside of the window.
        probe = None if timeframe is Timeframe.W1 else candle_table(profile, timeframe)
        return self._columns(
            source, window, symbols, extras=EXTRA_NAMES, absent=EXTRA_NAMES, probe=probe
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
        """The rows of some or all symbols in a window: all columns of a table, but of the extra ones those alone that have a value.

        Columns of nulls would take as much memory as columns of prices.

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
        named: dict[str, object] = dict(zip(("start", "end"), _bounds(window), strict=True))
        if symbols is not None:
            where += " AND list_contains($symbols, symbol)"
            named["symbols"] = list(symbols)
        # Tables that an earlier version has left to readers have none.
        if not extras:
            known = ", ".join(f"'{name}'" for name in EXTRA_NAMES)
            return self._frame(
                f"SELECT COLUMNS(name -> name NOT IN ({known})) FROM {source} {where}", **named
            )
        found = self._db.execute(f"SELECT * FROM {source} LIMIT 0")
        there = [str(name) for name, *_ in found.description or ()]
        found.fetchall()
        held = extras_in({*there} & {*extras})
        if held and probe:
            counts = ", ".join(f"count({name})" for name in held)
            (sizes,) = self._db.execute(f"SELECT {counts} FROM {probe} {where}", named).fetchall()
            held = [name for name, count in zip(held, sizes, strict=True) if count]
        wanted = [identifier(name) for name in there if name not in EXTRA_NAMES or name in held]
        rows = self._frame(f"SELECT {', '.join(wanted)} FROM {source} {where}", **named)
        if not absent:
            return rows
        nulls = [
            pl.lit(None, EXTRA_SCHEMA[name]).alias(name) for name in absent if name not in held
        ]
        return rows.with_columns(nulls).select(
            *(name for name in rows.columns if name not in EXTRA_NAMES), *absent
        )

    def has_table(self, schema: str, table: str) -> bool:
        """True when a profile, or the matrix across profiles, has a table of that name."""
        # Always fetchall: since duckdb 2.0 a result that is not read to its end blocks its
        # connection.
        found = self._db.execute(
            "SELECT 1 FROM duckdb_tables() WHERE schema_name = ? AND table_name = ?",
            [schema, table],
        ).fetchall()
        return bool(found)

    def schemas(self) -> list[str]:
        """The schemas that hold tables, in the order of the alphabet."""
        rows = self._db.execute(
            "SELECT DISTINCT schema_name FROM duckdb_tables() ORDER BY ALL"
        ).fetchall()
        return [schema for (schema,) in rows]

    def has_candles(self, profile: str, timeframe: Timeframe) -> bool:
        """True when the series' table exists."""
        return self.has_table(profile, f"candles_{timeframe}")

    def candles(
        self,
        profile: str,
        timeframe: Timeframe,
        symbols: Sequence[str],
        window: Window,
        *,
        extras: Collection[str] = (),
    ) -> pl.DataFrame:
        """The stored candles of some symbols in a window, in no particular order.

        Args:
            profile: The profile's name.
            timeframe: The candles' timeframe.
            symbols: Whose.
            window: Where.
            extras: Which extra columns are wanted (EXTRA_NAMES).

        Returns:
            All other columns of the table, and of these the ones that have a value somewhere.
        """
        table = candle_table(profile, timeframe)
        return self._columns(table, window, symbols, extras=extras_in(extras), probe=table)

    def features(
        self,
        profile: str,
        timeframe: Timeframe,
        window: Window,
        symbols: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """The stored features in a window, sorted by symbol and ts: all columns of the table."""
        return self._frame(
            f"""
            SELECT *
            FROM {feature_table(profile, timeframe)}
            WHERE ts >= ? AND ts < ? AND (? IS NULL OR list_contains(?, symbol))
            ORDER BY symbol, ts
            """,
            *(*_bounds(window), *(2 * [None if symbols is None else list(symbols)])),
        )

    def reach_back(
        self, profile: str, timeframe: Timeframe, symbols: Sequence[str], window: Window, bars: int
    ) -> dict[str, tuple[datetime, int]]:
        """The open of each symbol's oldest of the newest stored candles in a window, and how many of them there are: so many at the most."""
        rows = self._db.execute(
            f"""
            SELECT symbol, list_min(max(ts, ?)), least(count(*), ?)
            FROM {candle_table(profile, timeframe)}
            WHERE ts >= ? AND ts < ? AND list_contains(?, symbol)
            GROUP BY symbol
            """,
            [bars, bars, *_bounds(window), list(symbols)],
        ).fetchall()
        return {symbol: (ts.replace(tzinfo=UTC), count) for symbol, ts, count in rows}

    def last_closes(
        self, profile: str, timeframe: Timeframe, symbols: Sequence[str], window: Window
    ) -> pl.DataFrame:
        """The close of each symbol's newest stored candle in a window: symbol, close."""
        return self._frame(
            f"""
            SELECT symbol, arg_max(close, ts) AS close
            FROM {candle_table(profile, timeframe)}
            WHERE ts >= ? AND ts < ? AND list_contains(?, symbol)
            GROUP BY symbol
            """,
            *_bounds(window),
            list(symbols),
        )

    def stored(
        self, profile: str, timeframe: Timeframe, symbols: Sequence[str], window: Window
    ) -> pl.DataFrame:
        """The opens of the stored candles: symbol, ts."""
        start, end = _bounds(window)
        return self._frame(
            f"""
            SELECT symbol, ts
            FROM {candle_table(profile, timeframe)}
            WHERE ts >= ? AND ts < ? AND list_contains(?, symbol)
            """,
            start,
            end,
            list(symbols),
        )

    def coverage(
        self, profile: str, timeframe: Timeframe, symbols: Sequence[str], window: Window
    ) -> pl.DataFrame:
        """Which source has answered for which stretch that touches the window: COVERAGE_COLUMNS."""
        start, end = _bounds(window)
        return self._frame(
            f"""
            SELECT {", ".join(COVERAGE_COLUMNS)}
            FROM ops.coverage
            WHERE profile = ?
              AND timeframe = ?
              AND end_ts > ?
              AND start_ts < ?
              AND list_contains(?, symbol)
            """,
            profile,
            timeframe,
            start,
            end,
            list(symbols),
        )

    def symbols_answered(self, profile: str, timeframe: Timeframe) -> set[str]:
        """The symbols of which some source has given at least one candle."""
        rows = self._db.execute(
            """
            SELECT DISTINCT symbol
            FROM ops.coverage
            WHERE profile = ? AND timeframe = ? AND bars > 0
            """,
            [profile, timeframe],
        ).fetchall()
        return {symbol for (symbol,) in rows}

    def gaps(
        self,
        profile: str | None = None,
        timeframe: Timeframe | None = None,
        *,
        symbols: Sequence[str] | None = None,
        window: Window | None = None,
        who: bool = False,
    ) -> pl.DataFrame:
        """The ledger of absences that were seen, oldest first; a row never reaches over a partition's border.

        With `who` it has WHO_SCHEMA's columns too: whose word they rest on.
        """
        start, end = _bounds(window) if window else (None, None)
        columns = "*" if who else "COLUMNS(name -> name NOT IN ('witness', 'answered'))"
        return self._frame(
            f"""
            SELECT {columns}
            FROM ops.gaps
            WHERE (? IS NULL OR profile = ?)
              AND (? IS NULL OR timeframe = ?)
              AND (? IS NULL OR list_contains(?, symbol))
              AND (? IS NULL OR (first_ts >= ? AND first_ts < ?))
            ORDER BY profile, timeframe, symbol, first_ts
            """,
            *(profile, profile, timeframe, timeframe, symbols, symbols, start, start, end),
        )

    def horizons(self) -> pl.DataFrame:
        """From when on sources serve that refuse what is older: profile, source, symbol, timeframe, start_ts, bars, words, learned_at."""
        # A copy that an earlier version has left to readers has none.
        if not self._db.execute(
            "SELECT 1 FROM duckdb_tables() WHERE table_name = 'horizons'"
        ).fetchall():
            return pl.DataFrame()
        return self._frame("SELECT * FROM ops.horizons ORDER BY profile, source, symbol, timeframe")

    def refused(self) -> pl.DataFrame:
        """The rows that the latest answers held and that cannot be stored, in partitions that lack bars of the symbol.

        Returns:
            profile, symbol, timeframe, partition, source, reason, rows, example_ts, example,
            refused_at.
        """
        # A copy that an earlier version has left to readers has none.
        if not self._db.execute(
            "SELECT 1 FROM duckdb_tables() WHERE table_name = 'refused'"
        ).fetchall():
            return pl.DataFrame(schema=dict.fromkeys(("profile", "symbol"), pl.String))
        return self._frame(
            """
            SELECT r.*
            FROM ops.refused r
            SEMI JOIN (
                SELECT *
                FROM ops.partitions
                WHERE missing > 0
            ) p USING (profile, symbol, timeframe, partition)
            ORDER BY ALL
            """
        )

    def unexplained(
        self, profile: str, timeframe: Timeframe, symbols: Sequence[str]
    ) -> pl.DataFrame:
        """The gaps of some symbols that are open or abandoned, with what says when to ask again.

        Returns:
            symbol, first_ts, last_ts, status, attempts, failures, confirmed_at, asked_at.
        """
        return self._frame(
            """
            SELECT symbol, first_ts, last_ts, status, attempts, failures, confirmed_at, asked_at
            FROM ops.gaps
            WHERE profile = ?
              AND timeframe = ?
              AND status IN ('open', 'abandoned')
              AND list_contains(?, symbol)
            """,
            profile,
            timeframe,
            list(symbols),
        )

    def first_bars(
        self, profile: str, timeframe: Timeframe, symbols: Sequence[str]
    ) -> dict[str, datetime]:
        """The open of the oldest stored candle of each of some symbols that has one."""
        rows = self._db.execute(
            f"""
            SELECT symbol, min(ts)
            FROM {candle_table(profile, timeframe)}
            WHERE list_contains(?, symbol)
            GROUP BY symbol
            """,
            [list(symbols)],
        ).fetchall()
        return {symbol: ts.replace(tzinfo=UTC) for symbol, ts in rows}

    def newest_bar(self, profile: str, timeframe: Timeframe, window: Window) -> datetime | None:
        """The open of the newest stored candle of any symbol; None where it lies before a window."""
        ((newest,),) = self._db.execute(
            f"SELECT max(ts) FROM {candle_table(profile, timeframe)} WHERE ts >= ?",
            [_bounds(window)[0]],
        ).fetchall()
        return None if newest is None else newest.replace(tzinfo=UTC)

    def calendar_digest(self, profile: str) -> str | None:
        """The digest of the calendar that a profile was judged by; None where none was noted."""
        row = self._db.execute(
            "SELECT digest FROM ops.calendars WHERE profile = ?", [profile]
        ).fetchone()
        return row[0] if row else None

    def sessions(self, profile: str) -> pl.DataFrame:
        """The stretches of trading that a profile was judged by: session, open, close; sorted."""
        return self._frame(
            "SELECT session, open, close FROM ops.sessions WHERE profile = ? ORDER BY open", profile
        )

    def off_calendar(
        self, profile: str | None = None, *, longest: timedelta | None = None
    ) -> pl.DataFrame:
        """Bars that the sources gave and the calendar refused, a row a day, symbol and side of its session.

        Args:
            profile: Of one profile only.
            longest: Only bars with trades, and beside a session only those that span less: not the
                extended hours of stocks.

        Returns:
            The columns of `ops.off_calendar`: day is the exchange's; side is before, between or
            after the day's trading, or no_session; traded are the bars with a volume.
        """
        return self._frame(
            """
            SELECT *
            FROM ops.off_calendar
            WHERE profile = coalesce(?, profile)
              AND (?::INTERVAL IS NULL OR traded > 0 AND (side NOT IN ('before', 'after') OR last_ts - first_ts < ?::INTERVAL))
            ORDER BY profile, timeframe, day, side, symbol
            """,
            *(profile, longest, longest),
        )

    def judged_labels(self, profile: str) -> list[str]:
        """The timeframes and names of datasets of which a profile has judged partitions."""
        rows = self._db.execute(
            "SELECT DISTINCT timeframe FROM ops.partitions WHERE profile = ? ORDER BY timeframe",
            [profile],
        ).fetchall()
        return [label for (label,) in rows]

    def genesis(self, profile: str, timeframe: Timeframe) -> dict[str, datetime]:
        """The first bar's open of each symbol as a source has named it last."""
        rows = self._db.execute(
            """
            SELECT symbol, last(ts ORDER BY found_at, rowid)
            FROM ops.genesis
            WHERE profile = ? AND timeframe = ?
            GROUP BY symbol
            """,
            [profile, timeframe],
        ).fetchall()
        return {symbol: ts.replace(tzinfo=UTC) for symbol, ts in rows}

    def geneses(self) -> pl.DataFrame:
        """The first bar of each series as a source has named it last: profile, symbol, timeframe, ts, source, found_at."""
        return self._frame(
            """
            SELECT *
            FROM ops.genesis
            QUALIFY row_number() OVER (PARTITION BY profile, symbol, timeframe ORDER BY found_at DESC, rowid DESC) = 1
            ORDER BY profile, symbol, timeframe
            """
        )

    def judged(
        self, profile: str, timeframe: str, partitions: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """The counts of every partition that was judged, or of some: partition, symbol, expected, stored, explained, missing, judged_at."""
        return self._frame(
            """
            SELECT partition, symbol, expected, stored, explained, missing, judged_at
            FROM ops.partitions
            WHERE profile = ? AND timeframe = ? AND (? IS NULL OR list_contains(?, partition))
            ORDER BY partition, symbol
            """,
            profile,
            timeframe,
            *(2 * [None if partitions is None else list(partitions)]),
        )

    def changes(self, profile: str, timeframe: str) -> pl.DataFrame:
        """When each judged partition has changed last, oldest first.

        Args:
            profile: The profile's name, or that of the matrix across profiles.
            timeframe: The candles' timeframe, or the name of what is made of them: `returns_1d`.

        Returns:
            partition, changed_at (null where that was never noted), expected: the bars that it must
            have, of all symbols.
        """
        return self._frame(
            """
            SELECT partition, max(changed_at) AS changed_at, sum(expected)::BIGINT AS expected
            FROM ops.partitions
            WHERE profile = ? AND timeframe = ?
            GROUP BY partition
            ORDER BY partition
            """,
            profile,
            timeframe,
        )

    def standing(self, name: str, label: str, since: str = "") -> pl.DataFrame:
        """How far each judged partition of a dataset is, oldest first.

        Args:
            name: The profile's name, or that of the matrix across profiles.
            label: The candles' timeframe, or the name of what is made of them: `returns_1d`.
            since: Only partitions with this key or a later one.

        Returns:
            partition, changed_at (its version), judged_at (until when it was judged), reported_at
            (the version that Dagster was told of), made_of (the newest version of what it was made
            of), stored (its bars, of all symbols).
        """
        return self._frame(
            """
            SELECT partition, max(changed_at) AS changed_at, max(judged_at) AS judged_at,
                max(reported_at) AS reported_at, max(made_of) AS made_of,
                sum(stored)::BIGINT AS stored
            FROM ops.partitions
            WHERE profile = ? AND timeframe = ? AND partition >= ?
            GROUP BY partition
            ORDER BY partition
            """,
            name,
            label,
            since,
        )

    def recipe(self, name: str, label: str) -> str | None:
        """How a dataset was made, as `Transaction.put_recipe` has noted it; None where nobody has."""
        found = self._db.execute(
            "SELECT recipe FROM ops.recipes WHERE profile = ? AND dataset = ?", [name, label]
        ).fetchall()
        return found[0][0] if found else None

    def fingerprints(self, before: str | None = None) -> dict[tuple[str, str], str]:
        """A text per dataset, by profile (or the matrix across profiles) and label: another as soon as a partition changes.

        Args:
            before: Only partitions whose key is less than this; all of them if not given.
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

    def partitions(self, profile: str, timeframe: str) -> set[str]:
        """The keys of every partition that was ever judged: those of which something is known."""
        rows = self._db.execute(
            "SELECT DISTINCT partition FROM ops.partitions WHERE profile = ? AND timeframe = ?",
            [profile, timeframe],
        ).fetchall()
        return {partition for (partition,) in rows}

    def shrunk(
        self,
        profile: str,
        timeframe: Timeframe,
        symbols: Sequence[str],
        length: str,
        since: datetime | None = None,
    ) -> pl.DataFrame:
        """Partitions that hold fewer candles than were stored in them: somebody has deleted rows.

        Counts the candle table itself: 10 M candles in 0.1 s, the newest days in 2 ms.

        Args:
            profile: The profile's name.
            timeframe: The candles' timeframe.
            symbols: Whose candles.
            length: How long a partition is: day or month.
            since: Only partitions that begin at this instant or later; None for all of them.

        Returns:
            partition, symbol, stored (as it was judged), there (what is left of it).
        """
        start = None if since is None else _naive(since)
        first = "ts::DATE" if length == "day" else f"date_trunc('{length}', ts)"
        newest = "" if start is None else "WHERE ts >= $start"
        # Without its table a series has lost all.
        counted = (
            "SELECT symbol, strftime(first, '%Y-%m-%d') AS partition, there FROM ("
            f"SELECT symbol, {first} AS first, count(*) AS there "
            f"FROM {candle_table(profile, timeframe)} {newest} GROUP BY ALL)"
            if self.has_candles(profile, timeframe)
            else "SELECT NULL::VARCHAR AS symbol, NULL::VARCHAR AS partition, 0 AS there "
            "WHERE FALSE"
        )
        return self._frame(
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
            profile=profile,
            timeframe=str(timeframe),
            symbols=list(symbols),
            start=start,
        )

    def judged_partitions(
        self, profile: str, timeframe: Timeframe, symbols: Sequence[str]
    ) -> pl.DataFrame:
        """Until when each partition has been judged, and for how many of some symbols: partition, judged_at, symbols."""
        return self._frame(
            """
            SELECT partition, min(judged_at) AS judged_at, count(*) AS symbols
            FROM ops.partitions
            WHERE profile = ? AND timeframe = ? AND expected > 0 AND list_contains(?, symbol)
            GROUP BY partition
            """,
            profile,
            timeframe,
            list(symbols),
        )

    def newest_judged_at(self, profile: str, timeframe: Timeframe) -> datetime | None:
        """Until when the newest partition has been judged; None before the first."""
        ((found,),) = self._db.execute(
            """
            SELECT max_by(judged_at, (partition, judged_at))
            FROM ops.partitions
            WHERE profile = ? AND timeframe = ?
            """,
            [profile, timeframe],
        ).fetchall()
        return None if found is None else found.replace(tzinfo=UTC)

    def dead_symbols(self, profile: str, timeframe: Timeframe) -> set[str]:
        """The symbols of which no source has ever given a candle, and some gap is settled: nobody asks for them any more."""
        rows = self._db.execute(
            """
            SELECT DISTINCT symbol
            FROM ops.gaps
            WHERE profile = ? AND timeframe = ? AND status <> 'open'
            EXCEPT
            SELECT symbol
            FROM ops.coverage
            WHERE profile = ? AND timeframe = ? AND bars > 0
            """,
            [profile, timeframe, profile, timeframe],
        ).fetchall()
        return {symbol for (symbol,) in rows}

    def completeness(self) -> pl.DataFrame:
        """The completeness matrix, a row a profile, symbol and timeframe; empty before the first fill."""
        if not self._db.execute(
            "SELECT 1 FROM duckdb_views() WHERE view_name = 'completeness'"
        ).fetchall():
            return pl.DataFrame()
        return self._frame(
            """
            SELECT c.*, coalesce(g.abandoned, 0)::BIGINT AS abandoned
            FROM ops.completeness c
            LEFT JOIN (
                SELECT profile, symbol, timeframe, sum(bars) AS abandoned
                FROM ops.gaps
                WHERE status = 'abandoned'
                GROUP BY ALL
            ) g USING (profile, symbol, timeframe)
            ORDER BY profile, symbol, timeframe
            """
        )

    def worst_shares(self, profile: str, timeframe: Timeframe, due: pl.DataFrame) -> pl.DataFrame:
        """How complete the worst partition is in each stretch of time: what a heat map shows.

        Args:
            profile: The profile's name.
            timeframe: The candles' timeframe.
            due: symbol, partition, bucket (the first day of its stretch), expected (null, or fewer:
                as many bars as it was judged by); a row a partition that must have a bar.

        Returns:
            symbol, bucket, share (0 to 1), never_filled: some partition of it was never judged,
            which makes the share 0.
        """
        with self._lent("due", due):
            return self._frame(
                "WITH counted AS ("
                "SELECT d.symbol, d.bucket, greatest(d.expected, p.expected) AS expected, "
                "p.expected - p.missing AS known "
                # Of a partition that was judged before its symbol's first bar was known, nothing is
                # known.
                "FROM due d LEFT JOIN ops.partitions p ON p.profile = ? AND p.timeframe = ? AND "
                "p.expected > 0 "
                "AND p.symbol = d.symbol AND p.partition = d.partition"
                ") SELECT symbol, bucket, min(CASE WHEN known IS NULL THEN 0.0 ELSE least(known / "
                "expected, 1.0) END) AS share, "
                "bool_or(known IS NULL) AS never_filled FROM counted GROUP BY symbol, "
                "bucket ORDER BY symbol, bucket",
                profile,
                timeframe,
            )

    def judged_early(self, profile: str, timeframe: Timeframe, length: timedelta) -> list[str]:
        """The keys of the partitions whose counts are older than their end: than their first day and some length after it."""
        rows = self._db.execute(
            """
            SELECT DISTINCT partition
            FROM ops.partitions
            WHERE profile = ? AND timeframe = ? AND judged_at < partition::TIMESTAMP + ?
            ORDER BY partition
            """,
            [profile, timeframe, length],
        ).fetchall()
        return [partition for (partition,) in rows]

    def namings(self, profile: str, timeframe: Timeframe, symbol: str) -> pl.DataFrame:
        """Each time that a source has named a symbol's first bar: ts, source, found_at; oldest first."""
        return self._frame(
            """
            SELECT ts, source, found_at
            FROM ops.genesis
            WHERE profile = ? AND timeframe = ? AND symbol = ?
            ORDER BY found_at, rowid
            """,
            profile,
            timeframe,
            symbol,
        )

    def revisions(
        self, profile: str, timeframe: Timeframe, symbol: str, ts: datetime
    ) -> pl.DataFrame:
        """What one bar was before its values changed: open, high, low, close, volume, source, revised_at; oldest first."""
        return self._frame(
            """
            SELECT open, high, low, close, volume, source, revised_at
            FROM ops.revisions
            WHERE profile = ? AND timeframe = ? AND symbol = ? AND ts = ?
            ORDER BY revised_at
            """,
            profile,
            timeframe,
            symbol,
            _naive(ts),
        )

    def repairs(
        self, profile: str, timeframe: Timeframe, symbol: str, ts: datetime
    ) -> pl.DataFrame:
        """The absences that were filled later and in which one bar lay: all columns of `ops.repairs`, oldest first."""
        return self._frame(
            """
            SELECT *
            FROM ops.repairs
            WHERE profile = ? AND timeframe = ? AND symbol = ? AND first_ts <= ? AND last_ts >= ?
            ORDER BY repaired_at
            """,
            *(profile, timeframe, symbol, _naive(ts), _naive(ts)),
        )

    def jobs_over(
        self, profile: str, timeframe: Timeframe, symbol: str, ts: datetime
    ) -> pl.DataFrame:
        """The jobs that fill or derive candles and whose window and symbols include one bar: all columns of `ops.jobs`, newest first."""
        return self._frame(
            """
            SELECT *
            FROM ops.jobs
            WHERE kind IN ('fill', 'derive')
              AND profile = ?
              AND timeframe = ?
              AND list_contains(symbols, ?)
              AND start_ts <= ?
              AND end_ts > ?
            ORDER BY started_at DESC, job_id
            """,
            *(profile, timeframe, symbol, _naive(ts), _naive(ts)),
        )

    def jobs(self, limit: int | None, since: datetime | None = None) -> pl.DataFrame:
        """The newest jobs, newest first: all columns of `ops.jobs`.

        Args:
            limit: How many at the most; None for all.
            since: Only those that started at this instant or after it.
        """
        return self._frame(
            """
            SELECT *
            FROM ops.jobs
            WHERE ? IS NULL OR started_at >= ?
            ORDER BY started_at DESC, job_id
            LIMIT ?
            """,
            *(2 * [since and _naive(since)]),
            limit,
        )

    def running_jobs(self, host: str) -> list[tuple[str, int, float, dict[str, object]]]:
        """The jobs of a host that have not ended: job_id, process, progress, detail."""
        rows = self._db.execute(
            """
            SELECT job_id, process, progress, detail
            FROM ops.jobs
            WHERE status = 'RUNNING' AND host = ? AND process IS NOT NULL
            """,
            [host],
        ).fetchall()
        return [
            (job_id, process, progress, json.loads(detail or "{}"))
            for job_id, process, progress, detail in rows
        ]

    def count_gaps(
        self, profile: str, timeframe: Timeframe, window: Window, statuses: Sequence[str]
    ) -> int:
        """How many rows of the ledger of absences begin in a window and have one of some statuses."""
        ((rows,),) = self._db.execute(
            """
            SELECT count(*)
            FROM ops.gaps
            WHERE profile = ?
              AND timeframe = ?
              AND first_ts >= ?
              AND first_ts < ?
              AND list_contains(?, status)
            """,
            [profile, timeframe, *_bounds(window), list(statuses)],
        ).fetchall()
        return int(rows)

    def repairs_since(self, instant: datetime) -> pl.DataFrame:
        """The absences that were filled at an instant or after it: profile, symbol, timeframe, first_ts, bars, attempts, repaired_at."""
        return self._frame(
            """
            SELECT profile, symbol, timeframe, first_ts, bars, attempts, repaired_at
            FROM ops.repairs
            WHERE repaired_at >= ?
            """,
            _naive(instant),
        )

    def absences(self, statuses: Sequence[str], profile: str | None = None) -> pl.DataFrame:
        """The rows of the ledger of absences with one of some statuses, of one profile or all, in no particular order."""
        return self._frame(
            """
            SELECT profile, symbol, timeframe, first_ts, last_ts, bars, status, attempts, failures,
                confirmed_at, first_seen, asked_at, reason
            FROM ops.gaps
            WHERE list_contains(?, status) AND profile = coalesce(?, profile)
            """,
            list(statuses),
            profile,
        )

    def symbols_without_bars(self) -> pl.DataFrame:
        """The symbols of which no judged partition has a bar though sources have answered: profile, symbol, timeframe, expected."""
        return self._frame(
            """
            WITH bare AS (
                SELECT profile, symbol, timeframe, sum(expected)::BIGINT AS expected
                FROM ops.partitions
                GROUP BY ALL
                HAVING sum(stored) = 0 AND sum(expected) > 0
            ),
            asked AS (
                SELECT profile, symbol, timeframe
                FROM ops.gaps
                WHERE attempts > 0
                UNION ALL
                SELECT profile, symbol, timeframe
                FROM ops.coverage
            )
            SELECT *
            FROM bare
            SEMI JOIN asked USING (profile, symbol, timeframe)
            ORDER BY ALL
            """
        )

    def count_stored(
        self, profile: str, timeframe: Timeframe, symbols: Sequence[str], window: Window
    ) -> dict[str, int]:
        """How many candles of some symbols are stored in a window; without the symbols that have none."""
        rows = self._db.execute(
            f"""
            SELECT symbol, count(*)
            FROM {candle_table(profile, timeframe)}
            WHERE ts >= ? AND ts < ? AND list_contains(?, symbol)
            GROUP BY symbol
            """,
            [*_bounds(window), list(symbols)],
        ).fetchall()
        return dict(rows)

    def extents(self, profile: str, timeframe: Timeframe, window: Window) -> pl.DataFrame:
        """The first and the last candle of each symbol in a window: symbol, first_ts, last_ts; empty without a table."""
        if not self.has_candles(profile, timeframe):
            return pl.DataFrame(schema={"symbol": pl.String, "first_ts": TS, "last_ts": TS})
        return self._frame(
            f"""
            SELECT symbol, min(ts) AS first_ts, max(ts) AS last_ts
            FROM {candle_table(profile, timeframe)}
            WHERE ts >= ? AND ts < ?
            GROUP BY symbol
            """,
            *_bounds(window),
        )

    def newest(
        self,
        profile: str,
        timeframe: Timeframe,
        *,
        symbols: Sequence[str],
        limit: int,
        after: datetime | None = None,
        extras: Collection[str] = (),
    ) -> pl.DataFrame:
        """The newest candles of some symbols, oldest first.

        Args:
            profile: The profile's name.
            timeframe: Of which candles.
            symbols: Whose.
            limit: How many at most, of all symbols together.
            after: Only those whose `ts` lies later.
            extras: Extra columns that are wanted too.

        Returns:
            symbol, ts, open, high, low, close, volume, source and the extra columns; empty without
            a table.
        """
        names = (*CANDLE_COLUMNS, *extras_in(extras))
        if not self.has_candles(profile, timeframe):
            return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
        return self._frame(
            f"""
            SELECT *
            FROM (
                SELECT {", ".join(names)}
                FROM {candle_table(profile, timeframe)}
                WHERE list_contains(?, symbol) AND (? IS NULL OR ts > ?)
                ORDER BY ts DESC, symbol DESC
                LIMIT ?
            )
            ORDER BY ts, symbol
            """,
            list(symbols),
            *(2 * [after and _naive(after)]),
            limit,
        )

    def holdings(self) -> pl.DataFrame:
        """What every table of candles, features and returns holds, whoever keeps it.

        Returns:
            schema (the profile's name, or that of the matrix across profiles), asset (the table's
            name), rows, symbols, first_ts, last_ts; sorted by the first two.
        """
        names = [
            f"{family}_{timeframe}"
            for family in ("candles", "features", "returns")
            for timeframe in Timeframe
        ]
        tables = self._db.execute(
            """
            SELECT schema_name, table_name
            FROM duckdb_tables()
            WHERE list_contains(?, table_name) AND schema_name NOT IN ('ops', 'main')
            ORDER BY ALL
            """,
            [names],
        ).fetchall()
        counted = [
            (schema, table, *self._db.execute(
                f"""
                SELECT count(*), count(DISTINCT symbol), min(ts), max(ts)
                FROM {identifier(schema)}.{identifier(table)}
                """
            ).fetchall()[0])
            for schema, table in tables
        ]  # fmt: skip
        columns = [
            ("schema", pl.String()),
            ("asset", pl.String()),
            ("rows", pl.Int64()),
            ("symbols", pl.Int64()),
            ("first_ts", TS),
            ("last_ts", TS),
        ]
        return pl.DataFrame(counted, schema=pl.Schema(columns), orient="row")

    def last_fills(self, since: datetime) -> pl.DataFrame:
        """How the last fill of each UTC day has ended, but for those that were cancelled: profile, timeframe, day, status."""
        return self._frame(
            """
            SELECT profile, timeframe, started_at::DATE AS day,
                arg_max(status, started_at) AS status
            FROM ops.jobs
            WHERE kind = 'fill' AND status NOT IN ('RUNNING', 'CANCELLED') AND started_at >= ?
            GROUP BY ALL
            """,
            _naive(since),
        )

    def last_derivations(self) -> pl.DataFrame:
        """How the newest making of each thing that is made of candles has ended, but for those that were cancelled.

        Returns:
            profile, asset (candles_1h, features_1h, returns_1h, ...), status, started_at, failures
            and faults (JSON: by partition a list of reasons).
        """
        return self._frame(
            """
            SELECT profile, replace(kind, 'derive', 'candles') || '_' || timeframe AS asset,
                arg_max(status, started_at) AS status, max(started_at) AS started_at,
                arg_max(coalesce(detail->>'$.failures', '{}'), started_at) AS failures,
                arg_max(coalesce(detail->>'$.faults', '{}'), started_at) AS faults
            FROM ops.jobs
            WHERE kind IN ('derive', 'features', 'returns')
              AND status NOT IN ('RUNNING', 'CANCELLED')
            GROUP BY ALL
            """
        )

    def first_jobs(self) -> dict[str, datetime]:
        """When the first job of each profile began."""
        rows = self._db.execute(
            "SELECT profile, min(started_at) FROM ops.jobs GROUP BY ALL"
        ).fetchall()
        return {profile: started_at.replace(tzinfo=UTC) for profile, started_at in rows}

    def agreement(
        self, profile: str, timeframe: Timeframe, partitions: Sequence[str]
    ) -> pl.DataFrame:
        """What comparing sources has come to in some partitions: the columns of `ops.agreement`, a row a finding."""
        return self._frame(
            """
            SELECT * EXCLUDE (profile, timeframe)
            FROM ops.agreement
            WHERE profile = ? AND timeframe = ? AND list_contains(?, partition)
            ORDER BY partition, symbol, other, rowid
            """,
            profile,
            timeframe,
            list(partitions),
        )

    def trust(
        self, profile: str, timeframe: Timeframe, symbols: Sequence[str], window: Window
    ) -> pl.DataFrame:
        """What the ledgers know of some symbols' bars in a window: frame of `quality.trust.TRUST_SCHEMA`, in no particular order.

        A comparison confirms nothing in a partition that has changed since. One of an earlier
        version, which has not noted the bars it is about, disputes a whole partition and confirms
        none.
        """
        named = {
            "profile": profile,
            "timeframe": str(timeframe),
            "symbols": list(symbols),
            **dict(zip(("start", "end"), _bounds(window), strict=True)),
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
        here = "profile = $profile AND timeframe = $timeframe AND list_contains($symbols, symbol)"
        return self._frame(
            f"""
            WITH compared AS (
                SELECT symbol, partition, partition::TIMESTAMP AS since, until_ts AS until, other, kind, checked_at, {lists}
                FROM ops.agreement
                WHERE {here} AND kind <> 'not compared' AND partition::TIMESTAMP < $end AND until_ts > $start
            ),
            valid AS (
                SELECT DISTINCT symbol, partition, c.since, c.until, other, alone FROM compared c
                    LEFT JOIN (SELECT symbol, partition, changed_at FROM ops.partitions WHERE {here}) p
                    USING (symbol, partition)
                WHERE alone IS NOT NULL AND coalesce(p.changed_at <= c.checked_at, TRUE)
            ),
            lonely AS (SELECT symbol, partition, other, unnest(alone) AS ts FROM valid),
            others AS (SELECT symbol, partition, count(DISTINCT other) AS others FROM valid GROUP BY ALL)
            SELECT symbol, ts AS since, ts + INTERVAL 1 MICROSECOND AS until, 'revised' AS quality
                FROM ops.revisions WHERE {here} AND ts >= $start AND ts < $end
            UNION ALL SELECT symbol, first_ts, last_ts + INTERVAL 1 MICROSECOND, 'late'
                FROM ops.repairs WHERE {here} AND last_ts >= $start AND first_ts < $end
            UNION ALL SELECT symbol, ts, ts + INTERVAL 1 MICROSECOND, 'disputed'
                FROM (SELECT symbol, unnest(apart) AS ts FROM compared WHERE kind <> 'agrees')
            UNION ALL SELECT symbol, since, until, 'disputed' FROM compared WHERE kind <> 'agrees' AND apart IS NULL
            UNION ALL SELECT symbol, since, until, 'confirmed' FROM valid
            UNION ALL SELECT symbol, ts, ts + INTERVAL 1 MICROSECOND, 'alone'
                FROM lonely JOIN others USING (symbol, partition)
                GROUP BY symbol, partition, ts, others HAVING count(DISTINCT other) = others
            """,
            **named,
        )

    def disagreements(self) -> pl.DataFrame:
        """Everything in which sources were found to disagree, newest partition first: all columns of `ops.disagreements`."""
        return self._frame(
            """
            SELECT *
            FROM ops.disagreements
            ORDER BY partition DESC, profile, timeframe, symbol, other, kind
            """
        )

    def actions(self, profile: str) -> pl.DataFrame:
        """Every corporate action that was ever recorded, also those that hold no more, oldest first; the table must exist.

        Returns:
            symbol, ex_date, kind, ratio, amount, currency, detail, source, recorded_at,
                replaced_at: null while it holds.
        """
        columns = ", ".join(ACTION_COLUMNS)
        return self._frame(
            f"""
            SELECT {columns}, recorded_at, NULL::TIMESTAMP AS replaced_at
            FROM {action_table(profile)}
            UNION ALL
            SELECT {columns}, recorded_at, replaced_at
            FROM ops.action_revisions
            WHERE profile = ?
            ORDER BY symbol, ex_date, kind, detail, recorded_at
            """,
            profile,
        )

    def action_answers(self, profile: str) -> pl.DataFrame:
        """Which source has told each symbol's corporate actions, and when last: symbol, source, actions, answered_at."""
        return self._frame(
            """
            SELECT symbol, source, actions, answered_at
            FROM ops.action_answers
            WHERE profile = ?
            ORDER BY symbol
            """,
            profile,
        )

    def alerts(self, *, everything: bool = False) -> pl.DataFrame:
        """The alerts of troubles that go on or whose end is still to be told, or everything; newest first: all columns."""
        return self._frame(
            """
            SELECT *
            FROM ops.alerts
            WHERE ? OR over_at IS NULL OR (told_at IS NOT NULL AND over_told_at IS NULL)
            ORDER BY opened_at DESC, profile, kind, subject
            """,
            everything,
        )

    def prunable(self, settings: RetentionSettings, now: datetime) -> list[Pruned]:
        """What `Transaction.prune` would remove."""
        return prune_ledgers(self._db, settings, now, dry_run=True)

    def table_sizes(self) -> list[TableSize]:
        """How large each table of the schema `ops` is."""
        return table_sizes(self._db)

    def free_bytes(self) -> int:
        """How many bytes of the file hold nothing and are used again."""
        return free_bytes(self._db)


class Transaction(Snapshot):
    """Write access: all or nothing is committed when the block that opened it ends.

    Attributes:
        connection: The open connection, for statements that this class has no method for.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, now: datetime) -> None:
        super().__init__(connection)
        self.connection = connection
        self._now = _naive(now)

    def merge(
        self,
        profile: str,
        timeframe: Timeframe,
        symbols: Sequence[str],
        window: Window,
        incoming: pl.DataFrame,
    ) -> Merged:
        """Take candles into a window: new ones are inserted, changed ones replaced and their old values kept.

        What a row has in its extra columns goes with its values: a row that is replaced has those
        of the new one. Of a bar whose values stay, an extra column that was null is filled, which
        is no revision; it stays where the new one is null, or is another source's. Another value of
        the same source is a revision.

        Args:
            profile: The profile's name.
            timeframe: The candles' timeframe.
            symbols: The symbols that the window is merged for.
            window: Holds every incoming row.
            incoming: symbol, ts, open, high, low, close, volume, source, any extra columns; unique
                by symbol and ts.
        """
        table, key = candle_table(profile, timeframe), ["symbol", "ts"]
        # Nobody looks for those of which nothing came.
        wanted = EXTRA_NAMES if extras_in(incoming.columns) else ()
        before = self.candles(profile, timeframe, symbols, window, extras=wanted)
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
            self._keep_revisions(profile, timeframe, revised.select(key).unique())
            # What the new row does not say, the old one of the same values and source still does.
            changed = incoming.join(revised, on=key, how="semi")
            if extras:
                said = revised.filter(
                    ~_differ(_VALUES), pl.col("source") == pl.col("source_new")
                ).select(*key, *(pl.col(name).alias(f"{name}_old") for name in extras))
                changed = (
                    changed.join(said.unique(key), on=key, how="left", maintain_order="left")
                    .with_columns(pl.coalesce(name, f"{name}_old") for name in extras)
                    .select(columns)
                )
        else:
            changed = incoming.clear()
        gone = pl.concat([revised.select(key), filled.select(key)])
        self._delete_keys(table, gone)
        self._insert(table, pl.concat([new, changed, filled]), columns)
        kept = before.join(gone, on=key, how="anti") if len(gone) else before
        return Merged(
            new=new.select(key),
            revised=revised.select(key).unique(maintain_order=True),
            rows=pl.concat([rows.select(CANDLE_COLUMNS) for rows in (kept, new, changed, filled)]),
            filled=filled.select(key),
        )

    def replace_derived(
        self, profile: str, timeframe: Timeframe, bars: pl.DataFrame, rows: pl.DataFrame
    ) -> pl.DataFrame:
        """Put derived candles in the place of those that opened at the same times.

        Args:
            profile: The profile's name.
            timeframe: The derived timeframe.
            bars: symbol, ts of every bar that was derived again, also of those that came out with
                no row.
            rows: symbol, ts, open, high, low, close, volume, source, bars, bars_expected, any extra
                columns.

        Returns:
            symbol, ts of the bars that differ from what was stored.
        """
        table = candle_table(profile, timeframe)
        key = ["symbol", "ts"]
        with self._lent("derived_bars", bars.select(key)):
            before = self._frame(
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
        return self._replace(table, before, rows)

    def create_features(self, profile: str, timeframe: Timeframe, features: Sequence[str]) -> None:
        """Create a table of features where it does not exist, and the columns that it lacks: null until their rows are made again."""
        self._db.execute(create_feature_table(profile, timeframe, features))

    def replace_features(
        self,
        profile: str,
        timeframe: Timeframe,
        symbols: Sequence[str],
        window: Window,
        rows: pl.DataFrame,
    ) -> pl.DataFrame:
        """Put features in the place of all those of some symbols in a window.

        A row whose values are what they were but for their rounding stays as it is.

        Args:
            profile: The profile's name.
            timeframe: The candles' timeframe.
            symbols: Whose features.
            window: Holds every row.
            rows: symbol, ts and the features; unique by symbol and ts. A column of the table that
                is not among them becomes null in a row that is replaced.

        Returns:
            symbol, ts of the rows that differ from what was there.
        """
        table, key = feature_table(profile, timeframe), ["symbol", "ts"]
        names = [name for name in rows.columns if name not in key]
        columns = ", ".join(map(identifier, rows.columns))
        before = self._frame(
            f"SELECT {columns} FROM {table} WHERE ts >= ? AND ts < ? AND list_contains(?, symbol)",
            *(*_bounds(window), list(symbols)),
        )
        if before.is_empty():
            added, gone = rows, before.select(key)
        else:
            single, _ = _apart(before)
            kept = rows.join(single, on=key, suffix="_before").filter(_alike(names)).select(key)
            added = rows.join(kept, on=key, how="anti")
            gone = before.join(kept, on=key, how="anti").select(key)
        self._delete_keys(table, gone)
        self._insert(table, added.sort("ts", "symbol"), [identifier(name) for name in rows.columns])
        return pl.concat([added.select(key), gone]).unique()

    def create_returns(self, name: str, timeframe: Timeframe) -> None:
        """Create the table of the aligned returns of a profile, or across profiles, where it does not exist."""
        self._db.execute(create_returns_table(name, timeframe))

    def replace_returns(
        self, name: str, timeframe: Timeframe, window: Window, rows: pl.DataFrame
    ) -> pl.DataFrame:
        """Put aligned returns in the place of all those in a window.

        Args:
            name: The profile's name, or that of the matrix across profiles.
            timeframe: Their timeframe.
            window: Holds every row.
            rows: symbol, ts, simple_return, log_return, bars, neutral; unique by symbol and ts.

        Returns:
            symbol, ts of the rows that differ from what was there.
        """
        table = returns_table(name, timeframe)
        before = self._frame(f"SELECT * FROM {table} WHERE ts >= ? AND ts < ?", *_bounds(window))
        return self._replace(table, before, rows.select(before.columns).sort("ts", "symbol"))

    def put_coverage(self, profile: str, timeframe: Timeframe, answers: pl.DataFrame) -> None:
        """Note what the sources have answered for, merged with what it meets or overlaps.

        An older answer of the same source inside a new one is dropped. An answer without a bar
        proves nothing, so that it leaves one that had bars in its place.

        Args:
            profile: The profile's name.
            timeframe: The candles' timeframe.
            answers: symbol, source, start_ts, end_ts, bars, omits_quiet.
        """
        if answers.is_empty():
            return
        series = [profile, timeframe]
        with self._lent("answers", answers):
            self._db.execute(
                """
                DELETE FROM ops.coverage c
                USING answers a
                WHERE c.profile = ?
                  AND c.timeframe = ?
                  AND c.symbol = a.symbol
                  AND c.source = a.source
                  AND c.start_ts >= a.start_ts
                  AND c.end_ts <= a.end_ts
                  AND (a.bars > 0 OR c.bars = 0)
                """,
                series,
            )
            touched = self._frame(
                f"""
                DELETE FROM ops.coverage c
                USING answers a
                WHERE c.profile = ?
                  AND c.timeframe = ?
                  AND c.symbol = a.symbol
                  AND c.source = a.source
                  AND c.omits_quiet = a.omits_quiet
                  AND (c.bars > 0) = (a.bars > 0)
                  AND c.start_ts <= a.end_ts
                  AND c.end_ts >= a.start_ts
                RETURNING {", ".join(f"c.{name}" for name in COVERAGE_COLUMNS)}
                """,
                *series,
            )
            new = self._frame("SELECT *, ?::TIMESTAMP AS answered_at FROM answers", self._now)

        known = pl.concat([touched, new.match_to_schema(touched.schema, missing_columns="insert")])
        with self._lent("merged", merge_coverage(known, timeframe.duration)):
            self._db.execute(
                """
                INSERT INTO ops.coverage BY NAME
                SELECT ? AS profile, ? AS timeframe, *
                FROM merged
                """,
                series,
            )

    def put_sessions(self, profile: str, digest: str, sessions: pl.DataFrame) -> None:
        """Note the calendar that a profile is judged by: session, open, close."""
        self._db.execute("DELETE FROM ops.sessions WHERE profile = ?", [profile])
        self._db.execute("DELETE FROM ops.calendars WHERE profile = ?", [profile])
        self._db.execute("INSERT INTO ops.calendars VALUES (?, ?, ?)", [profile, digest, self._now])
        with self._lent("sessions_now", sessions):
            self._db.execute(
                """
                INSERT INTO ops.sessions BY NAME
                SELECT ? AS profile, session, open, close
                FROM sessions_now
                """,
                [profile],
            )

    def forget_coverage(
        self, profile: str, timeframe: Timeframe, windows: Sequence[Window]
    ) -> None:
        """Take some stretches out of what the sources have answered for: what they gave there was refused then."""
        if not windows:
            return
        bounds = [_bounds(window) for window in windows]
        first, last = min(start for start, _ in bounds), max(end for _, end in bounds)
        with self._lent(
            "cuts", pl.DataFrame(bounds, schema={"cut_start": TS, "cut_end": TS}, orient="row")
        ):
            touched = self._frame(
                """
                DELETE FROM ops.coverage
                WHERE profile = ? AND timeframe = ? AND start_ts < ? AND end_ts > ? AND EXISTS (
                    SELECT 1
                    FROM cuts
                    WHERE start_ts < cut_end AND end_ts > cut_start
                )
                RETURNING *
                """,
                *(profile, timeframe, last, first),
            )
        left = without(touched, bounds)
        if not left.is_empty():
            with self._lent("parts", left):
                self._db.execute("INSERT INTO ops.coverage BY NAME SELECT * FROM parts")

    def forget_rows(self, profile: str, label: str, window: Window, kept: pl.Series) -> int:
        """Remove the rows of a window whose `ts` is none of those kept; the old values of candles stay in `ops.revisions`.

        Args:
            profile: The profile's name.
            label: A timeframe, or the name of what is made of candles: `features_1m`.
            window: Where.
            kept: The opens (TS) that the calendar has there.

        Returns:
            How many rows went.
        """
        table = f"candles_{label}" if label in set(Timeframe) else label
        if not self.has_table(profile, table):
            return 0
        name = f"{identifier(profile)}.{identifier(table)}"
        rows = self._frame(f"SELECT * FROM {name} WHERE ts >= ? AND ts < ?", *_bounds(window))
        gone = rows.filter(~pl.col("ts").is_in(kept.implode()))
        if gone.is_empty():
            return 0
        if table != label:
            self._keep_revisions(profile, Timeframe(label), gone.select("symbol", "ts").unique())
        self._delete_keys(name, gone.select("symbol", "ts"))
        return len(gone)

    def put_off_calendar(self, profile: str, timeframe: Timeframe, bars: pl.DataFrame) -> None:
        """Note bars that the calendar refused; what was noted of the same symbol, day and side is replaced if it was less.

        Args:
            profile: The profile's name.
            timeframe: Their timeframe.
            bars: symbol, day, side, first_ts, last_ts, bars, traded.
        """
        if bars.is_empty():
            return
        with self._lent("refused", bars):
            key = (
                "o.profile = ? AND o.timeframe = ? AND o.symbol = r.symbol AND o.day = r.day AND "
                "o.side = r.side"
            )
            self._db.execute(
                f"DELETE FROM ops.off_calendar o USING refused r WHERE {key} AND o.bars <= r.bars",
                [profile, timeframe],
            )
            self._db.execute(
                f"""
                INSERT INTO ops.off_calendar BY NAME
                SELECT ? AS profile, ? AS timeframe, r.*, ? AS seen_at
                FROM refused r
                WHERE NOT EXISTS (SELECT 1 FROM ops.off_calendar o WHERE {key})
                """,
                [profile, timeframe, self._now, profile, timeframe],
            )

    def forget_off_calendar(self, profile: str, days: Sequence[date]) -> None:
        """Remove what was noted of refused bars of some days, because the calendar is another one there."""
        self._db.execute(
            "DELETE FROM ops.off_calendar WHERE profile = ? AND list_contains(?, day)",
            [profile, list(days)],
        )

    def put_gaps(
        self,
        profile: str,
        timeframe: Timeframe,
        symbols: Sequence[str],
        window: Window,
        gaps: pl.DataFrame,
    ) -> None:
        """Replace the ledger of absences of some symbols in a window.

        Args:
            profile: The profile's name.
            timeframe: The candles' timeframe.
            symbols: Whose absences are replaced.
            window: Where they are replaced.
            gaps: symbol, first_ts, last_ts, bars, status, attempts, failures, confirmations,
                confirmed_at, first_seen, asked_at, reason; witness and answered may follow.
        """
        start, end = _bounds(window)
        self._db.execute(
            """
            DELETE FROM ops.gaps
            WHERE profile = ?
              AND timeframe = ?
              AND first_ts >= ?
              AND first_ts < ?
              AND list_contains(?, symbol)
            """,
            [profile, timeframe, start, end, list(symbols)],
        )
        if not gaps.is_empty():
            with self._lent("new_gaps", gaps):
                self._db.execute(
                    """
                    INSERT INTO ops.gaps BY NAME
                    SELECT ? AS profile, ? AS timeframe, *
                    FROM new_gaps
                    """,
                    [profile, timeframe],
                )

    def put_refused(
        self,
        profile: str,
        timeframe: Timeframe,
        symbols: Sequence[str],
        partitions: Sequence[str],
        refused: pl.DataFrame,
    ) -> None:
        """Note which rows the latest answers for some partitions held that cannot be stored, in place of those before.

        Args:
            profile: The profile's name.
            timeframe: The candles' timeframe.
            symbols: Of which something was asked for.
            partitions: The keys of the partitions.
            refused: symbol, partition, source, reason, rows, example_ts, example.
        """
        self._db.execute(
            """
            DELETE FROM ops.refused
            WHERE profile = ?
              AND timeframe = ?
              AND list_contains(?, symbol)
              AND list_contains(?, partition)
            """,
            [profile, timeframe, list(symbols), list(partitions)],
        )
        if not refused.is_empty():
            with self._lent("rejects", refused):
                self._db.execute(
                    """
                    INSERT INTO ops.refused BY NAME
                    SELECT ? AS profile, ? AS timeframe, ? AS refused_at, *
                    FROM rejects
                    """,
                    [profile, timeframe, self._now],
                )

    def put_horizons(self, profile: str, horizons: pl.DataFrame) -> None:
        """Note from when on sources serve, in place of what was learned before.

        Args:
            profile: The profile's name.
            horizons: source, symbol, timeframe, start_ts, bars, words, learned_at.
        """
        with self._lent("learned", horizons):
            self._db.execute(
                """
                DELETE FROM ops.horizons h
                USING learned l
                WHERE h.profile = ?
                  AND h.source = l.source
                  AND h.symbol = l.symbol
                  AND h.timeframe = l.timeframe
                """,
                [profile],
            )
            self._db.execute(
                "INSERT INTO ops.horizons BY NAME SELECT ? AS profile, * FROM learned", [profile]
            )

    def reopen_gaps(self, profile: str, timeframe: Timeframe) -> int:
        """Make every abandoned gap an open one that was never asked for; returns how many there were."""
        rows = self._db.execute(
            """
            UPDATE ops.gaps
            SET status = 'open', attempts = 0, failures = 0, confirmations = 0, confirmed_at = NULL,
                witness = NULL, answered = NULL, first_seen = ?, asked_at = NULL
            WHERE profile = ? AND timeframe = ? AND status = 'abandoned'
            """,
            [self._now, profile, timeframe],
        ).fetchall()
        return int(rows[0][0])

    def put_repairs(self, profile: str, timeframe: Timeframe, repairs: pl.DataFrame) -> None:
        """Add absences that were filled: symbol, first_ts, last_ts, bars, was, attempts, first_seen."""
        if repairs.is_empty():
            return
        with self._lent("filled", repairs):
            self._db.execute(
                """
                INSERT INTO ops.repairs BY NAME
                SELECT ? AS profile, ? AS timeframe, ? AS repaired_at, *
                FROM filled
                """,
                [profile, timeframe, self._now],
            )

    def put_judged(
        self,
        profile: str,
        timeframe: str,
        counts: pl.DataFrame,
        as_of: datetime | None = None,
        *,
        changed: Collection[str] = (),
    ) -> None:
        """Replace the counts of partitions, and note which of these are not what they were.

        Args:
            profile: The profile's name.
            timeframe: The candles' timeframe, or the name of what is made of them: `returns_1d`.
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
        with self._lent("counts", counts):
            judged = self._frame(
                "WITH before AS (SELECT * FROM ops.partitions WHERE profile = ? "
                "AND timeframe = ?), "
                "known AS (SELECT partition, max(changed_at) AS newest, "
                "max(reported_at) AS reported_at, "
                "max(made_of) AS made_of FROM before GROUP BY partition) "
                "SELECT ? AS profile, ? AS timeframe, c.*, ? AS judged_at, "
                "CASE WHEN NOT list_contains(?, c.partition) "
                "AND (p.expected, p.stored, p.explained, p.missing) = (c.expected, c.stored, "
                "c.explained, c.missing) "
                "AND coalesce(p.evidence = c.evidence, TRUE) "
                # Never an instant twice that the partition was known by, whatever the clock does.
                "THEN p.changed_at ELSE greatest(?, k.newest + INTERVAL 1 MICROSECOND) END AS "
                "changed_at, "
                "k.reported_at, k.made_of "
                "FROM counts c LEFT JOIN before p USING (partition, "
                "symbol) LEFT JOIN known k USING (partition)",
                *(
                    profile,
                    timeframe,
                    profile,
                    timeframe,
                    self._now if as_of is None else _naive(as_of),
                ),
                *(list(changed), self._now),
            )
        with self._lent("judged", judged):
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
            "UPDATE ops.store SET commits = commits + 1, committed_at = ?", [self._now]
        )

    def versions(self, profile: str, timeframe: str, partitions: Sequence[str]) -> dict[str, str]:
        """What each of some judged partitions is known by until its candles, or what is known of the absent ones, change: the instant of the last change."""
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
            [profile, timeframe, list(partitions)],
        ).fetchall()
        return dict(rows)

    def renew_versions(self, name: str, label: str, partitions: Sequence[str]) -> None:
        """Give judged partitions another version, because candles of theirs were written along with a neighbour's."""
        if partitions:
            self._db.execute(
                """
                UPDATE ops.partitions
                SET changed_at = greatest(?, changed_at + INTERVAL 1 MICROSECOND)
                WHERE profile = ? AND timeframe = ? AND list_contains(?, partition)
                """,
                [self._now, name, label, list(partitions)],
            )

    def put_made_of(self, name: str, label: str, versions: Mapping[str, datetime | None]) -> None:
        """Note the newest version of what each of some judged partitions was made of; None where it has none.

        Args:
            name: The profile's name, or that of the matrix across profiles.
            label: The name of what was made, as in `standing`.
            versions: By partition key, aware UTC.
        """
        self._put_versions("made_of", name, label, versions)

    def put_recipe(self, name: str, label: str, recipe: str) -> None:
        """Note how a dataset is made: see `Work.recipe`."""
        if self.recipe(name, label) != recipe:
            self._db.execute(
                "DELETE FROM ops.recipes WHERE profile = ? AND dataset = ?", [name, label]
            )
            self._db.execute("INSERT INTO ops.recipes VALUES (?, ?, ?)", [name, label, recipe])

    def outdate(self, name: str, label: str, since: str = "") -> None:
        """Have the partitions of a dataset be made again, from a key on: they count as made of what is long gone.

        Args:
            name: The profile's name, or that of the matrix across profiles.
            label: The dataset, as in `standing`.
            since: The key of the first one.
        """
        self._db.execute(
            """
            UPDATE ops.partitions
            SET made_of = ?
            WHERE profile = ? AND timeframe = ? AND partition >= ?
            """,
            [OUTDATED, name, label, since],
        )

    def outdate_across(self, profile: str, since: str) -> None:
        """The same of the matrix across profiles, where it has symbols of a profile."""
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

    def put_reported(self, name: str, label: str, versions: Mapping[str, datetime | None]) -> None:
        """Note which version of each of some judged partitions Dagster was told of: see `put_made_of`."""
        self._put_versions("reported_at", name, label, versions)

    def _put_versions(
        self, column: str, name: str, label: str, versions: Mapping[str, datetime | None]
    ) -> None:
        rows = [(key, at and _naive(at)) for key, at in versions.items()]
        noted = pl.DataFrame(rows, schema={"partition": pl.String, "version": TS}, orient="row")
        with self._lent("noted", noted):
            self._db.execute(
                f"""
                UPDATE ops.partitions p
                SET {column} = n.version
                FROM noted n
                WHERE p.profile = ? AND p.timeframe = ? AND p.partition = n.partition
                """,
                [name, label],
            )

    def put_agreement(self, profile: str, timeframe: Timeframe, findings: pl.DataFrame) -> None:
        """Replace what comparing a symbol of a partition with another source came to.

        Args:
            profile: The profile's name.
            timeframe: The candles' timeframe.
            findings: The other columns of `ops.agreement`; every comparison has a row.
        """
        if findings.is_empty():
            return
        with self._lent("findings", findings):
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
                [profile, timeframe],
            )
            self._db.execute(
                """
                INSERT INTO ops.agreement BY NAME
                SELECT ? AS profile, ? AS timeframe, *
                FROM findings
                """,
                [profile, timeframe],
            )

    def put_genesis(
        self, profile: str, timeframe: Timeframe, symbol: str, ts: datetime, source: str
    ) -> None:
        """Record the open of a symbol's first bar as a source named it; the earlier records stay."""
        self._db.execute(
            "INSERT INTO ops.genesis VALUES (?, ?, ?, ?, ?, ?)",
            [profile, symbol, timeframe, _naive(ts), source, self._now],
        )

    def forget_genesis(self, profile: str, symbols: Sequence[str]) -> None:
        """Remove what is recorded of where some symbols begin, of all their timeframes, so that it is looked for again."""
        self._db.execute(
            "DELETE FROM ops.genesis WHERE profile = ? AND list_contains(?, symbol)",
            [profile, list(symbols)],
        )

    def put_series(self, series: pl.DataFrame) -> None:
        """Say what is to be kept; whatever else was kept goes.

        Only the profiles that are named in the frame are touched.

        Args:
            series: profile, symbol, timeframe, derived, expected, counted_until, start_ts, end_ts:
                a bar counts whose `ts` lies between the last two.
        """
        with self._lent("series", series):
            self._db.execute("DELETE FROM ops.series WHERE profile IN (SELECT profile FROM series)")
            self._db.execute("INSERT INTO ops.series BY NAME SELECT * FROM series")

    def drop_profile(self, name: str) -> None:
        """Remove all that is stored of a profile: its schema, and its rows in every ledger."""
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
            self._db.execute(f"DELETE FROM ops.{identifier(ledger)} WHERE profile = ?", [name])
        # The completeness view reads the candle tables: it has to leave them before they go.
        _view_completeness(self._db, without=name)
        self._db.execute(f"DROP SCHEMA IF EXISTS {identifier(name)} CASCADE")

    def create_candles(self, profile: str, timeframe: Timeframe, *, derived: bool) -> None:
        """Create a series' table where it does not exist, and take it into the completeness view."""
        if self.has_candles(profile, timeframe):
            return
        self._db.execute(create_candle_table(profile, timeframe, derived=derived))
        _view_completeness(self._db)

    def create_actions(self, profile: str, timeframes: Sequence[Timeframe], zone: str) -> None:
        """Create the table of corporate actions where it does not exist, and the views and macros of adjusted candles as they are now.

        Args:
            profile: The profile's name; its candle tables exist.
            timeframes: Those of the profile, 1d among them.
            zone: The exchange's time zone.
        """
        self._db.execute(create_action_table(profile))
        self._db.execute(create_adjusted(profile, timeframes, zone))

    def put_actions(
        self, profile: str, answers: Mapping[str, str], actions: pl.DataFrame
    ) -> ActionsMerged:
        """Record what sources say of some symbols; what they say no more, or otherwise, is kept as a revision.

        Args:
            profile: The profile's name.
            answers: The source that has answered, by symbol.
            actions: All actions of these symbols: symbol, ex_date, kind, ratio, amount, currency,
                detail, source.
        """
        names, table, key = (
            ", ".join(ACTION_COLUMNS),
            action_table(profile),
            ["symbol", "ex_date", "kind"],
        )
        before = self._frame(
            f"SELECT rowid, * FROM {table} WHERE list_contains(?, symbol)", list(answers)
        )
        given = actions.select(ACTION_COLUMNS).match_to_schema(
            before.drop("rowid", "recorded_at").schema
        )
        # The second of two equal payments is told from the first by its number.
        same = [*ACTION_COLUMNS, "number"]
        before, actions = (
            frame.with_columns(number=pl.int_range(pl.len()).over(ACTION_COLUMNS))
            for frame in (before, given)
        )
        new = actions.join(before, on=same, how="anti", nulls_equal=True).sort(key)
        gone = before.join(actions, on=same, how="anti", nulls_equal=True)
        with self._lent("gone_actions", gone):
            self._db.execute(
                f"""
                INSERT INTO ops.action_revisions
                SELECT ?, {names}, recorded_at, ?
                FROM gone_actions
                """,
                [profile, self._now],
            )
            self._db.execute(f"DELETE FROM {table} t USING gone_actions g WHERE t.rowid = g.rowid")
        with self._lent("new_actions", new):
            self._db.execute(f"INSERT INTO {table} SELECT {names}, ? FROM new_actions", [self._now])
        told = pl.DataFrame(
            list(answers.items()), schema={"symbol": pl.String, "source": pl.String}, orient="row"
        ).join(actions.group_by("symbol").agg(actions=pl.len()), on="symbol", how="left")
        with self._lent("told", told):
            self._db.execute(
                """
                DELETE FROM ops.action_answers a
                USING told t
                WHERE a.profile = ? AND a.symbol = t.symbol
                """,
                [profile],
            )
            self._db.execute(
                """
                INSERT INTO ops.action_answers
                SELECT ?, symbol, source, coalesce(actions, 0), ?
                FROM told
                """,
                [profile, self._now],
            )
        changed = gone.join(new, on=key, how="semi").height
        dates = pl.concat([new["ex_date"], gone["ex_date"]])
        return ActionsMerged(
            new=new.join(gone, on=key, how="anti").height,
            changed=changed,
            withdrawn=gone.height - changed,
            since=cast("date | None", dates.min()),
        )

    def start_job(self, job: Mapping[str, object], detail: Mapping[str, object]) -> None:
        """Record a job that begins.

        Args:
            job: job_id, run_id, kind, profile, timeframe, symbols, start_ts, end_ts, trigger, host,
                process.
            detail: What is known of it at once.
        """
        self._db.execute(
            """
            INSERT INTO ops.jobs BY NAME
            SELECT $job_id AS job_id, $run_id AS run_id, $kind AS kind, $profile AS profile,
                $timeframe AS timeframe, $symbols AS symbols, $start_ts AS start_ts,
                $end_ts AS end_ts, $trigger AS trigger, $host AS host, $process AS process,
                'RUNNING' AS status, 0.0 AS progress, $now AS started_at, $detail AS detail
            """,
            {**job, "now": self._now, "detail": json.dumps(detail, default=str)},
        )

    def update_job(
        self, job_id: str, *, progress: float, status: str, detail: Mapping[str, object]
    ) -> None:
        """Record how far a job is (0 to 1), or that it ended (SUCCEEDED, INCOMPLETE, FAILED)."""
        self._db.execute(
            """
            UPDATE ops.jobs
            SET progress = ?, status = ?, detail = ?,
                ended_at = CASE WHEN ? = 'RUNNING' THEN NULL ELSE ? END
            WHERE job_id = ?
            """,
            [progress, status, json.dumps(detail, default=str), status, self._now, job_id],
        )

    def prune(self, settings: RetentionSettings, now: datetime) -> list[Pruned]:
        """Remove the old rows of the ledgers, and merge what sources have answered for."""
        return prune_ledgers(self._db, settings, now, dry_run=False)

    def _insert(
        self, table: str, rows: pl.DataFrame, columns: Sequence[str] = CANDLE_COLUMNS
    ) -> None:
        if rows.is_empty():
            return
        with self._lent("rows", rows):
            names = ", ".join(columns)
            self._db.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM rows")

    def _replace(self, table: str, before: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """Make rows of a table out of those that were there, touching none that stays as it is; gives symbol, ts of what differs."""
        key = ["symbol", "ts"]
        single, doubled = _apart(before)
        added = rows.join(single, on=rows.columns, how="anti", nulls_equal=True)
        gone = pl.concat(
            [single.join(rows, on=rows.columns, how="anti", nulls_equal=True), doubled]
        )
        self._delete_keys(table, gone.select(key))
        self._insert(table, added, rows.columns)
        return pl.concat([added.select(key), gone.select(key)]).unique()

    def _delete_keys(self, table: str, keys: pl.DataFrame) -> None:
        if keys.is_empty():
            return
        with self._lent("keys", keys):
            self._db.execute(
                f"DELETE FROM {table} t USING keys k WHERE t.symbol = k.symbol AND t.ts = k.ts"
            )

    def _keep_revisions(self, profile: str, timeframe: Timeframe, keys: pl.DataFrame) -> None:
        """Keep what the candles of some keys are before they change: symbol, ts; unique."""
        names = ", ".join((*_VALUES, "source", *EXTRA_NAMES))
        with self._lent("old", keys):
            self._db.execute(
                f"""
                INSERT INTO ops.revisions BY NAME
                SELECT ? AS profile, symbol, ? AS timeframe, ts, {names}, ? AS revised_at
                FROM {candle_table(profile, timeframe)}
                SEMI JOIN old USING (symbol, ts)
                """,
                [profile, timeframe, self._now],
            )


@dataclass
class _Wait:
    """One wait for programs that have the file open."""

    purpose: str
    path: Path
    patience: timedelta
    start: float = field(default_factory=time.monotonic)
    look_at: float = 0.0
    tell_at: float = TELL_AFTER
    hindrance: Hindrance | None = None
    failed: bool = False

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self.start

    @property
    def told(self) -> bool:
        """Whether the log says that there was a wait."""
        return self.tell_at > TELL_AFTER


class Store:
    """One DuckDB file in the home folder.

    The file is opened for one block at a time and closed at its end: `with store.reading("...") as
    view` or `with store.writing("...") as transaction`. Blocks of all threads and processes come
    one after the other; the words given say for what, and are shown to whoever waits.

    Args:
        home: The folder that holds `market.duckdb`; made by the first who writes.
        clock: Gives the present instant (aware).
        patience: How long a block waits for its turn before it raises StoreError.
    """

    def __init__(
        self,
        home: Path,
        *,
        clock: Callable[[], datetime],
        patience: timedelta = timedelta(minutes=10),
    ) -> None:
        self.path = home / "market.duckdb"
        self._clock = clock
        self._patience = patience
        self._verified: int | None = None
        # A folder that is not there is made by the first who writes.
        there = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
        if not there.is_dir() or (there != home and not os.access(there, os.W_OK | os.X_OK)):
            why = "not writable" if there.is_dir() else "no folder"
            raise StoreError(
                f"{home} cannot be made: {there} is {why}. Set MARKET_ASSETS_HOME to a folder of "
                "yours."
            )
        if not os.access(there, os.W_OK | os.X_OK):
            raise StoreError(
                f"{home} cannot be written to. Give this user write access, "
                "or set MARKET_ASSETS_HOME to a folder of yours."
            )
        self._holders = Holders(self.path, clock)
        self._lock = StoreLock(
            home / "market.duckdb.lock", timeout=patience, clock=clock, behind=self._holders.noted
        )
        self._published = Published(self.path)
        self._signals = HeldBack()

    @contextmanager
    def reading(self, purpose: str) -> Iterator[Snapshot]:
        """Open the store to read. Where there is none an empty one is read, and nothing is made.

        Raises:
            StoreError: The file is no store of ours, is newer than this program, or stayed busy.
        """
        if not self.path.exists() and not _log_of(self.path).exists():
            with self._nothing(purpose) as connection:
                yield Snapshot(connection)
            return
        with self._lock.held(purpose), self._signals:
            self._prepare(purpose)
            connection = self._connect(self.path, purpose, read_only=True)
            try:
                yield Snapshot(connection)
            except duckdb.Error as error:
                self._verified = None
                raise StoreError(
                    f"{purpose}: {self.path} could not be read: {first_line(error)}"
                ) from error
            finally:
                close_file(self.path, connection)

    @property
    def link(self) -> Path:
        """The name under which the newest copy for readers is found."""
        return self._published.link

    def hindrance(self) -> Hindrance | None:
        """The programs that have the file open and that somebody waits for now."""
        return self._holders.noted()

    @contextmanager
    def reading_copy(self, purpose: str) -> Iterator[Snapshot]:
        """Read a copy of the store that nobody else waits for, however long the block takes.

        Raises:
            StoreError: As `copy`, or the copy cannot be read.
        """
        connection = self.connect_to_copy(purpose)
        try:
            yield Snapshot(connection)
        except duckdb.Error as error:
            raise StoreError(
                f"{purpose}: a copy of {self.path} could not be read: {first_line(error)}"
            ) from error
        finally:
            connection.close()

    def connect_to_copy(self, purpose: str) -> duckdb.DuckDBPyConnection:
        """A read-only connection to a copy of the store, for the caller to keep and to close.

        Raises:
            StoreError: As `copy`.
        """
        for left in reversed(range(_OPENINGS)):
            copy = self.copy(purpose)
            try:
                return duckdb.connect(copy.path, read_only=True)
            except duckdb.Error as error:
                if left == 0 or copy == self._published.newest():
                    raise StoreError(
                        f"{purpose}: {copy.path} cannot be opened: {first_line(error)}"
                    ) from error
        raise AssertionError("the last opening returns or raises")

    def copy(self, purpose: str) -> Copy:
        """The newest copy for readers: of what is committed now, or older while the store is busy.

        Raises:
            StoreBusyError: There is no copy yet and the store stayed busy.
            StoreError: There is no store, it is none of ours, or the copy cannot be written.
        """
        if not self.path.exists():
            raise StoreError(
                f"{purpose}: there is no {self.path}: nothing was stored in this home yet, "
                "market-assets backfill does it"
            )
        self._published.ask(self._clock())
        copy = self._published.newest()
        if copy is None:
            return self.publish(purpose, self._patience)
        try:
            return self.publish(purpose, min(_BRIEFLY, self._patience))
        except StoreBusyError as error:
            as_of = f"{copy.as_of:%Y-%m-%d %H:%M:%S} UTC"
            log.warning("%s: as of %s, because %s", purpose, as_of, error)
            return copy

    def publish(self, purpose: str, patience: timedelta) -> Copy:
        """Make a copy for readers of what is committed now, unless there is one.

        The store is held while the blocks that have changed are copied: 20 ms for 100 MB, 250 ms
        for 1 GB.

        Raises:
            StoreBusyError: The store, or a copy, stayed busy for longer than the patience.
            StoreError: The store is none of ours, or the copy cannot be written.
        """
        published = self._published
        if (copy := published.newest()) and published.is_current(copy):
            return copy
        try:
            with published.alone(patience):
                # Somebody else may have made it meanwhile.
                if (copy := published.newest()) and published.is_current(copy):
                    return copy
                with self._lock.held(purpose, patience), self._signals:
                    as_of = self._clock()
                    stamp = self._draft(purpose, patience)
                return published.publish(stamp, as_of)
        except OSError as error:
            raise StoreError(
                f"{purpose}: {error.filename or published.folder} cannot be written: "
                f"{error.strerror}. "
                "Make room there, or give this user write access."
            ) from error

    def renew_copy(self) -> Copy | None:
        """Renew the copy for readers, or remove it if nobody asks any more; to be called each minute.

        Returns:
            The newest copy, also an older one while the store is busy; None where nobody has asked
            for one for a week, or there is no store.

        Raises:
            StoreError: The copy cannot be written.
        """
        published = self._published
        if not published.folder.exists():
            return None
        try:
            if self.path.exists() and published.is_wanted(self._clock()):
                return self.publish("renewing the copy for readers", _BRIEFLY)
            with published.alone(_BRIEFLY):
                published.clear()
        except StoreBusyError as error:
            log.info("%s", error)
        return published.newest()

    def _draft(self, purpose: str, patience: timedelta) -> str:
        self._prepare(purpose)
        # What a killed process has committed lies in its log until somebody opens it to write.
        unfinished = _log_of(self.path).exists()
        connection = self._connect(self.path, purpose, read_only=not unfinished, patience=patience)
        try:
            if unfinished:
                connection.execute("CHECKPOINT")
            return self._published.draft()
        finally:
            close_file(self.path, connection)

    @contextmanager
    def writing(self, purpose: str) -> Iterator[Transaction]:
        """Open the store for one transaction; an exception inside the block leaves the store as it was.

        Raises:
            StoreError: The file is no store of ours, is newer than this program, stayed busy, or
                could not be written.
        """
        self._make_home()
        with self._lock.held(purpose), self._signals:
            self._prepare(purpose)
            connection = self._connect(self.path, purpose, read_only=False)
            try:
                connection.begin()
                yield Transaction(connection, self._clock())
                connection.commit()
            except duckdb.Error as error:
                self._verified = None
                raise StoreError(
                    f"{purpose}: {self.path} could not be written: {first_line(error)}. "
                    "Nothing of this step was stored; "
                    "mend the cause and run it again."
                ) from error
            finally:
                # Closing without a commit rolls back.
                close_file(self.path, connection)

    @property
    def size(self) -> int:
        """How many bytes the file has; 0 where there is none."""
        return self.path.stat().st_size if self.path.exists() else 0

    def can_compact(self) -> bool:
        """Whether much of the file is free, so that `compact` would make it shorter."""
        with self.reading("looking for free room") as view:
            return worth_compacting(min(view.free_bytes(), self.size), self.size)

    def compact(self) -> int:
        """Write the file anew without the room that is free in it, where that is much of it.

        The new file is moved into place whole, so that whoever dies meanwhile leaves the old one.

        Returns:
            How many bytes shorter the file is; 0 where little was free, or the disk has no room
            for a second file.

        Raises:
            StoreError: As `writing`; nothing was changed then.
        """
        purpose = "compacting the store"
        # What a link names, on whatever disk that is.
        target = self.path.resolve()
        draft = target.with_name(f"{target.name}.compact")
        with self._lock.held(purpose), self._signals:
            self._prepare(purpose)
            before = self.path.stat().st_size
            connection = self._connect(self.path, purpose, read_only=False)
            try:
                written = worth_compacting(free_bytes(connection), before) and write_compacted(
                    connection, target, draft
                )
            except duckdb.Error as error:
                raise StoreError(
                    f"{purpose}: {self.path} could not be written anew: {first_line(error)}. "
                    "Nothing was changed; make room on its disk, and run it again."
                ) from error
            finally:
                close_file(self.path, connection)

            # A write-ahead log belongs to the old file: beside the new one it would spoil it.
            if not written or _log_of(target).exists() or _log_of(draft).exists():
                remove_draft(draft)
                return 0
            shutil.copymode(target, draft)
            draft.replace(target)
            return before - self.path.stat().st_size

    def _connect(
        self, path: Path, purpose: str, *, read_only: bool, patience: timedelta | None = None
    ) -> duckdb.DuckDBPyConnection:
        """Connect, and wait while a program that does not know our lock has the file open."""
        wait = _Wait(purpose, path, self._patience if patience is None else patience)
        while True:
            try:
                connection = open_file(path, read_only=read_only)
            except duckdb.Error as error:
                hindrance = self._refused(wait, error)
                long = not read_only and self._have_read_for_long(wait, hindrance)
                if long and self._leave_to_readers(wait, hindrance):
                    # At once: whoever reads on and on may open the copy as well.
                    continue
                self._signals.deliver()
                time.sleep(_POLL)
            else:
                if wait.hindrance or not read_only:
                    self._holders.clear()
                if wait.told:
                    log.info("%s: got the store after %.1f s", purpose, wait.seconds)
                return connection

    def _refused(self, wait: _Wait, error: duckdb.Error) -> Hindrance:
        """Who has the file open, as long as it is worth while to wait for them."""
        if "Could not set lock on file" not in str(error):
            self._verified = None
            raise StoreError(
                f"{wait.path} cannot be opened: {first_line(error)}. Give this user access to it, "
                "make room on its disk or move it away, or set MARKET_ASSETS_HOME to another "
                "folder. Nothing was changed."
            ) from error
        hindrance, waited = wait.hindrance, wait.seconds
        if hindrance is None or waited >= wait.look_at:
            hindrance = wait.hindrance = self._holders.look(str(error))
            wait.look_at = waited + TELL_AFTER
        if waited > wait.patience.total_seconds():
            raise StoreBusyError(
                f"{wait.purpose}: gave up after {waited:.0f} s, another program has {wait.path} "
                "open "
                f"({hindrance}). Close it there and run this again: what was committed is kept."
            ) from error
        if waited > wait.tell_at:
            words = "%s: waiting, another program has %s open (%s)"
            log.warning(words, wait.purpose, wait.path, hindrance)
            wait.tell_at = waited + TELL_AGAIN
        return hindrance

    def _have_read_for_long(self, wait: _Wait, hindrance: Hindrance) -> bool:
        """Whether other programs have had the file open for long enough."""
        since = (self._clock() - hindrance.since).total_seconds()
        enough = READERS_PATIENCE + wait.path.stat().st_size / _COPIED_PER_SECOND
        return max(wait.seconds, since) >= enough

    def _leave_to_readers(self, wait: _Wait, hindrance: Hindrance) -> bool:
        """Leave the file to the programs that read it, as it is now, and go on in a copy of it.

        Nothing is done where one of them may write to it, or where there is no room.

        Returns:
            Whether the file is a copy now that nobody had open a moment ago.
        """
        try:
            replaced = replace_by_copy(wait.path.resolve())
        except OSError as error:
            if not wait.failed:
                log.warning("%s: %s cannot be copied: %s", wait.purpose, wait.path, error.strerror)
            wait.failed = True
            return False
        if replaced:
            log.warning(
                "%s: %s is left as it is to those who read it (%s), "
"and the store goes on in a copy. "
                "To read without that, use market_assets.connect() or %s",
                wait.purpose, wait.path, hindrance, self._published.link,
            )  # fmt: skip
        return replaced

    def _prepare(self, purpose: str) -> None:
        """Check once per process, before anything is touched, that the file is ours; make or upgrade it if it is older."""
        present = _inode(self.path)
        if present is not None and self._verified == present:
            return
        if present is not None:
            version = self._version(purpose)
            if version > VERSION:
                raise StoreError(
                    f"{self.path} was written by a newer market_assets (store version {version}, "
                    f"this one knows {VERSION}). "
                    "Upgrade market_assets, or set MARKET_ASSETS_HOME to another folder. "
                    "Nothing was changed."
                )
            if version < VERSION:
                self._migrate(self.path, purpose, version)
        else:
            self._make(purpose)
        # What is left of a copy that a killed process had begun.
        self.path.resolve().with_name(f"{self.path.name}.new").unlink(missing_ok=True)
        # Another file may take its place, such as an older copy.
        self._verified = _inode(self.path)

    def _make(self, purpose: str) -> None:
        """Make an empty store beside its place and move it there whole: whoever dies meanwhile leaves no half a store."""
        if (log_ahead := _log_of(self.path)).exists():
            raise StoreError(
                f"{log_ahead} holds the last changes of a {self.path.name} that is gone. "
                "Put that file back beside it, or "
                f"remove {log_ahead.name} to begin with an empty store."
            )
        draft = self.path.with_name(f"{self.path.name}.new")
        for leftover in (draft, _log_of(draft)):
            leftover.unlink(missing_ok=True)
        self._migrate(draft, purpose, 0)
        draft.replace(self.path)

    def _migrate(self, path: Path, purpose: str, version: int) -> None:
        connection = self._connect(path, purpose, read_only=False)
        try:
            self._upgrade(connection, version)
        except duckdb.Error as error:
            raise StoreError(
                f"{purpose}: {path} could not be brought to store version {VERSION}: "
                f"{first_line(error)}. "
                "Nothing was changed; mend the cause and run it again."
            ) from error
        finally:
            close_file(path, connection)

    def _upgrade(self, connection: duckdb.DuckDBPyConnection, version: int) -> None:
        connection.begin()
        for script in MIGRATIONS[version:]:
            connection.execute(script)
        for profile, timeframe in _candle_tables(connection):
            connection.execute(add_extras(profile, timeframe))
        # Its text is this version's, too.
        _view_completeness(connection)
        rows = connection.execute(
            "SELECT store_id, commits, committed_at FROM ops.store"
        ).fetchall()
        store_id, commits, committed_at = rows[0] if rows else (None, None, None)
        connection.execute("DELETE FROM ops.store")
        connection.execute(
            "INSERT INTO ops.store VALUES (?, ?, ?, ?, ?)",
            [
                VERSION,
                _naive(self._clock()),
                store_id or uuid.uuid4().hex,
                commits or 0,
                committed_at,
            ],
        )
        connection.commit()

    @contextmanager
    def _nothing(self, purpose: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """An empty store in memory, with all its tables."""
        connection = duckdb.connect(":memory:")
        try:
            self._upgrade(connection, 0)
            # It is no store that could be told from another.
            connection.execute("UPDATE ops.store SET store_id = ''")
            connection.execute("BEGIN TRANSACTION READ ONLY")
            yield connection
        except duckdb.Error as error:
            raise StoreError(
                f"{purpose}: an empty store could not be read: {first_line(error)}"
            ) from error
        finally:
            connection.close()

    def _make_home(self) -> None:
        try:
            self.path.parent.mkdir(OURS_ALONE, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{self.path.parent} cannot be made: {error.strerror}. "
                "Set MARKET_ASSETS_HOME to a folder of yours."
            ) from error

    def _version(self, purpose: str) -> int:
        connection = self._connect(self.path, purpose, read_only=True)
        try:
            tables = connection.execute(
                "SELECT schema_name || '.' || table_name FROM duckdb_tables()"
            ).fetchall()
            if ("ops.store",) in tables:
                ((version,),) = connection.execute("SELECT max(version) FROM ops.store").fetchall()
                return int(version or 0)
        finally:
            close_file(self.path, connection)
        if tables:
            raise StoreError(
                f"{self.path} is a DuckDB file of another program (it has {tables[0][0]} and no "
                "ops.store). "
                "Move it away, or set MARKET_ASSETS_HOME to another folder. Nothing was changed."
            )
        return 0


def _view_completeness(connection: duckdb.DuckDBPyConnection, *, without: str = "") -> None:
    """Make the completeness view over the candle tables that there are, but for those of one schema."""
    tables = [
        (profile, timeframe)
        for profile, timeframe in _candle_tables(connection)
        if profile != without
    ]
    if tables:
        connection.execute(create_completeness_view(tables))
    else:
        connection.execute("DROP VIEW IF EXISTS ops.completeness")


def _candle_tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, Timeframe]]:
    """The profiles and timeframes that have a table of candles."""
    # Whatever else somebody keeps in this file, under a name such as candles_mine, is no business
    # of ours.
    found = connection.execute(
        """
        SELECT schema_name, table_name[9:]
        FROM duckdb_tables()
        WHERE list_contains(?, table_name) AND schema_name NOT IN ('ops', 'main')
        ORDER BY ALL
        """,
        [[f"candles_{timeframe}" for timeframe in Timeframe]],
    ).fetchall()
    return [(profile, Timeframe(timeframe)) for profile, timeframe in found]


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


def _apart(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of a table, without those that somebody stored twice for one symbol and ts, and these."""
    doubled = rows.select("symbol", "ts").is_duplicated()
    return rows.filter(~doubled), rows.filter(doubled)


def _alike(names: Sequence[str]) -> pl.Expr:
    """Whether some columns of a row are what they were before (with _before), but for their rounding."""
    pairs = [(pl.col(name), pl.col(f"{name}_before")) for name in names]
    near = [
        now.eq_missing(before)
        | ((now - before).abs() <= _ROUNDING * pl.max_horizontal(now.abs(), before.abs()))
        for now, before in pairs
    ]
    return pl.all_horizontal(pl.lit(value=True), *(each.fill_null(value=False) for each in near))


def _bounds(window: Window) -> tuple[datetime, datetime]:
    return _naive(window.start), _naive(window.end)


def _naive(instant: datetime) -> datetime:
    """An aware instant as DuckDB's TIMESTAMP holds it: UTC without a zone."""
    return instant.astimezone(UTC).replace(tzinfo=None)


def _inode(path: Path) -> int | None:
    """Which file lies at a path; None where there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _log_of(path: Path) -> Path:
    """DuckDB's write-ahead log beside a file: there after a crash, replayed by whoever opens the file next."""
    return path.with_name(f"{path.name}.wal")
