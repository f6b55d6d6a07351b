"""What `market-assets up` has done by short-lived processes, because it needs Dagster or the store.

`python -m market_assets.defs.errands prepare|check|close` does one errand. The answer is one JSON
document on standard output. An error is one message on standard error, with exit code REFUSED. Any
other end is a fault of ours, with its traceback. The home folder and the universe come from the
environment.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import dagster as dg

from market_assets.config.load import load_universe
from market_assets.defs.automation.runs import instance_at
from market_assets.defs.internals.beats import wake_sensors
from market_assets.defs.keys import has_process
from market_assets.errors import MarketAssetsError
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.store import Store
from market_assets.up.changes import summary_of
from market_assets.up.processes import REFUSED

# Building takes a second, for which a start has no use: what loads nearly always builds.
with late_imports():
    from market_assets.defs.location import build_definitions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def prepare() -> dict[str, Any]:
    """Make the home folder ready: make storage and store, end lost runs, wake the sensors.

    Raises:
        MarketAssetsError: The universe has mistakes, or the store cannot be opened.
    """
    universe = load_universe()
    folder = home()
    with _store(folder).reading("starting up") as view:
        schemas = view.catalog.schemas()
    with instance_at(folder) as instance:
        ended = end_runs(instance)
        wake_sensors(instance)
    return {"summary": summary_of(universe), "schemas": schemas, "ended": len(ended)}


def check() -> dict[str, Any]:
    """Read the universe and build what Dagster would load of it.

    Raises:
        MarketAssetsError: It has mistakes.
    """
    universe = load_universe()
    build_definitions(universe).resolve_all_job_defs()
    with _store(home()).reading("looking for schemas") as view:
        return {"summary": summary_of(universe), "schemas": view.catalog.schemas()}


def close() -> dict[str, Any]:
    """End the runs of the processes, once a line on standard input says that these have ended."""
    with instance_at(home()) as instance:
        # What takes long to import and to open is there by then.
        sys.stdin.readline()
        return {"ended": len(end_runs(instance))}


def end_runs(instance: dg.DagsterInstance) -> Sequence[str]:
    """Mark the unfinished runs as failed that no process executes; no code server may run here.

    The tags of a run say whether its process is gone. A run without a process was created, or was
    launched by a code server that ended before the run could say who it is. Queued runs stay: the
    next daemon launches them.
    """
    unfinished = [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=unfinished)):
        if not has_process(run.tags):
            instance.report_run_failed(
                run, "market-assets up ended before this run did; what it had committed is kept."
            )
            ended.append(run.run_id)
    return ended


def _store(folder: Path) -> Store:
    return Store(folder, clock=present)


def main(errand: str) -> int:
    """Do an errand; returns the exit code."""
    errands: dict[str, Callable[..., dict[str, Any]]] = {
        "prepare": prepare,
        "check": check,
        "close": close,
    }
    try:
        answer = errands[errand]()
    except MarketAssetsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the supervisor reads it
        return REFUSED
    print(json.dumps(answer))  # noqa: T201 - the answer
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
