"""Partitions that were filled and whose candles are gone.

The store is compared with what Dagster remembers, and with its own ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from market_assets.expected.series import calendar_of, living_series, partitions_of
from market_assets.market.timeframes import Window, literal

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile
    from market_assets.expected.series import Series
    from market_assets.market.partitions import Partition
    from market_assets.market.timeframes import Timeframe
    from market_assets.store import Snapshot


def lost_partitions(
    view: Snapshot,
    profile: Profile,
    timeframe: Timeframe,
    *,
    filled: Collection[str],
    now: datetime,
    since: datetime | None = None,
) -> dict[str, str]:
    """The partitions that were filled and lack candles that were stored in them.

    The store is the truth. A partition that Dagster remembers as filled and that the store has
    never judged was in another store, or in a newer copy of this one. One that holds fewer candles
    than were judged lost them to a DELETE.

    Args:
        view: The store.
        profile: A profile.
        timeframe: A fetched timeframe of it.
        filled: The keys of the partitions that were filled, as Dagster remembers them.
        now: The present instant.
        since: Candles are counted in partitions from this instant on; None counts all of them.

    Returns:
        By key, a few words about the loss.
    """
    shrunk = view.candles.shrunk(
        profile.candles(timeframe),
        list(profile.symbols),
        profile.partitions.of(timeframe).value,
        since,
    )
    by_partition = shrunk.group_by("partition").agg(
        pl.sum("stored", "there"), pl.col("symbol").sort()
    )
    losses = {
        key: f"{remainder:,} of {stored:,} candles are left of {', '.join(symbols[:5])}"
        for key, stored, remainder, symbols in by_partition.iter_rows()
    }
    unknown = set(filled) - view.partitions.keys(profile.candles(timeframe))
    if unknown:
        series = living_series(
            profile,
            now,
            genesis=view.genesis.of(profile.candles(timeframe)),
            dead=view.gaps.dead_symbols(profile.candles(timeframe)),
        )
        due = _with_bars(profile, timeframe, unknown, series, now)
        losses |= dict.fromkeys(due, "the store knows nothing of it")
    return losses


def _with_bars(
    profile: Profile,
    timeframe: Timeframe,
    keys: Collection[str],
    series: Sequence[Series],
    now: datetime,
) -> list[str]:
    """The given partitions in which a bar of some series has closed by now."""
    if not series:
        return []
    bounds = np.array([symbol_series.window.micros for symbol_series in series], dtype=np.int64)
    partitions = partitions_of(profile, timeframe, series, profile.window(now))
    return [
        partition.key
        for partition in partitions
        if partition.key in keys and _has_bar(profile, timeframe, partition, bounds, now)
    ]


def _has_bar(
    profile: Profile, timeframe: Timeframe, partition: Partition, bounds: np.ndarray, now: datetime
) -> bool:
    first, end = partition.window.micros
    whole = (bounds[:, 0] <= first) & (bounds[:, 1] >= end)
    # A series that begins or ends inside may have no bar here, and the newest may not have closed.
    if whole.any() and partition.window.end <= now:
        return True
    inside = [
        Window.of_micros(max(int(start), first), min(int(stop), end))
        for start, stop in bounds
        if max(start, first) < min(stop, end)
    ]
    bars = (
        calendar_of(profile)
        .bars(timeframe, partition.window)
        .filter(pl.col("closes_at") <= literal(now))
    )
    return any(not bars.filter(window.holds()).is_empty() for window in inside)
