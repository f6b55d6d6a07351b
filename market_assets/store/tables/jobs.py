"""`ops.jobs`: every job, its progress and its result."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from market_assets.store.database import Table, naive

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from market_assets.market.datasets import Dataset


class Jobs(Table):
    """Reads `ops.jobs`: every job, its progress and its result."""

    def newest(self, limit: int | None, since: datetime | None = None) -> pl.DataFrame:
        """The newest jobs, newest first: all columns of `ops.jobs`.

        Args:
            limit: How many at most; None for all.
            since: Only those that started at this instant or after it.
        """
        return self._db.frame(
            """
            SELECT *
            FROM ops.jobs
            WHERE ? IS NULL OR started_at >= ?
            ORDER BY started_at DESC, job_id
            LIMIT ?
            """,
            *(2 * [since and naive(since)]),
            limit,
        )

    def of_run(self, run_id: str) -> pl.DataFrame:
        """The jobs of a run, newest first: all columns of `ops.jobs`."""
        return self._db.frame(
            "SELECT * FROM ops.jobs WHERE run_id = ? ORDER BY started_at DESC, job_id", run_id
        )

    def over(self, dataset: Dataset, symbol: str, ts: datetime) -> pl.DataFrame:
        """The jobs that fill or derive candles and include one bar, newest first.

        A job includes a bar if its window and its symbols do.

        Returns:
            All columns of `ops.jobs`.
        """
        return self._db.frame(
            """
            SELECT *
            FROM ops.jobs
            WHERE kind IN ('fill', 'derive')
              AND profile = ?
              AND timeframe = ?
              AND list_contains(symbols, ?)
              AND start_ts <= ?
              AND end_ts > ?
            ORDER BY started_at DESC, job_id
            """,
            *(dataset.owner, dataset.timeframe, symbol, naive(ts), naive(ts)),
        )

    def running(self, host: str) -> list[tuple[str, int, float, dict[str, object]]]:
        """The jobs of a host that have not ended: job_id, process, progress, detail."""
        rows = self._db.execute(
            """
            SELECT job_id, process, progress, detail
            FROM ops.jobs
            WHERE status = 'RUNNING' AND host = ? AND process IS NOT NULL
            """,
            [host],
        ).fetchall()
        return [
            (job_id, process, progress, json.loads(detail or "{}"))
            for job_id, process, progress, detail in rows
        ]

    def last_fills(self, since: datetime) -> pl.DataFrame:
        """How the last fill of each UTC day has ended, without those that were cancelled.

        Returns:
            profile, timeframe, day, status.
        """
        return self._db.frame(
            """
            SELECT profile, timeframe, started_at::DATE AS day,
                arg_max(status, started_at) AS status
            FROM ops.jobs
            WHERE kind = 'fill' AND status NOT IN ('RUNNING', 'CANCELLED') AND started_at >= ?
            GROUP BY ALL
            """,
            naive(since),
        )

    def last_derivations(self) -> pl.DataFrame:
        """How the newest job of each derived dataset has ended, without those that were cancelled.

        Returns:
            profile, asset (candles_1h, features_1h, returns_1h, ...), status, started_at, failures
            and faults (JSON: by partition a list of reasons).
        """
        return self._db.frame(
            """
            SELECT profile, replace(kind, 'derive', 'candles') || '_' || timeframe AS asset,
                arg_max(status, started_at) AS status, max(started_at) AS started_at,
                arg_max(coalesce(detail->>'$.failures', '{}'), started_at) AS failures,
                arg_max(coalesce(detail->>'$.faults', '{}'), started_at) AS faults
            FROM ops.jobs
            WHERE kind IN ('derive', 'features', 'returns')
              AND status NOT IN ('RUNNING', 'CANCELLED')
            GROUP BY ALL
            """
        )

    def first(self) -> dict[str, datetime]:
        """When the first job of each profile began."""
        rows = self._db.execute(
            "SELECT profile, min(started_at) FROM ops.jobs GROUP BY ALL"
        ).fetchall()
        return {profile: started_at.replace(tzinfo=UTC) for profile, started_at in rows}


class JobsWriter(Jobs):
    """Reads and writes `ops.jobs`: every job, its progress and its result."""

    def start(self, job: Mapping[str, object], detail: Mapping[str, object]) -> None:
        """Record a job that begins.

        Args:
            job: job_id, run_id, kind, profile, timeframe, symbols, start_ts, end_ts, trigger, host,
                process.
            detail: What is known of it at once.
        """
        self._db.execute(
            """
            INSERT INTO ops.jobs BY NAME
            SELECT $job_id AS job_id, $run_id AS run_id, $kind AS kind, $profile AS profile,
                $timeframe AS timeframe, $symbols AS symbols, $start_ts AS start_ts,
                $end_ts AS end_ts, $trigger AS trigger, $host AS host, $process AS process,
                'RUNNING' AS status, 0.0 AS progress, $now AS started_at, $detail AS detail
            """,
            {**job, "now": self._db.now, "detail": json.dumps(detail, default=str)},
        )

    def update(
        self, job_id: str, *, progress: float, status: str, detail: Mapping[str, object]
    ) -> None:
        """Record how far a job is (0 to 1), or that it ended (SUCCEEDED, INCOMPLETE, FAILED)."""
        self._db.execute(
            """
            UPDATE ops.jobs
            SET progress = ?, status = ?, detail = ?,
                ended_at = CASE WHEN ? = 'RUNNING' THEN NULL ELSE ? END
            WHERE job_id = ?
            """,
            [progress, status, json.dumps(detail, default=str), status, self._db.now, job_id],
        )
