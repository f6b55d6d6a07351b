"""What it comes to when two sources are compared that report the same symbol. Pure.

How their times are compared is in `timing`, their prices and volumes in `values`; what is compared
and when, and what a check makes of it, in `agreement`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from market_assets.verdicts.pair import Pair
from market_assets.verdicts.timing import Timing
from market_assets.verdicts.values import adjusted, closes, volumes

if TYPE_CHECKING:
    import polars as pl

    from market_assets.market.timeframes import Timeframe
    from market_assets.verdicts.pair import Disagreement


@dataclass(frozen=True)
class Comparison:
    """The result of comparing two sources.

    Attributes:
        compared: Bars that both have.
        only_ours: Bars that only we have.
        only_theirs: Bars that only they have.
        disagreements: In what they differ; empty where they agree.
        both: The opens of the bars that both have (TS).
    """

    compared: int
    only_ours: int
    only_theirs: int
    disagreements: tuple[Disagreement, ...] = ()
    both: pl.Series | None = field(default=None, compare=False, repr=False)


def compare(
    candles: pl.DataFrame,
    their_candles: pl.DataFrame,
    timeframe: Timeframe,
    *,
    close: float,
    volume: float | None,
) -> Comparison:
    """Compare what two sources have of one symbol.

    Times are judged by price changes, not by prices, and only where enough of them are not zero:
    neither a flat market nor two venues with a steady distance look shifted. Where times are
    shifted, nothing else is said: it follows from that.

    Args:
        candles: Ours: ts, close, volume; each ts once.
        their_candles: The same of the other source.
        timeframe: The bars' length.
        close: How far two closes may lie apart, as a share of ours.
        volume: How far two volumes may lie apart, as a share of the larger one; None to compare
            none.
    """
    pair = Pair(candles.sort("ts"), their_candles.sort("ts"), timeframe)
    timing = Timing(pair)
    mistimed = timing.clock_changed() or timing.shifted()
    results = [mistimed or adjusted(pair, close) or closes(pair, close)]
    if mistimed is None and volume is not None:
        results.append(volumes(pair, volume))
    common = len(pair.both)
    disagreements = tuple(disagreement for disagreement in results if disagreement is not None)
    return Comparison(
        common,
        len(candles) - common,
        len(their_candles) - common,
        disagreements,
        pair.opens(pair.both),
    )
