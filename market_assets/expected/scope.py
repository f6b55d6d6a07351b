"""What must exist of a profile's candles of one timeframe, as of one instant.

A scope is made once for a run. Who judges, counts or reports asks it, and not the profile, its
calendar and the clock again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.floors import above, floor_of
from market_assets.expected.series import belongs, calendar_of, series_of
from market_assets.imports import late_imports
from market_assets.market.partitions import partition_key, partitions_in
from market_assets.market.timeframes import TS, Window, literal

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile
    from market_assets.expected.floors import Floor
    from market_assets.expected.series import Series
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.market.datasets import Dataset
    from market_assets.market.partitions import Cadence, Partition
    from market_assets.market.timeframes import Timeframe


@dataclass(frozen=True)
class Scope:
    """The candles of one timeframe that must exist by an instant.

    Attributes:
        profile: What is kept, with its settings.
        timeframe: A fetched or a derived timeframe of it.
        now: The present instant, aware: a bar that has not closed by then is none.
        series: The series of its symbols, or of some.
    """

    profile: Profile
    timeframe: Timeframe
    now: datetime
    series: tuple[Series, ...]

    def __str__(self) -> str:
        return f"{self.profile.name} {self.timeframe}"

    @property
    def dataset(self) -> Dataset:
        """The candles."""
        return self.profile.candles(self.timeframe)

    @property
    def calendar(self) -> SessionCalendar:
        """The profile's calendar, with the corrections of the universe."""
        return calendar_of(self.profile)

    @property
    def cadence(self) -> Cadence:
        """How long its partitions are."""
        return self.profile.partitions.of(self.timeframe)

    @property
    def is_derived(self) -> bool:
        """Whether it is made of a shorter timeframe."""
        return self.timeframe in self.profile.timeframes.derive

    @property
    def symbols(self) -> list[str]:
        """The symbols of its series, in their order."""
        return [series.symbol for series in self.series]

    @property
    def window(self) -> Window:
        """What the profile keeps up to the instant, from the floor on."""
        return above(self.profile.window(self.now), self.floor)

    @property
    def floor(self) -> Floor:
        """From when on its candles are kept, and expected."""
        return floor_of(self.profile, self.dataset, self.now)

    @property
    def extent(self) -> Window:
        """From the start of its first series to the end of its last; there must be one."""
        return Window(
            min(series.window.start for series in self.series),
            max(series.window.end for series in self.series),
        )

    def at(self, now: datetime) -> Scope:
        """The same symbols as of another instant, each from its start in the universe on."""
        return scope_of(self.profile, self.timeframe, now, self.symbols)

    def of(self, timeframe: Timeframe) -> Scope:
        """The same series in another timeframe, from the floor of that one on."""
        other = replace(self, timeframe=timeframe)
        floor = other.floor
        return replace(other, series=tuple(series.above(floor) for series in self.series))

    def only(self, symbols: Sequence[str]) -> Scope:
        """Some of the profile's symbols, each from its start on; all where none is named.

        Raises:
            UniverseError: A symbol is not in the profile.
        """
        return scope_of(self.profile, self.timeframe, self.now, symbols)

    def since(self, genesis: Mapping[str, datetime]) -> Scope:
        """The same series, each from its genesis on where that is known.

        Args:
            genesis: `Genesis.of` of the fetched timeframe.
        """
        since = tuple(series.since(genesis.get(series.symbol)) for series in self.series)
        return replace(self, series=since)

    def without(self, symbols: Collection[str]) -> Scope:
        """The series of the other symbols."""
        rest = tuple(series for series in self.series if series.symbol not in symbols)
        return replace(self, series=rest)

    def part(self, column: str = "ts") -> pl.Expr:
        """The first day of the partition that a time is in, as the column `part` (Date)."""
        return partition_key(self.cadence, column)

    def partitions(self, window: Window) -> list[Partition]:
        """The partitions that overlap a window, as far as the series reach; oldest first."""
        inside = window.intersect(self.extent) if self.series else None
        if inside is None:
            return []
        return partitions_in(self.calendar, self.timeframe, self.cadence, inside)

    def grid(self, window: Window) -> pl.DataFrame:
        """The bars of the calendar in a window, also those still to come.

        Returns:
            See `SessionCalendar.bars`.

        Raises:
            CalendarError: The window reaches beyond what the calendar knows.
        """
        return self.calendar.bars(self.timeframe, window)

    def size(self, window: Window) -> int:
        """How many bars of all series a window has at most, by the hours of the market.

        The bars themselves are not made for it.

        Raises:
            CalendarError: The window reaches beyond what the calendar knows.
        """
        start, end = window.micros
        spans = self.calendar.spans(window)
        opens = spans["open"].to_physical().to_numpy().clip(min=start)
        closes = spans["close"].to_physical().to_numpy().clip(max=end)
        # A stretch that ends within a bar has that bar.
        bars = -((opens - closes) // self.timeframe.micros)
        return len(self.series) * int(bars.sum())

    def closed(self, window: Window) -> pl.DataFrame:
        """Those bars of `grid` that have closed."""
        return self.grid(window).filter(pl.col("closes_at") <= literal(self.now))

    def touching(self, window: Window) -> pl.DataFrame:
        """The closed bars that share an instant with a window: ts, opens_at, closes_at."""
        bars = self.calendar.bars_touching(self.timeframe, window)
        return bars.filter(pl.col("closes_at") <= literal(self.now))

    def bars(self, window: Window) -> pl.DataFrame:
        """Every closed bar of a window that belongs to a series by its `ts`.

        Returns:
            symbol, ts, halted; sorted by the first two.
        """
        if not self.series:
            return pl.DataFrame(schema={"symbol": pl.String, "ts": TS, "halted": pl.Boolean})
        closed = self.closed(window).select("ts", "halted")
        series = sorted(self.series, key=lambda series: series.symbol)
        # Most have one window: what is cut out is shared, and a symbol costs no query.
        parts = {stretch: closed.filter(stretch.holds()) for stretch in {s.window for s in series}}
        bars = pl.concat([parts[s.window] for s in series])
        lengths = [len(parts[s.window]) for s in series]
        symbols = pl.Series("symbol", [s.symbol for s in series], pl.String)
        places = np.repeat(np.arange(len(series)), lengths)
        return bars.insert_column(0, symbols.gather(places))

    def belonging(self, series: Series) -> pl.Expr:
        """Whether a bar (ts, opens_at, closes_at) belongs to a series: see `belongs`."""
        return belongs(series.window, derived=self.is_derived, floor=series.floor)


def scope_of(
    profile: Profile, timeframe: Timeframe, now: datetime, symbols: Sequence[str] = ()
) -> Scope:
    """What must exist of a profile's candles, of all its symbols or of some, from their floor on.

    Args:
        profile: What is kept.
        timeframe: A fetched or a derived timeframe of it.
        now: The present instant, aware.
        symbols: Only these; all where none is named.

    Raises:
        UniverseError: A symbol is not in the profile.
    """
    scope = Scope(profile, timeframe, now, tuple(series_of(profile, now, symbols)))
    floor = scope.floor
    return replace(scope, series=tuple(series.above(floor) for series in scope.series))
