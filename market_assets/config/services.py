"""What the platform does beside its candles: alerts, the lake, retention, the HTTP API.

These are keys at the top of the file; no profile has its own.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import (
    AfterValidator,
    ByteSize,
    Field,
    PlainValidator,
    SkipValidation,
)

from market_assets.config.values import Duration, Interval, Kept, Model, TimeframeList, text

if TYPE_CHECKING:
    from market_assets.market.durations import Age


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


class TableRetention(Model):
    """How long candles, and what is made of them, are kept: a key a table.

    Without its key a table is kept as long as what it is made of, and fetched candles forever.
    """

    candles_1m: Kept = None
    candles_5m: Kept = None
    candles_15m: Kept = None
    candles_30m: Kept = None
    candles_1h: Kept = None
    candles_4h: Kept = None
    candles_1d: Kept = None
    candles_1w: Kept = None
    features_1m: Kept = None
    features_5m: Kept = None
    features_15m: Kept = None
    features_30m: Kept = None
    features_1h: Kept = None
    features_4h: Kept = None
    features_1d: Kept = None
    features_1w: Kept = None
    returns_1m: Kept = None
    returns_5m: Kept = None
    returns_15m: Kept = None
    returns_30m: Kept = None
    returns_1h: Kept = None
    returns_4h: Kept = None
    returns_1d: Kept = None
    returns_1w: Kept = None

    def of(self, table: str) -> Age | None:
        """How long a table is kept by its own key; None is forever."""
        age: Age | None = getattr(self, table)
        return age


class ProfileRetention(TableRetention):
    """How long the data of a profile are kept; forever by default.

    Attributes:
        ops: How long it is remembered what happened: rows of `ops.jobs`, `ops.alerts`,
            `ops.revisions` and `ops.repairs` that are older go, whatever other keys say.
        archive_to_lake: Whether candles, and what is made of them, are written to the lake before
            they are removed.
    """

    KEYS: ClassVar = f"{' '.join(TableRetention.model_fields)} ops archive_to_lake"

    ops: Kept = None
    archive_to_lake: bool = False

    def with_those_of(self, profile: ProfileRetention) -> ProfileRetention:
        """The retention of a profile: what it says itself, and for the rest what all have."""
        named = {
            key: getattr(part, key)
            for part in (self, profile)
            for key in ProfileRetention.model_fields
            if key in part.model_fields_set
        }
        return ProfileRetention(**named)


class RetentionSettings(ProfileRetention):
    """How long bookkeeping is kept, and for all profiles how long their data are.

    What the present state of a partition, a check, an asset or a profile rests on stays, however
    old it is. Candles and what is made of them stay unless a key names their table.

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

    KEYS: ClassVar = f"""
        runs failed_runs ticks busy_ticks evaluations events details observations update_jobs jobs
        alerts revisions logs caches {ProfileRetention.KEYS}
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


class ServeSettings(Model):
    """How `market-assets serve` answers other programs over HTTP: see [Serve](serve.md).

    Attributes:
        host: The address that it listens on. Without a token, only one of this machine.
        port: Its port.
        token: Whoever asks sends it as `Authorization: Bearer ...`; at least 16 characters, best as
            `${SERVE_TOKEN}`. Without it nothing can be started over HTTP.
        hosts: More names by which it may be asked for without a token, such as that of a proxy.
        cache: A Redis server on which several servers share their answers, best as `${REDIS_URL}`.
            It needs the extra `redis`.
        memory: How much of this process's memory answers may take that are kept.
        query_memory: How much memory the queries of all requests may take together; what needs more
            goes to the disk.
        max_rows: How many rows an answer may have.
        max_time: How long an answer may take, a slow reader's too.
        max_requests: How many requests are answered at a time; others are told to come back.
        symbol_metrics: Whether `/metrics` has a figure for each symbol, and not for each profile
            alone; of many symbols that is much for a monitor.
        dagster: Where Dagster's pages are, if they are not those of `market-assets up` over the
            same home folder: they start backfills and repairs, and say whether the daemon is alive.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=3001, ge=1, le=65535)
    token: Annotated[str, PlainValidator(text)] | None = Field(
        default=None, repr=False, exclude=True
    )
    hosts: tuple[str, ...] = ()
    cache: Annotated[str, PlainValidator(text)] | None = Field(
        default=None, repr=False, exclude=True
    )
    memory: ByteSize = ByteSize(64 << 20)
    query_memory: ByteSize = ByteSize(256 << 20)
    max_rows: int = Field(default=20_000_000, ge=1)
    max_time: Duration = timedelta(minutes=10)
    max_requests: int = Field(default=64, ge=1)
    symbol_metrics: bool = False
    dagster: str | None = None
