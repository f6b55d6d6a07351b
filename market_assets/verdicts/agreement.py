"""Whether two sources report the same of a symbol. Pure.

Compares closes, volumes, times and adjustments.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from market_assets.config.settings import Severity
from market_assets.market.timeframes import TS, Timeframe, from_micros
from market_assets.verdicts.verdicts import SAMPLE, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

AGREES = "agrees"
NOT_COMPARED = "not compared"

FINDING_SCHEMA = pl.Schema(
    {
        "partition": pl.String(),
        "symbol": pl.String(),
        "source": pl.String(),
        "other": pl.String(),
        "kind": pl.String(),
        "compared": pl.Int64(),
        "only_ours": pl.Int64(),
        "only_theirs": pl.Int64(),
        "bars": pl.Int64(),
        "worst": pl.Float64(),
        "first_ts": TS,
        "words": pl.String(),
        "sample": pl.String(),
        "tolerance": pl.String(),
        "until_ts": TS,
        "checked_at": TS,
        "apart": pl.List(TS),
        "alone": pl.List(TS),
    }
)
"""What a comparison came to, a row a finding: AGREES, NOT_COMPARED, or one Kind after the other.

`apart` are the bars in which the two differ, null for all of them; `alone` those of ours that
nobody has confirmed or denied.
"""

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


def is_sampled(
    profile: str, symbol: str, timeframe: Timeframe, partition: str, share: float
) -> bool:
    """Whether a partition of a symbol is in the share that is compared.

    The answer is always the same.
    """
    digest = blake2b(
        "\0".join((profile, symbol, timeframe, partition)).encode(), digest_size=8
    ).digest()
    return int.from_bytes(digest) < share * 2**64


def tolerance_of(close: float, volume: float | None) -> str:
    """What counts as agreement, in words: what was compared by other tolerances is due again."""
    return f"close {close:g}" + ("" if volume is None else f", volume {volume:g}")


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
                    turn = _utc(self._ts[split])
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
            "ts": _utc(self._ts[bar]),
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


def _utc(micros: int) -> str:
    return f"{from_micros(int(micros)):%Y-%m-%d %H:%MZ}"


def findings_of(
    comparison: Comparison | str, about: Mapping[str, object], stored: pl.Series | None = None
) -> list[dict[str, object]]:
    """The rows of FINDING_SCHEMA that a comparison makes.

    Args:
        comparison: What came of it, or why nothing did.
        about: What was compared, and when: the columns that do not follow from that.
        stored: The opens of all bars of ours in the partition (TS).
    """
    alone: list[object] | None = None
    if isinstance(comparison, str):
        counts, rows = (0, 0, 0), [_finding(NOT_COMPARED, comparison)]
    else:
        counts = comparison.compared, comparison.only_ours, comparison.only_theirs
        if stored is not None and comparison.both is not None:
            alone = stored.filter(~stored.is_in(comparison.both.implode())).to_list()
        rows = [
            _finding(
                disagreement.kind,
                disagreement.words,
                bars=disagreement.bars,
                worst=disagreement.worst,
                first=disagreement.first.replace(tzinfo=None),
                sample=disagreement.sample,
                apart=None if disagreement.at is None else disagreement.at.to_list(),
            )
            for disagreement in comparison.disagreements
        ] or [_finding(AGREES, "", apart=[])]
    return [
        {
            **about,
            **dict(zip(("compared", "only_ours", "only_theirs"), counts, strict=True)),
            **row,
            "alone": alone,
        }
        for row in rows
    ]


def _finding(
    kind: str,
    words: str,
    *,
    bars: int = 0,
    worst: float | None = None,
    first: datetime | None = None,
    sample: Sequence[Mapping[str, object]] = (),
    apart: list[object] | None = None,
) -> dict[str, object]:
    return {
        "kind": str(kind),
        "words": words,
        "bars": bars,
        "worst": worst,
        "first_ts": first,
        "sample": json.dumps(list(sample)),
        "apart": apart,
    }


def is_due(
    findings: Sequence[Mapping[str, Any]],
    *,
    end: datetime,
    now: datetime,
    changed_at: datetime | None,
    tolerance: str,
    every: timedelta,
) -> bool:
    """Whether a partition of a symbol must be compared with a source, or compared again.

    Args:
        findings: The findings of the last comparison; empty if there was none.
        end: The partition's end.
        now: The present instant.
        changed_at: When rows last came or were revised, as far as that is known.
        tolerance: What counts as agreement now.
        every: How soon a comparison that failed, or of a partition that is still being filled, may
            be made again.
    """
    if not findings or findings[0]["tolerance"] != tolerance:
        return True
    last = findings[0]
    checked_at: datetime = last["checked_at"].replace(tzinfo=UTC)
    rested = now - checked_at >= every
    if last["kind"] == NOT_COMPARED:
        return rested
    if last["until_ts"].replace(tzinfo=UTC) < end:
        return rested or now >= end
    return changed_at is not None and changed_at > checked_at


def agreement(findings: Iterable[Mapping[str, Any]]) -> Verdict:
    """Judge whether the sources of a partition's symbols report the same.

    It passes only where every due comparison was made, and found agreement. Nothing is asked for
    again because of it: only its reader can say which source is right.

    Args:
        findings: Rows of FINDING_SCHEMA, at least one.
    """
    rows = list(findings)
    pairs = {(row["symbol"], row["other"]): row for row in rows}
    apart = [row for row in rows if row["kind"] not in {AGREES, NOT_COMPARED}]
    unknown = [row for row in rows if row["kind"] == NOT_COMPARED]
    facts: dict[str, int | float | str] = {
        "compared": sum(row["compared"] for row in pairs.values()),
        "comparisons": len(pairs),
        "agreeing": sum(row["kind"] == AGREES for row in rows),
        "disagreeing": len({(row["symbol"], row["other"]) for row in apart}),
        "not_compared": len(unknown),
        "only_ours": sum(row["only_ours"] for row in pairs.values()),
        "only_theirs": sum(row["only_theirs"] for row in pairs.values()),
        "tolerance": rows[0]["tolerance"],
    }
    tables: dict[str, list[dict[str, Any]]] = {}
    for kind in Kind:
        if kind_rows := [row for row in apart if row["kind"] == kind]:
            facts[f"{kind}: bars"] = sum(row["bars"] for row in kind_rows)
            facts[f"{kind}: {_FIGURES[kind]}"] = max(
                (row["worst"] for row in kind_rows), key=_WORST[kind]
            )
    if apart:
        tables["disagreements"] = [
            {
                "symbol": row["symbol"],
                "source": row["source"],
                "other": row["other"],
                "kind": row["kind"],
                "bars": row["bars"],
                "worst": row["worst"],
                "first_bar": f"{row['first_ts']:%Y-%m-%d %H:%MZ}",
                "what": row["words"],
            }
            for row in apart[:SAMPLE]
        ]
        tables["bars"] = [
            {"symbol": row["symbol"], "other": row["other"], "kind": row["kind"], **bar}
            for row in apart
            for bar in json.loads(row["sample"])
        ][:SAMPLE]
    if unknown:
        tables["without_comparison"] = [
            {"symbol": row["symbol"], "other": row["other"], "why": row["words"]}
            for row in unknown[:SAMPLE]
        ]
    return Verdict(
        "agreement",
        not apart and not unknown,
        Severity.WARN,
        _sentence(facts, apart, unknown, pairs),
        facts,
        tables,
    )


_FIGURES = {
    Kind.CLOSE: "largest difference",
    Kind.VOLUME: "largest difference",
    Kind.SHIFTED: "seconds",
    Kind.CLOCK: "seconds",
    Kind.ADJUSTED: "ratio",
}
_WORST = {
    kind: (lambda ratio: abs(np.log(ratio))) if kind is Kind.ADJUSTED else abs for kind in Kind
}


def _sentence(
    facts: Mapping[str, Any],
    apart: Sequence[Mapping[str, Any]],
    unknown: Sequence[Mapping[str, Any]],
    pairs: Iterable[tuple[str, str]],
) -> str:
    if apart:
        first = apart[0]
        more = f", and {len(apart) - 1:,} more disagreements" if len(apart) > 1 else ""
        return (
            f"{first['symbol']} is not the same at {first['source']} and {first['other']}: "
            f"{first['words']}{more}. What is stored stays: "
            "decide which source is right, and put that one first."
        )
    if unknown:
        first = unknown[0]
        more = f", and {len(unknown) - 1:,} more were not" if len(unknown) > 1 else ""
        return (
            f"{first['symbol']} was not compared with {first['other']}: {first['words']}{more}. "
            "The next fill of this partition tries again."
        )
    symbols = list(dict.fromkeys(symbol for symbol, _ in pairs))
    sources = ", ".join(dict.fromkeys(other for _, other in pairs))
    names = ", ".join(symbols[:3]) + (f" and {len(symbols) - 3:,} more" if len(symbols) > 3 else "")
    return f"All {facts['compared']:,} bars of {names} that {sources} has too are the same there."
