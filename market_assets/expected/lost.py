"""Partitions that were filled and whose candles are gone.

The store is compared with what Dagster remembers, and with its own ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.stored import bars_in
from market_assets.imports import late_imports
from market_assets.market.partitions import Partition, hull
from market_assets.market.timeframes import Window

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from market_assets.expected.scope import Scope
    from market_assets.store import Snapshot

_REMOVED = "an earlier retention has removed it, and the one of now keeps it"


def lost_partitions(
    view: Snapshot, scope: Scope, *, filled: Collection[str], since: datetime | None = None
) -> dict[str, str]:
    """The partitions that were filled and lack candles that were stored in them.

    The store is the truth. A partition that Dagster remembers as filled and that the store has
    never judged was in another store, or in a newer copy of this one. One that holds fewer candles
    than were judged lost them to a DELETE.

    Args:
        view: The store.
        scope: What must exist: fetched candles.
        filled: The keys of the partitions that were filled, as Dagster remembers them.
        since: Candles are counted in partitions from this instant on; None counts all of them.

    Returns:
        By key, a few words about the loss.
    """
    dataset, kept = scope.dataset, scope.floor.kept
    first = max(filter(None, (since, kept)), default=None)
    by_partition = (
        _shrunk(view, scope, first)
        .group_by("partition")
        .agg(pl.sum("stored", "remainder"), pl.col("symbol").sort())
        .sort("partition")
    )
    losses = {
        key: f"{remainder:,} of {stored:,} candles are left of {', '.join(symbols[:5])}"
        for key, stored, remainder, symbols in by_partition.iter_rows()
    }
    unknown = set(filled) - view.partitions.keys(dataset)
    if unknown:
        living = scope.since(view.genesis.of(dataset)).without(view.gaps.dead_symbols(dataset))
        removed = view.pruned.keys(dataset)
        losses |= {
            key: _REMOVED if key in removed else "the store knows nothing of it"
            for key in _with_bars(living, unknown)
        }
    return losses


def _shrunk(view: Snapshot, scope: Scope, since: datetime | None) -> pl.DataFrame:
    """The partitions that hold fewer bars than were stored in them: rows were deleted.

    Returns:
        partition, symbol, stored (as it was judged), remainder (what is left of it).
    """
    key = "" if since is None else since.date().isoformat()
    judged = view.partitions.counts(scope.dataset).filter(
        pl.col("symbol").is_in(scope.symbols), pl.col("partition") >= key, pl.col("stored") > 0
    )
    if judged.is_empty():
        return judged.select("partition", "symbol", "stored", remainder="stored")

    edges = judged.select(pl.col("partition").str.to_date()).select(
        first=pl.min("partition"), last=pl.max("partition")
    )
    window = hull([Partition.holding(day, scope.cadence) for day in edges.row(0)])
    bars = bars_in(view, scope, window).with_columns(partition=pl.col("part").dt.to_string())
    counted = judged.join(bars, on=["partition", "symbol"], how="left")
    # By another calendar, or from another start on, other bars were stored.
    is_alike = pl.col("expected") == pl.col("calendar")
    remainder = pl.when(is_alike).then("on_calendar").otherwise("bars").fill_null(0)
    return (
        counted.with_columns(remainder=remainder)
        .filter(pl.col("stored") > pl.col("remainder"))
        .select("partition", "symbol", "stored", "remainder")
    )


def _with_bars(scope: Scope, keys: Collection[str]) -> list[str]:
    """The given partitions in which a bar of some series has closed by now."""
    windows = [series.window.micros for series in scope.series]
    bounds = np.array(windows, dtype=np.int64).reshape(-1, 2)
    return [
        partition.key
        for partition in scope.partitions(scope.window)
        if partition.key in keys and _has_bar(scope, partition, bounds)
    ]


def _has_bar(scope: Scope, partition: Partition, bounds: np.ndarray) -> bool:
    first, end = partition.window.micros
    whole = (bounds[:, 0] <= first) & (bounds[:, 1] >= end)
    # A series that begins or ends inside may have no bar here, and the newest may not have closed.
    if whole.any() and partition.window.end <= scope.now:
        return True

    inside = [
        Window.of_micros(max(int(start), first), min(int(stop), end))
        for start, stop in bounds
        if max(start, first) < min(stop, end)
    ]
    bars = scope.closed(partition.window)
    return any(not bars.filter(window.holds()).is_empty() for window in inside)
