"""How late bars were stored: after their end, and after the stream had them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from market_assets.market.timeframes import from_micros
from market_assets.stream.health import Quantiles

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from market_assets.fill.streamed import Streamed
    from market_assets.live.states import SymbolStreams


class Lateness(NamedTuple):
    """How late some bars were: see the attributes of `StreamReport` of the same names."""

    lags: tuple[float, ...]
    delays: tuple[float, ...]
    waits: tuple[float, ...]


class Lags:
    """How late the bars of a session were stored.

    Args:
        step: The length of a bar.
    """

    def __init__(self, step: timedelta) -> None:
        self._step = step
        self._quantiles = Quantiles()
        self._late: list[tuple[float, float]] = []
        """Of each bar of the next report, the seconds since its end and since it came."""
        self._waits: list[float] = []
        """The same since the end of bars that have waited for REST."""

    def at(self, share: float) -> float | None:
        """See `Quantiles.at`; of all bars that have ended while they were streamed."""
        return self._quantiles.at(share)

    def count(
        self, part: Streamed, names: Mapping[str, str], streams: SymbolStreams, now: datetime
    ) -> None:
        """Measure how late bars were stored that have ended while they were streamed.

        Args:
            part: The bars of a source.
            names: Its own names of symbols, each with what the universe calls it.
            streams: How these are streamed; the newest bar of each is noted there.
            now: When they were stored.
        """
        instants = pl.col("ts", "received_at").to_physical()
        rows = part.bars.select("symbol", instants, "is_revision")
        for name, ts, received, is_revision in rows.iter_rows():
            stream = streams[names[name]]
            opened = from_micros(ts)
            end = opened + self._step
            if stream.last_bar is not None and opened <= stream.last_bar:
                continue
            stream.last_bar = opened
            if is_revision or stream.connected_at is None or end < stream.connected_at:
                continue
            lag = (now - end).total_seconds()
            self._quantiles.add(lag)
            if stream.released_at is None or end < stream.released_at:
                self._waits.append(lag)
            else:
                self._late.append((lag, (now - from_micros(received)).total_seconds()))

    def taken(self) -> Lateness:
        """The bars that were counted since the last time."""
        late, self._late = self._late, []
        waits, self._waits = self._waits, []
        lags, delays = tuple(lag for lag, _ in late), tuple(delay for _, delay in late)
        return Lateness(lags, delays, tuple(waits))
