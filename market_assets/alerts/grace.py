"""What waits while a gap heals that a stream has left: REST is asked for it, and mostly gives it.

Bars that a broken connection has missed make gaps, failed checks, and longer candles that cannot be
made. A minute later REST has given them, and nobody has had to know. So what is new of that waits,
for a bounded time. Pure but for its memory.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.alerts.troubles import Kind
from market_assets.market.timeframes import literal
from market_assets.store.tables.streams import StreamState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from market_assets.alerts.troubles import Key

HEALING = timedelta(minutes=3)
"""So long after a symbol was lost or connected anew REST may still be asked for its bars."""

LONGEST = timedelta(minutes=10)
"""So long a trouble waits at most, however often the connection breaks meanwhile."""

_FOLLOWING = frozenset(
    {Kind.GAP, Kind.FAILED_CHECK, Kind.FAILED_PARTITIONS, Kind.ENRICHMENT, Kind.STALE}
)
"""What may follow from bars that a stream has missed."""


def healing_profiles(streams: pl.DataFrame, now: datetime) -> set[str]:
    """The profiles of which REST is being asked for what a stream has missed.

    Args:
        streams: What `reports.streams.judged_streams` gives.
        now: The present instant.
    """
    states = pl.col("state")
    is_lost = states.is_in([StreamState.LOST, StreamState.CONNECTING])
    begin = pl.when(is_lost).then("since").when(states == StreamState.LIVE).then("connected_at")
    young = streams.filter(begin.is_between(literal(now - HEALING), literal(now)))
    return {*young["profile"]}


class Grace:
    """Which troubles wait, and since when."""

    def __init__(self) -> None:
        self._since: dict[Key, datetime] = {}

    def waiting(
        self,
        keys: Iterable[Key],
        healing: Collection[str],
        now: datetime,
        known_keys: Collection[Key],
    ) -> set[Key]:
        """Those of some troubles of which nothing is said yet.

        Args:
            keys: What is wrong now.
            healing: What `healing_profiles` gives.
            now: The present instant.
            known_keys: What somebody was told of: that goes on, and is over as ever.
        """
        new = {
            key
            for key in keys
            if key[0] in healing and key[1] in _FOLLOWING and key not in known_keys
        }
        self._since = {key: self._since.get(key, now) for key in new}
        return {key for key, since in self._since.items() if timedelta() <= now - since < LONGEST}
