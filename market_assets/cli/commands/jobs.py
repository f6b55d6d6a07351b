"""Shows what was done: the jobs, with what each asked, got and refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape

from market_assets.cli.console import INCOMPLETE, OUT, print_json
from market_assets.cli.options import AsJson, Wide, day_of
from market_assets.cli.places import places_of, store_to_read, universe_here
from market_assets.cli.tables import Column, print_table
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    from market_assets.market.timeframes import midnight
    from market_assets.reports.jobs import audit
    from market_assets.work.refused import example_words


def jobs(
    limit: Annotated[
        int | None,
        typer.Option(help="How many of the newest; 20 if no day is given either.", min=1),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only those that started on this day (UTC) or later.")
    ] = None,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """List what was done: each fill and each derivation.

    Each has its rows, repairs, requests and what is still missing.

    JSON is the audit document: timestamp, symbols_processed, gaps_detected, retry_results, summary,
    jobs.
    """
    universe = universe_here(quiet=as_json)
    day = day_of("--since", since)
    with store_to_read() as store:
        document = audit(
            store,
            limit=limit or (None if day else 20),
            since=midnight(day) if day else None,
            now=present(),
        )
    if as_json:
        print_json({**document, **places_of(universe)})
    else:
        _print_jobs(document, wide=wide)
    ended_well = all(job["status"] in {"SUCCEEDED", "RUNNING"} for job in document["jobs"])
    raise typer.Exit(0 if ended_well else INCOMPLETE)


def _print_jobs(document: dict[str, Any], *, wide: bool) -> None:
    jobs, total = document["jobs"], document["summary"]
    if not jobs:
        OUT.print("No jobs.")
        return
    columns = [
        Column("started"),
        Column("job"),
        Column("status"),
        Column("rows", right=True),
        Column("missing", right=True),
        Column("took", right=True),
        Column("window"),
        Column("trigger"),
        Column("done", right=True),
        Column("missing before", right=True),
        Column("repaired", right=True),
        Column("requests", right=True),
    ]
    print_table(columns, [_job_row(job) for job in jobs], wide=wide)
    for job in jobs:
        _print_refused(job)
    OUT.print(
        f"{total['jobs']} {'job' if total['jobs'] == 1 else 'jobs'}: "
        f"{total['rows_new']:,} new rows, {total['bars_repaired']:,} bars repaired, "
        f"{total['requests']:,} requests ({total['retries']:,} sent again, "
        f"{total['waits_seconds']:,.0f} s waited). "
        "(Times are UTC; --json tells it symbol by symbol.)",
        highlight=False,
    )


def _print_refused(job: dict[str, Any]) -> None:
    """Say what rows a job was given that cannot be stored, and why."""
    for kind in job["detail"]["refused"][:3]:
        example = example_words(
            kind["symbol"], kind["ts"] or "no time", kind["example"] or "", kind["advice"]
        )
        OUT.print(
            f"[yellow]Refused[/] by the {job['kind']} of {escape(job['profile'])} "
            f"{job['timeframe']} that began at {job['started_at'][:16].replace('T', ' ')}: "
            f"{kind['rows']:,} rows of {escape(kind['source'])}: {escape(kind['reason'])}. "
            f"{escape(example)}",
            highlight=False,
        )


def _job_row(job: dict[str, Any]) -> list[str]:
    detail, rows = job["detail"], job["detail"]["rows"]
    requests, retries = (
        int(sum(source[name] for source in detail["requests"].values()))
        for name in ("requests", "retries")
    )
    return [
        job["started_at"][:16].replace("T", " "),
        f"{job['kind']} {job['profile']} {job['timeframe']}",
        job["status"],
        _and(rows["new"], revised=rows["revised"], refused=rows["rejected"]),
        f"{detail['missing_after']:,}",
        str(timedelta(seconds=round(detail["seconds"]))),
        f"{job['start_ts'][:10]}..{job['end_ts'][:10]}",
        job["trigger"] or "-",
        f"{job['progress']:.0%}",
        f"{detail['missing_before']:,}",
        f"{detail['repaired']:,}",
        _and(requests, again=retries),
    ]


def _and(count: int, **parts: int) -> str:
    """A count, and those of the parts that are not 0 with their names."""
    return ", ".join(
        [f"{count:,}", *(f"{number:,} {name}" for name, number in parts.items() if number)]
    )
