"""Fills candles: a window by hand, or what failed and is due."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape

from market_assets.cli.console import (
    ERR,
    INCOMPLETE,
    OUT,
    AsJson,
    Column,
    ProfileNames,
    Symbols,
    Wide,
    base_rows,
    days_of,
    is_healthy,
    jumps_now,
    matrix_now,
    open_store,
    places_of,
    print_json,
    print_jumps,
    print_matrix,
    print_refused,
    print_table,
    profiles_of,
    refused_now,
    symbols_of,
    universe_here,
    wrong,
)
from market_assets.cli.faults import keep_trace
from market_assets.cli.progress import Progress
from market_assets.fill.options import USUAL, FillOptions
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.work.run import Trigger

with late_imports():
    import polars as pl

    from market_assets.config.sources import sources_of
    from market_assets.definitions import build_definitions
    from market_assets.defs.assets.actions import actions_key
    from market_assets.defs.automation.follow import behind_runs
    from market_assets.defs.automation.repair import describe, look_everywhere, reopen, runs_of
    from market_assets.defs.automation.runs import (
        Runner,
        instance_at,
        plan_backfill,
        plan_markets,
    )
    from market_assets.defs.internals.failures import failure_of
    from market_assets.enrich import within
    from market_assets.market.timeframes import Window, midnight
    from market_assets.reports.gaps import askable_bars


if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_assets.config.universe import Profile, Universe
    from market_assets.defs.automation.runs import RangeRun
    from market_assets.store import Store

_STOPPED = "Stopped. What was committed is kept, and the same command goes on from there."


@dataclass(frozen=True)
class _Asked:
    """What a command was to fill.

    Attributes:
        universe: All that is to be kept.
        profiles: The profiles that it concerns.
        symbols: Some of their symbols; empty for all.
        windows: Which days, by profile.
        whole: Whether these are all that the profiles keep.
        days: The days as a person reads them.
    """

    universe: Universe
    profiles: list[Profile]
    symbols: list[str]
    windows: dict[str, Window]
    whole: bool
    days: str = ""


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
    asked = _asked(universe, profiles, symbols, _days(first, after, days, now), now)
    if not as_json:
        for words in _bounds(asked, now):
            ERR.print(words, highlight=False, soft_wrap=True)

    # Dagster takes seconds to import.

    plans = []
    for profile in asked.profiles:
        symbols_asked = [name for name in asked.symbols if name in profile.symbols]
        options = FillOptions(symbols=symbols_asked, refetch=refetch)
        runs = plan_backfill(profile, asked.windows[profile.name], now)
        plans += [(run, options if run.fetches(profile) else USUAL) for run in runs]
    plans += [(run, USUAL) for run in plan_markets(universe, asked.windows, now)]
    if not plans:
        ERR.print("There is nothing to fill in these days.")

    with instance_at(home()) as instance, _stoppable(), Progress(quiet=as_json) as progress:
        runner = Runner(build_definitions(universe), instance, Trigger.BACKFILL)
        _announce_actions(progress, asked)
        failed = _execute(runner, plans, asked, progress=progress)
        if any(profile.has_actions for profile in asked.profiles):
            failed += _record_actions(runner, asked, progress=progress)
            # What actions say of days that were made before.
            failed += _follow(runner, open_store(), asked, now, progress=progress)
        failed += runner.count_completeness([profile.name for profile in asked.profiles])
        causes = _causes(runner, failed)
    _finish(asked, causes, now, wide=wide, as_json=as_json)


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
    asked = _asked(universe, profiles, None, (None, None), now)

    # Dagster takes seconds to import.

    store = open_store()
    with instance_at(home()) as instance, _stoppable():
        if abandoned and not dry_run:
            for profile in asked.profiles:
                reopen(store, profile)
        plans: list[tuple[RangeRun, FillOptions]] = []
        findings: dict[str, str] = {}
        troubled = 0
        for profile in asked.profiles:
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
        behind = list(behind_runs(store, universe, asked.profiles, now))
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
            failed = _execute(runner, plans, asked, progress=progress)
            failed += _follow(runner, store, asked, now, progress=progress)
            failed += runner.count_completeness([profile.name for profile in asked.profiles])
        causes = _causes(runner, failed)
    _finish(asked, causes, now, wide=wide, as_json=as_json)


def _follow(
    runner: Runner, store: Store, asked: _Asked, now: datetime, *, progress: Progress
) -> list[str]:
    """Make all that is behind its candles, and give the ids of the runs that failed."""
    # Dagster takes seconds to import.

    failed: list[str] = []
    tried: set[RangeRun] = set()
    # What is made of what was made is behind only then: days, weeks, returns.
    while runs := [
        run for run in behind_runs(store, asked.universe, asked.profiles, now) if run not in tried
    ]:
        tried |= set(runs)
        plans: list[tuple[RangeRun, FillOptions]] = [(run, USUAL) for run in runs]
        failed += _execute(runner, plans, asked, progress=progress)
    return failed


def _days(
    first: str | None, after: str | None, days: int | None, now: datetime
) -> tuple[date | None, date | None]:
    """The first day and the first no longer meant, as the options name them."""
    if days is None:
        return days_of(first, after)
    if first or after:
        raise wrong("--days counts back from today: leave --from and --to out")
    return now.date() - timedelta(days=days), None


def _asked(
    universe: Universe,
    profiles: list[str] | None,
    symbols: str | None,
    days: tuple[date | None, date | None],
    now: datetime,
) -> _Asked:
    """What the options mean.

    Raises:
        typer.BadParameter: No profile keeps any of these days, or there is no such symbol.
        UniverseError: There is no such profile.
    """
    named = profiles_of(universe, profiles)
    names = symbols_of(named, symbols)
    # No symbols at all would mean all of them.
    chosen = [profile for profile in named if not names or set(names) & set(profile.symbols)]
    windows = {profile.name: _window(profile, *days, now) for profile in chosen}
    named_days = any(days)
    if named_days and not any(
        windows[profile.name].intersect(profile.window(now)) for profile in chosen
    ):
        kept = "; ".join(_kept(profile, now) for profile in chosen)
        raise wrong(f"nothing of these days is kept: {kept}")
    first, after = days
    words = f"from {first or 'the start'} to {after or 'now'}"
    return _Asked(universe, chosen, names, windows, whole=not (names or first or after), days=words)


def _window(profile: Profile, first: date | None, after: date | None, now: datetime) -> Window:
    """The window of a profile from a first day to the first day that no longer belongs to it.

    The window is empty where the profile has no part of it.
    """
    kept = profile.window(now)
    start = midnight(first) if first else kept.start
    return Window(start, max(start, midnight(after) if after else kept.end))


def _kept(profile: Profile, now: datetime) -> str:
    if profile.start > now.date():
        return f"{profile.name} begins on {profile.start}"
    return f"{profile.name} keeps {profile.start} to {profile.end or 'now'}"


def _bounds(asked: _Asked, now: datetime) -> list[str]:
    """What is kept of the profiles of which days were asked for that are not."""
    words = []
    for profile in asked.profiles:
        kept, window = profile.window(now), asked.windows[profile.name]
        is_late = profile.end is not None and window.end > kept.end
        if kept.empty:
            words.append(f"{_kept(profile, now)}.")
        elif window.start < kept.start or is_late:
            words.append(f"{_kept(profile, now)}: the other days are left out.")
    return words


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C inside says what becomes of the work."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_STOPPED) from None


def _execute(
    runner: Runner,
    plans: list[tuple[RangeRun, FillOptions]],
    asked: _Asked,
    *,
    progress: Progress,
) -> list[str]:
    """Execute runs one after the other, and give the ids of those that failed."""
    works = [
        (_kind_of(run, asked.universe), run, options, len(run.partitions) * len(run.timeframes))
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


def _announce_actions(progress: Progress, asked: _Asked) -> None:
    for _ in (profile for profile in asked.profiles if profile.has_actions):
        progress.plan("corporate actions", 1, "profiles")


def _record_actions(runner: Runner, asked: _Asked, *, progress: Progress) -> list[str]:
    """Ask for the corporate actions of the profiles that keep them.

    Returns:
        The ids of the runs that failed.
    """
    failed = []
    for profile in (profile for profile in asked.profiles if profile.has_actions):
        config = {"symbols": [name for name in asked.symbols if name in profile.symbols]}
        with progress.work("corporate actions", profile.name, 1) as done:
            run_id, success = runner.execute_assets([actions_key(profile.name)], config=config)
            if success:
                done()
        if not success:
            failed.append(run_id)
    return failed


def _causes(runner: Runner, failed: list[str]) -> dict[str, str]:
    """Why each run failed, in one sentence by run id.

    A trace that the run left goes to the log, which the sentence then names.
    """
    # Dagster takes seconds to import.

    causes = {}
    for run_id in failed:
        cause, trace = failure_of(runner.instance, run_id)
        log = keep_trace(f"run {run_id} failed: {cause}\n{trace}", home()) if trace else None
        causes[run_id] = f"{cause} (its trace is in {log})" if log else cause
    return causes


def _finish(
    asked: _Asked, causes: dict[str, str], now: datetime, *, wide: bool, as_json: bool
) -> NoReturn:
    """Say what came of it and end: 0 where every bar that was asked for is stored or explained."""
    matrix = matrix_now(asked.profiles)
    judged = matrix if asked.whole else _matrix_asked(asked, now)
    outside = _missing(matrix) - _missing(judged)
    failures, count, broken = _failures(causes)
    # A partition that lacks nothing but symbols that nobody asked for has failed for others.
    has_failed = broken or (causes and asked.whole)
    jumps = _jumps_asked(asked)
    complete = not (has_failed or jumps) and (is_healthy(judged) or judged.is_empty())
    if as_json:
        answer = {
            "complete": complete,
            "failed_runs": list(causes),
            "failed_partitions": count,
            "failures": failures,
            "broken": broken,
            "completeness": judged.to_dicts(),
            "missing_elsewhere": outside,
            "jumps_without_action": jumps,
            "refused": refused_now(asked.profiles, symbols=asked.symbols or None),
        }
        print_json({**places_of(asked.universe), **answer})
        raise typer.Exit(0 if complete else INCOMPLETE)

    title = "" if asked.whole else f"completeness {asked.days}, % of the bars that must exist"
    if judged.is_empty():
        OUT.print("Nothing must exist in these days.")
    else:
        print_matrix(judged, wide=wide, title=title)
    if not complete:
        _print_failures(failures, count, wide=wide)
    for cause, runs in _by_cause(broken).items():
        who = f"{len(runs)} runs" if len(runs) > 1 else f"run {runs[0][:8]}"
        ERR.print(f"[red]{who} broke off[/]: {escape(cause)}", highlight=False, soft_wrap=True)
    print_jumps(jumps)
    if has_failed or not (is_healthy(judged) or judged.is_empty()):
        print_refused(refused_now(asked.profiles, symbols=asked.symbols or None))
        OUT.print(f"What is missing: [bold]market-assets gaps[/]. {_again(asked)}", highlight=False)
    if outside > 0:
        OUT.print(
            f"Beside what was asked for, {outside:,} more bars are missing: "
            "[bold]market-assets status[/].",
            highlight=False,
        )
    OUT.print("The UI: [bold]market-assets up[/]", highlight=False)
    raise typer.Exit(0 if complete else INCOMPLETE)


def _again(asked: _Asked) -> str:
    """What asks again for what is missing: only what is so."""
    with open_store().reading("counting what may be asked for again") as view:
        again, given_up = askable_bars(
            view, asked.profiles, asked.windows, symbols=asked.symbols or None
        )
    same = "To ask for it again: the same command; it asks for nothing else."
    by_hand = (
        "[bold]market-assets repair --abandoned[/] asks once more "
        "for the {bars:,} bars that were abandoned because sources have answered without them."
    )
    if not given_up:
        return same
    if not again:
        return f"The same command asks for nothing: {by_hand.format(bars=given_up)}"
    return (
        "To ask for it again: the same command. It leaves out what was abandoned: "
        f"{by_hand.format(bars=given_up)}"
    )


def _matrix_asked(asked: _Asked, now: datetime) -> pl.DataFrame:
    """The completeness matrix of the days and symbols that were asked for."""
    frames = [within.MATRIX_SCHEMA.to_frame()]
    with open_store().reading("counting what was asked for") as view:
        for profile in asked.profiles:
            names = [name for name in asked.symbols if name in profile.symbols]
            frames.append(
                within.matrix_within(view, profile, asked.windows[profile.name], now, symbols=names)
            )
    return pl.concat(frames)


def _jumps_asked(asked: _Asked) -> list[dict[str, Any]]:
    """The nights of the days and symbols asked for that look like an unrecorded split."""
    rows = jumps_now(asked.profiles)
    if asked.symbols:
        rows = [row for row in rows if row["symbol"] in asked.symbols]
    spans = {
        name: (f"{window.start:%Y-%m-%d}", f"{window.end:%Y-%m-%d}")
        for name, window in asked.windows.items()
    }
    return [
        row
        for row in rows
        if spans[row["profile"]][0] <= row["session"] <= spans[row["profile"]][1]
    ]


def _missing(matrix: pl.DataFrame) -> int:
    """How many bars of the shortest timeframes are missing."""
    return 0 if matrix.is_empty() else int(base_rows(matrix)["missing"].sum())


def _failures(causes: dict[str, str]) -> tuple[list[dict[str, Any]], int, dict[str, str]]:
    """The partitions and runs that failed, with the reasons.

    Returns:
        The partitions with their reasons, how many they are, and the runs that broke off with their
        reasons.
    """
    with open_store().reading("reading what failed") as view:
        jobs = {
            row["run_id"]: row
            for row in view.jobs.newest(1000).iter_rows(named=True)
            if row["run_id"] in causes
        }
    details = {run_id: json.loads(row["detail"] or "{}") for run_id, row in jobs.items()}
    fills = [run_id for run_id, row in jobs.items() if row["kind"] == "fill"]
    failures = [
        {
            "profile": jobs[run_id]["profile"],
            "timeframe": jobs[run_id]["timeframe"],
            "partition": key,
            "why": why,
        }
        for run_id in fills
        for key, whys in details[run_id].get("failures", {}).items()
        for why in whys
    ]
    count = sum(details[run_id].get("partitions_failed", 0) for run_id in fills)
    broken = {
        run_id: cause
        for run_id, cause in causes.items()
        if not details.get(run_id, {}).get("partitions_failed")
    }
    return failures, count, broken


def _by_cause(broken: dict[str, str]) -> dict[str, list[str]]:
    """The runs that broke off, by what each says of why."""
    causes: dict[str, list[str]] = {}
    for run_id, cause in broken.items():
        causes.setdefault(cause, []).append(run_id)
    return causes


def _print_failures(failures: list[dict[str, Any]], count: int, *, wide: bool) -> None:
    if not failures:
        return
    columns = [Column("partition"), Column("why it is not filled", prose=True)]
    rows = [
        [f"{row['profile']} {row['timeframe']} {row['partition']}", row["why"]]
        for row in failures[:20]
    ]
    print_table(columns, rows, wide=wide, title="failed partitions", console=ERR)
    if more := count - len(
        {(row["profile"], row["timeframe"], row["partition"]) for row in failures[:20]}
    ):
        ERR.print(f"{more:,} more partitions failed; the UI shows them all.")
