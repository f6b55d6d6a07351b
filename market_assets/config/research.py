"""What is made of candles for research: features, aligned returns, and the prices of both.

How they are made stands in `market_assets/enrich`.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
)

from market_assets.config.values import Model, Share, TimeframeList


def _unequal(windows: tuple[object, ...]) -> tuple[object, ...]:
    for window, times in Counter(windows).items():
        if times > 1:
            text = list(window) if isinstance(window, tuple) else window
            raise ValueError(f"{text} is written {times} times")
    return windows


def _fast_first(windows: tuple[int, int, int]) -> tuple[int, int, int]:
    if windows[0] >= windows[1]:
        raise ValueError(
            "the first window must be shorter than the second; "
            "write [fast, slow, signal], such as [12, 26, 9]"
        )
    return windows


_Bars = Annotated[int, Field(ge=2, le=5000)]

_Windows = Annotated[tuple[_Bars, ...], AfterValidator(_unequal)]

_Steps = Annotated[tuple[Annotated[int, Field(ge=1, le=5000)], ...], AfterValidator(_unequal)]

_Bands = Annotated[
    tuple[tuple[_Bars, Annotated[float, Field(gt=0, le=100)]], ...], AfterValidator(_unequal)
]

_Crossings = Annotated[
    tuple[Annotated[tuple[_Bars, _Bars, _Bars], AfterValidator(_fast_first)], ...],
    AfterValidator(_unequal),
]


class Basis(StrEnum):
    """On which prices returns and features are made.

    A bar's values use the splits and dividends with an ex-date up to its own day, and stand on the
    footing of that day: what happens later changes none of them.
    """

    ADJUSTED = "adjusted"
    """Splits, and dividends as a share of the close before them, as adjusted candles have them."""

    RAW = "raw"
    """As they were traded."""

    TOTAL_RETURN = "total_return"
    """Splits, and dividends as money that is paid at the first bar of their ex-date."""


class FeatureSettings(Model):
    """Which features are made of candles, and over how many bars.

    An empty list or `false` leaves a feature out. The columns are called after the features: `ema:
    [12]` is `ema_12`, `macd: [[12, 26, 9]]` is `macd_12_26_9`.

    Attributes:
        simple_return: Close over the close n bars before, less 1.
        log_return: The logarithm of that ratio.
        overnight_return: A session's first open over the last session's close, less 1.
        intraday_return: What is left of the one-bar return without that.
        volatility: Root of the mean square of the last n log returns, per bar.
        parkinson: Volatility per bar by the range of high and low.
        garman_klass: Volatility per bar by range, open and close.
        atr: Average true range.
        rsi: Relative strength index.
        macd: Difference of two EMAs, its own EMA (signal) and what lies between: [fast, slow,
            signal].
        bb: Bollinger bands: [window, deviations].
        sma: Simple moving average of the close.
        ema: Exponential moving average of the close.
        adx: Average directional index.
        obv: Change of the on-balance volume over n bars.
        mfi: Money flow index.
        vwap: Average price weighted by volume since the session's first bar; none from 1d on.
        zscore: Close less its mean over n bars, in standard deviations.
        volume_ratio: Volume over its mean of n bars.
        drawdown: Close over the highest close of n bars, less 1.
    """

    simple_return: _Steps = (1,)
    log_return: _Steps = (1,)
    overnight_return: bool = True
    intraday_return: bool = True
    volatility: _Windows = (10, 20, 60)
    parkinson: _Windows = (20,)
    garman_klass: _Windows = (20,)
    atr: _Windows = (14,)
    rsi: _Windows = (14,)
    macd: _Crossings = ((12, 26, 9),)
    bb: _Bands = ((20, 2.0),)
    sma: _Windows = (10, 20, 50)
    ema: _Windows = (12, 26, 50)
    adx: _Windows = (14,)
    obv: _Windows = (20,)
    mfi: _Windows = (14,)
    vwap: bool = True
    zscore: _Windows = (20,)
    volume_ratio: _Windows = (20,)
    drawdown: _Windows = (60,)


class FeaturesEntry(FeatureSettings):
    """The features of a profile, and what they are made on.

    Attributes:
        basis: The prices that they are made on: adjusted, raw or total_return; by default adjusted
            ones where corporate actions are kept, else raw ones.
    """

    basis: Basis | None = None


class ReturnSettings(Model):
    """What is asked of aligned returns.

    Attributes:
        basis: The prices that they are made on: adjusted, raw or total_return; by default adjusted
            ones where corporate actions are kept, else raw ones.
        neutral_limit: The share of a symbol's bars in a partition that may be neutral, because
            nothing traded or something is missing. A symbol above it is degraded.
    """

    basis: Basis | None = None
    neutral_limit: Share = Field(default=0.2, ge=0, le=1)


class MarketsSettings(ReturnSettings):
    """One matrix of returns across profiles.

    Attributes:
        name: Its asset key prefix and DuckDB schema.
        profiles: Whose symbols are in it; empty for all that keep the timeframe.
        timeframes: The timeframes that have a matrix; none by default.
        calendar: Its times: `union` for those of any profile's calendar, `intersection` for those
            that all calendars have.
    """

    name: str = "markets"
    profiles: tuple[str, ...] = ()
    timeframes: TimeframeList = ()
    calendar: Literal["union", "intersection"] = "union"
