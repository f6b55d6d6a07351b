"""`ops.streams`: how the stream of each series is."""

from __future__ import annotations

import polars as pl

from market_assets.market.timeframes import TS
from market_assets.store.database import Table

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
    }
)
"""Columns of `ops.streams`. Times are UTC without a zone.

`state` is connecting, live, silent, refused, lost or ended, `since` when it began, and `words` why.
`last_bar_at` is the open of the newest bar, `last_frame_at` when the source sent anything last.
`reconnects` are those of the source's whole stream. A row whose `noted_at` is old and whose state
is not ended belongs to a stream that was killed.
"""


class Streams(Table):
    """Reads `ops.streams`: how the stream of each series is."""

    def all(self) -> pl.DataFrame:
        """How the stream of each series is, as it was noted last: a frame of STREAM_SCHEMA."""
        # A copy that an earlier version has left to readers has none.
        if not self._db.execute(
            "SELECT 1 FROM duckdb_tables() WHERE schema_name = 'ops' AND table_name = 'streams'"
        ).fetchall():
            return STREAM_SCHEMA.to_frame()
        return self._db.frame("SELECT * FROM ops.streams ORDER BY profile, timeframe, symbol")


class StreamsWriter(Streams):
    """Reads and writes `ops.streams`: how the stream of each series is."""

    def put(self, streams: pl.DataFrame) -> None:
        """Record how the streams of some series are, in place of what was recorded before.

        Args:
            streams: A frame of STREAM_SCHEMA.
        """
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
