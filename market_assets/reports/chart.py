"""What a chart of one symbol shows: bars, what is absent of them and why, and marks.

A chart has at most so many bars, whatever its window: see `levels`. What is absent is told at every
level by the ledger of the fetched candles, so that a hole of a minute is seen in a week.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import ReadError
from market_assets.expected.scope import scope_of
from market_assets.expected.series import base_of, belongs
from market_assets.expected.states import states_of
from market_assets.imports import late_imports
from market_assets.market.columns import OHLCV
from market_assets.market.datasets import Dataset, Family
from market_assets.market.partitions import Partition
from market_assets.market.timeframes import TS, Timeframe, Window, literal
from market_assets.reports.levels import Level, level_of
from market_assets.store.database import aware, naive
from market_assets.verdicts.evidence import State
from market_assets.verdicts.trust import Quality
from market_assets.words import hint, listed

with late_imports():
    from market_assets.reports.overlay import Overlay

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.store import Snapshot

REMOVED = "removed"
"""The state of a bar that retention has removed."""

MOST_STRETCHES = 500
MOST_MARKS = 500

_MARKS = (Quality.DISPUTED, Quality.REVISED, Quality.LATE)
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Wish:
    """What somebody wants to see of one symbol.

    Attributes:
        profile: Whose symbol.
        symbol: Its name.
        timeframe: The shortest bars that are wanted: fetched or derived.
        window: From when to when.
        most: How many bars at most.
        features: Columns of features.
        day: On the footing of which day the prices are; None for prices as sources gave them.
    """

    profile: Profile
    symbol: str
    timeframe: Timeframe
    window: Window
    most: int
    features: Sequence[str] = ()
    day: date | None = None


@dataclass(frozen=True)
class Chart:
    """What a chart shows.

    Attributes:
        level: How long its bars are.
        base: The fetched timeframe that its bars are made of in the end: what is absent is told in
            its bars.
        extent: The first and the last stored `ts` of the timeframe that was asked for; None where
            it has none.
        rows: ts, open, high, low, close, volume (null where nothing is stored), state (null where
            nothing of the bar is absent), and the features that are stored of this level; sorted.
        stretches: state, start, end (of the rows), first_ts, last_ts (of absent bars), bars;
            the newest MOST_STRETCHES, oldest first.
        stretch_count: How many stretches there are.
        marks: ts (of a row), kind, bars; the newest MOST_MARKS, oldest first.
        mark_count: How many marks there are.
        features: The columns of features that are stored of this level.
    """

    level: Level
    base: Timeframe
    extent: tuple[datetime, datetime] | None
    rows: pl.DataFrame
    stretches: pl.DataFrame
    stretch_count: int
    marks: pl.DataFrame
    mark_count: int
    features: list[str]


def chart_of(view: Snapshot, wish: Wish, now: datetime) -> Chart:
    """What a chart shows.

    Args:
        view: The store, which has candles of the timeframe.
        wish: What somebody wants to see.
        now: The present instant (aware): a bar that has not closed by then is not expected.

    Raises:
        ReadError: There is no such feature.
    """
    profile = wish.profile
    base = base_of(profile, wish.timeframe)
    scope = scope_of(profile, base, now, [wish.symbol])
    all_kept = profile.symbols[wish.symbol].window(now)
    span = view.served.span(profile.candles(wish.timeframe), wish.symbol, _wide(all_kept))
    inside = wish.window.intersect(all_kept)
    held = inside and inside.intersect(scope.calendar.known)
    window = held or Window(all_kept.start, all_kept.start)
    if window.empty:
        level = Level(wish.timeframe)
    else:
        level = level_of(view, profile, wish.symbol, wish.timeframe, window=window, most=wish.most)
    drawing = _Drawing(view, wish, scope, level, window)
    rows = drawing.rows()
    stretches = drawing.stretches(rows)
    marks = drawing.marks(rows)
    features = drawing.feature_names()
    return Chart(
        level=level,
        base=base,
        extent=span and span[:2],
        rows=drawing.with_features(rows, features).drop("since", "until"),
        stretches=stretches.tail(MOST_STRETCHES),
        stretch_count=len(stretches),
        marks=marks.tail(MOST_MARKS),
        mark_count=len(marks),
        features=features,
    )


class _Drawing:
    """The parts of one chart.

    Args:
        view: The store.
        wish: What somebody wants to see.
        scope: The fetched candles that its bars are made of.
        level: How long its bars are.
        window: The part of the wish's window in which there can be bars.
    """

    def __init__(
        self, view: Snapshot, wish: Wish, scope: Scope, level: Level, window: Window
    ) -> None:
        profile, length = wish.profile, level.timeframe
        genesis = view.genesis.of(scope.dataset)
        is_kept = length in profile.timeframes.kept
        shown = scope_of(profile, length, scope.now, [wish.symbol]) if is_kept else scope
        self._view = view
        self._wish = wish
        self._base = scope.since(genesis)
        self._genesis = genesis.get(wish.symbol)
        self._level = level
        self._window = window
        self._is_base = length is scope.timeframe
        (self._series,) = shown.since(genesis).series

    def rows(self) -> pl.DataFrame:
        """Every bar of the chart, absent ones too, with what is known of it.

        Returns:
            ts, since, until (TS: which opens of fetched candles it holds), open, high, low, close,
            volume, state, sorted.
        """
        bars = self._bars()
        placed = bars.join(self._candles(bars), on="ts", how="left", maintain_order="left")
        is_stored = pl.col("close").is_not_null()
        series, floor = self._series, self._series.floor.start
        removed = pl.lit(value=False) if floor is None else pl.col("ts") < literal(floor)
        expected = belongs(series.window, derived=not self._is_base, floor=series.floor)
        due = placed.with_columns(
            is_stored=is_stored, is_removed=removed & ~is_stored, is_expected=expected
        ).filter(pl.any_horizontal("is_stored", "is_removed", "is_expected"))
        states = self._states(due)
        state = pl.when("is_removed").then(pl.lit(REMOVED)).otherwise(states)
        return due.select("ts", "since", "until", *OHLCV, state=state)

    def stretches(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Neighbours among the rows that lack something for the same reason, oldest first."""
        state = pl.col("state")
        runs = (
            rows.with_columns(run=state.ne_missing(state.shift()).cum_sum())
            .filter(pl.col("state").is_not_null())
            .group_by("run", maintain_order=True)
            .agg(
                pl.first("state"),
                start=pl.first("ts"),
                end=pl.last("ts"),
                since=pl.first("since"),
                until=pl.last("until"),
                bars=pl.len().cast(pl.Int64),
            )
            .drop("run")
        )
        if self._is_base:
            return runs.select(
                "state", "start", "end", first_ts="start", last_ts="end", bars="bars"
            )
        return self._overlay.facts(runs)

    def marks(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What else is known of the rows, oldest first."""
        schema = pl.Schema({"ts": TS, "kind": pl.String(), "bars": pl.Int64()})
        if rows.is_empty():
            return pl.DataFrame(schema=schema)
        reach = Window.spanning(rows["since"], rows["until"])
        trust = self._view.agreement.trust(self._base.dataset, [self._wish.symbol], reach)
        marks = trust.filter(pl.col("quality").is_in(list(_MARKS))).select(
            ts="since", kind="quality"
        )
        if self._genesis is not None:
            first = pl.DataFrame({"ts": [naive(self._genesis)], "kind": ["genesis"]})
            marks = pl.concat([marks, first.cast({"ts": TS})])
        placed = marks.sort("ts").join_asof(
            rows.select(row="ts", since="since", until="until"),
            left_on="ts",
            right_on="since",
            strategy="backward",
            check_sortedness=False,
        )
        return (
            placed.filter(pl.col("ts") < pl.col("until"))
            .group_by(ts="row", kind="kind")
            .agg(bars=pl.len().cast(pl.Int64))
            .sort("ts", "kind")
        )

    def feature_names(self) -> list[str]:
        """The columns of features that are stored of the level."""
        dataset = self._features
        if not self._view.catalog.has(dataset.owner, dataset.name):
            return []
        names = self._view.served.columns(dataset)
        return [name for name in names if name not in {"symbol", "ts"}]

    def with_features(self, rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
        """The rows with the features that are wanted, where the level has them."""
        if not self._wish.features or not names or rows.is_empty():
            return rows
        unknown = [name for name in self._wish.features if name not in names]
        if unknown:
            dataset = self._features
            raise ReadError(
                f"{dataset.owner}.{dataset.name} has no {unknown[0][:60]!r}"
                f"{hint(unknown[0], names)} It has {listed(names, most=60)}",
                key="features",
                absent=True,
            )
        made = self._view.features.of(
            self._features, Window.holding(rows["ts"]), [self._wish.symbol]
        )
        wanted = made.select("ts", *self._wish.features).unique("ts", keep="last")
        return rows.join(wanted, on="ts", how="left", maintain_order="left")

    @property
    def _features(self) -> Dataset:
        return Dataset(self._wish.profile.name, Family.FEATURES, self._level.timeframe)

    def _bars(self) -> pl.DataFrame:
        """The bars of the calendar that share an instant with the window and have closed."""
        length, scope = self._level.timeframe, self._base
        window, begin = self._window, scope.calendar.known.start
        reach = Window(begin, begin)
        if not window.empty:
            reach = Window(max(begin, window.start - length.duration), window.end)
        bars = scope.calendar.bars(length, reach)
        of_days = not scope.timeframe.intraday
        since = pl.col("ts" if of_days or self._is_base else "opens_at")
        until = pl.col("closes_at")
        if of_days or self._is_base:
            until = pl.col("ts") + (
                pl.duration(microseconds=1) if self._is_base else length.duration
            )
        return (
            bars.filter(pl.col("closes_at") <= literal(scope.now))
            .filter(pl.max_horizontal("closes_at", "ts") > literal(window.start))
            .with_columns(since=since, until=until)
        )

    def _candles(self, bars: pl.DataFrame) -> pl.DataFrame:
        """ts, open, high, low, close, volume of the bars that have candles."""
        view, wish, level = self._view, self._wish, self._level
        columns = ("ts", *OHLCV)
        if bars.is_empty():
            return pl.DataFrame(schema={"ts": TS, **dict.fromkeys(OHLCV, pl.Float64)})
        source = level.made_of or level.timeframe
        dataset = wish.profile.candles(source)
        if level.made_of is not None:
            of_days = not source.intraday
            until = pl.col("ts") + level.timeframe.duration if of_days else pl.col("closes_at")
            longer = bars.select("ts", since="ts" if of_days else "opens_at", until=until)
            return view.served.candles_in(dataset, wish.symbol, longer, wish.day)
        reach = Window.holding(bars["ts"])
        if wish.day is None:
            rows = view.candles.of(dataset, [wish.symbol], reach)
        else:
            rows = view.candles.adjusted(dataset, [wish.symbol], reach, wish.day)
        return rows.select(columns).unique("ts", keep="last")

    def _states(self, rows: pl.DataFrame) -> pl.Series:
        """What is absent of each row: null where nothing is."""
        if rows.is_empty():
            return pl.Series(dtype=pl.String)
        if not self._is_base:
            return self._overlay.states(rows)
        reach = _partitions_around(self._base, rows)
        states = states_of(self._view, self._base, reach).select("ts", "state")
        joined = rows.join(states, on="ts", how="left", maintain_order="left")
        return joined.select(
            pl.when(~pl.col("is_stored")).then(pl.col("state").fill_null(State.OPEN.value))
        )["state"]

    @cached_property
    def _overlay(self) -> Overlay:
        return Overlay.of(self._view, self._base, self._window)


def _partitions_around(scope: Scope, rows: pl.DataFrame) -> Window:
    """The partitions that hold some rows: a row of the ledger lies in one."""
    first, last = aware(rows["ts"][0]), aware(rows["ts"][-1])
    return Window(
        Partition.holding(first.date(), scope.cadence).window.start,
        Partition.holding(last.date(), scope.cadence).window.end,
    )


def _wide(window: Window) -> Window:
    """A window and a week before it: a bar's `ts` may lie so long before its first instant."""
    return Window(window.start - timedelta(days=7), window.end + _TICK)
