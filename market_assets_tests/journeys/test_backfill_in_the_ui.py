"""Dagster as a user has it.

That is `market-assets up`, backfills over GraphQL, runs queued by the daemon, and a killed run
process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets_tests.support.platform import look, running, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_assets_tests.support.platform import Platform

UNIVERSE = """
sources:
  vendor: {{type: practice, base_url: "{url}", retries: 0, backoff: 0, timeout: 900,
           total_timeout: 900}}
# Nothing is filled before it is asked for, and what fails stays as it is: the last second before
# the end of a profile of stocks lies in a weekend, so that no partition is new.
update: {{first_backfill: 1s}}
repair: {{every: 365d}}
profiles:
  days:
    kind: CRYPTO
    start: 2024-03-01
    end: 2024-06-10
    timeframes: {{fetch: [1h]}}
    sources: [vendor]
    symbols: {{BTCUSDT: {{}}, ETHUSDT: {{}}}}
  stalled:
    kind: EQUITY
    start: 2024-02-01
    end: 2024-03-11
    timeframes: {{fetch: [1m]}}
    sources: [vendor]
    symbols: {{SPY: {{}}}}
  stopped:
    kind: EQUITY
    start: 2024-02-15
    end: 2024-02-19
    timeframes: {{fetch: [1m]}}
    sources: [vendor]
    symbols: {{QQQ: {{}}}}
"""

MARKET = Market.model_validate(
    {
        "kind": "crypto",
        "symbols": {"SPY": {"kind": "equity"}, "QQQ": {"kind": "equity"}},
        "faults": [
            # A day with a hole: the source has answered,
            # so the day is green and its continuity red.
            {
                "fault": "hole",
                "symbols": ["BTCUSDT"],
                "start": "2024-03-24T12:00Z",
                "end": "2024-03-24T14:00Z",
            },
            # A vendor that fails for a while: the days of the page that it failed on are red.
            {
                "fault": "error",
                "symbols": ["ETHUSDT"],
                "start": "2024-06-01T00:00Z",
                "end": "2024-06-02T00:00Z",
            },
            # A vendor that hangs: the run is killed while it waits here.
            {
                "fault": "delay",
                "symbols": ["SPY"],
                "start": "2024-02-20T00:00Z",
                "seconds": 600,
            },
            {
                "fault": "delay",
                "symbols": ["QQQ"],
                "start": "2024-02-15T00:00Z",
                "seconds": 600,
            },
        ],
    }
)


@pytest.fixture(scope="module")
def vendor() -> Iterator[PracticeVendor]:
    with PracticeVendor(MARKET) as running:
        yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def environment(vendor: PracticeVendor, home: Path) -> dict[str, str]:
    universe = home / "universe.yaml"
    universe.write_text(UNIVERSE.format(url=vendor.url))
    environment = {
        **os.environ,
        "MARKET_ASSETS_HOME": str(home),
        "MARKET_ASSETS_UNIVERSE": str(universe),
    }
    environment.pop("DAGSTER_HOME", None)
    return environment


@pytest.fixture(scope="module")
def platform(environment: dict[str, str], home: Path) -> Iterator[Platform]:
    with running(home, environment) as platform:
        yield platform


@pytest.fixture(scope="module")
def backfills(platform: Platform) -> dict[str, str]:
    """The backfills of both profiles, launched together.

    The daemon's rounds are so waited for only once.
    """
    days = platform.backfill(
        ["days", "candles_1h"], partitions=platform.partitions("days", "candles_1h")
    )
    stalled = platform.backfill(
        ["stalled", "candles_1m"], partitions=platform.partitions("stalled", "candles_1m")
    )
    stopped = platform.backfill(
        ["stopped", "candles_1m"], partitions=platform.partitions("stopped", "candles_1m")
    )
    return {"days": days, "stalled": stalled, "stopped": stopped}


def stored_per_day(home: Path, table: str) -> dict[str, Counter[str]]:
    """Rows by day and symbol."""
    days: dict[str, Counter[str]] = {}
    for day, symbol, rows in look(
        home, f"SELECT strftime(ts, '%Y-%m-%d'), symbol, count(*) FROM {table} GROUP BY ALL"
    ):
        days.setdefault(day, Counter())[symbol] = rows
    return days


def test_a_hundred_days_launched_over_graphql_shows_the_truth_of_every_partition(
    platform: Platform, home: Path, backfills: dict[str, str]
) -> None:
    keys = platform.partitions("days", "candles_1h")
    assert len(keys) == 101
    ended = {"COMPLETED_FAILED", "COMPLETED_SUCCESS", "COMPLETED"}
    until(lambda: platform.backfill_status(backfills["days"]) in ended, "the backfill")

    days = stored_per_day(home, "days.candles_1h")
    colours = platform.colours("days", "candles_1h")
    continuity = platform.check("continuity", "days", "candles_1h")
    full = Counter({"BTCUSDT": 24, "ETHUSDT": 24})
    holed = Counter({"BTCUSDT": 22, "ETHUSDT": 24})
    for key in keys:
        if days.get(key) == full:
            expected = ("MATERIALIZED", "SUCCEEDED")
        elif days.get(key) == holed:
            expected = ("MATERIALIZED", "FAILED")
        else:
            expected = ("FAILED", "FAILED")
        assert (colours[key], continuity[key]) == expected, key
    assert days["2024-03-24"] == holed
    assert "FAILED" in colours.values()
    assert colours["2024-06-01"] == "FAILED"
    assert set(platform.check("validity", "days", "candles_1h").values()) == {"SUCCEEDED"}


def test_a_run_is_a_fork_and_ends_when_its_page_says_so(
    platform: Platform, backfills: dict[str, str]
) -> None:
    process = until(lambda: platform.run_process(backfills["stopped"]), "the run's process")
    facts = Path(f"/proc/{process}")
    assert (facts / "comm").read_text().strip() == "serve run"
    server = int((facts / "stat").read_text().rpartition(")")[2].split()[1])
    assert server != platform.process.pid
    assert b"forkserver" in Path(f"/proc/{server}/cmdline").read_bytes()

    (run_id,) = platform.runs(backfills["stopped"])
    assert platform.terminate(run_id) == "TerminateRunSuccess"
    until(lambda: platform.runs(backfills["stopped"])[run_id] == "CANCELED", "the end of the run")
    until(lambda: not facts.exists(), "the end of its process")


def test_a_killed_run_keeps_what_it_finished_and_a_second_backfill_does_only_the_rest(
    platform: Platform,
    home: Path,
    vendor: PracticeVendor,
    environment: dict[str, str],
    backfills: dict[str, str],
) -> None:
    path = ("stalled", "candles_1m")
    keys = platform.partitions(*path)
    # A look into the store costs less than one at the pages.
    stored = "SELECT 1 FROM ops.partitions WHERE profile = 'stalled' AND partition = '2024-02-16'"
    until(lambda: look(home, stored), "the last rows before the stall")
    until(
        lambda: platform.colours(*path)["2024-02-16"] == "MATERIALIZED",
        "the last partition before the stall",
    )
    process = until(lambda: platform.run_process(backfills["stalled"]), "the run's process")
    os.kill(process, signal.SIGKILL)
    until(lambda: platform.colours(*path)[keys[-1]] == "FAILED", "the end of the killed run")

    finished = stored_per_day(home, "stalled.candles_1m")
    colours = platform.colours(*path)
    assert finished
    for key in keys:
        assert colours[key] == ("MATERIALIZED" if key in finished else "FAILED"), key
    assert colours["2024-02-20"] == "FAILED"
    assert all(rows == Counter({"SPY": 390}) for rows in finished.values())

    httpx.post(f"{vendor.url}/practice/faults", json=[]).raise_for_status()
    before = len(vendor.log)
    again = subprocess.run(
        [sys.executable, "-m", "market_assets.cli", "backfill", "stalled", "--json"],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr.decode()
    assert json.loads(again.stdout)["complete"] is True
    assert set(platform.colours(*path).values()) == {"MATERIALIZED"}
    assert set(platform.check("continuity", *path).values()) == {"SUCCEEDED"}
    asked = [entry for entry in list(vendor.log)[before:] if entry["symbol"] == "SPY"]
    first = min(int(entry["startTime"]) for entry in asked if entry["startTime"] != "0")
    stalled_at = datetime.fromisoformat(f"{max(finished)}T00:00Z").timestamp() * 1000
    assert first > stalled_at, "the second backfill asked again for what was stored"
