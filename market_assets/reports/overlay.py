"""What the ledger knows of the shorter bars that longer ones are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from market_assets.imports import late_imports
from market_assets.market.timeframes import TS, Window
from market_assets.verdicts.evidence import State

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from market_assets.expected.scope import Scope
    from market_assets.market.partitions import Partition
    from market_assets.store import Snapshot

_HOLES = (State.OUTAGE, State.ABANDONED, State.OPEN)
"""What is shown of a longer bar that has candles; the later one where it lacks several."""

_HARMLESS = (State.NO_TRADE, State.HALTED, State.CLOSED)
"""What is no hole in a longer bar, and the reason of one that has no candle."""

_SCHEMA = pl.Schema(
    {"state": pl.String(), "start": TS, "end": TS, "last_ts": TS, "bars": pl.Int64()}
)


@dataclass(frozen=True)
class _Absences:
    """The absences of one state, sorted and disjoint.

    Attributes:
        start: Their first instants, in microseconds since 1970.
        end: The instants behind their ends.
        last: The opens of their last bars.
        bars: How many bars those before each of them have, with the sum of all at the end.
        uncounted: How many of those before each of them were not counted, likewise.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    last: NDArray[np.int64]
    bars: NDArray[np.int64]
    uncounted: NDArray[np.int64]

    def within(
        self, since: NDArray[np.int64], until: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first absence that shares an instant with each stretch, and that behind the last."""
        first = np.searchsorted(self.end, since, side="right")
        behind = np.searchsorted(self.start, until, side="left")
        return first, np.maximum(first, behind)


@dataclass(frozen=True)
class Overlay:
    """The absences of a series, by state.

    Attributes:
        absences: By state.
    """

    absences: Mapping[str, _Absences]

    @classmethod
    def of(cls, view: Snapshot, scope: Scope, window: Window) -> Overlay:
        """The absences of the only series of a scope of fetched candles in a window."""
        (series,) = scope.series
        keys = scope.partitions(window)
        if not keys:
            return cls({})
        reach = Window(keys[0].window.start, keys[-1].window.end)
        ledger = view.gaps.of(scope.dataset, symbols=[series.symbol], window=reach)
        length = scope.timeframe.duration
        absent = ledger.select(
            state="status",
            start="first_ts",
            end=pl.col("last_ts") + length,
            last_ts="last_ts",
            bars=pl.col("bars").cast(pl.Int64),
        )
        rows = pl.concat([absent.match_to_schema(_SCHEMA), _unjudged(view, scope, keys)])
        parts = rows.sort("start").partition_by("state", as_dict=True)
        return cls({str(state): _absences(part) for (state,), part in parts.items()})

    def states(self, rows: pl.DataFrame) -> pl.Series:
        """What is absent of each of some longer bars: null where nothing is.

        Args:
            rows: since, until (TS), is_stored, halted (Boolean), sorted.
        """
        since, until = _micros(rows["since"]), _micros(rows["until"])
        is_stored = rows["is_stored"].to_numpy()
        quiet = np.where(rows["halted"].to_numpy(), str(State.HALTED), str(State.NO_TRADE))
        states = np.where(is_stored, "", quiet).astype(object)
        for state in (*_HARMLESS, *_HOLES):
            absences = self.absences.get(state)
            if absences is None:
                continue
            first, behind = absences.within(since, until)
            shown = (behind > first) & (~is_stored if state in _HARMLESS else True)
            states[shown] = str(state)
        return pl.Series("state", [str(state) or None for state in states], pl.String)

    def facts(self, runs: pl.DataFrame) -> pl.DataFrame:
        """What the ledger has of some stretches of longer bars.

        Args:
            runs: state, start, end, since, until.

        Returns:
            state, start, end, first_ts, last_ts (opens of the first and the last absent bar), bars
            (null where they were not counted).
        """
        rows = []
        since, until = _micros(runs["since"]), _micros(runs["until"])
        for place, state in enumerate(runs["state"]):
            absences = self.absences.get(state)
            facts: tuple[int, int, int | None] = (int(since[place]), int(until[place]) - 1, None)
            if absences is not None:
                first, behind = absences.within(since[place : place + 1], until[place : place + 1])
                facts = _facts(absences, int(first[0]), int(behind[0]), facts)
            rows.append(facts)
        names = ["first_ts", "last_ts", "bars"]
        frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Int64), orient="row")
        return pl.concat(
            [runs.select("state", "start", "end"), frame.cast({"first_ts": TS, "last_ts": TS})],
            how="horizontal",
        )


def _facts(
    absences: _Absences, first: int, behind: int, otherwise: tuple[int, int, int | None]
) -> tuple[int, int, int | None]:
    if behind <= first:
        return otherwise
    uncounted = absences.uncounted[behind] - absences.uncounted[first]
    bars = None if uncounted else int(absences.bars[behind] - absences.bars[first])
    return int(absences.start[first]), int(absences.last[behind - 1]), bars


def _unjudged(view: Snapshot, scope: Scope, keys: list[Partition]) -> pl.DataFrame:
    """The stretches that nobody has asked a source for yet: they are open, and not counted."""
    (series,) = scope.series
    counts = view.partitions.counts(scope.dataset, [part.key for part in keys])
    own_counts = counts.filter(pl.col("symbol") == series.symbol)
    judged = dict(own_counts.select("partition", "judged_at").iter_rows())
    floor = max(series.window.start, scope.window.start)
    rows = []
    for part in keys:
        start = max(part.window.start, floor).replace(tzinfo=None)
        end = min(part.window.end, series.window.end).replace(tzinfo=None)
        start = max(start, judged[part.key]) if judged.get(part.key) else start
        if start < end:
            last = max(start, end - scope.timeframe.duration)
            rows.append((State.OPEN.value, start, end, last, None))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _absences(rows: pl.DataFrame) -> _Absences:
    bars = rows["bars"]
    return _Absences(
        _micros(rows["start"]),
        np.maximum.accumulate(_micros(rows["end"])),
        _micros(rows["last_ts"]),
        _sums(bars.fill_null(0)),
        _sums(bars.is_null().cast(pl.Int64)),
    )


def _sums(counts: pl.Series) -> NDArray[np.int64]:
    return np.concatenate([[0], counts.to_numpy().cumsum()]).astype(np.int64)


def _micros(instants: pl.Series) -> NDArray[np.int64]:
    return instants.to_physical().to_numpy()
