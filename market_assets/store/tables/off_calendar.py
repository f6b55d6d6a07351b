"""`ops.off_calendar`: bars that sources gave and the calendar refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.store.database import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, timedelta

    import polars as pl

    from market_assets.market.datasets import Dataset


class OffCalendar(Table):
    """Reads `ops.off_calendar`: bars that sources gave and the calendar refused."""

    def of(self, profile: str | None = None, *, longest: timedelta | None = None) -> pl.DataFrame:
        """Bars that sources gave and the calendar refused.

        There is one row per day, symbol and side of its session.

        Args:
            profile: Of one profile only.
            longest: Only bars with trades, and beside a session only those that span less: not the
                extended hours of stocks.

        Returns:
            The columns of `ops.off_calendar`: day is the exchange's; side is before, between or
            after the day's trading, or no_session; traded are the bars with a volume.
        """
        return self._db.frame(
            """
            SELECT *
            FROM ops.off_calendar
            WHERE profile = coalesce(?, profile)
              AND (
                ?::INTERVAL IS NULL
                OR traded > 0
                AND (side NOT IN ('before', 'after') OR last_ts - first_ts < ?::INTERVAL)
              )
            ORDER BY profile, timeframe, day, side, symbol
            """,
            *(profile, longest, longest),
        )


class OffCalendarWriter(OffCalendar):
    """Reads and writes `ops.off_calendar`: bars that sources gave and the calendar refused."""

    def put(self, dataset: Dataset, bars: pl.DataFrame) -> None:
        """Record bars that the calendar refused.

        They replace what was recorded of the same symbol, day and side, unless that were more bars.

        Args:
            dataset: Which dataset.
            bars: symbol, day, side, first_ts, last_ts, bars, traded.
        """
        if bars.is_empty():
            return
        with self._db.lent("refused", bars):
            key = (
                "o.profile = ? AND o.timeframe = ? "
                "AND o.symbol = r.symbol AND o.day = r.day AND o.side = r.side"
            )
            self._db.execute(
                f"DELETE FROM ops.off_calendar o USING refused r WHERE {key} AND o.bars <= r.bars",
                [dataset.owner, dataset.timeframe],
            )
            self._db.execute(
                f"""
                INSERT INTO ops.off_calendar BY NAME
                SELECT ? AS profile, ? AS timeframe, r.*, ? AS seen_at
                FROM refused r
                WHERE NOT EXISTS (SELECT 1 FROM ops.off_calendar o WHERE {key})
                """,
                [dataset.owner, dataset.timeframe, self._db.now, dataset.owner, dataset.timeframe],
            )

    def forget(self, profile: str, days: Sequence[date]) -> None:
        """Remove the refused bars of some days, because the calendar of these days has changed."""
        self._db.execute(
            "DELETE FROM ops.off_calendar WHERE profile = ? AND list_contains(?, day)",
            [profile, list(days)],
        )
