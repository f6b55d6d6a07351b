"""`ops.gaps`: the ledger of absences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.market.timeframes import Window
from market_assets.store.database import Table, bounds, windows_frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import polars as pl

    from market_assets.market.datasets import Dataset


class Gaps(Table):
    """Reads `ops.gaps`: the ledger of absences."""

    def of(
        self,
        dataset: Dataset | None = None,
        *,
        symbols: Sequence[str] | None = None,
        window: Window | None = None,
        who: bool = False,
    ) -> pl.DataFrame:
        """The recorded absences, oldest first; those of all candles where no dataset is named.

        A row never reaches over a partition's border. With `who` it also has the columns of
        WHO_SCHEMA: the sources on whose word it rests.
        """
        profile, timeframe = (dataset.owner, dataset.timeframe) if dataset else (None, None)
        start, end = bounds(window) if window else (None, None)
        columns = "*" if who else "COLUMNS(name -> name NOT IN ('witness', 'answered'))"
        return self._db.frame(
            f"""
            SELECT {columns}
            FROM ops.gaps
            WHERE (? IS NULL OR profile = ?)
              AND (? IS NULL OR timeframe = ?)
              AND (? IS NULL OR list_contains(?, symbol))
              AND (? IS NULL OR (first_ts >= ? AND first_ts < ?))
            ORDER BY profile, timeframe, symbol, first_ts
            """,
            *(profile, profile, timeframe, timeframe, symbols, symbols, start, start, end),
        )

    def symbols_in(self, dataset: Dataset, windows: Mapping[str, Window]) -> set[str]:
        """The symbols of which an absence is recorded that begins in a window of their own."""
        if not windows:
            return set()
        with self._db.lent("looked_at", windows_frame(windows)):
            rows = self._db.execute(
                """
                SELECT DISTINCT symbol
                FROM ops.gaps
                JOIN looked_at USING (symbol)
                WHERE profile = ? AND timeframe = ? AND first_ts >= start_ts AND first_ts < end_ts
                """,
                [dataset.owner, dataset.timeframe],
            ).fetchall()
        return {symbol for (symbol,) in rows}

    def unexplained(self, dataset: Dataset, symbols: Sequence[str]) -> pl.DataFrame:
        """The gaps of some symbols that are open or abandoned, with what says when to ask again.

        Returns:
            symbol, first_ts, last_ts, status, attempts, failures, confirmed_at, asked_at.
        """
        return self._db.frame(
            """
            SELECT symbol, first_ts, last_ts, status, attempts, failures, confirmed_at, asked_at
            FROM ops.gaps
            WHERE profile = ?
              AND timeframe = ?
              AND status IN ('open', 'abandoned')
              AND list_contains(?, symbol)
            """,
            dataset.owner,
            dataset.timeframe,
            list(symbols),
        )

    def count(self, dataset: Dataset, window: Window, statuses: Sequence[str]) -> int:
        """How many rows of the ledger begin in a window and have one of some statuses."""
        ((rows,),) = self._db.execute(
            """
            SELECT count(*)
            FROM ops.gaps
            WHERE profile = ?
              AND timeframe = ?
              AND first_ts >= ?
              AND first_ts < ?
              AND list_contains(?, status)
            """,
            [dataset.owner, dataset.timeframe, *bounds(window), list(statuses)],
        ).fetchall()
        return int(rows)

    def with_status(self, statuses: Sequence[str], profile: str | None = None) -> pl.DataFrame:
        """The absences with one of some statuses, in no particular order.

        Args:
            statuses: Which statuses.
            profile: Of one profile only; None for all.

        Returns:
            profile, symbol, timeframe, first_ts, last_ts, bars, status, attempts, failures,
            confirmed_at, first_seen, asked_at, reason.
        """
        return self._db.frame(
            """
            SELECT profile, symbol, timeframe, first_ts, last_ts, bars, status, attempts, failures,
                confirmed_at, first_seen, asked_at, reason
            FROM ops.gaps
            WHERE list_contains(?, status) AND profile = coalesce(?, profile)
            """,
            list(statuses),
            profile,
        )

    def dead_symbols(self, dataset: Dataset) -> set[str]:
        """The symbols that sources are asked for no more.

        No source has ever given a candle of such a symbol, and one of its gaps is settled.
        """
        rows = self._db.execute(
            """
            SELECT DISTINCT symbol
            FROM ops.gaps
            WHERE profile = ? AND timeframe = ? AND status <> 'open'
            EXCEPT
            SELECT symbol
            FROM ops.coverage
            WHERE profile = ? AND timeframe = ? AND bars > 0
            """,
            [dataset.owner, dataset.timeframe, dataset.owner, dataset.timeframe],
        ).fetchall()
        return {symbol for (symbol,) in rows}


class GapsWriter(Gaps):
    """Reads and writes `ops.gaps`: the ledger of absences."""

    def put(
        self,
        dataset: Dataset,
        symbols: Sequence[str],
        window: Window,
        gaps: pl.DataFrame,
        *,
        since: Mapping[str, datetime] | None = None,
    ) -> None:
        """Replace the ledger of absences of some symbols in a window.

        Args:
            dataset: Which dataset.
            symbols: Whose absences are replaced.
            window: Where they are replaced.
            gaps: symbol, first_ts, last_ts, bars, status, attempts, failures, confirmations,
                confirmed_at, first_seen, asked_at, reason; witness and answered may follow.
            since: By symbol, from where in the window on; from its start on if not given.
        """
        starts = since or {}
        replaced = {
            symbol: Window(starts.get(symbol, window.start), window.end) for symbol in symbols
        }
        with self._db.lent("replaced", windows_frame(replaced)):
            self._db.execute(
                """
                DELETE FROM ops.gaps g
                USING replaced r
                WHERE g.profile = ?
                  AND g.timeframe = ?
                  AND g.symbol = r.symbol
                  AND g.first_ts >= r.start_ts
                  AND g.first_ts < r.end_ts
                """,
                [dataset.owner, dataset.timeframe],
            )
        if not gaps.is_empty():
            with self._db.lent("new_gaps", gaps):
                self._db.execute(
                    """
                    INSERT INTO ops.gaps BY NAME
                    SELECT ? AS profile, ? AS timeframe, *
                    FROM new_gaps
                    """,
                    [dataset.owner, dataset.timeframe],
                )

    def reopen(self, dataset: Dataset) -> int:
        """Make every abandoned gap an open one that was never asked for.

        Returns:
            How many there were.
        """
        rows = self._db.execute(
            """
            UPDATE ops.gaps
            SET status = 'open', attempts = 0, failures = 0, confirmations = 0, confirmed_at = NULL,
                witness = NULL, answered = NULL, first_seen = ?, asked_at = NULL
            WHERE profile = ? AND timeframe = ? AND status = 'abandoned'
            """,
            [self._db.now, dataset.owner, dataset.timeframe],
        ).fetchall()
        return int(rows[0][0])
