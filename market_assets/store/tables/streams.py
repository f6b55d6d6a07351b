"""`ops.streams` and `ops.stream_states`: how the stream of each series is, and how it was."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import TS
from market_assets.store.database import Table, bounds, naive

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from market_assets.market.datasets import Dataset
    from market_assets.market.timeframes import Window

LAST_SIGN = timedelta(minutes=1)
"""A stream whose row was noted longer ago, and that has not ended, was killed.

Rows are noted at least every ten seconds.
"""


class StreamState(StrEnum):
    """How the stream of a series is."""

    CONNECTING = "connecting"
    """It is not served yet."""

    LIVE = "live"
    """Its candles come."""

    SILENT = "silent"
    """Frames come, and for several bars no candle of it."""

    REFUSED = "refused"
    """The source does not stream it."""

    LOST = "lost"
    """Its connection broke."""

    REST = "rest"
    """No source of it has a stream."""

    FAILED = "failed"
    """The stream of its source has ended by itself, and another attempt cannot help."""

    ENDED = "ended"
    """The session is over: its time was, or somebody has ended it."""

    KILLED = "killed"
    """Its process has gone without a word. No session notes this of itself: see LAST_SIGN."""


STREAM_SCHEMA = pl.Schema(
    {
        "profile": pl.String(),
        "timeframe": pl.String(),
        "symbol": pl.String(),
        "source": pl.String(),
        "state": pl.String(),
        "words": pl.String(),
        "since": TS,
        "connected_at": TS,
        "last_bar_at": TS,
        "last_frame_at": TS,
        "reconnects": pl.Int64(),
        "noted_at": TS,
        "lag_p50": pl.Float64(),
        "lag_p99": pl.Float64(),
        "dropped": pl.Int64(),
        "dropped_at": TS,
    }
)
"""Columns of `ops.streams`. Times are UTC without a zone.

`state` is a `StreamState`, `since` when it began, and `words` why. `last_bar_at` is the open of the
newest bar, `last_frame_at` when the source sent anything last. `reconnects` are those of the
source's whole stream. Of the whole session are `lag_p50` and `lag_p99`, the seconds from the end of
a bar until it was stored, and `dropped`, the bars that were left to REST because the store was
busy; the last of them at `dropped_at`. The last four are null where an earlier version has noted
the row.
"""

STATE_SCHEMA = pl.Schema(
    {
        "profile": pl.String(),
        "timeframe": pl.String(),
        "symbol": pl.String(),
        "source": pl.String(),
        "state": pl.String(),
        "words": pl.String(),
        "since": TS,
        "ended_at": TS,
    }
)
"""Columns of `ops.stream_states`: how a stream was, from when to when. See STREAM_SCHEMA."""


class Streams(Table):
    """Reads `ops.streams` and `ops.stream_states`."""

    def all(self) -> pl.DataFrame:
        """How the stream of each series is, as it was noted last: a frame of STREAM_SCHEMA."""
        if not self._db.has("ops", "streams"):
            return STREAM_SCHEMA.to_frame()
        rows = self._db.frame("SELECT * FROM ops.streams ORDER BY profile, timeframe, symbol")
        return pl.concat([STREAM_SCHEMA.to_frame(), rows], how="diagonal")

    def states(self, dataset: Dataset, symbol: str, window: Window) -> pl.DataFrame:
        """How the stream of a series was at a time, before it became as it is now.

        Returns:
            A frame of STATE_SCHEMA, oldest first: what began before the end of the window and ended
            after its start.
        """
        if not self._db.has("ops", "stream_states"):
            return STATE_SCHEMA.to_frame()
        start, end = bounds(window)
        return self._db.frame(
            """
            SELECT *
            FROM ops.stream_states
            WHERE profile = ? AND timeframe = ? AND symbol = ? AND since < ? AND ended_at > ?
            ORDER BY since
            """,
            *(dataset.owner, dataset.label, symbol, end, start),
        )


class StreamsWriter(Streams):
    """Reads and writes `ops.streams` and `ops.stream_states`."""

    def put(self, streams: pl.DataFrame, past: pl.DataFrame | None = None) -> None:
        """Record how the streams of some series are, in place of what was recorded before.

        Args:
            streams: A frame of STREAM_SCHEMA.
            past: How they were meanwhile, a frame of STATE_SCHEMA.
        """
        if past is not None and not past.is_empty():
            with self._db.lent("past", past):
                self._db.execute("INSERT INTO ops.stream_states BY NAME SELECT * FROM past")
        if streams.is_empty():
            return
        with self._db.lent("noted", streams):
            self._db.execute(
                """
                DELETE FROM ops.streams s
                USING noted n
                WHERE s.profile = n.profile
                  AND s.timeframe = n.timeframe
                  AND s.symbol = n.symbol
                """
            )
            self._db.execute("INSERT INTO ops.streams BY NAME SELECT * FROM noted")

    def retire(self, dataset: Dataset, symbols: Iterable[str], now: datetime) -> None:
        """Keep how streams were that an earlier session has noted, before another one notes them.

        One that has not ended was killed after its last sign.
        """
        self._db.execute(
            """
            WITH earlier AS (
                SELECT *, state IN ('ended', 'failed') AS is_over
                FROM ops.streams
                WHERE profile = $profile
                  AND timeframe = $timeframe
                  AND list_contains($symbols, symbol)
                  AND noted_at < $now
            )
            INSERT INTO ops.stream_states BY NAME
            SELECT profile, timeframe, symbol, source, state, words, since,
                CASE WHEN is_over THEN $now ELSE noted_at END AS ended_at
            FROM earlier
            UNION ALL
            SELECT profile, timeframe, symbol, source, 'killed', '', noted_at, $now
            FROM earlier
            WHERE NOT is_over
            """,
            {
                "profile": dataset.owner,
                "timeframe": dataset.label,
                "symbols": list(symbols),
                "now": naive(now),
            },
        )
