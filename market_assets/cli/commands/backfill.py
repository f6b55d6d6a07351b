"""Fills a window by hand, and makes what is made of it."""

from __future__ import annotations

from typing import Annotated

import typer

from market_assets.cli.console import ERR
from market_assets.cli.options import AsJson, ProfileNames, Symbols, Wide
from market_assets.cli.places import open_store, universe_here
from market_assets.cli.progress import Progress
from market_assets.cli.result import finish
from market_assets.cli.runs import (
    announce_actions,
    catch_up,
    causes_of,
    execute,
    record_actions,
    stoppable,
)
from market_assets.cli.selection import days_left_out, selection_of, window_days
from market_assets.fill.options import USUAL, FillOptions
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.work.run import Trigger

with late_imports():
    from market_assets.definitions import build_definitions
    from market_assets.defs.automation.runs import Runner, instance_at, plan_backfill, plan_markets


def backfill(
    profiles: ProfileNames = None,
    symbols: Symbols = None,
    first: Annotated[
        str | None, typer.Option("--from", help="The first day; the profile's start if not given.")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--to", help="The first day no longer filled; the profile's end, or now."),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(help="The last so many days and today, in place of --from and --to.", min=1),
    ] = None,
    refetch: Annotated[
        bool, typer.Option(help="Ask also for what is stored or explained, to find revisions.")
    ] = False,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Fill every gap of a window and derive all that is made of it.

    What is stored or explained is not asked for again.
    """
    universe = universe_here(quiet=as_json)
    now = present()
    selection = selection_of(universe, profiles, symbols, window_days(first, after, days, now), now)
    if not as_json:
        for words in days_left_out(selection, now):
            ERR.print(words, highlight=False, soft_wrap=True)

    plans = []
    for profile in selection.profiles:
        symbols_asked = [name for name in selection.symbols if name in profile.symbols]
        options = FillOptions(symbols=symbols_asked, refetch=refetch)
        runs = plan_backfill(profile, selection.windows[profile.name], now)
        plans += [(run, options if run.fetches(profile) else USUAL) for run in runs]
    plans += [(run, USUAL) for run in plan_markets(universe, selection.windows, now)]
    if not plans:
        ERR.print("There is nothing to fill in these days.")

    with instance_at(home()) as instance, stoppable(), Progress(quiet=as_json) as progress:
        runner = Runner(build_definitions(universe), instance, Trigger.BACKFILL)
        announce_actions(progress, selection)
        failed = execute(runner, plans, selection, progress=progress)
        if any(profile.has_actions for profile in selection.profiles):
            failed += record_actions(runner, selection, progress=progress)
            # What actions say of days that were made before.
            failed += catch_up(runner, open_store(), selection, now, progress=progress)
        failed += runner.count_completeness([profile.name for profile in selection.profiles])
        causes = causes_of(runner, failed)
    finish(selection, causes, now, wide=wide, as_json=as_json)
