"""Shows what was done and what is wrong: jobs and alerts."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from market_assets.cli.console import (
    ERR,
    INCOMPLETE,
    OUT,
    AsJson,
    Column,
    Wide,
    day_of,
    minute,
    places_of,
    plain,
    print_json,
    print_table,
    store_to_read,
    universe_here,
)
from market_assets.errors import StoreError
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    from market_assets.alerts import Outside, troubles, try_channels
    from market_assets.alerts.rows import frame_of
    from market_assets.market.timeframes import midnight
    from market_assets.reports.jobs import audit
    from market_assets.work.refused import example_words


if TYPE_CHECKING:
    import polars as pl

    from market_assets.config.universe import Universe


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


def alerts(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    test: Annotated[
        bool, typer.Option("--test", help="Send a test message through each channel instead.")
    ] = False,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept-store",
            help="Take the store that is there for the right one: "
            "no alert says any more that it was changed.",
        ),
    ] = False,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """List the troubles that the alerts sensor saw at its last look.

    Each is shown with whether somebody was told.
    """
    # A help text needs no polars.

    universe = universe_here(quiet=as_json)
    outside = Outside(home(), universe, present)
    if accept:
        OUT.print(
            "Accepted: the store that is there counts as the right one from now on."
            if outside.accept()
            else "No alert says that the store was changed."
        )
        raise typer.Exit(0)
    if test:
        tried = try_channels(universe)
        if as_json:
            print_json(tried)
        for name, error in {} if as_json else tried.items():
            OUT.print(
                f"{name}: {escape(error) or 'took the message'}", highlight=False, soft_wrap=True
            )
        if not tried:
            ERR.print("The universe names no channel: write their URLs under alerts: channels:.")
        raise typer.Exit(0 if tried and not any(tried.values()) else INCOMPLETE)
    # Of a store that cannot be opened it is known outside of it.
    rows = frame_of(outside.notes.alerts)
    try:
        with store_to_read() as store, store.reading("listing alerts") as view:
            rows = rows.vstack(view.alerts.of(everything=True).select(rows.columns))
    except StoreError:
        if rows.is_empty():
            raise
    if not outside.was_looked:
        ERR.print(
            "Nobody has looked yet: the alerts sensor looks while [bold]market-assets up[/] runs."
        )
    going_on = rows["over_at"].is_null()
    shown = rows if everything else rows.filter(going_on)
    if as_json:
        # The answer.
        print(universe.redact(json.dumps(shown.to_dicts(), default=plain, indent=1)))  # noqa: T201
    else:
        _print_alerts(shown, universe, wide=wide)
    raise typer.Exit(INCOMPLETE if going_on.any() else 0)


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
            soft_wrap=True,
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


def _print_alerts(rows: pl.DataFrame, universe: Universe, *, wide: bool) -> None:
    if rows.is_empty():
        OUT.print("No trouble.")
        return
    columns = [
        Column("level"),
        Column("since"),
        Column("what", prose=True),
        Column("told"),
        Column("over"),
    ]
    print_table(
        columns, [_alert_row(row, universe) for row in rows.iter_rows(named=True)], wide=wide
    )
    if not universe.alerts.channels:
        OUT.print("Nobody is told: the universe names no channel under alerts: channels:.")


def _alert_row(row: dict[str, Any], universe: Universe) -> list[str]:
    where = " ".join(part for part in (row["profile"], row["kind"], row["subject"]) if part)
    lines = [
        line
        for place, line in enumerate(row["details"])
        if place < 3 or line.startswith(troubles.CONSEQUENCES)
    ]
    words = [f"{where}:", row["summary"], *(f"  {line}" for line in lines)]
    delivery = row["error"] if row["error"] and not row["told_at"] else minute(row["told_at"])
    return [
        row["level"],
        minute(row["opened_at"]),
        universe.redact("\n".join(words)),
        universe.redact(delivery),
        minute(row["over_at"]),
    ]
