"""Features of candles, column by column. Pure.

Each is computed within a run of a symbol: stored bars between which nothing is unknown. A value
that reaches over a gap or before a run's first bar is null, and so is one that does not exist: a
ratio without a denominator, the logarithm of a negative price, anything of an unknown volume. No
feature looks ahead, and none depends on how the history was cut, once the bars that it `reaches`
for are there.

How each one is made stands in `families`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from market_assets.enrich.features.candles import Candles
from market_assets.enrich.features.families import FAMILIES, UNITS, Feature

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from market_assets.config.research import FeatureSettings
    from market_assets.market.timeframes import Timeframe, Window

    Values = NDArray[np.float64]


def features_of(settings: FeatureSettings, timeframe: Timeframe) -> tuple[Feature, ...]:
    """The features that the settings name, in the order of their columns."""
    given = settings.model_dump()
    session = {"overnight_return", "intraday_return", "vwap"}
    features: list[Feature] = []
    for name, make in FAMILIES.items():
        if name in session:
            families = [make()] if given[name] else []
        else:
            families = [
                make(*(window if isinstance(window, tuple) else (window,)))
                for window in given[name]
            ]
        features += [
            replace(feature, unit=UNITS.get(name, "")) for feature in chain.from_iterable(families)
        ]
    return tuple(feature for feature in features if timeframe.intraday or feature.name != "vwap")


def reach_of(features: tuple[Feature, ...]) -> int:
    """How many bars before a bar the features read at most."""
    return max((feature.reach for feature in features), default=0)


def compute(
    bars: pl.DataFrame,
    features: tuple[Feature, ...],
    *,
    within: Window | None = None,
    faults: dict[str, Exception] | None = None,
) -> pl.DataFrame:
    """Make features of candles.

    Args:
        bars: symbol, ts, opens_at, closes_at (TS), session (Date), open, high, low, close, volume
            (Float64), run (an integer; no two symbols share one) and, where something is unknown,
            torn (Boolean: something is unknown in the session up to here). Sorted by symbol and ts.
        features: Which.
        within: Only the rows whose `ts` lies there; the others are what these reach back to. All
            rows where none is given.
        faults: Takes the exception of each feature that cannot be made, by its name; such a feature
            is null and the others go on. Without it the exception is raised.

    Returns:
        symbol, ts, and one Float64 column per feature, null where it has no value; the rows are
        those of the bars.
    """
    candles = Candles(bars)
    keys = bars.select("symbol", "ts")
    wanted = None if within is None else _stretches(bars.select(within.holds()).to_series())

    def values(feature: Feature) -> Values:
        try:
            made = feature.values(candles)
        except Exception as error:
            if faults is None:
                raise
            faults[feature.name] = error
            made = np.full(len(bars), np.nan)
        return made if wanted is None else np.concatenate([made[part] for part in wanted])

    with np.errstate(all="ignore"):
        columns = [_column(feature.name, values(feature)) for feature in features]
    if wanted is not None:
        keys = pl.concat([keys[part] for part in wanted])
    return keys.with_columns(columns)


def _stretches(mask: pl.Series) -> list[slice]:
    """Where a mask is true; one empty stretch where it is so nowhere."""
    edges = np.flatnonzero(np.diff(mask.to_numpy().astype(np.int8), prepend=0, append=0))
    stretches = [slice(first, after) for first, after in edges.reshape(-1, 2).tolist()]
    return stretches or [slice(0, 0)]


def _column(name: str, values: Values) -> pl.Series:
    """Values as a column, null where one is no number."""
    finite = np.isfinite(values)
    if finite.all():
        return pl.Series(name, values)
    return pl.Series(name, np.where(finite, values, np.nan), nan_to_null=True)
