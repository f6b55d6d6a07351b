"""Which bars each series of a scope must have by an instant: a stretch of the calendar's bars.

They are kept as blocks (`market/blocks.py`), a year at a time, so that ten years of minutes of
hundreds of symbols are counted without a row a bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import polars as pl

from market_assets.imports import late_imports
from market_assets.market.blocks import BLOCK_SCHEMA, block_length, blocks_of, since, until
from market_assets.market.partitions import partition_key
from market_assets.market.timeframes import TS, Window, literal, to_micros
from market_assets.store.database import aware, naive

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from market_assets.expected.floors import Floor
    from market_assets.expected.scope import Scope
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.market.datasets import Dataset
    from market_assets.market.partitions import Cadence
    from market_assets.market.timeframes import Timeframe

_YEAR = 366 * 86_400_000_000
_TICK = timedelta(microseconds=1)

_GRID = pl.Schema({**BLOCK_SCHEMA, "part": pl.Date(), "halted": pl.UInt64()})
_PARTS = pl.Schema({"symbol": pl.String(), "part": pl.Date(), "expected": pl.Int64()})


@dataclass(frozen=True)
class Stretch:
    """Bars of the calendar that follow each other.

    Attributes:
        bars: How many; at least one.
        first: The open of the first.
        last: The open of the last.
    """

    bars: int
    first: datetime
    last: datetime

    def followed_by(self, later: Stretch) -> Stretch:
        """Both, where the other one follows."""
        return Stretch(self.bars + later.bars, self.first, later.last)


@dataclass(frozen=True)
class Called:
    """The bars that each series must have.

    Attributes:
        dataset: Whose bars.
        stretches: Of each series that must have a bar, by symbol.
        grid: The blocks of the calendar: block, bits, part (the first day of its partition), and
            halted, those of the bits at which the whole market stood still.
    """

    dataset: Dataset
    stretches: dict[str, Stretch]
    grid: pl.DataFrame

    @property
    def timeframe(self) -> Timeframe:
        """How long the bars are."""
        return self.dataset.timeframe

    @property
    def hull(self) -> Window | None:
        """From the first bar of any series to its last; None where no series must have one."""
        if not self.stretches:
            return None
        first = min(stretch.first for stretch in self.stretches.values())
        last = max(stretch.last for stretch in self.stretches.values())
        return Window(first, last + _TICK)

    @cached_property
    def partitions(self) -> pl.DataFrame:
        """How many bars each series must have in each partition: symbol, part, expected."""
        parts = self.grid["part"]
        borders = (parts != parts.shift()).fill_null(value=True).arg_true()
        keys = parts.gather(borders)
        cut = {
            stretch: np.add.reduceat(self._counts(stretch), borders.to_numpy())
            for stretch in set(self.stretches.values())
        }
        frames = [
            pl.DataFrame([keys, pl.Series("expected", cut[stretch], pl.Int64)]).select(
                pl.lit(symbol).alias("symbol"), "part", "expected"
            )
            for symbol, stretch in self.stretches.items()
        ]
        return pl.concat([_PARTS.to_frame(), *frames]).filter(pl.col("expected") > 0)

    def _counts(self, stretch: Stretch) -> np.ndarray:
        """How many bars of a stretch each block of the grid has."""
        blocks, bits = self.grid["block"].to_numpy(), self.grid["bits"].to_numpy()
        begin, start = since(_opens([stretch.first]), self.timeframe).row(0)
        finish, end = until(_opens([stretch.last]), self.timeframe).row(0)

        inside = np.where((blocks >= begin) & (blocks <= finish), bits, np.uint64(0))
        inside[blocks == begin] &= np.uint64(start)
        inside[blocks == finish] &= np.uint64(end)
        return np.bitwise_count(inside).astype(np.int64)

    @property
    def edges(self) -> pl.DataFrame:
        """Where each series begins and ends: symbol, first_block, since, last_block, until.

        `since` and `until` are those bits of the first and the last block that may be its own.
        """
        stretches = self.stretches.values()
        starts = since(_opens([stretch.first for stretch in stretches]), self.timeframe)
        ends = until(_opens([stretch.last for stretch in stretches]), self.timeframe)
        return pl.DataFrame(
            {
                "symbol": pl.Series(list(self.stretches), dtype=pl.String),
                "first_block": starts["block"],
                "since": starts["bits"],
                "last_block": ends["block"],
                "until": ends["bits"],
            }
        )


def _opens(instants: Iterable[datetime]) -> pl.Series:
    return pl.Series([naive(instant) for instant in instants], dtype=TS)


@dataclass(frozen=True)
class _Question:
    """What the bars of some series are found by.

    Attributes:
        calendar: Whose bars.
        timeframe: How long they are.
        cadence: How long their partitions are.
        derived: Whether they are made of shorter ones.
        series: The window and the floor of each, none twice.
        now: The present instant.
        closed_until: Later bars are not called for.
    """

    calendar: SessionCalendar
    timeframe: Timeframe
    cadence: Cadence
    derived: bool
    series: frozenset[tuple[Window, Floor]]
    now: datetime
    closed_until: datetime


def called_of(scope: Scope, closed_until: datetime) -> Called:
    """The bars of a scope's series that have closed until an instant."""
    series = frozenset((series.window, series.floor) for series in scope.series)
    stretches, grid = _found(
        _Question(
            scope.calendar,
            scope.timeframe,
            scope.cadence,
            scope.is_derived,
            series,
            scope.now,
            closed_until,
        )
    )
    by_symbol = {
        series.symbol: stretches[series.window, series.floor]
        for series in scope.series
        if (series.window, series.floor) in stretches
    }
    return Called(scope.dataset, by_symbol, grid)


# Who counts what must exist audits it next.
@lru_cache(maxsize=16)
def _found(question: _Question) -> tuple[dict[tuple[Window, Floor], Stretch], pl.DataFrame]:
    """The bars of each series that must have some, and the blocks of the calendar."""
    stretches: dict[tuple[Window, Floor], Stretch] = {}
    grids = [_GRID.to_frame()]
    for bars in _years_of(question):
        for key in question.series:
            later = _stretch_in(bars, *key, derived=question.derived)
            if later is not None:
                before = stretches.get(key)
                stretches[key] = later if before is None else before.followed_by(later)
        grids.append(_grid_of(bars, question.timeframe, question.cadence))
    return stretches, _united(pl.concat(grids))


def _years_of(question: _Question) -> Iterator[pl.DataFrame]:
    """The bars of the calendar that have closed, in pieces of about a year."""
    if not question.series:
        return
    start = min(window.start for window, _ in question.series)
    first, end = Window(start, max(question.now, start)).micros
    for at in range(first, end, _YEAR):
        year = Window.of_micros(at, min(at + _YEAR, end))
        if question.derived:
            bars = question.calendar.bars_touching(question.timeframe, year)
            # A bar that two years touch is counted in the one in which it opens, and one that was
            # open at the start in the first.
            opens = pl.max_horizontal("opens_at", literal(start))
            bars = bars.filter(opens >= literal(year.start), opens < literal(year.end))
        else:
            bars = question.calendar.bars(question.timeframe, year)
        bars = bars.filter(pl.col("closes_at") <= literal(question.closed_until))
        if not bars.is_empty():
            yield bars


def _stretch_in(
    bars: pl.DataFrame, window: Window, floor: Floor, *, derived: bool
) -> Stretch | None:
    """The bars that belong to a series; see `series.belongs`. All three columns are sorted."""
    ts, opens, closes = (bars[name].to_physical() for name in ("ts", "opens_at", "closes_at"))
    start, end = window.micros
    if not derived:
        first, after = int(ts.search_sorted(start)), int(ts.search_sorted(end))
    else:
        starts = [int(closes.search_sorted(start, side="right"))]
        if floor.kept is not None:
            starts.append(int(ts.search_sorted(to_micros(floor.kept))))
        if floor.made is not None:
            starts.append(int(opens.search_sorted(to_micros(floor.made))))
        first, after = max(starts), int(opens.search_sorted(end))
    if first >= after:
        return None
    return Stretch(after - first, aware(bars["ts"][first]), aware(bars["ts"][after - 1]))


def grid_of(scope: Scope, window: Window) -> pl.DataFrame:
    """The blocks of the calendar in whole days, also of bars still to come: see `Called.grid`.

    Of what lies beyond the calendar there are none.
    """
    inside = window.intersect(scope.calendar.known)
    if inside is None:
        return _GRID.to_frame()
    years = range(inside.start.year, inside.end.year + 1)
    grid = pl.concat(
        _year_grid(scope.calendar, scope.timeframe, scope.cadence, year) for year in years
    )
    length = block_length(scope.timeframe)
    start, end = inside.micros
    return grid.filter(pl.col("block").is_between(start // length, -(-end // length), "left"))


@lru_cache(maxsize=256)
def _year_grid(
    calendar: SessionCalendar, timeframe: Timeframe, cadence: Cadence, year: int
) -> pl.DataFrame:
    """The grid of a calendar year; kept, because sensors ask for the same years every minute."""
    window = Window.of_days(date(year, 1, 1), date(year + 1, 1, 1)).intersect(calendar.known)
    if window is None:
        return _GRID.to_frame()
    return _grid_of(calendar.bars(timeframe, window), timeframe, cadence)


def _grid_of(bars: pl.DataFrame, timeframe: Timeframe, cadence: Cadence) -> pl.DataFrame:
    """The blocks of some bars, as in `Called.grid`."""
    halted = blocks_of(bars.filter("halted")["ts"], timeframe).rename({"bits": "halted"})
    start = (pl.col("block") * block_length(timeframe)).cast(TS)
    return (
        blocks_of(bars["ts"], timeframe)
        .join(halted, on="block", how="left", maintain_order="left")
        .with_columns(pl.col("halted").fill_null(0), ts=start)
        .with_columns(partition_key(cadence))
        .select(_GRID.names())
    )


def _united(grid: pl.DataFrame) -> pl.DataFrame:
    """The grid of some years: a block that two of them share is one."""
    if grid["block"].is_unique().all():
        return grid
    both = pl.col("bits", "halted").bitwise_or()
    return (
        grid.group_by("block", maintain_order=True)
        .agg(pl.first("part"), both)
        .select(_GRID.names())
    )
