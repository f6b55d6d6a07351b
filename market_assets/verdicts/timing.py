"""Whether the times of two sources are the same: a shift of all bars, a clock that changed. Pure.

Times are judged by price changes, not by prices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.imports import late_imports
from market_assets.market.instants import to_minute
from market_assets.market.timeframes import from_micros
from market_assets.verdicts.pair import Disagreement, Kind, Pair

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


_HOUR = 3_600_000_000

_FEWEST = 15
"""With fewer bars in which both prices move, times are not judged."""

_ALIKE = 0.7
"""The least correlation of the price changes of two sources that are one market.

Minutes of two liquid venues have 0.8 and more.
"""

_SURE = 5.0
"""How many standard errors lie at least between the correlation at a shift and the one without."""

_CLIP = 8.0
"""A price change counts as at most so many times the usual one: one bad tick must not decide."""


class Timing:
    """The price changes of two sources, and whether those of one market lie at the same times.

    Args:
        pair: Their bars.
    """

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._moves, self._their_moves = _moves(pair.close), _moves(pair.their_close)

    def clock_changed(self) -> Disagreement | None:
        """Their bars are ours up to some instant, and an hour earlier or later from there on.

        Or they are shifted first, and ours from there on.
        """
        unshifted = self._moves_at(0)
        if _HOUR % self._pair.bar or _likeness(self._moves, unshifted)[0] > 0.995:
            return None
        for shift in (_HOUR, -_HOUR):
            moves = self._moves_at(shift)
            for before, after in ((unshifted, moves), (moves, unshifted)):
                # The split at which the two parts together are most alike.
                gain = np.concatenate(
                    ([0.0], np.cumsum(self._moves * (np.nan_to_num(before) - np.nan_to_num(after))))
                )
                split = int(gain.argmax())
                first, second = slice(0, split), slice(split, None)
                if _differs(self._moves[first], before[first], after[first]) and _differs(
                    self._moves[second], after[second], before[second]
                ):
                    later = after is moves
                    bars = np.arange(len(self._pair.ts))[second if later else first]
                    turn = to_minute(from_micros(int(self._pair.ts[split])))
                    when = (
                        f"from {turn} on and the same before"
                        if later
                        else f"before {turn} and the same from then on"
                    )
                    words = (
                        f"their times are {_length(shift)} {_side(shift)} than ours {when}, "
                        f"as by a clock change, in {len(bars):,} bars"
                    )
                    return self._pair.disagreement(
                        Kind.CLOCK, bars, shift / 1e6, words, np.intersect1d(bars, self._pair.both)
                    )
        return None

    def shifted(self) -> Disagreement | None:
        """Their bars are ours, but all of them earlier or later."""
        unshifted = self._moves_at(0)
        if _likeness(self._moves, unshifted)[0] > _ALIKE / 2:
            return None
        best, most = 0, 0.0
        for shift in self._shifts():
            moves = self._moves_at(shift)
            likeness, _ = _likeness(self._moves, moves)
            if likeness > most and _differs(self._moves, moves, unshifted):
                best, most = shift, likeness
        if not best:
            return None
        at = self._pair.matched(best)
        bars = np.flatnonzero(at >= 0)
        kind = Kind.SHIFTED if abs(best) == self._pair.bar else Kind.CLOCK
        by = "one bar, " if kind is Kind.SHIFTED else ""
        also = "" if kind is Kind.SHIFTED else ", as by another time zone or a clock change"
        words = (
            f"their times are {by}{_length(best)} {_side(best)} than ours in all {len(bars):,} "
            f"bars{also}"
        )
        return self._pair.disagreement(
            kind, bars, best / 1e6, words, np.intersect1d(bars, self._pair.both)
        )

    def _shifts(self) -> list[int]:
        """Every shift that is tried: a bar, and the half hours that time zones lie apart."""
        halves = [half * _HOUR // 2 for half in range(1, 29)]
        steps = dict.fromkeys(
            [self._pair.bar, *(step for step in halves if step % self._pair.bar == 0)]
        )
        return [sign * step for step in steps for sign in (1, -1)]

    def _moves_at(self, shift: int) -> Floats:
        """Their price change in each of our bars if their times are later by a shift.

        NaN stands for a bar that they do not have there.
        """
        at = self._pair.matched(shift)
        return np.where(
            at >= 0, self._their_moves[at] if len(self._their_moves) else np.nan, np.nan
        )


def _moves(close: Floats) -> Floats:
    """The change of price from bar to bar, as a share and within bounds; 0 for the first bar."""
    before = np.abs(close[:-1])
    change = np.divide(
        np.diff(close), before, out=np.zeros(max(0, len(close) - 1)), where=before > 0
    )
    moving = np.abs(change[change != 0])
    most = _CLIP * float(np.median(moving)) if len(moving) else 0.0
    return np.concatenate((np.zeros(min(1, len(close))), np.clip(change, -most, most)))


def _likeness(moves: Floats, their_moves: Floats) -> tuple[float, int]:
    """How alike two rows of price changes are.

    Returns:
        Their correlation about zero where both are known, and in how many bars both prices move.
    """
    is_known = ~np.isnan(their_moves)
    moves, their_moves = moves[is_known], their_moves[is_known]
    size = float(np.sqrt((moves @ moves) * (their_moves @ their_moves)))
    return (float(moves @ their_moves) / size if size > 0 else 0.0), int(
        np.count_nonzero(moves * their_moves)
    )


def _differs(moves: Floats, matching: Floats, other: Floats) -> bool:
    """Whether price changes are those of one market in one alignment, and surely not in another."""
    (likeness, bars), (without, _) = _likeness(moves, matching), _likeness(moves, other)
    if bars < _FEWEST or likeness < _ALIKE or without > likeness / 2:
        return False
    distance = np.arctanh(min(likeness, 0.9999)) - np.arctanh(max(without, 0.0))
    return bool(distance * np.sqrt(bars - 3) >= _SURE)


def _length(shift: int) -> str:
    minutes = abs(shift) / 60_000_000
    size, unit = next(
        (size, unit) for size, unit in ((1440, "d"), (60, "h"), (1, "min")) if minutes >= size
    )
    return f"{minutes / size:g} {unit}"


def _side(shift: int) -> str:
    return "later" if shift > 0 else "earlier"
