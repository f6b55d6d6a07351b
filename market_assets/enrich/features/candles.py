"""Candles as arrays, by runs, and what several features need of them. Pure.

A run is what is stored of a symbol without a bar between that is not known. A feature itself, and
how far it reaches, stands in `families`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import polars as pl

from market_assets.enrich.features.rolling import rolling_moments, rolling_sum
from market_assets.imports import late_imports
from market_assets.market.columns import OHLCV

# 20 MB that only computing needs.
with late_imports():
    import polars_talib

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Counts = NDArray[np.int64]

Made = TypeVar("Made")


class Candles:
    """Candles as arrays; NaN where a value is unknown.

    What several features need is computed once.
    """

    def __init__(self, bars: pl.DataFrame) -> None:
        self._bars = bars
        self._kept: dict[object, Any] = {}
        self.open, self.high, self.low, self.close, self.volume = (
            array_of(bars[name]) for name in OHLCV
        )

    def keep(self, key: object, make: Callable[[], Made]) -> Made:
        """The value that was made under this key before, or is made now."""
        if key not in self._kept:
            self._kept[key] = make()
        return cast("Made", self._kept[key])

    @cached_property
    def _starts(self) -> Counts:
        """The index of each run's first bar."""
        run = self._bars["run"].to_numpy()
        return (
            np.flatnonzero(np.concatenate(([True], run[1:] != run[:-1])))
            if len(run)
            else np.empty(0, np.int64)
        )

    @cached_property
    def place(self) -> Counts:
        """How many bars of its run lie before each."""
        lengths = np.diff(self._starts, append=len(self._bars))
        return np.arange(len(self._bars)) - np.repeat(self._starts, lengths)

    def after(self, values: Values, bars: int) -> Values:
        """The values, but not where fewer bars of the run lie before."""
        values[self.place < bars] = np.nan
        return values

    def before(self, values: Values, n: int) -> Values:
        """The value n bars before."""
        result = np.full(len(values), np.nan)
        result[n:] = values[: max(len(values) - n, 0)]
        return self.after(result, n)

    def bars_since(self, happened: Flags) -> Counts:
        """How many bars ago it last happened.

        Where it has not in this run, one more than lie before.
        """
        index = np.arange(len(happened))
        since = (
            index - np.maximum.accumulate(np.where(happened, index, -1)) if len(happened) else index
        )
        return np.minimum(since, self.place + 1)

    def recursive(self, key: object, make: Callable[[Any], pl.Expr]) -> pl.Series:
        """The result of an expression of polars_talib on each run by itself."""

        def run_by_run() -> pl.Series:
            made = make(polars_talib)
            if len(self._starts) > 1:
                made = made.over("run")
            return self._numbered.select(made.alias("made"))["made"]

        return self.keep(key, run_by_run)

    @cached_property
    def _numbered(self) -> pl.DataFrame:
        lengths = np.diff(self._starts, append=len(self._bars))
        run = pl.Series("run", np.repeat(np.arange(len(lengths)), lengths)).set_sorted()
        return self._bars.select("high", "low", "close").with_columns(run)

    def total(self, key: str, values: Callable[[], Values], n: int) -> Values:
        """The sums of n values; a NaN among them makes it NaN."""
        return self.keep((key, n), lambda: rolling_sum(self.keep(key, values), n))

    def mean_close(self, n: int) -> tuple[Values, Values, Values]:
        """Mean, distance from it, deviation of n closes."""

        def make() -> tuple[Values, Values, Values]:
            mean, distance, deviation = rolling_moments(self.close, n)
            return (
                self.after(mean, n - 1),
                self.after(distance, n - 1),
                self.after(deviation, n - 1),
            )

        return self.keep(("moments", n), make)

    def returns(self, n: int) -> Values:
        """The simple return over n bars; NaN where a price is not positive."""

        def make() -> Values:
            before = self.before(self.close, n)
            return np.where((before > 0) & (self.close > 0), (self.close - before) / before, np.nan)

        return self.keep(("returns", n), make)

    @cached_property
    def squares(self) -> Values:
        """The squared log return of each bar."""
        return np.log1p(self.returns(1)) ** 2

    @cached_property
    def ranges(self) -> Values:
        """The squared logarithm of high over low of each bar."""
        return np.log1p(np.where(self.low > 0, (self.high - self.low) / self.low, np.nan)) ** 2

    @cached_property
    def bodies(self) -> Values:
        """The squared logarithm of close over open of each bar."""
        return np.log1p(np.where(self.open > 0, (self.close - self.open) / self.open, np.nan)) ** 2

    @cached_property
    def typical(self) -> Values:
        """The mean of high, low and close."""
        return (self.high + self.low + self.close) / 3.0

    @cached_property
    def rising(self) -> Values:
        """1 where the typical price is higher than that of the bar before, -1 where it is lower."""
        before = self.before(self.typical, 1)
        rise = self.typical - before
        # The mean of the same three prices may differ by its rounding.
        return np.where(np.abs(rise) <= 1e-12 * np.abs(before), 0.0, np.sign(rise))

    @cached_property
    def flow(self) -> Values:
        """The money that changed hands.

        NaN at a run's first bar, and with a price that is not positive.
        """
        return np.where((self.typical > 0) & (self.place > 0), self.typical * self.volume, np.nan)

    @cached_property
    def moved(self) -> Flags:
        """Whether the close differs from that of the bar before."""
        moved: Flags = (self.close != self.before(self.close, 1)) & (self.place > 0)
        return moved

    @cached_property
    def directed(self) -> Flags:
        """Whether a bar reaches further beyond the bar before on one side than on the other."""
        up, down = self.high - self.before(self.high, 1), self.before(self.low, 1) - self.low
        directed: Flags = (np.maximum(up, down) > 0) & (up != down)
        return directed

    @cached_property
    def overnight(self) -> Values:
        """The return from the last session's close to the first open of this session.

        NaN within a session and where the market never closed.
        """
        bars = self._bars
        later = (bars["session"] != bars["session"].shift(1)) & (
            bars["opens_at"] > bars["closes_at"].shift(1)
        )
        before = self.before(self.close, 1)
        is_measurable = later.fill_null(value=False).to_numpy() & (before > 0) & (self.open > 0)
        return np.where(is_measurable, (self.open - before) / before, np.nan)

    @cached_property
    def vwap(self) -> Values:
        """The average price by volume since the session's first bar."""
        torn = pl.col("torn") if "torn" in self._bars.columns else pl.lit(value=False)
        session = pl.struct("symbol", "session").rle_id().set_sorted()
        sums = (
            self._bars.select(session=session, torn=torn)
            .with_columns(
                money=pl.Series(self.typical * self.volume), volume=pl.Series(self.volume)
            )
            .with_columns(pl.col("money", "volume").cum_sum().over("session"))
        )
        money, volume = sums["money"].to_numpy(), sums["volume"].to_numpy()
        return np.where((volume > 0) & ~sums["torn"].to_numpy(), money / volume, np.nan)


def array_of(column: pl.Series) -> Values:
    """A column as an array; NaN where it is null."""
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()
