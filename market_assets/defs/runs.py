"""Starts runs from this process: what a terminal does in place of the daemon."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import dagster as dg

from market_assets.defs.adapter import range_tags, was_interrupted
from market_assets.defs.keys import MANUAL, TRIGGER_TAG, candles_key, is_orphan, op_config, process_tags
from market_assets.fill.series import calendar_of
from market_assets.market_time.partitions import partitions_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from market_assets.market_time.timeframes import Timeframe, Window
    from market_assets.universe import Profile

_PARTITIONS_PER_RUN = 400
_SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RangeRun:
    """Assets of one profile that one run materializes over one range of partitions.

    Attributes:
        profile: The profile's name.
        timeframes: The candle assets; more than one only where none is made of another and all have the same partitions.
        partitions: The keys, oldest first.
    """

    profile: str
    timeframes: tuple[Timeframe, ...]
    partitions: tuple[str, ...]


def plan_backfill(profile: Profile, window: Window, now: datetime) -> list[RangeRun]:
    """The runs, in their order, that fill a profile's window and derive all that is made of it."""
    inside = window.intersect(profile.window(now))
    if inside is None:
        return []
    frames = profile.timeframes
    groups: list[tuple[Timeframe, ...]] = [(timeframe,) for timeframe in frames.fetch]
    siblings = tuple(timeframe for timeframe in frames.derive if timeframe.intraday)
    groups += [siblings] if siblings else []
    groups += [(timeframe,) for timeframe in frames.derive if not timeframe.intraday]
    runs = []
    for timeframes in groups:
        cadence = profile.partitions.of(timeframes[0])
        keys = [part.key for part in partitions_in(calendar_of(profile), timeframes[0], cadence, inside)]
        pieces = [keys[at : at + _PARTITIONS_PER_RUN] for at in range(0, len(keys), _PARTITIONS_PER_RUN)]
        runs += [RangeRun(profile.name, timeframes, tuple(piece)) for piece in pieces]
    return runs


def execute(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    run: RangeRun,
    *,
    trigger: str = MANUAL,
    config: dict[str, object],
    done: Callable[[], None],
) -> tuple[str, bool]:
    """Execute a run in this process; the UI shows it like any other.

    Args:
        definitions: The definitions that hold its assets.
        instance: The Dagster instance that keeps its events.
        run: What to materialize.
        trigger: How it came about, for the audit.
        config: The fetched asset's config, empty for derived ones.
        done: Called for each partition that was materialized.

    Returns:
        The run's id, and whether all of it succeeded.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; the run has ended as a failed one.
    """
    job = definitions.resolve_implicit_global_asset_job_def()
    keys = [candles_key(run.profile, timeframe) for timeframe in run.timeframes]
    run_id = str(uuid.uuid4())

    def on_event(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is not None and event.is_step_materialization and event.asset_key in keys:
            done()

    instance.add_event_listener(run_id, on_event)
    result = job.execute_in_process(
        instance=instance,
        run_id=run_id,
        asset_selection=keys,
        tags={
            **range_tags(run.partitions[0], run.partitions[-1]),
            TRIGGER_TAG: trigger,
            **process_tags(),
        },
        run_config={**_SILENT, **(op_config(keys, config) if config else {})},
        raise_on_error=False,
    )
    if was_interrupted(result):
        raise KeyboardInterrupt
    return run_id, result.success


@contextmanager
def instance_at(home: Path) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of a home folder, with our dagster.yaml where it has none yet."""
    prepare_home(home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        fail_orphans(instance)
        yield instance


def prepare_home(home: Path) -> None:
    """Make a folder a Dagster home, and point this process and its children to it."""
    home.mkdir(parents=True, exist_ok=True)
    target = home / "dagster.yaml"
    if not target.exists():
        target.write_text(files("market_assets").joinpath("dagster.yaml").read_text())
    os.environ["DAGSTER_HOME"] = str(home)


def fail_orphans(instance: dg.DagsterInstance) -> Sequence[str]:
    """Mark the runs whose process is gone as failed, so that their partitions and pools do not look busy for ever.

    Nobody else does after a power cut: Dagster's daemon asks a run's launcher, and that one is gone as well.
    """
    unfinished = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
    failed = []
    for run in instance.get_runs(dg.RunsFilter(statuses=unfinished)):
        if is_orphan(run.tags):
            instance.report_run_failed(run, "The process that ran this is gone; what it had committed is kept.")
            failed.append(run.run_id)
    return failed
