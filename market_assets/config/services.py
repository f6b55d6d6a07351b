"""What the platform does beside its candles: alerts, the lake of Parquet files, retention.

These are keys at the top of the file; no profile has its own.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    Field,
    SkipValidation,
)

from market_assets.config.values import Duration, Interval, Model, TimeframeList


def _up_to(days: int) -> AfterValidator:
    def check(duration: timedelta) -> timedelta:
        if duration > timedelta(days=days):
            raise ValueError(f"is more than {days}d, after which Dagster deletes them by itself")
        return duration

    return AfterValidator(check)


class AlertSettings(Model):
    """Who gets a message about troubles, and when.

    Attributes:
        channels: Apprise URLs, such as `mailto://...`, `slack://...`, `tgram://...` or
            `json://...`.
        every: How often troubles are looked for.
        gap_warning: A gap that long, or open for that long, is worth a warning.
        gap_error: A gap that long, or open for that long, is an error.
        failed_days: Days in a row on which a backfill failed that make a trouble.
        stale_after: How long after its close the newest session may be without a bar.
    """

    channels: tuple[SkipValidation[str], ...] = Field(default=(), repr=False, exclude=True)
    every: Duration = timedelta(minutes=1)
    gap_warning: Duration = timedelta(days=1)
    gap_error: Duration = timedelta(days=7)
    failed_days: int = Field(default=3, ge=1)
    stale_after: Duration = timedelta(hours=2)


class ExportSettings(Model):
    """What is kept as Parquet files besides, for other programs.

    Attributes:
        folder: Where the files are; a path that is not absolute begins in the home folder.
        timeframes: The timeframes that are exported; empty for all that are kept.
        every: How often changes are exported; whole minutes that divide an hour, or whole hours
            that divide a day.
    """

    folder: str = Field(default="lake", min_length=1)
    timeframes: TimeframeList = ()
    every: Interval = timedelta(minutes=15)

    def folder_in(self, home: Path) -> Path:
        """The path of the folder, given the home folder."""
        return home / Path(self.folder).expanduser()


class RetentionSettings(Model):
    """How long bookkeeping is kept; candles and what is known of them are not part of it.

    What the present state of a partition, a check, an asset or a profile rests on stays, however
    old it is.

    Attributes:
        runs: Dagster's runs that did not fail, with their logs and files.
        failed_runs: Dagster's runs that failed, and its backfills.
        ticks: Ticks of sensors and schedules that found nothing to do.
        busy_ticks: Ticks that started a run or failed.
        evaluations: What Dagster notes of automation conditions each time that it looks.
        events: How many of the newest materializations of each partition, and of the newest
            evaluations of each check of a partition, are kept while they are younger than `runs`.
        details: Tables and documents on the page of a partition and of a check; its numbers stay.
        observations: How many of the newest observations of each asset are kept, and of the newest
            materializations of an asset without partitions.
        update_jobs: Rows of `ops.jobs` of live updates; the last of each day is kept longer.
        jobs: Rows of `ops.jobs`.
        alerts: Alerts that are over.
        revisions: What bars were before they changed, and which absences were filled; null keeps
            them forever.
        logs: Log files of the home folder.
        caches: Archives that a source has downloaded, and leftovers of what was broken off.
    """

    runs: Duration = timedelta(days=14)
    failed_runs: Duration = timedelta(days=30)
    ticks: Annotated[Duration, _up_to(7)] = timedelta(days=1)
    busy_ticks: Annotated[Duration, _up_to(30)] = timedelta(days=7)
    evaluations: Annotated[Duration, _up_to(30)] = timedelta(days=1)
    events: int = Field(default=5, ge=1)
    details: Duration = timedelta(days=90)
    observations: int = Field(default=100, ge=1)
    update_jobs: Duration = timedelta(days=2)
    jobs: Duration = timedelta(days=90)
    alerts: Duration = timedelta(days=90)
    revisions: Duration | None = timedelta(days=1825)
    logs: Duration = timedelta(days=14)
    caches: Duration = timedelta(days=30)
