"""How complete a profile is.

The answer is a table of symbol x timeframe, or the cells of a heat map of symbol x time.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import StoreBusyError
from market_assets.expected.counts import count_profile
from market_assets.expected.scope import scope_of
from market_assets.fill.calendar_changes import follow_calendar
from market_assets.market.partitions import Cadence, Partition
from market_assets.pictures.heatmap import CELL_SCHEMA, Bucket, CellState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.expected.series import Series
    from market_assets.market.timeframes import Window
    from market_assets.store import Snapshot, Store

log = logging.getLogger("market_assets.fill")

_LENGTHS = {Cadence.DAY: timedelta(days=1), Cadence.MONTH: timedelta(days=31)}
_DUE_SCHEMA = pl.Schema({"symbol": pl.String(), "partition": pl.String()})


def matrix_of(store: Store, profiles: Sequence[Profile], now: datetime) -> pl.DataFrame:
    """The completeness matrix of some profiles as of now, also for series that were never filled.

    Returns:
        profile, symbol, timeframe, expected, stored, explained, missing, completeness (0 to 1),
        first_ts, last_ts (opens of the first and the last stored bar), health, abandoned (those of
        the missing bars that are asked for no more); sorted by the first three. The symbols and
        timeframes are those that the universe has now.
    """
    try:
        for profile in profiles:
            follow_calendar(store, profile, now)
            count_profile(store, profile, now)
    except StoreBusyError as error:
        log.warning("What must exist is as it was counted last: %s", error)
    with store.reading("reading the completeness matrix") as view:
        matrix = view.completeness.matrix()
    return matrix.filter(pl.col("profile").is_in([profile.name for profile in profiles]))


def heat_of(view: Snapshot, profile: Profile, now: datetime) -> tuple[pl.DataFrame, Bucket]:
    """The heat map of a profile's shortest fetched timeframe.

    It has a cell for each symbol and stretch that must have a bar by now.

    Returns:
        The cells (CELL_SCHEMA), and how long the stretches are.
    """
    timeframe = profile.base_timeframe
    scope = scope_of(profile, timeframe, now)
    scope = scope.since(view.genesis.of(scope.dataset))
    cadence, whole = scope.cadence, scope.extent
    bucket = (
        Bucket.MONTH
        if cadence is Cadence.MONTH
        else Bucket.of(whole.start.date(), whole.end.date())
    )
    partitions = scope.partitions(whole)
    if not partitions:
        return CELL_SCHEMA.to_frame(), bucket
    keys = pl.DataFrame({"partition": [partition.key for partition in partitions]}).with_columns(
        bucket.first_day(pl.col("partition").str.to_date()).alias("bucket")
    )
    early = view.partitions.judged_early(scope.dataset, _LENGTHS[cadence] + timeframe.duration)
    counted = _counted(scope, early)
    due = _due(scope, partitions).join(keys, on="partition")
    due = due.join(counted, on=["symbol", "partition"], how="left")
    shares = view.completeness.worst_shares(scope.dataset, due)
    state = (
        pl.when("never_filled")
        .then(pl.lit(CellState.NEVER_FILLED.value))
        .otherwise(pl.lit(CellState.JUDGED.value))
    )
    return shares.with_columns(state=state).select(CELL_SCHEMA.names()), bucket


def _due(scope: Scope, partitions: Sequence[Partition]) -> pl.DataFrame:
    """The partitions in which each series must have a closed bar: symbol, partition."""
    keys = pl.Series("partition", [partition.key for partition in partitions])
    starts = pl.Series([partition.window.micros[0] for partition in partitions])
    ends = pl.Series([partition.window.micros[1] for partition in partitions])
    cut: dict[Window, bool] = {}

    def is_due(partition: Partition, symbol_series: Series) -> bool:
        inside = partition.window.intersect(symbol_series.window)
        if inside is None or inside == partition.window:
            return inside is not None
        # A series that begins or ends in a partition may have none of its bars.
        if inside not in cut:
            closed = scope.closed(inside)
            cut[inside] = not closed.filter(symbol_series.window.holds()).is_empty()
        return cut[inside]

    frames = [pl.DataFrame(schema=_DUE_SCHEMA)]
    for symbol_series in scope.series:
        start, end = symbol_series.window.micros
        first, after = int(ends.search_sorted(start, side="right")), int(starts.search_sorted(end))
        while first < after and not is_due(partitions[first], symbol_series):
            first += 1
        while first < after and not is_due(partitions[after - 1], symbol_series):
            after -= 1
        due_keys = keys.slice(first, max(0, after - first))
        frames.append(
            due_keys.to_frame().select(pl.lit(symbol_series.symbol).alias("symbol"), "partition")
        )
    return pl.concat(frames)


def _counted(scope: Scope, keys: Sequence[str]) -> pl.DataFrame:
    """How many bars some partitions must have by now, whatever they were judged by.

    Returns:
        symbol, partition, expected.
    """
    counted = [pl.DataFrame(schema={**_DUE_SCHEMA, "expected": pl.Int64()})]
    for key in keys:
        bars = scope.bars(Partition.of_key(key, scope.cadence).window)
        counts = bars.group_by("symbol").agg(expected=pl.len().cast(pl.Int64))
        counted.append(counts.select("symbol", pl.lit(key).alias("partition"), "expected"))
    return pl.concat(counted)
