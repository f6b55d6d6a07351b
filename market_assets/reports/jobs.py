"""An audit document of some jobs, for a script or an auditor: rows of the store in, JSON out."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.market.instants import iso
from market_assets.market.timeframes import TS, literal
from market_assets.verdicts.evidence import State
from market_assets.work.job import BY_SYMBOL, end_lost_jobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from market_assets.store import Store

_SERIES = ("profile", "symbol", "timeframe")
_NUMBERS = (
    "partitions",
    "partitions_done",
    "partitions_failed",
    "repaired",
    "missing_before",
    "missing_after",
    "abandoned",
    "gaps_before",
    "gaps_after",
    "symbols_not_shown",
    "partitions_with_faults",
)
_SPAN = ("started_at", "ended_at")
_ROWS = ("new", "revised", "rejected")
_COSTS = ("requests", "retries", "waits", "bytes")


def audit(
    store: Store, *, limit: int | None, since: datetime | None, now: datetime
) -> dict[str, Any]:
    """The audit document of the newest jobs.

    Jobs whose process is gone are ended before, which writes to the store.

    Args:
        store: Where the jobs are.
        limit: How many at most; None for all.
        since: Only those that started at this instant or after it.
        now: The present instant.
    """
    end_lost_jobs(store)
    return audit_of(store, limit=limit, since=since, now=now)


def audit_of(
    store: Store, *, limit: int | None, since: datetime | None, now: datetime
) -> dict[str, Any]:
    """The same, and nothing is written: a job whose process is gone may still be called running."""
    with store.reading("listing jobs") as view:
        jobs = [
            {**row, "detail": json.loads(row["detail"] or "{}")}
            for row in view.jobs.newest(limit, since).iter_rows(named=True)
        ]
        first = min((job["started_at"].replace(tzinfo=UTC) for job in jobs), default=now)
        gaps, repairs = view.gaps.of(), view.repairs.since(first)
    return audit_document(jobs, gaps=gaps, repairs=repairs, now=now)


def job_of_run(store: Store, run_id: str) -> dict[str, Any] | None:
    """The newest job of a run, as `audit_document` has it; None where it has begun none yet."""
    with store.reading("looking for the job of a run") as view:
        rows = view.jobs.of_run(run_id)
    if rows.is_empty():
        return None
    row = rows.row(0, named=True)
    return _record({**row, "detail": json.loads(row["detail"] or "{}")})


def audit_document(
    jobs: Sequence[Mapping[str, Any]], *, gaps: pl.DataFrame, repairs: pl.DataFrame, now: datetime
) -> dict[str, Any]:
    """What some jobs did, and what they left.

    Args:
        jobs: Rows of `ops.jobs`, newest first, their detail unpacked.
        gaps: Rows of `ops.gaps`, at least those in the jobs' windows.
        repairs: Rows of `ops.repairs`, at least those that were written while the jobs ran.
        now: The present instant, aware.

    Returns:
        What `json.dumps` takes. Every key is always there and of one type; an instant is ISO text
        in UTC that ends with Z, or null where it has not come yet. Counts are in bars unless they
        are called gaps: a gap is a row of the ledger `ops.gaps`, neighbouring bars of one symbol
        that share one story, cut where a partition ends.

        timestamp: When this was written.
        symbols_processed: The names of the symbols that the jobs were to fill, sorted.
        gaps_detected: What the ledger has now in the jobs' windows, one record per series and
        status, most bars first: profile, symbol, timeframe, status (`open` is asked for again,
        `abandoned` is missing and is not; the others are explained), gaps, bars, first_ts, last_ts
        (opens), attempts, failures (the most of any gap).
        retry_results: requests (with retries among them), retries, waits_seconds, by_source
        (requests, retries, waits, bytes of each); then gaps and bars that were asked for again:
        repaired (bars that had been seen absent and that the jobs brought, with the series),
        still_open (open after more than one try), abandoned.
        summary: jobs, and how many of them succeeded, are incomplete, failed, were cancelled, are
        running; requests, retries, waits_seconds; rows_new, rows_revised, rows_rejected of what was
        fetched, rows_derived; gaps_before, gaps_after, missing_before, missing_after, summed over
        the jobs that fetch, so that a bar that two of them looked at counts in both; bars_repaired;
        seconds, summed over the jobs.
        jobs: Each job's row, newest first; progress is the share of its partitions that are done, 0
        to 1. In its detail, by_symbol has the counts of BY_SYMBOL for each symbol;
        symbols_not_shown says how many symbols are left out; `ended` is why it ended where it could
        not say so itself, else null.
    """
    records = [_record(job) for job in jobs]
    fetched = [job for job in records if job["kind"] == "fill"]
    statuses = Counter(job["status"] for job in records)
    by_source = _by_source(records)
    costs = {
        "requests": sum(int(cost["requests"]) for cost in by_source.values()),
        "retries": sum(int(cost["retries"]) for cost in by_source.values()),
        "waits_seconds": round(sum(cost["waits"] for cost in by_source.values()), 3),
    }
    in_sight = _in_sight(gaps, jobs)
    running_until = pl.col("ended_at").fill_null(literal(now))
    mended = _in_sight(repairs, jobs, pl.col("repaired_at").is_between("started_at", running_until))
    tried_again = (pl.col("status") == State.OPEN) & (
        pl.col("attempts") + pl.col("failures").fill_null(0) > 1
    )
    return {
        "timestamp": _iso(now),
        "symbols_processed": sorted({symbol for job in records for symbol in job["symbols"]}),
        "gaps_detected": _series_of(
            in_sight,
            [*_SERIES, "status"],
            first_ts=pl.min("first_ts"),
            last_ts=pl.max("last_ts"),
            attempts=pl.max("attempts"),
            failures=pl.max("failures").fill_null(0),
        ),
        "retry_results": {
            **costs,
            "by_source": by_source,
            "repaired": {
                **_size(mended),
                "series": _series_of(
                    mended, _SERIES, repaired_at=pl.max("repaired_at"), attempts=pl.max("attempts")
                ),
            },
            "still_open": _size(in_sight.filter(tried_again)),
            "abandoned": _size(in_sight.filter(pl.col("status") == State.ABANDONED)),
        },
        "summary": {
            "jobs": len(records),
            **{
                status.lower(): statuses[status]
                for status in ("SUCCEEDED", "INCOMPLETE", "FAILED", "CANCELLED", "RUNNING")
            },
            **costs,
            **{
                f"rows_{name}": sum(job["detail"]["rows"][name] for job in fetched)
                for name in _ROWS
            },
            "rows_derived": sum(
                job["detail"]["rows"]["new"] for job in records if job["kind"] == "derive"
            ),
            **{
                name: sum(job["detail"][name] for job in fetched)
                for name in ("gaps_before", "gaps_after", "missing_before", "missing_after")
            },
            "bars_repaired": sum(job["detail"]["repaired"] for job in fetched),
            "seconds": round(sum(job["detail"]["seconds"] for job in records), 3),
        },
        "jobs": records,
    }


def _record(job: Mapping[str, Any]) -> dict[str, Any]:
    """A job's row with every key in its place.

    An older version, or a process that was killed, has not written all of them.
    """
    detail = job["detail"]
    times = {name: _iso(job[name]) for name in ("start_ts", "end_ts", "started_at", "ended_at")}
    return {
        **job,
        **times,
        "detail": {
            **detail,
            **{name: detail.get(name, 0) for name in _NUMBERS},
            "failures": detail.get("failures", {}),
            "faults": detail.get("faults", {}),
            "refused": detail.get("refused", []),
            "rows": {name: detail.get("rows", {}).get(name, 0) for name in _ROWS},
            "by_symbol": {
                symbol: {name: counts.get(name, 0) for name in BY_SYMBOL}
                for symbol, counts in detail.get("by_symbol", {}).items()
            },
            "requests": {
                source: {name: cost.get(name, 0) for name in _COSTS}
                for source, cost in detail.get("requests", {}).items()
            },
            "seconds": detail.get("seconds", 0.0),
            "process_born": detail.get("process_born"),
            "ended": detail.get("ended"),
        },
    }


def _by_source(records: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    totals: dict[str, dict[str, float]] = {}
    for job in records:
        for source, cost in job["detail"]["requests"].items():
            total = totals.setdefault(source, dict.fromkeys(_COSTS, 0))
            for name in _COSTS:
                total[name] += cost[name]
    return {
        source: {**total, "waits": round(float(total["waits"]), 3)}
        for source, total in sorted(totals.items())
    }


def _in_sight(
    rows: pl.DataFrame, jobs: Sequence[Mapping[str, Any]], *during: pl.Expr
) -> pl.DataFrame:
    """The rows that begin in the window of one of the jobs.

    `during` are further conditions on a row beside that job.
    """
    schema = pl.Schema(
        {"profile": pl.String(), "timeframe": pl.String(), "start_ts": TS, "end_ts": TS}
    )
    schema |= dict.fromkeys(_SPAN, TS)
    spans = pl.DataFrame([{name: job[name] for name in schema} for job in jobs], schema=schema)
    numbered = rows.with_row_index("row")
    near = numbered.join(
        spans if during else spans.drop(_SPAN).unique(), on=["profile", "timeframe"]
    )
    inside = pl.col("first_ts").is_between("start_ts", "end_ts", closed="left")
    return numbered.join(near.filter(inside, *during), on="row", how="semi").drop("row")


def _size(rows: pl.DataFrame) -> dict[str, int]:
    return {"gaps": rows.height, "bars": int(rows["bars"].sum())}


def _series_of(
    rows: pl.DataFrame, by: Sequence[str], **aggregates: pl.Expr
) -> list[dict[str, Any]]:
    """The rows by series: how many, of how many bars, and the other aggregates; most bars first."""
    table = rows.group_by(by).agg(gaps=pl.len(), bars=pl.sum("bars"), **aggregates)
    return [
        {name: _iso(value) if isinstance(value, datetime) else value for name, value in row.items()}
        for row in table.sort("bars", *by, descending=[True, *(False for _ in by)]).iter_rows(
            named=True
        )
    ]


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else iso(instant)
