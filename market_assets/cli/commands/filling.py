"""Fills candles: a window by hand, or what failed and is due."""

from __future__ import annotations

import json
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape
from rich.table import Table

from market_assets.cli.console import (
    ERR,
    INCOMPLETE,
    OUT,
    AsJson,
    ProfileNames,
    Symbols,
    add_row,
    days_of,
    is_healthy,
    matrix_now,
    open_store,
    plain,
    print_matrix,
    profiles_of,
    progress_bars,
    symbols_of,
)
from market_assets.market_time.clock import present

if TYPE_CHECKING:
    from dagster import DagsterInstance, Definitions

    from market_assets.defs.runs import RangeRun
    from market_assets.market_time.timeframes import Window
    from market_assets.universe import Profile


def backfill(
    profiles: ProfileNames = None,
    symbols: Symbols = None,
    first: Annotated[
        str | None, typer.Option("--from", help="The first day; the profile's start if not given.")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--to", help="The first day no longer filled; the profile's end, or now.")
    ] = None,
    refetch: Annotated[bool, typer.Option(help="Ask also for what is stored or explained, to find revisions.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fill every gap of a window and derive all that is made of it; what is there is not asked for again."""
    from market_assets.universe import home, load_universe  # noqa: PLC0415 - a help text needs no pydantic

    universe = load_universe()
    now = present()
    named = profiles_of(universe, profiles)
    names = symbols_of(named, symbols)
    # No symbols at all would mean all of them.
    chosen = [profile for profile in named if not names or set(names) & set(profile.symbols)]
    windows = {profile.name: _window(profile, *days_of(first, after), now) for profile in chosen}

    from market_assets.definitions import build_definitions  # noqa: PLC0415 - Dagster takes seconds to import
    from market_assets.defs.keys import BACKFILL  # noqa: PLC0415
    from market_assets.defs.runs import (  # noqa: PLC0415
        execute_completeness,
        instance_at,
        plan_backfill,
        plan_markets,
    )

    plans = []
    for profile in chosen:
        own = {"symbols": [name for name in names if name in profile.symbols], "refetch": refetch}
        runs = plan_backfill(profile, windows[profile.name], now)
        plans += [(run, own if run.fetches(profile) else {}) for run in runs]
    plans += [(run, {}) for run in plan_markets(universe, windows, now)]
    if not plans:
        ERR.print("No partition lies between these days.")
    with instance_at(home()) as instance:
        definitions = build_definitions(universe)
        failed = _execute(definitions, instance, plans, trigger=BACKFILL, quiet=as_json)
        failed += _record_actions(definitions, instance, chosen, names, quiet=as_json)
        filled = [profile.name for profile in chosen]
        failed += execute_completeness(definitions, instance, filled, trigger=BACKFILL)
    _finish(chosen, failed, as_json=as_json)


def repair(
    profiles: ProfileNames = None,
    abandoned: Annotated[bool, typer.Option(help="Ask once more for gaps that were abandoned.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fill what failed, was never filled or has a gap that is due, newest first, as the repair sensors do; then derive."""
    from market_assets.universe import home, load_universe  # noqa: PLC0415 - a help text needs no pydantic

    universe = load_universe()
    now = present()
    chosen = profiles_of(universe, profiles)

    from market_assets.definitions import build_definitions  # noqa: PLC0415 - Dagster takes seconds to import
    from market_assets.defs.keys import REPAIR  # noqa: PLC0415
    from market_assets.defs.repair import describe, look_everywhere, reopen, runs_of  # noqa: PLC0415
    from market_assets.defs.runs import execute_completeness, instance_at, plan_markets  # noqa: PLC0415
    from market_assets.market_time.partitions import hull  # noqa: PLC0415
    from market_assets.sources.configured import sources_of  # noqa: PLC0415

    store = open_store()
    with instance_at(home()) as instance:
        if abandoned and not dry_run:
            for profile in chosen:
                reopen(store, profile)
        plans: list[tuple[RangeRun, dict[str, Any]]] = []
        repaired: dict[str, Window] = {}
        told: dict[str, str] = {}
        troubled = 0
        for profile in chosen:
            looks = look_everywhere(
                profile, instance=instance, store=store, sources=sources_of(universe, profile), now=now
            )
            told |= {f"{profile.name} {timeframe}": describe(look) for timeframe, look in looks.items()}
            troubled += sum(len(look.troubled) for look in looks.values())
            planned = runs_of(profile, looks, now)
            plans += planned
            if planned:
                repaired[profile.name] = hull([part for run, _ in planned for part in run.ends(profile)])
        plans += [(run, {}) for run in plan_markets(universe, repaired, now)]
        if not as_json:
            for name, words in told.items():
                OUT.print(f"[bold]{name}[/] {escape(words)}", highlight=False, soft_wrap=True)
        if dry_run:
            if as_json:
                print(json.dumps({"troubled": troubled, "repairs": len(plans), "found": told}, indent=1))  # noqa: T201 - the answer
            raise typer.Exit(INCOMPLETE if troubled else 0)
        definitions = build_definitions(universe)
        failed = _execute(definitions, instance, plans, trigger=REPAIR, quiet=as_json)
        failed += execute_completeness(definitions, instance, list(repaired), trigger=REPAIR)
    _finish(chosen, failed, as_json=as_json)


def _window(profile: Profile, first: date | None, after: date | None, now: datetime) -> Window:
    """The window of a profile from a first day to one that no longer belongs to it; empty where the profile has none of it."""
    from market_assets.market_time.timeframes import Window, midnight  # noqa: PLC0415 - a help text needs no polars

    whole = profile.window(now)
    start = midnight(first) if first else whole.start
    return Window(start, max(start, midnight(after) if after else whole.end))


def _execute(
    definitions: Definitions,
    instance: DagsterInstance,
    plans: list[tuple[RangeRun, dict[str, Any]]],
    *,
    trigger: str,
    quiet: bool,
) -> list[str]:
    """Execute runs one after the other, and give the ids of those that failed."""
    from market_assets.defs.runs import execute  # noqa: PLC0415 - Dagster takes seconds to import

    failed: list[str] = []
    with progress_bars(quiet=quiet) as progress:
        try:
            for run, config in plans:
                words = f"{run.profile} {'' if run.family == 'candles' else run.family + ' '}{' '.join(run.timeframes)}"
                bar = progress.add_task(words, total=len(run.partitions) * len(run.timeframes))
                done = partial(progress.advance, bar)
                run_id, success = execute(definitions, instance, run, trigger=trigger, config=config, done=done)
                if not success:
                    failed.append(run_id)
        except KeyboardInterrupt:
            ERR.print("Stopped. What was committed is kept, and the same command goes on from there.")
            raise
    return failed


def _record_actions(
    definitions: Definitions, instance: DagsterInstance, profiles: list[Profile], symbols: list[str], *, quiet: bool
) -> list[str]:
    """Ask for the corporate actions of the profiles that keep them, and give the ids of the runs that failed."""
    from market_assets.defs.actions import actions_key  # noqa: PLC0415 - Dagster takes seconds to import
    from market_assets.defs.keys import BACKFILL  # noqa: PLC0415
    from market_assets.defs.runs import execute_asset  # noqa: PLC0415

    failed = []
    with progress_bars(quiet=quiet) as progress:
        for profile in (one for one in profiles if one.has_actions):
            bar = progress.add_task(f"{profile.name} corporate actions", total=1)
            config = {"symbols": [name for name in symbols if name in profile.symbols]}
            run_id, success = execute_asset(
                definitions, instance, actions_key(profile.name), trigger=BACKFILL, config=config
            )
            progress.advance(bar)
            if not success:
                failed.append(run_id)
    return failed


def _finish(profiles: list[Profile], failed: list[str], *, as_json: bool) -> NoReturn:
    matrix = matrix_now(profiles)
    with open_store().reading("reading what failed") as view:
        done = {row["run_id"]: row for row in view.jobs(1000).iter_rows(named=True) if row["run_id"] in failed}
    details = {run_id: json.loads(row["detail"] or "{}") for run_id, row in done.items()}
    fills = [run_id for run_id, row in done.items() if row["kind"] == "fill"]
    failures = [
        {"profile": done[run_id]["profile"], "timeframe": done[run_id]["timeframe"], "partition": key, "why": why}
        for run_id in fills
        for key, whys in details[run_id].get("failures", {}).items()
        for why in whys
    ]
    count = sum(details[run_id].get("partitions_failed", 0) for run_id in fills)
    broken = [run_id for run_id in failed if not details.get(run_id, {}).get("partitions_failed")]
    complete = not failed and is_healthy(matrix)
    if as_json:
        answer = {
            "complete": complete,
            "failed_runs": failed,
            "failed_partitions": count,
            "failures": failures,
            "completeness": matrix.to_dicts(),
        }
        print(json.dumps(answer, default=plain, indent=1))  # noqa: T201 - the answer
    else:
        print_matrix(matrix)
        _print_failures(failures, count)
        if broken:
            ERR.print(
                f"[red]{len(broken)} runs broke off[/]; market-assets up shows their logs: {', '.join(broken)}",
                soft_wrap=True,
            )
        if not complete:
            OUT.print(
                "What is missing: [bold]market-assets gaps[/]. Asking for it again: the same backfill; it asks for nothing else."
            )
        OUT.print("The UI: [bold]market-assets up[/]", highlight=False)
    raise typer.Exit(0 if complete else INCOMPLETE)


def _print_failures(failures: list[dict[str, Any]], count: int) -> None:
    if not failures:
        return
    table = Table(
        "profile", "timeframe", "partition", "why it is not filled", title="failed partitions", title_justify="left"
    )
    for row in failures[:20]:
        add_row(table, row["profile"], row["timeframe"], row["partition"], row["why"])
    ERR.print(table)
    if more := count - len({(row["profile"], row["timeframe"], row["partition"]) for row in failures[:20]}):
        ERR.print(f"{more:,} more partitions failed; the UI shows them all.")
