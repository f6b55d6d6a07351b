"""Runs that a command executes in its own process, with their progress and why they failed."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from market_assets.cli.faults import keep_trace
from market_assets.cli.progress import Progress
from market_assets.fill.options import USUAL, FillOptions
from market_assets.home import home
from market_assets.imports import late_imports

with late_imports():
    from market_assets.defs.assets.actions import actions_key
    from market_assets.defs.automation.follow import behind_runs
    from market_assets.defs.automation.runs import Runner
    from market_assets.defs.internals.failures import failure_of


if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_assets.cli.selection import Selection
    from market_assets.config.universe import Universe
    from market_assets.defs.automation.runs import RangeRun
    from market_assets.store import Store


_STOPPED = "Stopped. What was committed is kept, and the same command goes on from there."


def catch_up(
    runner: Runner, store: Store, selection: Selection, now: datetime, *, progress: Progress
) -> list[str]:
    """Make all that is behind its candles, and give the ids of the runs that failed."""
    failed: list[str] = []
    tried: set[RangeRun] = set()
    # What is made of what was made is behind only then: days, weeks, returns.
    while runs := [
        run
        for run in behind_runs(store, selection.universe, selection.profiles, now)
        if run not in tried
    ]:
        tried |= set(runs)
        plans: list[tuple[RangeRun, FillOptions]] = [(run, USUAL) for run in runs]
        failed += execute(runner, plans, selection, progress=progress)
    return failed


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C inside says what becomes of the work."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_STOPPED) from None


def execute(
    runner: Runner,
    plans: list[tuple[RangeRun, FillOptions]],
    selection: Selection,
    *,
    progress: Progress,
) -> list[str]:
    """Execute runs one after the other, and give the ids of those that failed."""
    works = [
        (_kind_of(run, selection.universe), run, options, len(run.partitions) * len(run.timeframes))
        for run, options in plans
    ]
    for kind, _, _, pieces in works:
        progress.plan(kind, pieces)
    failed: list[str] = []
    for kind, run, options, pieces in works:
        place = f"{run.profile} {' '.join(run.timeframes)}"
        with progress.work(kind, place, pieces) as done:
            run_id, success = runner.execute(run, options, done=done)
        if not success:
            failed.append(run_id)
    return failed


def _kind_of(run: RangeRun, universe: Universe) -> str:
    """What kind of work a run is: the word of its line."""
    if run.family != "candles":
        return run.family
    return "fetch" if run.fetches(universe.profiles[run.profile]) else "derive"


def announce_actions(progress: Progress, selection: Selection) -> None:
    """Have the progress expect the profiles whose corporate actions are asked for."""
    for _ in (profile for profile in selection.profiles if profile.has_actions):
        progress.plan("corporate actions", 1, "profiles")


def record_actions(runner: Runner, selection: Selection, *, progress: Progress) -> list[str]:
    """Ask for the corporate actions of the profiles that keep them.

    Returns:
        The ids of the runs that failed.
    """
    failed = []
    for profile in (profile for profile in selection.profiles if profile.has_actions):
        config = {"symbols": [name for name in selection.symbols if name in profile.symbols]}
        with progress.work("corporate actions", profile.name, 1) as done:
            run_id, success = runner.execute_assets([actions_key(profile.name)], config=config)
            if success:
                done()
        if not success:
            failed.append(run_id)
    return failed


def causes_of(runner: Runner, failed: list[str]) -> dict[str, str]:
    """Why each run failed, in one sentence by run id.

    A trace that the run left goes to the log, which the sentence then names.
    """
    causes = {}
    for run_id in failed:
        cause, trace = failure_of(runner.instance, run_id)
        log = keep_trace(f"run {run_id} failed: {cause}\n{trace}", home()) if trace else None
        causes[run_id] = f"{cause} (its trace is in {log})" if log else cause
    return causes
