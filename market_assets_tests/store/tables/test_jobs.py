"""Every job, its progress and its result."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone


def job(minutes, name: str) -> dict[str, object]:
    return {
        "job_id": name,
        "run_id": None,
        "kind": "fill",
        "profile": "crypto",
        "timeframe": "1m",
        "symbols": ["BTC", "O'NEIL"],
        "start_ts": minutes.naive(0),
        "end_ts": minutes.naive(100),
        "trigger": "repair",
        "host": "here",
        "process": 4711,
    }


def test_a_job_is_followed_from_its_start_to_its_end(write, read, minutes, clock):
    write("jobs.start", job(minutes, "a"), {"partitions": 2})
    (started,) = read("jobs.newest", 10).rows(named=True)
    assert (started["status"], started["progress"], started["ended_at"], started["detail"]) == (
        "RUNNING",
        0.0,
        None,
        '{"partitions": 2}',
    )
    assert (started["trigger"], started["host"], started["process"]) == ("repair", "here", 4711)
    assert read("jobs.running", "here") == [("a", 4711, 0.0, {"partitions": 2})]
    assert read("jobs.running", "there") == []
    assert (started["symbols"], started["started_at"]) == (
        ["BTC", "O'NEIL"],
        at("2025-03-01 12:00"),
    )
    clock.now += timedelta(minutes=5)
    write("jobs.update", "a", progress=0.5, status="RUNNING", detail={"partitions_done": 1})
    (running,) = read("jobs.newest", 10).rows(named=True)
    assert (running["progress"], running["ended_at"]) == (0.5, None)
    write(
        "jobs.update",
        "a",
        progress=1.0,
        status="SUCCEEDED",
        detail={"rows": {"new": 7}, "until": datetime(2025, 1, 1, tzinfo=UTC)},
    )
    (ended,) = read("jobs.newest", 10).rows(named=True)
    assert (ended["status"], ended["ended_at"]) == ("SUCCEEDED", at("2025-03-01 12:05"))
    assert read("jobs.running", "here") == []
    assert json.loads(ended["detail"]) == {"rows": {"new": 7}, "until": "2025-01-01 00:00:00+00:00"}


def test_the_newest_jobs_come_first(write, read, minutes, clock):
    for name in "abc":
        write("jobs.start", job(minutes, name), {})
        clock.now += timedelta(seconds=1)
    assert read("jobs.newest", 2)["job_id"].to_list() == ["c", "b"]
    assert read("jobs.newest", None, clock.now - timedelta(seconds=2))["job_id"].to_list() == [
        "c",
        "b",
    ]
    assert read("jobs.newest", None)["job_id"].to_list() == ["c", "b", "a"]
