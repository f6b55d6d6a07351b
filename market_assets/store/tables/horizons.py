"""`ops.horizons`: from when on sources serve that refuse what is older."""

from __future__ import annotations

import polars as pl

from market_assets.store.database import Table


class Horizons(Table):
    """Reads `ops.horizons`: from when on sources serve that refuse what is older."""

    def all(self) -> pl.DataFrame:
        """From when on sources serve that refuse what is older: profile, source, symbol, timeframe, start_ts, bars, words, learned_at."""
        # A copy that an earlier version has left to readers has none.
        if not self._db.execute(
            "SELECT 1 FROM duckdb_tables() WHERE table_name = 'horizons'"
        ).fetchall():
            return pl.DataFrame()
        return self._db.frame(
            "SELECT * FROM ops.horizons ORDER BY profile, source, symbol, timeframe"
        )


class HorizonsWriter(Horizons):
    """Reads and writes `ops.horizons`: from when on sources serve that refuse what is older."""

    def put(self, profile: str, horizons: pl.DataFrame) -> None:
        """Note from when on sources serve, in place of what was learned before.

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
