"""What Dagster is told of a session that still runs: an observation of its partition, now and then, and no materialization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from market_assets.defs.keys import candles_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from market_assets.live.newest import Standing
    from market_assets.market_time.timeframes import Timeframe
    from market_assets.store import Store
    from market_assets.universe import Profile

_SHOWN = 20


def observe(
    instance: dg.DagsterInstance,
    store: Store,
    profile: Profile,
    timeframe: Timeframe,
    *,
    newest: Sequence[Standing],
    now: datetime,
) -> None:
    """Observe the partition of the session that runs; nothing where none does.

    Args:
        instance: Where the observation goes.
        store: Where the counts are.
        profile: Whose candles.
        timeframe: Their timeframe.
        newest: How far the newest partitions are.
        now: The present instant.
    """
    running = [standing for standing in newest if standing.ends_at > now and standing.judged_at]
    if not running:
        return
    standing = running[-1]
    key = standing.partition.key
    with store.reading(f"observing {profile.name} {timeframe}") as view:
        counts = view.judged(profile.name, timeframe, [key])
        extents = view.extents(profile.name, timeframe, standing.partition.window)
    last = dict(extents.select("symbol", "last_ts").iter_rows())
    expected, stored, missing = (int(counts[name].sum()) for name in ("expected", "stored", "missing"))

    rows = [
        dg.TableRecord(
            {
                "symbol": row["symbol"],
                "stored": row["stored"],
                "missing": row["missing"],
                "last bar": f"{last[row['symbol']]:%H:%M}Z" if row["symbol"] in last else "none",
            }
        )
        for row in counts.sort("missing", "symbol", descending=[True, False]).head(_SHOWN).iter_rows(named=True)
    ]
    metadata: dict[str, Any] = {"expected": expected, "stored": stored, "missing": missing}
    if standing.judged_at is not None:
        lag = (now - standing.judged_at).total_seconds()
        metadata["judged_until"] = f"{standing.judged_at:%Y-%m-%d %H:%M:%S}Z"
        metadata["lag_seconds"] = round(lag, 1)
    if rows:
        metadata["symbols"] = dg.MetadataValue.table(rows)
    instance.report_runless_asset_event(
        dg.AssetObservation(
            candles_key(profile.name, timeframe),
            partition=key,
            description=(
                f"The session runs: {stored:,} of {expected:,} bars are stored, {missing:,} are missing. "
                "Its partition is materialized when it is over."
            ),
            metadata=metadata,
        )
    )
