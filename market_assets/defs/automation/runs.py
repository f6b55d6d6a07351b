"""Starts runs from this process: what a terminal does in place of the daemon."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

import dagster as dg

from market_assets.config.places import keep_practice
from market_assets.defs.assets.completeness import completeness_key
from market_assets.defs.fill_config import run_config_of
from market_assets.defs.internals.adapter import instance_of_terminal, range_tags, was_interrupted
from market_assets.defs.internals.beats import launcher_seen_at
from market_assets.defs.internals.collection import rare_collection
from market_assets.defs.keys import (
    dataset_key,
    is_orphan,
    is_process_known,
    op_config,
    process_tags,
    trigger_tag,
)
from market_assets.expected.scope import scope_of
from market_assets.fill.options import USUAL
from market_assets.home import HOME_VARIABLE
from market_assets.imports import late_imports
from market_assets.market.calendars.sessions import ALWAYS_OPEN, load_calendar
from market_assets.market.clock import machine
from market_assets.market.datasets import Dataset, Family
from market_assets.market.partitions import Partition, partitions_in
from market_assets.market.timeframes import Window
from market_assets.private import put_private
from market_assets.work.run import Trigger

with late_imports():
    from market_assets.defs.internals.event_log import making
    from market_assets.enrich.features.featurize import partitions_reached
    from market_assets.enrich.returns.returns import markets_cadence, reach_days
    from market_assets.expected.floors import above, floor_of
    from market_assets.expected.series import calendar_of


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from market_assets.config.universe import Profile, Universe
    from market_assets.expected.floors import Floor
    from market_assets.fill.options import FillOptions
    from market_assets.market.timeframes import Timeframe

_PARTITIONS_PER_RUN = 400
_BEHIND = timedelta(days=31)
"""How far behind a window the next partition begins at most."""

_PATIENCE = timedelta(minutes=10)
"""A run that has not begun after so long begins only if a daemon is alive."""

_NOT_BEGUN = frozenset(
    {dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING}
)
_UNFINISHED = [*_NOT_BEGUN, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]

_EARLIER = frozenset(
    {
        "1bbc12851bced9c37e332729a6076c6ce62a6e464790bfcb5f843c53db9796b5",
        "7b3512209776eb8b03e8daf6af38dd40377caeafa5e9e8b710cada0122b58a34",
        "d32e4f5990d97c9e18a91dc0a409a72a248a8af2730301bd5bf2bf976581a4bc",
        "e44cfce11acf51ee177778c7ab2c2da065a04e7c4b03b0571d408d66e441e9da",
    }
)
"""Checksums of the dagster.yaml files of earlier releases.

A home that has one of these unchanged gets the present one.
"""

_SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RangeRun:
    """Assets of one family and profile that one run materializes over one range of partitions.

    Attributes:
        profile: The profile's name, or that of the matrix across profiles.
        timeframes: Of which assets; more than one only where none is made of another and all have
            the same partitions.
        partitions: The keys, oldest first.
        family: What the assets hold.
    """

    profile: str
    timeframes: tuple[Timeframe, ...]
    partitions: tuple[str, ...]
    family: Family = Family.CANDLES

    @property
    def keys(self) -> list[dg.AssetKey]:
        """The keys of its assets."""
        return [
            dataset_key(Dataset(self.profile, self.family, timeframe))
            for timeframe in self.timeframes
        ]

    def ends(self, profile: Profile) -> list[Partition]:
        """Its first and its last partition, if it is one of a profile."""
        cadence = profile.partitions.of(self.timeframes[0])
        return [Partition.of_key(key, cadence) for key in (self.partitions[0], self.partitions[-1])]

    def fetches(self, profile: Profile) -> bool:
        """Whether it asks sources; else it makes something of what is stored."""
        return self.family is Family.CANDLES and self.timeframes[0] in profile.timeframes.fetch


def plan_backfill(profile: Profile, window: Window, now: datetime) -> list[RangeRun]:
    """The runs, in their order, that fill a profile's window and derive all that is made of it."""
    inside = window.intersect(profile.window(now))
    if inside is None:
        return []
    frames = profile.timeframes
    groups: list[tuple[Family, tuple[Timeframe, ...], int]] = [
        (Family.CANDLES, (timeframe,), 0) for timeframe in frames.fetch
    ]
    groups += [(Family.CANDLES, timeframes, 0) for timeframes in _siblings(frames.derive)]
    groups += [
        (
            Family.FEATURES,
            timeframes,
            max(partitions_reached(scope_of(profile, timeframe, now)) for timeframe in timeframes),
        )
        for timeframes in _siblings(frames.features)
    ]
    groups += [(Family.RETURNS, timeframes, 1) for timeframes in _siblings(frames.returns)]
    runs = []
    for family, timeframes, reach in groups:
        cadence = profile.partitions.of(timeframes[0])
        floor = _lowest(profile, family, timeframes, now)
        kept = above(inside, floor)
        keys = [
            part.key for part in partitions_in(calendar_of(profile), timeframes[0], cadence, kept)
        ]
        # What lies behind the window may have been made of less.
        after = above(Window(inside.end, profile.window(now).end), floor)
        behind = partitions_in(calendar_of(profile), timeframes[0], cadence, after)
        keys += [part.key for part in behind[: 0 if kept.empty else reach]]
        runs += _pieces(profile.name, family, timeframes, list(dict.fromkeys(keys)))
    return runs


def _lowest(
    profile: Profile, family: Family, timeframes: Sequence[Timeframe], now: datetime
) -> Floor:
    """The lowest of the floors of some datasets of a profile."""
    floors = [
        floor_of(profile, Dataset(profile.name, family, timeframe), now) for timeframe in timeframes
    ]
    return min(floors, key=lambda floor: 0 if floor.start is None else floor.start.timestamp())


def plan_markets(
    universe: Universe, windows: Mapping[str, Window], now: datetime
) -> list[RangeRun]:
    """The runs that align the returns across profiles, once all candles are there.

    They cover the windows of the profiles that were filled.
    """
    runs = []
    for timeframe in universe.markets.timeframes:
        members = universe.in_markets(timeframe)
        filled = [windows[member.name] for member in members if member.name in windows]
        if not filled:
            continue
        whole = Window(
            min(member.window(now).start for member in members),
            max(member.window(now).end for member in members),
        )
        after = timedelta(days=reach_days(members, now)) if timeframe.intraday else _BEHIND
        inside = Window(
            min(window.start for window in filled), max(window.end for window in filled) + after
        ).intersect(whole)
        if inside is not None:
            partitions = partitions_in(
                load_calendar(ALWAYS_OPEN), timeframe, markets_cadence(timeframe), inside
            )
            runs += _pieces(
                universe.markets.name,
                Family.RETURNS,
                (timeframe,),
                [part.key for part in partitions],
            )
    return runs


def _siblings(timeframes: Sequence[Timeframe]) -> list[tuple[Timeframe, ...]]:
    """The timeframes in groups that one run can make.

    Those below a day are one group, and each other timeframe is one.
    """
    intraday = tuple(timeframe for timeframe in timeframes if timeframe.intraday)
    return [
        *([intraday] if intraday else []),
        *((timeframe,) for timeframe in timeframes if not timeframe.intraday),
    ]


def _pieces(
    profile: str, family: Family, timeframes: tuple[Timeframe, ...], keys: Sequence[str]
) -> list[RangeRun]:
    return [
        RangeRun(profile, timeframes, tuple(keys[at : at + _PARTITIONS_PER_RUN]), family)
        for at in range(0, len(keys), _PARTITIONS_PER_RUN)
    ]


@dataclass(frozen=True)
class Runner:
    """Executes runs in this process; the UI shows them like any other.

    Attributes:
        definitions: The definitions that hold their assets.
        instance: The Dagster instance that keeps their events.
        trigger: How they came about, for the audit.
    """

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    trigger: Trigger = Trigger.MANUAL

    def execute(
        self, run: RangeRun, options: FillOptions = USUAL, *, done: Callable[[], None]
    ) -> tuple[str, bool]:
        """Execute a run of partitions.

        Args:
            run: What to materialize.
            options: How fetched assets are filled; the others have none.
            done: Called for each partition that was materialized.

        Returns:
            The run's id, and whether all of it succeeded.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed; the run has ended as a failed one.
        """
        keys = run.keys
        run_id = str(uuid.uuid4())

        def on_event(entry: dg.EventLogEntry) -> None:
            event = entry.dagster_event
            if event is not None and event.is_step_materialization and event.asset_key in keys:
                done()

        self.instance.add_event_listener(run_id, on_event)
        return run_id, self._execute(
            run_id,
            keys,
            range_tags(run.partitions[0], run.partitions[-1]),
            run_config_of(keys, options),
        )

    def execute_assets(
        self, keys: Sequence[dg.AssetKey], *, config: Mapping[str, object]
    ) -> tuple[str, bool]:
        """Execute a run of assets without partitions: see `execute`.

        Returns:
            The run's id, and whether it succeeded.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed; the run has ended as a failed one.
        """
        run_id = str(uuid.uuid4())
        run_config = op_config(keys, config) if config else {}
        return run_id, self._execute(run_id, keys, {}, run_config)

    def count_completeness(self, profiles: Sequence[str]) -> list[str]:
        """Count again how complete some profiles are, in one run.

        Their pages then show what was just filled.

        Returns:
            The run's id if it failed.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed; the run has ended as a failed one.
        """
        if not profiles:
            return []
        run_id, success = self.execute_assets(
            [completeness_key(profile) for profile in profiles], config={}
        )
        return [] if success else [run_id]

    def _execute(
        self,
        run_id: str,
        keys: Sequence[dg.AssetKey],
        tags: Mapping[str, str],
        run_config: Mapping[str, object],
    ) -> bool:
        job = self.definitions.resolve_implicit_global_asset_job_def()
        with rare_collection():
            result = job.execute_in_process(
                instance=self.instance,
                run_id=run_id,
                asset_selection=list(keys),
                tags={**tags, **trigger_tag(self.trigger), **process_tags()},
                run_config={**_SILENT, **run_config},
                raise_on_error=False,
            )
        if was_interrupted(result):
            raise KeyboardInterrupt
        return result.success


@contextmanager
def instance_at(home: Path) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of a home folder, with our dagster.yaml where it has none yet."""
    prepare_home(home)
    with making(home):
        # A dagster.yaml of the user's may name storages that take no lock themselves.
        ready = instance_of_terminal(home)
    with ready as instance:
        fail_orphans(instance)
        yield instance


def prepare_home(home: Path) -> None:
    """Make a folder a Dagster home, and point this process and its children to it.

    Where no universe is named, the practice universe is kept in it, so that its days stand still.
    """
    with making(home):
        target = home / "dagster.yaml"
        if not target.exists() or sha256(target.read_bytes()).hexdigest() in _EARLIER:
            # Put in its place whole: Dagster's own commands read it without a lock.
            put_private(target, files("market_assets").joinpath("dagster.yaml").read_bytes())
        keep_practice({**os.environ, HOME_VARIABLE: str(home)})
    os.environ["DAGSTER_HOME"] = str(home)


def unfinished_runs(
    instance: dg.DagsterInstance, now: datetime, tags: Mapping[str, str] | None = None
) -> list[dg.DagsterRun]:
    """The runs that wait or are under way, and that somebody will hear of again.

    Args:
        instance: The Dagster instance.
        now: The machine's time, in which Dagster notes when a run was made.
        tags: Those of some runs; all by default.
    """
    records = _records(instance, _UNFINISHED, tags)
    return [
        record.dagster_run for record in records if _why_orphaned(instance, record, now) is None
    ]


def forgotten_runs(instance: dg.DagsterInstance, now: datetime) -> list[dg.DagsterRun]:
    """The other unfinished runs: nobody executes them, or is there to start them."""
    records = _records(instance, _UNFINISHED)
    return [
        record.dagster_run for record in records if _why_orphaned(instance, record, now) is not None
    ]


def _records(
    instance: dg.DagsterInstance,
    statuses: Sequence[dg.DagsterRunStatus],
    tags: Mapping[str, str] | None = None,
) -> Sequence[dg.RunRecord]:
    return instance.get_run_records(dg.RunsFilter(statuses=list(statuses), tags=dict(tags or {})))


def fail_orphans(instance: dg.DagsterInstance, now: datetime | None = None) -> Sequence[str]:
    """Mark the runs that nobody executes or will start as failed: else they look busy forever.

    Nobody else does after a power cut: Dagster's daemon asks a run's launcher, and that one is gone
    as well. A run that is queued is left alone, because the next daemon starts it.

    Args:
        instance: The Dagster instance.
        now: The machine's time; that of this moment by default.
    """
    now = now or machine()
    begun = [status for status in _UNFINISHED if status is not dg.DagsterRunStatus.QUEUED]
    failed = []
    for record in _records(instance, begun):
        reason = _why_orphaned(instance, record, now)
        if reason is not None:
            instance.report_run_failed(record.dagster_run, reason)
            failed.append(record.dagster_run.run_id)
    return failed


def _why_orphaned(instance: dg.DagsterInstance, record: dg.RunRecord, now: datetime) -> str | None:
    """Why nobody will hear of an unfinished run again; None for one that may be under way."""
    run = record.dagster_run
    if is_orphan(run.tags):
        return "The process that ran this is gone; what it had committed is kept."
    waits = now - record.update_timestamp.astimezone(UTC) > _PATIENCE
    if is_process_known(run.tags) or run.status not in _NOT_BEGUN or not waits:
        return None
    if run.status is dg.DagsterRunStatus.NOT_STARTED:
        # Whoever makes a run starts or queues it at once.
        return "The process that made this run ended before it could start it."
    seen_at = launcher_seen_at(instance)
    if seen_at is not None and now - seen_at <= _PATIENCE:
        return None
    return "The process that was to start this run is gone."
