"""How complete a profile is in a window: the measure of a fill of these days alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from market_assets.enrich.grid import Grid
from market_assets.expected.scope import scope_of
from market_assets.market.partitions import Partition, hull, partitions_in
from market_assets.market.timeframes import TS, Window, literal
from market_assets.verdicts.evidence import EXPLAINED, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.market.timeframes import Timeframe
    from market_assets.store import Snapshot

_COUNTS = pl.Schema(
    {"symbol": pl.String(), "expected": pl.Int64(), "stored": pl.Int64(), "explained": pl.Int64()}
)
_AT_ONCE = 31
"""How many partitions are looked at bar by bar in one piece: a month of minutes."""

MATRIX_SCHEMA = pl.Schema(
    {
        "profile": pl.String(),
        "symbol": pl.String(),
        "timeframe": pl.String(),
        "expected": pl.Int64(),
        "stored": pl.Int64(),
        "explained": pl.Int64(),
        "missing": pl.Int64(),
        "completeness": pl.Float64(),
        "first_ts": TS,
        "last_ts": TS,
        "health": pl.String(),
        "abandoned": pl.Int64(),
    }
)
"""The columns of the completeness matrix."""


def matrix_within(
    view: Snapshot, profile: Profile, window: Window, now: datetime, *, symbols: Sequence[str] = ()
) -> pl.DataFrame:
    """The completeness matrix of a profile in a window: only bars that lie in it are counted.

    Partitions that lie in the window are counted as they were judged; of one that the window cuts,
    and of one that was never judged, each bar is looked at.

    Args:
        view: The store.
        profile: The profile.
        window: From 00:00 UTC of a day to 00:00 UTC of another, or to the present.
        now: The present instant, aware: what has not closed is not expected.
        symbols: Some symbols; all by default.

    Returns:
        A frame of MATRIX_SCHEMA, sorted by symbol and timeframe; empty where the profile keeps
        nothing of the window.
    """
    inside = window.intersect(profile.window(now))
    frames = [MATRIX_SCHEMA.to_frame()]
    if inside is not None:
        within = _Within(view, profile, inside, now, sorted(symbols or profile.symbols))
        frames += [within.rows(timeframe) for timeframe in profile.timeframes.kept]
    return pl.concat(frames).sort("symbol", "timeframe")


@dataclass(frozen=True)
class _Within:
    """A profile's symbols in a window that it keeps."""

    view: Snapshot
    profile: Profile
    window: Window
    now: datetime
    names: list[str]

    def rows(self, timeframe: Timeframe) -> pl.DataFrame:
        """The matrix of one timeframe."""
        view, name = self.view, self.profile.name
        given_up = view.gaps.of(self.profile.candles(timeframe), window=self.window).filter(
            pl.col("status") == State.ABANDONED
        )
        abandoned = given_up.group_by("symbol").agg(abandoned=pl.sum("bars"))

        rows = pl.DataFrame({"symbol": self.names}, schema={"symbol": pl.String})
        for part in (
            self._counted(timeframe),
            view.candles.extents(self.profile.candles(timeframe), self.window),
            abandoned,
        ):
            rows = rows.join(part, on="symbol", how="left")
        numbers = pl.col("expected", "explained", "stored", "abandoned")
        rows = rows.with_columns(numbers.fill_null(0).cast(pl.Int64))

        expected, missing = pl.col("expected"), pl.col("missing")
        absent = expected - pl.col("stored") - pl.col("explained")
        health = (
            pl.when(expected == 0)
            .then(pl.lit("PENDING"))
            .when((missing > 0) & (pl.col("stored") == 0))
            .then(pl.lit("MISSING"))
            .when(missing > 0)
            .then(pl.lit("DEGRADED"))
            .otherwise(pl.lit("HEALTHY"))
        )
        rows = rows.with_columns(missing=absent.clip(lower_bound=0)).with_columns(
            profile=pl.lit(name),
            timeframe=pl.lit(str(timeframe)),
            completeness=pl.when(expected == 0).then(1.0).otherwise(1 - missing / expected),
            health=health,
        )
        return rows.select(MATRIX_SCHEMA.names())

    def _counted(self, timeframe: Timeframe) -> pl.DataFrame:
        """How many bars each symbol must have, has, and lacks for a known reason.

        Returns:
            A frame of _COUNTS.
        """
        scope = scope_of(self.profile, timeframe, self.now, self.names)
        parts = partitions_in(scope.calendar, timeframe, scope.cadence, self.window)
        grid = Grid(self.view, scope)
        judged = self._judged(scope, parts)

        judged_keys = set(judged.select("partition", "symbol").iter_rows())
        unknown = {
            part
            for part in parts
            for series in grid.series
            if part.window.intersect(series.window) and (part.key, series.symbol) not in judged_keys
        }
        counts = [judged.select(_COUNTS.names())]
        for piece in _pieces(parts, unknown):
            bars = grid.bars(hull(piece)).filter(self.window.holds())
            if scope.is_derived:
                # A bar that reaches out of the window is made of candles outside the question.
                start, end = literal(self.window.start), literal(self.window.end)
                bars = bars.filter(pl.col("opens_at") >= start, pl.col("closes_at") <= end)
            bars = bars.with_columns(scope.part().dt.to_string().alias("partition"))
            bars = bars.join(judged, on=["partition", "symbol"], how="anti")
            tally = bars.group_by("symbol").agg(
                expected=pl.len().cast(pl.Int64),
                stored=(pl.col("state") == State.STORED).sum().cast(pl.Int64),
                explained=pl.col("state").is_in(EXPLAINED).sum().cast(pl.Int64),
            )
            counts.append(tally)
        return pl.concat(counts).group_by("symbol").agg(pl.sum("expected", "stored", "explained"))

    def _judged(self, scope: Scope, parts: Sequence[Partition]) -> pl.DataFrame:
        """The counts of the judged partitions that lie in the window as a whole.

        Returns:
            partition and the columns of _COUNTS.
        """
        # Derived weeks and days are few, and those at the edge are made of more than the window.
        looked_at = scope.is_derived and not scope.timeframe.intraday
        kept = scope.window
        whole = [
            part.key
            for part in parts
            if not looked_at and part.window.intersect(kept) == part.window.intersect(self.window)
        ]
        judged = self.view.partitions.counts(scope.dataset, whole)
        return judged.filter(pl.col("symbol").is_in(self.names)).select(
            "partition", *_COUNTS.names()
        )


def _pieces(parts: Sequence[Partition], chosen: set[Partition]) -> list[list[Partition]]:
    """The chosen ones of some partitions, in pieces of neighbours."""
    pieces: list[list[Partition]] = []
    for before, part in zip([None, *parts], parts, strict=False):
        if part not in chosen:
            continue
        if before not in chosen or not pieces or len(pieces[-1]) >= _AT_ONCE:
            pieces.append([])
        pieces[-1].append(part)
    return pieces
