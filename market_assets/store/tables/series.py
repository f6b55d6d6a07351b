"""`ops.series`: what is to be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.store.database import Table

if TYPE_CHECKING:
    import polars as pl


class SeriesWriter(Table):
    """Writes `ops.series`: what is to be kept."""

    def put(self, series: pl.DataFrame) -> None:
        """Say what is to be kept; whatever else was kept goes.

        Only the profiles that are named in the frame are touched.

        Args:
            series: profile, symbol, timeframe, derived, expected, counted_until, start_ts, end_ts:
                a bar counts whose `ts` lies between the last two.
        """
        with self._db.lent("series", series):
            self._db.execute("DELETE FROM ops.series WHERE profile IN (SELECT profile FROM series)")
            self._db.execute("INSERT INTO ops.series BY NAME SELECT * FROM series")
