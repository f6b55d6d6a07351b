"""Features of candles, column by column. Pure.

Each is computed within a run of a symbol: stored bars between which nothing is unknown. A value
that reaches over a gap or before a run's first bar is null, and so is one that does not exist: a
ratio without a denominator, the logarithm of a negative price, anything of an unknown volume. No
feature looks ahead, and none depends on how the history was cut, once the bars that it `reaches`
for are there.

TA-Lib makes what is recursive. Sums over windows are made here: TA-Lib's keep the rounding of every
bar that they ever met.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from math import ceil, log
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import polars as pl

from market_assets.enrich.features.rolling import rolling_moments, rolling_sum
from market_assets.imports import late_imports

# 20 MB that only computing needs.
with late_imports():
    import polars_talib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from market_assets.config.settings import FeatureSettings
    from market_assets.market.timeframes import Timeframe

    Values = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Counts = NDArray[np.int64]

_FADED = 46
"""After so many time constants the weight of a bar is 1e-20.

Nothing is left of it even beside moves a million times smaller.
"""

_SETTLED = 30
"""After so many time constants the weight of a bar is 1e-13.

Nothing is left of it beside values of the same size, as prices are.
"""

_STILL = 10
"""After so many windows without any move, next to nothing is left of the last moves.

A ratio of what is left says nothing.
"""

_SCALE = 2.0**64
"""The factor that keeps small prices away from what TA-Lib takes for 0, below 1e-14.

It is for a token's price of 1e-9, and a power of two, so that it rounds nothing.
"""


Made = TypeVar("Made")


@dataclass(frozen=True)
class Feature:
    """One column.

    Attributes:
        name: What it is called.
        words: What it says.
        reach: How many bars of its run before a bar must be there for its value to be what the
            whole history makes of it, to 1e-9.
        values: Makes the column.
        unit: What it is a multiple of: "price", "volume", or "" for a mere number.
    """

    name: str
    words: str
    reach: int
    values: Callable[[_Candles], Values]
    unit: str = ""


def features_of(settings: FeatureSettings, timeframe: Timeframe) -> tuple[Feature, ...]:
    """The features that the settings name, in the order of their columns."""
    given = settings.model_dump()
    session = {"overnight_return", "intraday_return", "vwap"}
    features: list[Feature] = []
    for name, make in _FAMILIES.items():
        if name in session:
            families = [make()] if given[name] else []
        else:
            families = [
                make(*(window if isinstance(window, tuple) else (window,)))
                for window in given[name]
            ]
        features += [
            replace(feature, unit=_UNITS.get(name, "")) for feature in chain.from_iterable(families)
        ]
    return tuple(feature for feature in features if timeframe.intraday or feature.name != "vwap")


def reach_of(features: tuple[Feature, ...]) -> int:
    """How many bars before a bar the features read at most."""
    return max((feature.reach for feature in features), default=0)


def compute(
    bars: pl.DataFrame,
    features: tuple[Feature, ...],
    *,
    faults: dict[str, Exception] | None = None,
) -> pl.DataFrame:
    """Make features of candles.

    Args:
        bars: symbol, ts, opens_at, closes_at (TS), session (Date), open, high, low, close, volume
            (Float64), run (an integer; no two symbols share one) and, where something is unknown,
            torn (Boolean: something is unknown in the session up to here). Sorted by symbol and ts.
        features: Which.
        faults: Takes the exception of each feature that cannot be made, by its name; such a feature
            is null and the others go on. Without it the exception is raised.

    Returns:
        symbol, ts, and one Float64 column per feature, null where it has no value; the rows are
        those of the bars.
    """
    candles = _Candles(bars)

    def values(feature: Feature) -> Values:
        try:
            return feature.values(candles)
        except Exception as error:
            if faults is None:
                raise
            faults[feature.name] = error
            return np.full(len(bars), np.nan)

    with np.errstate(all="ignore"):
        columns = [pl.Series(feature.name, values(feature)) for feature in features]
    made = bars.select("symbol", "ts").with_columns(columns)
    return made.with_columns(
        pl.when(pl.col(feature.name).is_finite()).then(pl.col(feature.name)).alias(feature.name)
        for feature in features
    )


class _Candles:
    """Candles as arrays; NaN where a value is unknown.

    What several features need is computed once.
    """

    def __init__(self, bars: pl.DataFrame) -> None:
        self._bars = bars
        self._kept: dict[object, Any] = {}
        self.open, self.high, self.low, self.close, self.volume = (
            _array(bars[name]) for name in ("open", "high", "low", "close", "volume")
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


def _simple_return(n: int) -> Iterator[Feature]:
    yield Feature(
        f"simple_return_{n}",
        f"Close over the close {_bars(n)} before, less 1",
        n,
        lambda c: c.returns(n),
    )


def _log_return(n: int) -> Iterator[Feature]:
    words = f"Logarithm of close over the close {_bars(n)} before"
    yield Feature(f"log_return_{n}", words, n, lambda c: np.log1p(c.returns(n)))


def _overnight_return() -> Iterator[Feature]:
    words = (
        "A session's first open over the close of the session before, less 1; "
        "null at other bars, and where the market never closes"
    )
    yield Feature("overnight_return", words, 1, lambda c: c.overnight)


def _intraday_return() -> Iterator[Feature]:
    def values(c: _Candles) -> Values:
        bar_returns = np.where((c.open > 0) & (c.close > 0), (c.close - c.open) / c.open, np.nan)
        return np.where(np.isnan(c.overnight), c.returns(1), bar_returns)

    yield Feature(
        "intraday_return",
        "The return over 1 bar without what is overnight: (1 + both) multiply",
        1,
        values,
    )


def _volatility(n: int) -> Iterator[Feature]:
    words = f"Realised volatility: root of the mean square of {n} log returns, per bar"
    yield Feature(
        f"volatility_{n}", words, n, lambda c: np.sqrt(c.total("squares", lambda: c.squares, n) / n)
    )


def _parkinson(n: int) -> Iterator[Feature]:
    def values(c: _Candles) -> Values:
        return c.after(np.sqrt(c.total("ranges", lambda: c.ranges, n) / (4 * log(2) * n)), n - 1)

    yield Feature(
        f"parkinson_{n}",
        f"Parkinson's volatility of {n} bars by their high and low, per bar",
        n - 1,
        values,
    )


def _garman_klass(n: int) -> Iterator[Feature]:
    def values(c: _Candles) -> Values:
        ranges, bodies = (
            c.total("ranges", lambda: c.ranges, n),
            c.total("bodies", lambda: c.bodies, n),
        )
        return c.after(np.sqrt((0.5 * ranges - (2 * log(2) - 1) * bodies) / n), n - 1)

    words = f"Garman and Klass's volatility of {n} bars by range, open and close, per bar"
    yield Feature(f"garman_klass_{n}", words, n - 1, values)


def _atr(n: int) -> Iterator[Feature]:
    def values(c: _Candles) -> Values:
        return _array(c.recursive(("atr", n), lambda ta: ta.atr(_HIGH, _LOW, _CLOSE, timeperiod=n)))

    yield Feature(
        f"atr_{n}", f"Average true range, Wilder's average of {n} bars", n + _FADED * n, values
    )


def _rsi(n: int) -> Iterator[Feature]:
    def values(c: _Candles) -> Values:
        made = _array(c.recursive(("rsi", n), lambda ta: ta.rsi(_CLOSE * _SCALE, timeperiod=n)))
        still = c.bars_since(c.moved)
        return np.where((still > c.place) | (still >= _STILL * n), np.nan, made)

    words = (
        f"Relative strength index of {n} bars, 0 to 100; "
        f"null where the close has stood still for {_STILL * n} bars"
    )
    yield Feature(f"rsi_{n}", words, n + (_STILL + _FADED) * n, values)


def _macd(fast: int, slow: int, signal: int) -> Iterator[Feature]:
    def part(c: _Candles, name: str) -> Values:
        made = c.recursive(
            ("macd", fast, slow, signal),
            lambda ta: ta.macd(_CLOSE, fastperiod=fast, slowperiod=slow, signalperiod=signal),
        )
        return _array(made.struct.field(name))

    windows, reach = f"{fast}_{slow}_{signal}", _ema_reach(slow) + _ema_reach(signal)
    line = f"EMA of {fast} closes less that of {slow}"
    yield Feature(f"macd_{windows}", line, reach, lambda c: part(c, "macd"))
    yield Feature(
        f"macd_signal_{windows}",
        f"EMA of {signal} values of macd_{windows}",
        reach,
        lambda c: part(c, "macdsignal"),
    )
    yield Feature(
        f"macd_hist_{windows}",
        "The first less the second of these",
        reach,
        lambda c: part(c, "macdhist"),
    )


def _bb(n: int, deviations: float) -> Iterator[Feature]:
    def band(c: _Candles, factor: float) -> Values:
        mean, _, deviation = c.mean_close(n)
        return mean + factor * deviation

    windows, words = f"{n}_{deviations:g}".replace(".", "_"), f"mean of {n} closes"
    yield Feature(
        f"bb_upper_{windows}",
        f"Bollinger: {words} and {deviations:g} deviations",
        n - 1,
        lambda c: band(c, deviations),
    )
    yield Feature(
        f"bb_middle_{windows}", f"Bollinger: {words}", n - 1, lambda c: c.mean_close(n)[0]
    )
    yield Feature(
        f"bb_lower_{windows}",
        f"Bollinger: {words} less {deviations:g} deviations",
        n - 1,
        lambda c: band(c, -deviations),
    )


def _sma(n: int) -> Iterator[Feature]:
    def values(c: _Candles) -> Values:
        return c.after(c.total("close", lambda: c.close, n) / n, n - 1)

    yield Feature(f"sma_{n}", f"Mean of {n} closes", n - 1, values)


def _ema(n: int) -> Iterator[Feature]:
    def values(c: _Candles) -> Values:
        return _array(c.recursive(("ema", n), lambda ta: ta.ema(_CLOSE, timeperiod=n)))

    yield Feature(
        f"ema_{n}",
        f"Exponential mean of {n} closes, begun with their simple mean",
        _ema_reach(n),
        values,
    )


def _adx(n: int) -> Iterator[Feature]:
    def values(c: _Candles) -> Values:
        scaled = [price * _SCALE for price in (_HIGH, _LOW, _CLOSE)]
        made = _array(c.recursive(("adx", n), lambda ta: ta.adx(*scaled, timeperiod=n)))
        still = c.bars_since(c.directed)
        # While nothing moves the index is rounding, which stays in the average for long.
        since = c.bars_since(still >= _STILL * n)
        return np.where(
            (still > c.place) | ((since <= c.place) & (since < _SETTLED * n)), np.nan, made
        )

    words = (
        f"Average directional index of {n} bars, 0 to 100; "
        f"null for a while after {_STILL * n} bars without direction"
    )
    yield Feature(f"adx_{n}", words, 2 * n + (_SETTLED + _STILL + _FADED) * n, values)


def _obv(n: int) -> Iterator[Feature]:
    def signed(c: _Candles) -> Values:
        return np.sign(c.close - c.before(c.close, 1)) * c.volume

    words = (
        f"Change of the on-balance volume over {n} bars: "
        "volume of rising closes less that of falling ones"
    )
    yield Feature(f"obv_{n}", words, n, lambda c: c.total("obv", lambda: signed(c), n))


def _mfi(n: int) -> Iterator[Feature]:
    def values(c: _Candles) -> Values:
        gained = c.total("gained", lambda: np.where(c.rising > 0, c.flow, c.flow * 0.0), n)
        lost = c.total("lost", lambda: np.where(c.rising < 0, c.flow, c.flow * 0.0), n)
        return 100 * gained / (gained + lost)

    words = f"Money flow index of {n} bars, 0 to 100; null where no money flowed"
    yield Feature(f"mfi_{n}", words, n, values)


def _vwap() -> Iterator[Feature]:
    words = (
        "Average of (high + low + close) / 3 by volume since the session's first bar; "
        "the session of a market that never closes is the UTC day"
    )
    yield Feature("vwap", words, 0, lambda c: c.vwap)


def _zscore(n: int) -> Iterator[Feature]:
    def values(c: _Candles) -> Values:
        _, distance, deviation = c.mean_close(n)
        return distance / deviation

    yield Feature(
        f"zscore_{n}", f"Close less the mean of {n} closes, in standard deviations", n - 1, values
    )


def _volume_ratio(n: int) -> Iterator[Feature]:
    def values(c: _Candles) -> Values:
        return c.after(c.volume / (c.total("volume", lambda: c.volume, n) / n), n - 1)

    yield Feature(f"volume_ratio_{n}", f"Volume over the mean volume of {n} bars", n - 1, values)


def _drawdown(n: int) -> Iterator[Feature]:
    def values(c: _Candles) -> Values:
        highest = _array(pl.Series(c.close).rolling_max(n))
        return c.after(np.where(c.close > 0, (c.close - highest) / highest, np.nan), n - 1)

    yield Feature(f"drawdown_{n}", f"Close over the highest of {n} closes, less 1", n - 1, values)


_HIGH, _LOW, _CLOSE = pl.col("high"), pl.col("low"), pl.col("close")


def _array(column: pl.Series) -> Values:
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _bars(n: int) -> str:
    return f"{n} bar" if n == 1 else f"{n} bars"


def _ema_reach(n: int) -> int:
    return n + ceil(_SETTLED * (n + 1) / 2)


_UNITS = {**dict.fromkeys(("atr", "macd", "bb", "sma", "ema", "vwap"), "price"), "obv": "volume"}

_FAMILIES: dict[str, Callable[..., Iterator[Feature]]] = {
    "simple_return": _simple_return,
    "log_return": _log_return,
    "overnight_return": _overnight_return,
    "intraday_return": _intraday_return,
    "volatility": _volatility,
    "parkinson": _parkinson,
    "garman_klass": _garman_klass,
    "atr": _atr,
    "rsi": _rsi,
    "macd": _macd,
    "bb": _bb,
    "sma": _sma,
    "ema": _ema,
    "adx": _adx,
    "obv": _obv,
    "mfi": _mfi,
    "vwap": _vwap,
    "zscore": _zscore,
    "volume_ratio": _volume_ratio,
    "drawdown": _drawdown,
}
