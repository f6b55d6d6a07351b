"""`ops.horizons`: the start of what a source serves, where it refuses older candles."""

from __future__ import annotations

import polars as pl

from market_assets.store.database import Table


class Horizons(Table):
    """Reads `ops.horizons`: the start of what a source serves, where it refuses older candles."""

    def all(self) -> pl.DataFrame:
        """Since when each source serves a series, where it refuses older candles.

        Returns:
            profile, source, symbol, timeframe, start_ts, bars, words, learned_at; an empty frame
            without columns for a copy that an earlier version made.
        """
        if not self._db.has("ops", "horizons"):
            return pl.DataFrame()
        return self._db.frame(
            "SELECT * FROM ops.horizons ORDER BY profile, source, symbol, timeframe"
        )


class HorizonsWriter(Horizons):
    """Reads and writes `ops.horizons`: the start of what a source serves."""

    def put(self, profile: str, horizons: pl.DataFrame) -> None:
        """Record since when sources serve, in place of what was recorded before.

        Args:
            profile: The profile's name.
            horizons: source, symbol, timeframe, start_ts, bars, words, learned_at.
        """
        with self._db.lent("learned", horizons):
            self._db.execute(
                """
                DELETE FROM ops.horizons h
                USING learned l
                WHERE h.profile = ?
                  AND h.source = l.source
                  AND h.symbol = l.symbol
                  AND h.timeframe = l.timeframe
                """,
                [profile],
            )
            self._db.execute(
                "INSERT INTO ops.horizons BY NAME SELECT ? AS profile, * FROM learned", [profile]
            )
