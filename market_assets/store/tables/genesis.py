"""`ops.genesis`: the first bars that sources have named."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from market_assets.store.database import Table, naive

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from market_assets.market.datasets import Dataset


class Genesis(Table):
    """Reads `ops.genesis`: the first bars that sources have named."""

    def of(self, dataset: Dataset) -> dict[str, datetime]:
        """The first bar's open of each symbol as a source has named it last."""
        rows = self._db.execute(
            """
            SELECT symbol, last(ts ORDER BY found_at, rowid)
            FROM ops.genesis
            WHERE profile = ? AND timeframe = ?
            GROUP BY symbol
            """,
            [dataset.owner, dataset.timeframe],
        ).fetchall()
        return {symbol: ts.replace(tzinfo=UTC) for symbol, ts in rows}

    def all(self) -> pl.DataFrame:
        """The first bar of each series, as a source has named it last.

        Returns:
            profile, symbol, timeframe, ts, source, found_at.
        """
        return self._db.frame(
            """
            SELECT *
            FROM ops.genesis
            QUALIFY row_number() OVER (
                PARTITION BY profile, symbol, timeframe ORDER BY found_at DESC, rowid DESC
            ) = 1
            ORDER BY profile, symbol, timeframe
            """
        )

    def namings(self, dataset: Dataset, symbol: str) -> pl.DataFrame:
        """Each time that a source has named a symbol's first bar, oldest first.

        Returns:
            ts, source, found_at.
        """
        return self._db.frame(
            """
            SELECT ts, source, found_at
            FROM ops.genesis
            WHERE profile = ? AND timeframe = ? AND symbol = ?
            ORDER BY found_at, rowid
            """,
            dataset.owner,
            dataset.timeframe,
            symbol,
        )


class GenesisWriter(Genesis):
    """Reads and writes `ops.genesis`: the first bars that sources have named."""

    def put(self, dataset: Dataset, symbol: str, ts: datetime, source: str) -> None:
        """Record the open of a symbol's first bar as a source named it.

        The earlier records stay.
        """
        self._db.execute(
            "INSERT INTO ops.genesis VALUES (?, ?, ?, ?, ?, ?)",
            [dataset.owner, symbol, dataset.timeframe, naive(ts), source, self._db.now],
        )

    def forget(self, profile: str, symbols: Sequence[str]) -> None:
        """Remove the recorded first bars of some symbols, of all their timeframes.

        They are looked for again then.
        """
        self._db.execute(
            "DELETE FROM ops.genesis WHERE profile = ? AND list_contains(?, symbol)",
            [profile, list(symbols)],
        )
