"""Which tables go to the lake, into which files, and what columns these have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from market_assets.enrich.returns.returns import markets_cadence
from market_assets.errors import ExportError
from market_assets.market.datasets import Dataset
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.words import hint, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from market_assets.config.universe import Universe

ACTIONS = "corporate_actions"
_SQL: dict[pl.DataType | type[pl.DataType], str] = {
    pl.String: "VARCHAR",
    pl.Datetime("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
    pl.Date: "DATE",
    pl.Float64: "DOUBLE",
    pl.Int64: "BIGINT",
    pl.Int32: "INTEGER",
}

GROUP_ROWS = 65_536
"""Rows of a row group.

Files are sorted by symbol: a reader of one symbol reads one or two row groups.
"""


class Period(StrEnum):
    """The stretch of time that one file holds.

    It is as long as possible while the file stays small enough to be written again for one bar.
    """

    DAY = "day"
    MONTH = "month"
    YEAR = "year"
    EVER = "ever"

    @classmethod
    def of(cls, timeframe: Timeframe) -> Period:
        """A day of minutes, a month of longer bars, a year of days and weeks."""
        if timeframe is Timeframe.M1:
            return cls.DAY
        return cls.MONTH if timeframe.intraday else cls.YEAR

    @property
    def keys(self) -> tuple[str, ...]:
        """The hive keys of the folders, outermost first."""
        return {Period.YEAR: ("year",), Period.EVER: ()}.get(self, ("year", "month"))


@dataclass(frozen=True, order=True)
class Piece:
    """What one file holds.

    Attributes:
        window: The `ts` of its rows lie in it.
        key: Its name: 2025-01-31, 2025-01 or 2025.
        path: Its file, from the table's folder on.
    """

    window: Window
    key: str
    path: str

    @classmethod
    def holding(cls, day: date, period: Period) -> Piece:
        """The piece that a UTC day belongs to."""
        match period:
            case Period.DAY:
                first, after, key = day, day + timedelta(days=1), f"{day:%Y-%m-%d}"
            case Period.MONTH:
                first = day.replace(day=1)
                after, key = (first + timedelta(days=31)).replace(day=1), f"{day:%Y-%m}"
            case Period.YEAR:
                first, after, key = date(day.year, 1, 1), date(day.year + 1, 1, 1), f"{day:%Y}"
            case Period.EVER:
                raise ValueError("a table without a time has one file and no pieces")
        # No zero before a month: DuckDB would take it for a text, other readers for a number.
        folders = [f"{name}={getattr(day, name)}" for name in period.keys]
        return cls(Window.of_days(first, after), key, "/".join([*folders, f"{key}.parquet"]))


@dataclass(frozen=True)
class Table:
    """A table of the store that goes to the lake.

    Attributes:
        owner: The profile's name, or that of the matrix across profiles.
        name: The table's name.
        period: What one file holds.
        cadence: How long its partitions are.
        timeframe: Of which candles it is; None for corporate actions.
    """

    owner: str
    name: str
    period: Period
    cadence: Cadence
    timeframe: Timeframe | None = None

    @property
    def label(self) -> str:
        """The name by which its partitions are judged."""
        return Dataset.named(self.owner, self.name).label if self.timeframe else self.name

    def __str__(self) -> str:
        return f"{self.owner}.{self.name}"


def tables_of(
    universe: Universe, names: Sequence[str] | None = None, timeframes: Iterable[str] | None = None
) -> list[Table]:
    """The tables that a universe keeps, in its order.

    These are candles, features, returns and corporate actions.

    Args:
        universe: What is kept.
        names: Of which profiles; also the matrix across profiles has a name. All if none is given.
        timeframes: Of which timeframes; all if none is given. Corporate actions have none, and are
            always there.

    Raises:
        ExportError: There is no such profile.
    """
    markets = universe.markets
    owners = [*universe.profiles, *([markets.name] if markets.timeframes else [])]
    if unknown := [name for name in names or () if name not in owners]:
        raise ExportError(
            f"{unknown[0]}: no such profile{hint(unknown[0], owners)} There are {listed(owners)}"
        )
    tables: list[Table] = []
    for name in dict.fromkeys(names or owners):
        if name not in universe.profiles:
            tables += [
                table_of(Dataset.returns(name, timeframe), markets_cadence(timeframe))
                for timeframe in markets.timeframes
            ]
            continue
        profile = universe.profiles[name]
        tables += [
            table_of(dataset, profile.partitions.of(dataset.timeframe))
            for dataset in profile.datasets
        ]
        if profile.has_actions:
            tables.append(Table(name, ACTIONS, Period.EVER, Cadence.MONTH))
    wanted = list(timeframes or ())
    return [
        table
        for table in tables
        if not wanted or table.timeframe is None or table.timeframe in wanted
    ]


def table_of(dataset: Dataset, cadence: Cadence) -> Table:
    """A dataset as a table of the lake.

    Args:
        dataset: Which one.
        cadence: How long its partitions are.
    """
    timeframe = dataset.timeframe
    return Table(dataset.owner, dataset.name, Period.of(timeframe), cadence, timeframe)


def pieces_of(table: Table, partition: str) -> list[Piece]:
    """The pieces that hold a partition's rows: one, or each day of a month."""
    window = Partition.holding(date.fromisoformat(partition), table.cadence).window
    days = [
        window.start.date() + timedelta(days=n) for n in range((window.end - window.start).days)
    ]
    return [
        Piece.holding(day, table.period)
        for day in (days if table.period is Period.DAY else days[:1])
    ]


def pieces_in(table: Table, window: Window) -> list[Piece]:
    """The pieces of a table that share an instant with a window, oldest first."""
    pieces = []
    day = window.start.date()
    while Window.of_days(day, day + timedelta(days=1)).intersect(window):
        pieces.append(Piece.holding(day, table.period))
        day = pieces[-1].window.end.date()
    return pieces


def arranged(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a table as their file holds them: sorted by symbol and time, times marked as UTC.

    Beside `ts` stands `date`, its day in UTC: of a day its session, of a week its Monday. A reader
    whose zone is not UTC would make another day of `ts`.
    """
    timed = "ts" in rows.columns
    rows = rows.sort("symbol", "ts") if timed else rows.sort(pl.all())
    if timed:
        rows = rows.select(
            "symbol", "ts", pl.col("ts").dt.date().alias("date"), pl.exclude("symbol", "ts")
        )
    return rows.with_columns(pl.col(TS).dt.replace_time_zone("UTC"))


def types_of(rows: pl.DataFrame) -> dict[str, str]:
    """The columns of a file with their types, as SQL calls them."""
    return {name: _SQL[kind] for name, kind in rows.schema.items()}
