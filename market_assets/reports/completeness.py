"""How complete a profile is.

The answer is a table of symbol x timeframe, or the cells of a heat map of symbol x time. Both come
from one audit of the candles' tables: see `market_assets/expected/audit.py`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import StoreBusyError
from market_assets.expected.audit import audit_of
from market_assets.expected.counts import called_until, count_profile
from market_assets.expected.scope import scope_of
from market_assets.expected.series import base_of
from market_assets.fill.calendar_changes import follow_calendar
from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import TS, Timeframe
from market_assets.pictures.heatmap import CELL_SCHEMA, Bucket, CellState
from market_assets.verdicts.evidence import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile
    from market_assets.expected.audit import Audit
    from market_assets.store import Snapshot, Store

log = logging.getLogger("market_assets.fill")

_MATRIX = pl.Schema(
    {
        "profile": pl.String(),
        "symbol": pl.String(),
        "timeframe": pl.String(),
        **dict.fromkeys(("expected", "stored", "explained", "missing"), pl.Int64()),
        "completeness": pl.Float64(),
        "first_ts": TS,
        "last_ts": TS,
        "health": pl.String(),
        "doubled": pl.Int64(),
        "abandoned": pl.Int64(),
    }
)


@dataclass(frozen=True)
class ProfileAudit:
    """What an audit of a profile has found.

    Attributes:
        profile: The profile.
        matrix: Its rows of the completeness matrix: see `matrix_of`.
        base: The audit of its shortest fetched timeframe, of which the heat map is made.
    """

    profile: Profile
    matrix: pl.DataFrame
    base: Audit


def matrix_of(store: Store, profiles: Sequence[Profile], now: datetime) -> pl.DataFrame:
    """The completeness matrix of some profiles as of now, also for series that were never filled.

    Returns:
        profile, symbol, timeframe, expected, stored, explained, missing, completeness (0 to 1),
        first_ts, last_ts (opens of the first and the last stored bar), health, doubled (rows beyond
        one a bar), abandoned (those of the missing bars that are asked for no more); sorted by the
        first three. The symbols and timeframes are those that the universe has now.
    """
    audits = audit_profiles(store, profiles, now)
    matrix = pl.concat([_MATRIX.to_frame(), *(audited.matrix for audited in audits)])
    return matrix.sort("profile", "symbol", "timeframe")


def audit_profiles(store: Store, profiles: Sequence[Profile], now: datetime) -> list[ProfileAudit]:
    """Audit all candles of some profiles as of now.

    What must exist is counted anew for `ops.completeness`, too, unless the store is busy.
    """
    try:
        for profile in profiles:
            follow_calendar(store, profile, now)
            count_profile(store, profile, now)
    except StoreBusyError as error:
        log.warning("What must exist is in ops.completeness as it was counted last: %s", error)
    with store.reading("auditing what is stored") as view:
        return [_audited(view, profile, now) for profile in profiles]


def _audited(view: Snapshot, profile: Profile, now: datetime) -> ProfileAudit:
    audits = {
        timeframe: audit_candles(view, profile, timeframe, now)
        for timeframe in profile.timeframes.kept
    }
    return ProfileAudit(profile, _matrix(view, profile, audits), audits[profile.base_timeframe])


def audit_candles(view: Snapshot, profile: Profile, timeframe: Timeframe, now: datetime) -> Audit:
    """Audit the candles of one timeframe of a profile as of now."""
    base = profile.candles(base_of(profile, timeframe))
    scope = scope_of(profile, timeframe, now).since(view.genesis.of(base))
    judged_at = view.partitions.newest_judged_at(scope.dataset)
    return audit_of(view, scope, called_until(profile, judged_at, now))


def _matrix(view: Snapshot, profile: Profile, audits: dict[Timeframe, Audit]) -> pl.DataFrame:
    """The rows of the completeness matrix of a profile."""
    rows = pl.concat(
        audit.series.with_columns(
            timeframe=pl.lit(str(timeframe)), derived=pl.lit(audit.scope.is_derived)
        )
        for timeframe, audit in audits.items()
    )
    given_up = (
        view.gaps.with_status([State.ABANDONED], profile.name)
        .group_by("symbol", "timeframe")
        .agg(abandoned=pl.sum("bars"))
    )
    has_input = (~pl.col("derived") & (pl.col("stored") > 0)).any().over("symbol")
    # The missing bars of a derived series lie in partitions that were not derived yet.
    to_derive = (
        pl.col("derived")
        & (pl.col("judged_missing") == 0)
        & (pl.col("stored") >= pl.col("judged_stored"))
        & has_input
    )
    expected, missing = pl.col("expected"), pl.col("missing")
    health = (
        pl.when(pl.col("doubled") > 0)
        .then(pl.lit("DEGRADED"))
        .when((expected == 0) | ((missing > 0) & to_derive))
        .then(pl.lit("PENDING"))
        .when(pl.col("stored") == 0)
        .then(pl.lit("MISSING"))
        .when(missing > 0)
        .then(pl.lit("DEGRADED"))
        .otherwise(pl.lit("HEALTHY"))
    )
    return (
        rows.join(given_up, on=["symbol", "timeframe"], how="left")
        .with_columns(
            pl.col("abandoned").fill_null(0).cast(pl.Int64),
            profile=pl.lit(profile.name),
            completeness=pl.when(expected == 0).then(1.0).otherwise(1 - missing / expected),
            health=health,
        )
        .select(_MATRIX.names())
    )


def is_healthy(matrix: pl.DataFrame) -> bool:
    """Whether the completeness matrix has rows, and none that is due is missing or in doubt."""
    return not matrix.is_empty() and bool(matrix["health"].is_in(["HEALTHY", "PENDING"]).all())


def base_rows(matrix: pl.DataFrame) -> pl.DataFrame:
    """The rows of the shortest timeframe of each symbol."""
    lengths = {name: Timeframe(name).duration for name in matrix["timeframe"].unique()}
    length = pl.col("timeframe").replace_strict(lengths, return_dtype=pl.Duration)
    return matrix.filter(length == length.min().over("profile", "symbol"))


def heat_of(audit: Audit) -> tuple[pl.DataFrame, Bucket]:
    """The heat map of what an audit has found.

    It has a cell for each symbol and stretch that must have a bar by now.

    Returns:
        The cells (CELL_SCHEMA), and how long the stretches are.
    """
    scope, parts = audit.scope, audit.parts
    whole = scope.extent
    bucket = (
        Bucket.MONTH
        if scope.cadence is Cadence.MONTH
        else Bucket.of(whole.start.date(), whole.end.date())
    )
    never_filled = ~pl.col("is_judged")
    share = (pl.col("expected") - pl.col("missing")) / pl.col("expected")
    cells = (
        parts.group_by("symbol", bucket.first_day(pl.col("part")).alias("bucket"))
        .agg(
            share=pl.when(never_filled).then(0.0).otherwise(share).min(),
            state=pl.when(never_filled.any())
            .then(pl.lit(CellState.NEVER_FILLED.value))
            .otherwise(pl.lit(CellState.JUDGED.value)),
        )
        .sort("symbol", "bucket")
    )
    return cells.match_to_schema(CELL_SCHEMA), bucket
