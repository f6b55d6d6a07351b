"""What came of filling a selection: what is complete, what failed, and what to do next."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.markup import escape

from market_assets.cli.completeness import matrix_now, print_matrix
from market_assets.cli.console import ERR, INCOMPLETE, OUT, print_json
from market_assets.cli.jumps import jumps_now, print_jumps
from market_assets.cli.places import open_store, places_of
from market_assets.cli.refused import print_refused, refused_now
from market_assets.cli.tables import Column, print_table
from market_assets.imports import late_imports

with late_imports():
    import polars as pl

    from market_assets.reports import window_matrix
    from market_assets.reports.completeness import base_rows, is_healthy
    from market_assets.reports.gaps import askable_bars

if TYPE_CHECKING:
    from market_assets.cli.selection import Selection


def finish(
    selection: Selection, causes: dict[str, str], now: datetime, *, wide: bool, as_json: bool
) -> NoReturn:
    """Say what came of it and end: 0 where every bar that was asked for is stored or explained."""
    matrix = matrix_now(selection.profiles)
    judged = matrix if selection.whole else _matrix_asked(selection, now)
    outside = _missing(matrix) - _missing(judged)
    failures, count, broken = _failures(causes)
    # A partition that lacks nothing but symbols that nobody asked for has failed for others.
    has_failed = broken or (causes and selection.whole)
    jumps = _jumps_asked(selection)
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
            "refused": refused_now(selection.profiles, symbols=selection.symbols or None),
        }
        print_json({**places_of(selection.universe), **answer})
        raise typer.Exit(0 if complete else INCOMPLETE)

    title = (
        "" if selection.whole else f"completeness {selection.days}, % of the bars that must exist"
    )
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
        print_refused(refused_now(selection.profiles, symbols=selection.symbols or None))
        OUT.print(
            f"What is missing: [bold]market-assets gaps[/]. {_again(selection)}", highlight=False
        )
    if outside > 0:
        OUT.print(
            f"Beside what was asked for, {outside:,} more bars are missing: "
            "[bold]market-assets status[/].",
            highlight=False,
        )
    OUT.print("The UI: [bold]market-assets up[/]", highlight=False)
    raise typer.Exit(0 if complete else INCOMPLETE)


def _again(selection: Selection) -> str:
    """What asks again for what is missing: only what is so."""
    with open_store().reading("counting what may be asked for again") as view:
        again, given_up = askable_bars(
            view, selection.profiles, selection.windows, symbols=selection.symbols or None
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


def _matrix_asked(selection: Selection, now: datetime) -> pl.DataFrame:
    """The completeness matrix of the days and symbols that were asked for."""
    frames = [window_matrix.MATRIX_SCHEMA.to_frame()]
    with open_store().reading("counting what was asked for") as view:
        for profile in selection.profiles:
            names = [name for name in selection.symbols if name in profile.symbols]
            frames.append(
                window_matrix.matrix_within(
                    view, profile, selection.windows[profile.name], now, symbols=names
                )
            )
    return pl.concat(frames)


def _jumps_asked(selection: Selection) -> list[dict[str, Any]]:
    """The nights of the days and symbols asked for that look like an unrecorded split."""
    rows = jumps_now(selection.profiles)
    if selection.symbols:
        rows = [row for row in rows if row["symbol"] in selection.symbols]
    spans = {
        name: (f"{window.start:%Y-%m-%d}", f"{window.end:%Y-%m-%d}")
        for name, window in selection.windows.items()
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
