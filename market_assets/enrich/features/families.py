"""The features, family by family: their words, how far they reach, and their values. Pure.

TA-Lib makes what is recursive. Sums over windows are made here: TA-Lib's keep the rounding of every
bar that they ever met. Which of them a profile has, and how they are made of bars, is in `compute`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from market_assets.enrich.features.candles import Candles, array_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

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
    values: Callable[[Candles], Values]
    unit: str = ""


_HIGH, _LOW, _CLOSE = pl.col("high"), pl.col("low"), pl.col("close")


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
    def values(c: Candles) -> Values:
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
    def values(c: Candles) -> Values:
        return c.after(np.sqrt(c.total("ranges", lambda: c.ranges, n) / (4 * log(2) * n)), n - 1)

    yield Feature(
        f"parkinson_{n}",
        f"Parkinson's volatility of {n} bars by their high and low, per bar",
        n - 1,
        values,
    )


def _garman_klass(n: int) -> Iterator[Feature]:
    def values(c: Candles) -> Values:
        ranges, bodies = (
            c.total("ranges", lambda: c.ranges, n),
            c.total("bodies", lambda: c.bodies, n),
        )
        return c.after(np.sqrt((0.5 * ranges - (2 * log(2) - 1) * bodies) / n), n - 1)

    words = f"Garman and Klass's volatility of {n} bars by range, open and close, per bar"
    yield Feature(f"garman_klass_{n}", words, n - 1, values)


def _atr(n: int) -> Iterator[Feature]:
    def values(c: Candles) -> Values:
        return array_of(
            c.recursive(("atr", n), lambda ta: ta.atr(_HIGH, _LOW, _CLOSE, timeperiod=n))
        )

    yield Feature(
        f"atr_{n}", f"Average true range, Wilder's average of {n} bars", n + _FADED * n, values
    )


def _rsi(n: int) -> Iterator[Feature]:
    def values(c: Candles) -> Values:
        made = array_of(c.recursive(("rsi", n), lambda ta: ta.rsi(_CLOSE * _SCALE, timeperiod=n)))
        still = c.bars_since(c.moved)
        return np.where((still > c.place) | (still >= _STILL * n), np.nan, made)

    words = (
        f"Relative strength index of {n} bars, 0 to 100; "
        f"null where the close has stood still for {_STILL * n} bars"
    )
    yield Feature(f"rsi_{n}", words, n + (_STILL + _FADED) * n, values)


def _macd(fast: int, slow: int, signal: int) -> Iterator[Feature]:
    def part(c: Candles, name: str) -> Values:
        made = c.recursive(
            ("macd", fast, slow, signal),
            lambda ta: ta.macd(_CLOSE, fastperiod=fast, slowperiod=slow, signalperiod=signal),
        )
        return array_of(made.struct.field(name))

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
    def band(c: Candles, factor: float) -> Values:
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
    def values(c: Candles) -> Values:
        return c.after(c.total("close", lambda: c.close, n) / n, n - 1)

    yield Feature(f"sma_{n}", f"Mean of {n} closes", n - 1, values)


def _ema(n: int) -> Iterator[Feature]:
    def values(c: Candles) -> Values:
        return array_of(c.recursive(("ema", n), lambda ta: ta.ema(_CLOSE, timeperiod=n)))

    yield Feature(
        f"ema_{n}",
        f"Exponential mean of {n} closes, begun with their simple mean",
        _ema_reach(n),
        values,
    )


def _adx(n: int) -> Iterator[Feature]:
    def values(c: Candles) -> Values:
        scaled = [price * _SCALE for price in (_HIGH, _LOW, _CLOSE)]
        made = array_of(c.recursive(("adx", n), lambda ta: ta.adx(*scaled, timeperiod=n)))
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
    def signed(c: Candles) -> Values:
        return np.sign(c.close - c.before(c.close, 1)) * c.volume

    words = (
        f"Change of the on-balance volume over {n} bars: "
        "volume of rising closes less that of falling ones"
    )
    yield Feature(f"obv_{n}", words, n, lambda c: c.total("obv", lambda: signed(c), n))


def _mfi(n: int) -> Iterator[Feature]:
    def values(c: Candles) -> Values:
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
    def values(c: Candles) -> Values:
        _, distance, deviation = c.mean_close(n)
        return distance / deviation

    yield Feature(
        f"zscore_{n}", f"Close less the mean of {n} closes, in standard deviations", n - 1, values
    )


def _volume_ratio(n: int) -> Iterator[Feature]:
    def values(c: Candles) -> Values:
        return c.after(c.volume / (c.total("volume", lambda: c.volume, n) / n), n - 1)

    yield Feature(f"volume_ratio_{n}", f"Volume over the mean volume of {n} bars", n - 1, values)


def _drawdown(n: int) -> Iterator[Feature]:
    def values(c: Candles) -> Values:
        highest = array_of(pl.Series(c.close).rolling_max(n))
        return c.after(np.where(c.close > 0, (c.close - highest) / highest, np.nan), n - 1)

    yield Feature(f"drawdown_{n}", f"Close over the highest of {n} closes, less 1", n - 1, values)


def _bars(n: int) -> str:
    return f"{n} bar" if n == 1 else f"{n} bars"


def _ema_reach(n: int) -> int:
    return n + ceil(_SETTLED * (n + 1) / 2)


UNITS = {**dict.fromkeys(("atr", "macd", "bb", "sma", "ema", "vwap"), "price"), "obv": "volume"}

FAMILIES: dict[str, Callable[..., Iterator[Feature]]] = {
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
