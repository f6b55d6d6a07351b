"""The daily prune: what is removed of a home, when, and what the home costs.

Dagster reads the annotations of a schedule's resources at run time, so that this module does
without postponed ones.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

from market_assets.config.services import RetentionSettings
from market_assets.config.universe import Universe
from market_assets.defs.keys import BEFORE_REPAIRS, automatic, dataset_key, process_tags
from market_assets.defs.resources import PATIENCE, Clock, StoreResource
from market_assets.errors import MarketAssetsError, StoreBusyError, StoreError
from market_assets.imports import late_imports
from market_assets.keeping import (
    APART,
    Advice,
    Part,
    Removed,
    advice,
    by_age,
    check_clock,
    files_of,
    halves,
    note_failure,
    note_prune,
    prune_files,
    read_note,
    size_words,
    spread,
)
from market_assets.keeping.files import COPIES, EVENTS, LAKE, OTHER, STORE, TICKS
from market_assets.market.clock import speed
from market_assets.market.timeframes import Window
from market_assets.words import listed

with late_imports():
    from market_assets.defs.automation.databases import compact_databases, databases
    from market_assets.defs.automation.pruning import prune_dagster
    from market_assets.expiry import Expiry, Gone, ops_of
    from market_assets.store import Store


_LONG_AGO = datetime(1800, 1, 1, tzinfo=UTC)

EVERY = timedelta(days=1)
"""How often the schedule ticks."""

_QUIET_HOUR = "40 3 * * *"
"""UTC: after New York's evening, before London's morning, and not when everything else begins."""

_TICK_TIME = 20.0
"""Seconds of one tick, of the minute that Dagster gives it; what is left is done by a run."""

_LARGE = 256 * 1024 * 1024
"""Bytes of events and ticks that no tick looks through."""


class Keeper:
    """Prunes and measures one home.

    Args:
        home: The folder.
        store: The store in it.
        instance: The Dagster instance in it.
        universe: Says how long things are kept.
        clock: Gives the present instant (aware).
    """

    def __init__(
        self,
        home: Path,
        store: Store,
        instance: dg.DagsterInstance,
        universe: Universe,
        clock: Callable[[], datetime],
    ) -> None:
        self._home = home
        self._store = store
        self._instance = instance
        self._settings = universe.retention
        self._lake = None if universe.export is None else universe.export.folder_in(home)
        self._clock = clock
        self._expiry = Expiry(store, universe, home, clock)
        self._universe = universe

    def prune(
        self,
        *,
        dry_run: bool = False,
        trust_clock: bool = False,
        go_on: Callable[[], bool] = lambda: True,
    ) -> list[Removed]:
        """Remove what is old; its files are not made shorter by that.

        Args:
            dry_run: Say what would be removed, and remove nothing.
            trust_clock: Believe the clock, though nothing in the home speaks for it.
            go_on: Asked between batches; where it says no, the rest is left to the next time.

        Raises:
            ClockError: Nothing speaks for the clock: nothing was removed.
            ExportError: What is to be archived could not be: nothing of it was removed.
            StoreError: The store stayed busy, or another prune of this home is under way.
        """
        if dry_run:
            if not trust_clock:
                self._check_clock()
            return self._prune(dry_run=True, go_on=go_on)
        with self._alone():
            try:
                if not trust_clock:
                    self._check_clock()
                removed = self._prune(dry_run=False, go_on=go_on)
            except StoreBusyError:
                # Whoever is behind it tries again.
                raise
            except MarketAssetsError as error:
                note_failure(self._home, self._clock(), self._universe.redact(str(error)))
                raise
            note_prune(self._home, self._clock())
            return removed

    def compact(self) -> int:
        """Make the files shorter that are free for a large part; returns how many bytes they are.

        Raises:
            StoreError: The store stayed busy or could not be written anew, or another prune of this
                home is under way. What was done before stays done.
        """
        with self._alone():
            return compact_databases(self._instance) + self._store.compact()

    def can_compact(self) -> bool:
        """Whether some file is free for a large part.

        Raises:
            StoreError: The store stayed busy.
        """
        return self._store.can_compact() or compact_databases(self._instance, dry_run=True) > 0

    def length(self) -> int:
        """How many bytes the files of the home have, without those of the lake."""
        files = files_of(self._home, self._lake)
        return sum(file.bytes for part, listed in files.items() if part != LAKE for file in listed)

    def free_inside(self) -> int:
        """How many bytes of the files hold nothing, and are used again before a file grows.

        Raises:
            StoreError: The store stayed busy.
        """
        with self._store.reading("measuring the store") as view:
            free = view.catalog.free_bytes()
        return free + sum(entry.free for entry in databases(self._instance))

    def is_large(self) -> bool:
        """Whether it may take long to look for what is old: a home that was never pruned."""
        files = files_of(self._home)
        return sum(file.bytes for part in (EVENTS, TICKS) for file in files.get(part, ())) > _LARGE

    def parts(self) -> list[Part]:
        """How large each part of the home is, largest first.

        Raises:
            StoreError: The store stayed busy.
        """
        now = self._clock()
        # The store first: it is made where there is none.
        parts = self._parts_of_store(now)
        files = files_of(self._home, self._lake)
        inside = {entry.part: entry for entry in databases(self._instance)}
        for name in sorted(files.keys() - {STORE}):
            listed = files[name]
            size = sum(file.bytes for file in listed)
            database = inside.get(name)
            log_paths = set() if database is None else _with_log(database.path)
            dated = [(file.written, file.bytes) for file in listed if file.path not in log_paths]
            ages = by_age(dated, now)
            if name in {EVENTS, TICKS} and database is not None:
                ages = spread(by_age(database.days.items(), now), database.bytes - database.free)
            # A lake's files are written again and again: their age is not that of their rows.
            part_ages = {} if name in {COPIES, LAKE, OTHER} else ages
            free = 0 if database is None else database.free
            parts.append(Part(name, len(listed), size, part_ages, free))
        return sorted((part for part in parts if part.bytes), key=lambda part: -part.bytes)

    def advice(self) -> list[Advice]:
        """What half of each setting would free at the next prune.

        Raises:
            StoreError: The store stayed busy.
        """
        now = _bytes(self._bookkeeping(self._settings, dry_run=True))
        freed = {}
        for name, _, shorter in halves(self._settings):
            freed[name] = _bytes(self._bookkeeping(shorter, dry_run=True)) - now
        return advice(freed, self._settings)

    def _check_clock(self) -> None:
        """Make sure that the store does not contradict the clock.

        Raises:
            ClockError: It does.
        """
        now = self._clock()
        ever = Window(_LONG_AGO, now + EVERY)
        profiles = self._universe.profiles.values()
        fetched = [
            profile.candles(timeframe)
            for profile in profiles
            for timeframe in profile.timeframes.fetch
        ]
        with self._store.reading("looking for the newest candle") as view:
            opens = [
                view.candles.newest_open(dataset, ever)
                for dataset in fetched
                if view.candles.has(dataset)
            ]
            mark = view.mark()
        candle = max(filter(None, opens), default=None)
        prune = read_note(self._home).pruned_at or mark.committed_at
        # A clock that runs fast is further ahead of what came last.
        check_clock(now, candle, prune, APART * max(speed(), 1.0))

    def _prune(self, *, dry_run: bool, go_on: Callable[[], bool]) -> list[Removed]:
        removed = self._bookkeeping(self._settings, dry_run=dry_run, go_on=go_on)
        # Last: a lake that cannot be written costs nothing else.
        if dry_run:
            return [*removed, *self._expiry.due(self._settings)]
        return [*removed, *self._expiry.remove(go_on=go_on, report=self._observe)]

    def _observe(self, gone: Gone) -> None:
        """Say on the page of a partition that retention has removed it; its colour stays."""
        files = listed(gone.archived, 3)
        where = f" They are archived in {files}." if gone.archived else ""
        words = f"{gone.rows:,} rows were removed by retention ({gone.retention})."
        metadata: dict[str, dg.MetadataValue | str] = {
            "rows_removed": dg.MetadataValue.int(gone.rows),
            "retention": gone.retention,
        }
        if gone.archived:
            metadata["archived_in"] = files
        self._instance.report_runless_asset_event(
            dg.AssetObservation(
                dataset_key(gone.dataset),
                description=words + where,
                metadata=metadata,
                partition=gone.partition,
            )
        )

    def _bookkeeping(
        self,
        settings: RetentionSettings,
        *,
        dry_run: bool,
        go_on: Callable[[], bool] = lambda: True,
    ) -> list[Removed]:
        now = self._clock()
        removed = prune_dagster(self._instance, settings, now, dry_run=dry_run, go_on=go_on)
        removed += prune_files(self._home, settings, now, dry_run=dry_run)

        ops = ops_of(self._universe)
        with self._store.reading("looking for what is old") as view:
            ledgers = view.catalog.prunable(settings, now, ops)
        if ledgers and not dry_run:
            with self._store.writing("removing what is old") as transaction:
                ledgers = transaction.catalog.prune(settings, now, ops)
        for ledger in ledgers:
            removed.append(
                Removed("ledgers", f"rows of ops.{ledger.table}", ledger.rows, ledger.bytes)
            )
        return removed

    def _parts_of_store(self, now: datetime) -> list[Part]:
        with self._store.reading("measuring the store") as view:
            tables, free = view.catalog.sizes(), view.catalog.free_bytes()
            size = self._store.size
        jobs = [table for table in tables if table.table == "jobs"]
        ledgers = [table for table in tables if table.table != "jobs"]

        parts = []
        for name, members in (("jobs", jobs), ("ledgers", ledgers)):
            ages: list[tuple[datetime, float]] = []
            for table in members:
                share = table.bytes / max(table.rows, 1)
                ages += [(day, rows * share) for day, rows in table.days.items()]
            parts.append(Part(name, 0, sum(table.bytes for table in members), by_age(ages, now)))
        rest = size - free - sum(part.bytes for part in parts)
        return [*parts, Part("candles", 1, max(rest, 0) + free, free=free)]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = FileLock(self._home / "prune.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise StoreError(
                f"another prune of {self._home} is under way; wait until it ends.",
            ) from None
        try:
            yield
        finally:
            lock.release()


def retention_schedule(universe: Universe) -> dg.ScheduleDefinition:
    """The schedule `retention`, on by default.

    Its tick prunes in its own process, for some seconds. Only where that was not enough, or files
    are to be made shorter, it starts a run, which does all that is left.

    Args:
        universe: Says how long things are kept.
    """

    @dg.op(name="prune", description="Removes what is old, and makes the files shorter.")
    def prune(context: dg.OpExecutionContext, store: StoreResource, clock: Clock) -> None:
        context.instance.add_run_tags(context.run_id, process_tags())
        keeper = Keeper(store.home, store.store(clock), context.instance, universe, clock.now)
        context.log.info("%s", told(keeper.prune()))
        context.log.info("The files are %s shorter.", size_words(keeper.compact()))

    @dg.job(name="retention", description="What is left of a day's retention.")
    def job() -> None:
        prune()

    @dg.schedule(
        name="retention",
        job=job,
        cron_schedule=_QUIET_HOUR,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(
            "Removes old runs, events, ticks, jobs, alerts, logs and downloads, "
            "as `retention` in the universe says. Partitions and checks look the same before "
            "and after. market-assets usage tells what is kept and what it costs."
        ),
    )
    def retention(
        context: dg.ScheduleEvaluationContext, store: StoreResource, clock: Clock
    ) -> dg.SkipReason | dg.RunRequest:
        end = time.monotonic() + _TICK_TIME
        began = clock.now()
        patient = store.store(clock, PATIENCE)
        keeper = Keeper(store.home, patient, context.instance, universe, clock.now)
        if keeper.is_large():
            return _request(began)
        try:
            removed = keeper.prune(go_on=lambda: time.monotonic() < end)
            if time.monotonic() < end and not keeper.can_compact():
                return dg.SkipReason(told(removed))
        except MarketAssetsError as error:
            context.log.warning("%s", error)
        return _request(began)

    return retention


def _request(began: datetime) -> dg.RunRequest:
    return dg.RunRequest(run_key=f"{began:%Y-%m-%d %H:%M}", tags=automatic(BEFORE_REPAIRS))


def told(removed: list[Removed]) -> str:
    """What was removed, in a sentence."""
    if not removed:
        return "Nothing is old enough to be removed."
    words = ", ".join(f"{removal.count:,} {removal.what}" for removal in removed)
    return f"Removed {words}: {size_words(_bytes(removed))}."


def _with_log(path: Path) -> set[Path]:
    """An SQLite file with its log of the last changes, which say nothing of the age of the rows."""
    return {path.with_name(f"{path.name}{end}") for end in ("", "-wal", "-shm")}


def _bytes(removed: list[Removed]) -> int:
    return sum(removal.bytes for removal in removed)
