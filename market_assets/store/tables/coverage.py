"""`ops.coverage`: which source has answered for which stretch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import TS
from market_assets.store.answers import COVERAGE_COLUMNS, merge_coverage, without
from market_assets.store.database import Table, bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.market.datasets import Dataset
    from market_assets.market.timeframes import Window


class Coverage(Table):
    """Reads `ops.coverage`: which source has answered for which stretch."""

    def of(self, dataset: Dataset, symbols: Sequence[str], window: Window) -> pl.DataFrame:
        """Which source has answered for which stretch that touches the window: COVERAGE_COLUMNS."""
        start, end = bounds(window)
        return self._db.frame(
            f"""
            SELECT {", ".join(COVERAGE_COLUMNS)}
            FROM ops.coverage
            WHERE profile = ?
              AND timeframe = ?
              AND end_ts > ?
              AND start_ts < ?
              AND list_contains(?, symbol)
            """,
            dataset.owner,
            dataset.timeframe,
            start,
            end,
            list(symbols),
        )

    def symbols(self, dataset: Dataset) -> set[str]:
        """The symbols that have at least one candle from a source."""
        rows = self._db.execute(
            """
            SELECT DISTINCT symbol
            FROM ops.coverage
            WHERE profile = ? AND timeframe = ? AND bars > 0
            """,
            [dataset.owner, dataset.timeframe],
        ).fetchall()
        return {symbol for (symbol,) in rows}


class CoverageWriter(Coverage):
    """Reads and writes `ops.coverage`: which source has answered for which stretch."""

    def put(self, dataset: Dataset, answers: pl.DataFrame) -> None:
        """Note what the sources have answered for, merged with what it meets or overlaps.

        An older answer of the same source inside a new one is dropped. An answer without a bar
        proves nothing, so that it leaves one that had bars in its place.

        Args:
            dataset: Which dataset.
            answers: symbol, source, start_ts, end_ts, bars, omits_quiet.
        """
        if answers.is_empty():
            return
        series = [dataset.owner, dataset.timeframe]
        with self._db.lent("answers", answers):
            self._db.execute(
                """
                DELETE FROM ops.coverage c
                USING answers a
                WHERE c.profile = ?
                  AND c.timeframe = ?
                  AND c.symbol = a.symbol
                  AND c.source = a.source
                  AND c.start_ts >= a.start_ts
                  AND c.end_ts <= a.end_ts
                  AND (a.bars > 0 OR c.bars = 0)
                """,
                series,
            )
            touched = self._db.frame(
                f"""
                DELETE FROM ops.coverage c
                USING answers a
                WHERE c.profile = ?
                  AND c.timeframe = ?
                  AND c.symbol = a.symbol
                  AND c.source = a.source
                  AND c.omits_quiet = a.omits_quiet
                  AND (c.bars > 0) = (a.bars > 0)
                  AND c.start_ts <= a.end_ts
                  AND c.end_ts >= a.start_ts
                RETURNING {", ".join(f"c.{name}" for name in COVERAGE_COLUMNS)}
                """,
                *series,
            )
            new = self._db.frame("SELECT *, ?::TIMESTAMP AS answered_at FROM answers", self._db.now)

        rows = pl.concat([touched, new.match_to_schema(touched.schema, missing_columns="insert")])
        with self._db.lent("merged", merge_coverage(rows, dataset.timeframe.duration)):
            self._db.execute(
                """
                INSERT INTO ops.coverage BY NAME
                SELECT ? AS profile, ? AS timeframe, *
                FROM merged
                """,
                series,
            )

    def forget(self, dataset: Dataset, windows: Sequence[Window]) -> None:
        """Remove some stretches of time from what the sources have answered for.

        What they gave there was refused then.
        """
        if not windows:
            return
        edges = [bounds(window) for window in windows]
        first, last = min(start for start, _ in edges), max(end for _, end in edges)
        with self._db.lent(
            "cuts", pl.DataFrame(edges, schema={"cut_start": TS, "cut_end": TS}, orient="row")
        ):
            touched = self._db.frame(
                """
                DELETE FROM ops.coverage
                WHERE profile = ? AND timeframe = ? AND start_ts < ? AND end_ts > ? AND EXISTS (
                    SELECT 1
                    FROM cuts
                    WHERE start_ts < cut_end AND end_ts > cut_start
                )
                RETURNING *
                """,
                *(dataset.owner, dataset.timeframe, last, first),
            )
        left = without(touched, edges)
        if not left.is_empty():
            with self._db.lent("parts", left):
                self._db.execute("INSERT INTO ops.coverage BY NAME SELECT * FROM parts")
