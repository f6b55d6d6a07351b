"""Fills what failed and is due, and makes what is behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from market_assets.cli.console import INCOMPLETE, OUT, print_json
from market_assets.cli.options import AsJson, ProfileNames, Wide
from market_assets.cli.places import open_store, places_of, universe_here
from market_assets.cli.progress import Progress
from market_assets.cli.result import finish
from market_assets.cli.runs import catch_up, causes_of, execute, stoppable
from market_assets.cli.selection import selection_of
from market_assets.fill.options import FillOptions
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.work.run import Trigger

with late_imports():
    from market_assets.config.sources import sources_of
    from market_assets.definitions import build_definitions
    from market_assets.defs.automation.follow import behind_runs
    from market_assets.defs.automation.repair import describe, look_everywhere, reopen, runs_of
    from market_assets.defs.automation.runs import Runner, instance_at


if TYPE_CHECKING:
    from market_assets.defs.automation.runs import RangeRun


def repair(
    profiles: ProfileNames = None,
    abandoned: Annotated[
        bool, typer.Option(help="Ask once more for gaps that were abandoned.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Fill what failed, was never filled or has a gap that is due; then derive.

    The newest comes first, as in the repair sensors.
    """
    universe = universe_here(quiet=as_json)
    now = present()
    selection = selection_of(universe, profiles, None, (None, None), now)

    store = open_store()
    with instance_at(home()) as instance, stoppable():
        if abandoned and not dry_run:
            for profile in selection.profiles:
                reopen(store, profile)
        plans: list[tuple[RangeRun, FillOptions]] = []
        findings: dict[str, str] = {}
        troubled = 0
        for profile in selection.profiles:
            looks = look_everywhere(
                profile,
                instance=instance,
                store=store,
                sources=sources_of(universe, profile),
                now=now,
            )
            findings |= {
                f"{profile.name} {timeframe}": describe(look) for timeframe, look in looks.items()
            }
            troubled += sum(len(look.troubled) for look in looks.values())
            plans += runs_of(profile, looks)
        behind = list(behind_runs(store, universe, selection.profiles, now))
        for run in behind:
            span = f"{run.partitions[0]}..{run.partitions[-1]}"
            findings[f"{run.profile} {run.family} {' '.join(run.timeframes)} {span}"] = (
                "is behind its candles"
            )
        if not as_json:
            for name, words in findings.items():
                OUT.print(f"[bold]{name}[/] {escape(words)}", highlight=False, soft_wrap=True)
        if dry_run:
            if as_json:
                repairs = len(plans) + len(behind)
                answer = {"troubled": troubled, "repairs": repairs, "found": findings}
                print_json({**places_of(universe), **answer})
            raise typer.Exit(INCOMPLETE if troubled or behind else 0)
        runner = Runner(build_definitions(universe), instance, Trigger.REPAIR)
        with Progress(quiet=as_json) as progress:
            failed = execute(runner, plans, selection, progress=progress)
            failed += catch_up(runner, store, selection, now, progress=progress)
            failed += runner.count_completeness([profile.name for profile in selection.profiles])
        causes = causes_of(runner, failed)
    finish(selection, causes, now, wide=wide, as_json=as_json)
