"""The bars of two sources side by side, and one way in which they differ. Pure.

What is looked for in them: `market_assets/verdicts/timing.py`, `market_assets/verdicts/values.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from market_assets.imports import late_imports
from market_assets.market.instants import to_minute
from market_assets.market.timeframes import TS, Timeframe, from_micros

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


SHOWN = 5
"""Bars that a finding shows, worst first."""


class Kind(StrEnum):
    """In what two sources differ."""

    CLOSE = "close"
    VOLUME = "volume"
    SHIFTED = "shifted by a bar"
    CLOCK = "shifted clock"
    ADJUSTED = "adjusted"


@dataclass(frozen=True)
class Disagreement:
    """One way in which two sources differ.

    Attributes:
        kind: Which.
        bars: In how many bars.
        worst: The largest difference, as a share of our close or of the larger volume; of times, by
            how many seconds theirs are later than ours; of an adjustment, the ratio of their close
            to ours that is farthest from 1.
        first: The open of the first such bar (UTC).
        words: What is so, with its figures.
        sample: Some of these bars: ts, close, their_close, volume, their_volume.
        at: The opens of all these bars (TS); None where it is every bar that both have.
    """

    kind: Kind
    bars: int
    worst: float
    first: datetime
    words: str
    sample: tuple[Mapping[str, object], ...] = ()
    at: pl.Series | None = field(default=None, compare=False, repr=False)


class Pair:
    """The bars of two sources, and where ours lie among theirs."""

    def __init__(
        self, candles: pl.DataFrame, their_candles: pl.DataFrame, timeframe: Timeframe
    ) -> None:
        self.bar = timeframe.micros
        self.ts, self.their_ts = (
            frame["ts"].to_physical().to_numpy() for frame in (candles, their_candles)
        )
        self.close, self.their_close = (
            frame["close"].to_numpy() for frame in (candles, their_candles)
        )
        self.volume, self.their_volume = (
            frame["volume"].cast(pl.Float64).fill_null(np.nan).to_numpy()
            for frame in (candles, their_candles)
        )
        at = self.matched(0)
        self.both = np.flatnonzero(at >= 0)
        self.there = at[self.both]

    def opens(self, bars: Ints) -> pl.Series:
        """The opens of some of our bars (TS)."""
        return pl.Series(self.ts[bars], dtype=pl.Int64).cast(TS)

    def matched(self, shift: int) -> Ints:
        """Where each of our bars lies among theirs if their times are later by a shift.

        -1 stands for a bar that they do not have there.
        """
        wanted = self.ts + shift
        at = np.searchsorted(self.their_ts, wanted)
        matches = np.zeros(len(at), dtype=bool)
        inside = at < len(self.their_ts)
        matches[inside] = self.their_ts[at[inside]] == wanted[inside]
        return np.where(matches, at, -1)

    def disagreement(
        self, kind: Kind, bars: Ints, worst: float, words: str, shown: Ints
    ) -> Disagreement:
        """A way in which the two differ.

        Args:
            kind: Which.
            bars: In which of our bars.
            worst: As `Disagreement.worst`.
            words: What is so, with its figures.
            shown: The bars whose first ones are its sample.
        """
        first = from_micros(int(self.ts[bars].min()))
        # Where times are shifted, each bar has another's values.
        at = None if kind is Kind.SHIFTED else self.opens(bars)
        return Disagreement(
            kind,
            len(bars),
            worst,
            first,
            words,
            tuple(self._row(int(i)) for i in shown[:SHOWN]),
            at,
        )

    def _row(self, bar: int) -> dict[str, object]:
        """One of our bars beside theirs of the same time."""
        at = int(np.searchsorted(self.their_ts, self.ts[bar]))
        has_match = at < len(self.their_ts) and self.their_ts[at] == self.ts[bar]
        return {
            "ts": to_minute(from_micros(int(self.ts[bar]))),
            "close": float(self.close[bar]),
            "their_close": float(self.their_close[at]) if has_match else None,
            "volume": _known(self.volume[bar]),
            "their_volume": _known(self.their_volume[at]) if has_match else None,
        }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
