"""Answers what was done and what is wrong: jobs and alerts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from market_assets.cli.console import (
    ERR,
    INCOMPLETE,
    OUT,
    AsJson,
    add_row,
    day_of,
    looking_store,
    minute,
    plain,
)

if TYPE_CHECKING:
    import polars as pl

    from market_assets.universe import Universe


def jobs(
    limit: Annotated[
        int | None, typer.Option(help="How many of the newest; 20 if no day is given either.", min=1)
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only those that started on this day (UTC) or later.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what was done: each fill and derivation with its rows, repairs, requests and what is still missing.

    JSON is the audit document: timestamp, symbols_processed, gaps_detected, retry_results, summary, jobs.
    """
    from market_assets.fill.audit import audit  # noqa: PLC0415 - a help text needs no polars
    from market_assets.market_time.timeframes import midnight  # noqa: PLC0415

    day = day_of("--since", since)
    document = audit(
        looking_store(),
        limit=limit or (None if day else 20),
        since=midnight(day) if day else None,
        now=datetime.now(UTC),
    )
    if as_json:
        print(json.dumps(document, indent=1))  # noqa: T201 - the answer
    else:
        _print_jobs(document)
    ended_well = all(job["status"] in {"SUCCEEDED", "RUNNING"} for job in document["jobs"])
    raise typer.Exit(0 if ended_well else INCOMPLETE)


def alerts(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Send a test message through each channel instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the troubles that the alerts sensor saw at its last look, and whether somebody was told."""
    from market_assets.alerts import try_channels  # noqa: PLC0415 - a help text needs no polars
    from market_assets.universe import load_universe  # noqa: PLC0415

    universe = load_universe()
    if test:
        tried = try_channels(universe)
        if as_json:
            print(json.dumps(tried, indent=1))  # noqa: T201 - the answer
        for name, error in {} if as_json else tried.items():
            OUT.print(f"{name}: {escape(error) or 'took the message'}", highlight=False, soft_wrap=True)
        if not tried:
            ERR.print("The universe names no channel: write their URLs under alerts: channels:.")
        raise typer.Exit(0 if tried and not any(tried.values()) else INCOMPLETE)
    with looking_store().reading("listing alerts") as view:
        found = view.alerts(everything=True)
    present = found["over_at"].is_null()
    shown = found if everything else found.filter(present)
    if as_json:
        print(universe.redact(json.dumps(shown.to_dicts(), default=plain, indent=1)))  # noqa: T201 - the answer
    else:
        _print_alerts(shown, universe)
    raise typer.Exit(INCOMPLETE if present.any() else 0)


def _print_jobs(document: dict[str, Any]) -> None:
    jobs, total = document["jobs"], document["summary"]
    if not jobs:
        OUT.print("No jobs.")
        return
    table = Table(
        "started", "trigger", "job", "window", "status", "done", "rows", "repaired", "missing", "requests", "took"
    )
    for heading in ("done", "rows", "repaired", "missing", "requests", "took"):
        table.columns[[column.header for column in table.columns].index(heading)].justify = "right"
    for job in jobs:
        detail, rows = job["detail"], job["detail"]["rows"]
        asked = (int(sum(own[name] for own in detail["requests"].values())) for name in ("requests", "retries"))
        add_row(
            table, job["started_at"][:19].replace("T", " "), job["trigger"] or "-", f"{job['kind']} {job['profile']} {job['timeframe']}",
            f"{job['start_ts'][:10]}..{job['end_ts'][:10]}", job["status"], f"{job['progress']:.0%}",
            _and(rows["new"], revised=rows["revised"], refused=rows["rejected"]), f"{detail['repaired']:,}",
            f"{detail['missing_before']:,} to {detail['missing_after']:,}", _and(next(asked), again=next(asked)),
            str(timedelta(seconds=round(detail["seconds"]))),
        )  # fmt: skip
    OUT.print(table)
    OUT.print(
        f"{total['jobs']} {'job' if total['jobs'] == 1 else 'jobs'}: {total['rows_new']:,} new rows, {total['bars_repaired']:,} bars repaired, {total['requests']:,} requests "
        f"({total['retries']:,} sent again, {total['waits_seconds']:,.0f} s waited). (Times are UTC; --json tells it symbol by symbol.)",
        highlight=False,
    )


def _and(count: int, **others: int) -> str:
    """A count, and those of the others that are not 0 with their names."""
    return ", ".join([f"{count:,}", *(f"{number:,} {name}" for name, number in others.items() if number)])


def _print_alerts(found: pl.DataFrame, universe: Universe) -> None:
    if found.is_empty():
        OUT.print("No trouble.")
        return
    table = Table("since", "level", "where", "what", "told", "over")
    for row in found.iter_rows(named=True):
        words = universe.redact("\n".join([row["summary"], *(f"  {line}" for line in row["details"][:3])]))
        told = row["error"] if row["error"] and not row["told_at"] else minute(row["told_at"])
        where = " ".join(part for part in (row["profile"], row["kind"], row["subject"]) if part)
        add_row(table, minute(row["opened_at"]), row["level"], where, words, told, minute(row["over_at"]))
    OUT.print(table)
    if not universe.alerts.channels:
        OUT.print("Nobody is told: the universe names no channel under alerts: channels:.")
