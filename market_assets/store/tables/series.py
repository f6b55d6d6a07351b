"""`ops.series`: the series that the universe keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.store.database import Table

if TYPE_CHECKING:
    import polars as pl


class SeriesWriter(Table):
    """Writes `ops.series`: the series that the universe keeps."""

    def put(self, series: pl.DataFrame) -> None:
        """Replace the series of the profiles that are named in the frame.

        Other profiles stay as they are.

        Args:
            series: profile, symbol, timeframe, derived, expected, counted_until, start_ts, end_ts:
                a bar counts whose `ts` lies between the last two. A bar that is stored before it
                is expected does not: it would hide one that is missing.
        """
        with self._db.lent("series", series):
            self._db.execute("DELETE FROM ops.series WHERE profile IN (SELECT profile FROM series)")
            self._db.execute("INSERT INTO ops.series BY NAME SELECT * FROM series")
