"""Whether the prices and volumes of two sources are the same at the same times. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.imports import late_imports
from market_assets.market.timeframes import Timeframe
from market_assets.verdicts.pair import SHOWN, Disagreement, Kind, Pair

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


_STEP = 3
"""How many bars in a row with one ratio an adjustment has at least."""

_RARE = 20 * Timeframe.D1.micros
"""Splits and dividends of one instrument are farther apart on average.

What steps more often is the noise of two venues.
"""

_STEADY = 0.9
"""The share of the bars that such steps must explain."""


def adjusted(pair: Pair, tolerance: float) -> Disagreement | None:
    """Their closes are ours times a ratio that is not 1, or that changes in steps."""
    close, their = pair.close[pair.both], pair.their_close[pair.there]
    good = (close > 0) & (their > 0)
    ratio = np.log(their[good] / close[good])
    apart = np.abs(np.expm1(ratio)) > tolerance
    if not apart.any():
        return None
    step = np.concatenate(([0], np.cumsum(np.abs(np.diff(ratio)) > tolerance)))
    steps = (
        pl.DataFrame({"step": step, "ratio": ratio})
        .group_by("step", maintain_order=True)
        .agg(pl.len(), middle=pl.median("ratio"))
    )
    count, middle = steps["len"].to_numpy(), steps["middle"].to_numpy()
    steady = (count >= _STEP)[step] & (np.abs(ratio - middle[step]) <= tolerance)
    off = steady & (np.abs(np.expm1(middle)) > tolerance)[step]
    if steady.mean() < _STEADY or off.sum() < max(_STEP, _STEADY * apart.sum()):
        return None
    bars = pair.both[good][off]
    levels = np.exp(middle[count >= _STEP])
    if len(levels) > 2 + (pair.ts[-1] - pair.ts[0]) // _RARE:
        return None
    farthest = float(levels[np.abs(np.log(levels)).argmax()])
    words = f"theirs are {farthest:.6g} times ours"
    if len(levels) == 1:
        words += f" throughout, in {len(bars):,} bars"
    else:
        shown = ", then ".join(f"{level:.6g}" for level in levels[:SHOWN])
        more = f" and {len(levels) - SHOWN:,} more" if len(levels) > SHOWN else ""
        words = f"their closes are {shown}{more} times ours, in {len(bars):,} bars not the same"
    words += ": one of the two is adjusted for splits or dividends, or in another unit or currency"
    return pair.disagreement(Kind.ADJUSTED, bars, farthest, words, bars)


def closes(pair: Pair, tolerance: float) -> Disagreement | None:
    """Their closes differ from ours."""
    close, their = pair.close[pair.both], pair.their_close[pair.there]
    base = np.where(close == 0, np.abs(their), np.abs(close))
    share = np.divide(np.abs(their - close), base, out=np.zeros_like(close), where=base > 0)
    return _apart(pair, Kind.CLOSE, share, tolerance, "closes")


def volumes(pair: Pair, tolerance: float) -> Disagreement | None:
    """Their volumes differ from ours."""
    volume, their = pair.volume[pair.both], pair.their_volume[pair.there]
    base = np.fmax(volume, their)
    has_volumes = ~np.isnan(volume) & ~np.isnan(their) & (base > 0)
    share = np.divide(np.abs(their - volume), base, out=np.zeros_like(volume), where=has_volumes)
    traded = has_volumes & (volume > 0)
    ratio = float(np.median(their[traded] / volume[traded])) if traded.any() else 0.0
    usual = "" if 0.99 < ratio < 1.01 else f"; as a rule theirs are {ratio:.3g} times ours"
    return _apart(pair, Kind.VOLUME, share, tolerance, "volumes", more=usual)


def _apart(
    pair: Pair, kind: Kind, share: Floats, tolerance: float, what: str, *, more: str = ""
) -> Disagreement | None:
    differing = np.flatnonzero(share > tolerance)
    if not len(differing):
        return None
    worst = float(share.max())
    words = (
        f"{len(differing):,} of {len(share):,} {what} lie more than {tolerance * 100:.4g} % "
        f"apart, the worst {worst * 100:.4g} %{more}"
    )
    order = differing[np.argsort(-share[differing], kind="stable")]
    return pair.disagreement(kind, pair.both[differing], worst, words, pair.both[order])
