"""In what two sources differ that report the same symbol. Pure.

Compares times, adjustments, closes and volumes. What is compared and when, and what a check makes
of it: `market_assets/verdicts/agreement.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from market_assets.market.instants import to_minute
from market_assets.market.timeframes import TS, Timeframe, from_micros

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_HOUR = 3_600_000_000

_SHOWN = 5
"""Bars that a finding shows, worst first."""

_FEWEST = 15
"""With fewer bars in which both prices move, times are not judged."""

_ALIKE = 0.7
"""The least correlation of the price changes of two sources that are one market.

Minutes of two liquid venues have 0.8 and more.
"""

_SURE = 5.0
"""How many standard errors lie at least between the correlation at a shift and the one without."""

_STEP = 3
"""How many bars in a row with one ratio an adjustment has at least."""

_RARE = 20 * 24 * _HOUR
"""Splits and dividends of one instrument are farther apart on average.

What steps more often is the noise of two venues.
"""

_STEADY = 0.9
"""The share of the bars that such steps must explain."""

_CLIP = 8.0
"""A price change counts as at most so many times the usual one: one bad tick must not decide."""


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
    pair = _Pair(candles.sort("ts"), their_candles.sort("ts"), timeframe)
    timing = pair.clock_changed() or pair.shifted()
    results = [timing or pair.adjusted(close) or pair.closes(close)]
    if timing is None and volume is not None:
        results.append(pair.volumes(volume))
    common = len(pair.both)
    disagreements = tuple(disagreement for disagreement in results if disagreement is not None)
    return Comparison(
        common,
        len(candles) - common,
        len(their_candles) - common,
        disagreements,
        pair.opens(pair.both),
    )


class _Pair:
    """The bars of two sources, and where ours lie among theirs."""

    def __init__(
        self, candles: pl.DataFrame, their_candles: pl.DataFrame, timeframe: Timeframe
    ) -> None:
        self._bar = timeframe.micros
        self._ts, self._their_ts = (
            frame["ts"].to_physical().to_numpy() for frame in (candles, their_candles)
        )
        self._close, self._their_close = (
            frame["close"].to_numpy() for frame in (candles, their_candles)
        )
        self._volume, self._their_volume = (
            frame["volume"].cast(pl.Float64).fill_null(np.nan).to_numpy()
            for frame in (candles, their_candles)
        )
        self._moves, self._their_moves = _moves(self._close), _moves(self._their_close)
        at = self._matched(0)
        self.both = np.flatnonzero(at >= 0)
        self._there = at[self.both]

    def opens(self, bars: Ints) -> pl.Series:
        """The opens of some of our bars (TS)."""
        return pl.Series(self._ts[bars], dtype=pl.Int64).cast(TS)

    def _matched(self, shift: int) -> Ints:
        """Where each of our bars lies among theirs if their times are later by a shift.

        -1 stands for a bar that they do not have there.
        """
        wanted = self._ts + shift
        at = np.searchsorted(self._their_ts, wanted)
        matches = np.zeros(len(at), dtype=bool)
        inside = at < len(self._their_ts)
        matches[inside] = self._their_ts[at[inside]] == wanted[inside]
        return np.where(matches, at, -1)

    def _moves_at(self, shift: int) -> Floats:
        """Their price change in each of our bars if their times are later by a shift.

        NaN stands for a bar that they do not have there.
        """
        at = self._matched(shift)
        return np.where(
            at >= 0, self._their_moves[at] if len(self._their_moves) else np.nan, np.nan
        )

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
        at = self._matched(best)
        bars = np.flatnonzero(at >= 0)
        kind = Kind.SHIFTED if abs(best) == self._bar else Kind.CLOCK
        by = "one bar, " if kind is Kind.SHIFTED else ""
        also = "" if kind is Kind.SHIFTED else ", as by another time zone or a clock change"
        words = (
            f"their times are {by}{_length(best)} {_side(best)} than ours in all {len(bars):,} "
            f"bars{also}"
        )
        return self._disagreement(kind, bars, best / 1e6, words, np.intersect1d(bars, self.both))

    def _shifts(self) -> list[int]:
        """Every shift that is tried: a bar, and the half hours that time zones lie apart."""
        halves = [half * _HOUR // 2 for half in range(1, 29)]
        steps = dict.fromkeys([self._bar, *(step for step in halves if step % self._bar == 0)])
        return [sign * step for step in steps for sign in (1, -1)]

    def clock_changed(self) -> Disagreement | None:
        """Their bars are ours up to some instant, and an hour earlier or later from there on.

        Or they are shifted first, and ours from there on.
        """
        unshifted = self._moves_at(0)
        if _HOUR % self._bar or _likeness(self._moves, unshifted)[0] > 0.995:
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
                    bars = np.arange(len(self._ts))[second if later else first]
                    turn = to_minute(from_micros(int(self._ts[split])))
                    when = (
                        f"from {turn} on and the same before"
                        if later
                        else f"before {turn} and the same from then on"
                    )
                    words = (
                        f"their times are {_length(shift)} {_side(shift)} than ours {when}, "
                        f"as by a clock change, in {len(bars):,} bars"
                    )
                    return self._disagreement(
                        Kind.CLOCK, bars, shift / 1e6, words, np.intersect1d(bars, self.both)
                    )
        return None

    def adjusted(self, tolerance: float) -> Disagreement | None:
        """Their closes are ours times a ratio that is not 1, or that changes in steps."""
        close, their = self._close[self.both], self._their_close[self._there]
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
        bars = self.both[good][off]
        levels = np.exp(middle[count >= _STEP])
        if len(levels) > 2 + (self._ts[-1] - self._ts[0]) // _RARE:
            return None
        farthest = float(levels[np.abs(np.log(levels)).argmax()])
        words = f"theirs are {farthest:.6g} times ours"
        if len(levels) == 1:
            words += f" throughout, in {len(bars):,} bars"
        else:
            shown = ", then ".join(f"{level:.6g}" for level in levels[:_SHOWN])
            more = f" and {len(levels) - _SHOWN:,} more" if len(levels) > _SHOWN else ""
            words = f"their closes are {shown}{more} times ours, in {len(bars):,} bars not the same"
        words += (
            ": one of the two is adjusted for splits or dividends, or in another unit or currency"
        )
        return self._disagreement(Kind.ADJUSTED, bars, farthest, words, bars)

    def closes(self, tolerance: float) -> Disagreement | None:
        """Their closes differ from ours."""
        close, their = self._close[self.both], self._their_close[self._there]
        base = np.where(close == 0, np.abs(their), np.abs(close))
        share = np.divide(np.abs(their - close), base, out=np.zeros_like(close), where=base > 0)
        return self._apart(Kind.CLOSE, share, tolerance, "closes")

    def volumes(self, tolerance: float) -> Disagreement | None:
        """Their volumes differ from ours."""
        volume, their = self._volume[self.both], self._their_volume[self._there]
        base = np.fmax(volume, their)
        has_volumes = ~np.isnan(volume) & ~np.isnan(their) & (base > 0)
        share = np.divide(
            np.abs(their - volume), base, out=np.zeros_like(volume), where=has_volumes
        )
        traded = has_volumes & (volume > 0)
        ratio = float(np.median(their[traded] / volume[traded])) if traded.any() else 0.0
        usual = "" if 0.99 < ratio < 1.01 else f"; as a rule theirs are {ratio:.3g} times ours"
        return self._apart(Kind.VOLUME, share, tolerance, "volumes", usual)

    def _apart(
        self, kind: Kind, share: Floats, tolerance: float, what: str, more: str = ""
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
        return self._disagreement(kind, self.both[differing], worst, words, self.both[order])

    def _disagreement(
        self, kind: Kind, bars: Ints, worst: float, words: str, shown: Ints
    ) -> Disagreement:
        first = from_micros(int(self._ts[bars].min()))
        # Where times are shifted, each bar has another's values.
        at = None if kind is Kind.SHIFTED else self.opens(bars)
        return Disagreement(
            kind,
            len(bars),
            worst,
            first,
            words,
            tuple(self._row(int(i)) for i in shown[:_SHOWN]),
            at,
        )

    def _row(self, bar: int) -> dict[str, object]:
        """One of our bars beside theirs of the same time."""
        at = int(np.searchsorted(self._their_ts, self._ts[bar]))
        has_match = at < len(self._their_ts) and self._their_ts[at] == self._ts[bar]
        return {
            "ts": to_minute(from_micros(int(self._ts[bar]))),
            "close": float(self._close[bar]),
            "their_close": float(self._their_close[at]) if has_match else None,
            "volume": _known(self._volume[bar]),
            "their_volume": _known(self._their_volume[at]) if has_match else None,
        }


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


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _length(shift: int) -> str:
    minutes = abs(shift) / 60_000_000
    size, unit = next(
        (size, unit) for size, unit in ((1440, "d"), (60, "h"), (1, "min")) if minutes >= size
    )
    return f"{minutes / size:g} {unit}"


def _side(shift: int) -> str:
    return "later" if shift > 0 else "earlier"
