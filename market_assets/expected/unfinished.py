"""Partitions that were judged too early, or without one of their series."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

import polars as pl

from market_assets.imports import late_imports
from market_assets.market.timeframes import literal, to_micros

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from market_assets.expected.scope import Scope
    from market_assets.market.partitions import Partition


def unfinished_partitions(
    scope: Scope, partitions: Sequence[Partition], *, judged: pl.DataFrame, until: datetime
) -> set[str]:
    """The keys of the partitions that were not judged to their end, or not for every series.

    Such a partition was judged before its last bar closed, or for fewer series than are in it.

    Args:
        scope: What must exist, each series from its genesis on, without those that no source has.
        partitions: Those that were filled.
        judged: partition, judged_at, symbols: until when each was judged, and for how many of the
            series.
        until: Bars that closed later need not have been judged yet.
    """
    judgements = {key: (at.replace(tzinfo=UTC), symbols) for key, at, symbols in judged.iter_rows()}
    windows = [series.window.micros for series in scope.series]
    bounds = np.array(windows, dtype=np.int64).reshape(-1, 2)
    after = to_micros(until)
    keys = set()
    for partition in partitions:
        at, symbols = judgements.get(partition.key, (until, 0))
        first, end = partition.window.micros
        # A series that begins or ends inside may have no bar here.
        whole = (bounds[:, 0] <= first) & (bounds[:, 1] >= min(end, after))
        if symbols < int(whole.sum()):
            keys.add(partition.key)
        # Bars close after they open: a partition judged after its end lacks at most one bar.
        elif at < partition.window.end + scope.timeframe.duration and at < until:
            closes = pl.col("closes_at")
            bars = scope.grid(partition.window)
            late = bars.filter(closes > literal(at), closes <= literal(until))
            if not late.is_empty():
                keys.add(partition.key)
    return keys
