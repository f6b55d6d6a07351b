"""Dagster as a user has it: `market-assets up`, backfills over GraphQL, runs queued by the daemon, a run process killed."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb
import httpx
import pytest

from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PATIENCE = 240.0

UNIVERSE = """
sources:
  vendor: {{type: practice, base_url: "{url}", retries: 0, backoff: 0, timeout: 900, total_timeout: 900}}
profiles:
  year:
    kind: CRYPTO
    start: 2024-01-01
    end: 2025-01-01
    timeframes: {{fetch: [1h]}}
    sources: [vendor]
    symbols: {{BTCUSDT: {{}}, ETHUSDT: {{}}}}
  stalled:
    kind: EQUITY
    start: 2024-01-01
    end: 2024-04-01
    timeframes: {{fetch: [1m]}}
    sources: [vendor]
    symbols: {{SPY: {{}}}}
"""

MARKET = Market.model_validate(
    {
        "kind": "crypto",
        "symbols": {"SPY": {"kind": "equity"}},
        "faults": [
            # A day with a hole: the source has answered, so the day is green and its continuity red.
            {"fault": "hole", "symbols": ["BTCUSDT"], "start": "2024-03-24T12:00Z", "end": "2024-03-24T14:00Z"},
            # A vendor that fails for a while: the days of the page that it failed on are red.
            {"fault": "error", "symbols": ["ETHUSDT"], "start": "2024-06-01T00:00Z", "end": "2024-06-02T00:00Z"},
            # A vendor that hangs: the run is killed while it waits here.
            {"fault": "delay", "symbols": ["SPY"], "start": "2024-02-20T00:00Z", "seconds": 600},
        ],
    }
)


class Platform:
    """A running `market-assets up` and its GraphQL API."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = self._http.post("/graphql", json={"query": query, "variables": variables}).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def alive(self) -> bool:
        try:
            locations = self.ask("{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }")
        except (httpx.HTTPError, ValueError):
            return False
        entries = locations["workspaceOrError"]["locationEntries"]
        return bool(entries) and all(entry["loadStatus"] == "LOADED" for entry in entries)

    def partitions(self, *path: str) -> list[str]:
        query = (
            "query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeys } } }"
        )
        return self.ask(query, key={"path": path})["assetNodeOrError"]["partitionKeys"]

    def backfill(self, *assets: list[str], partitions: list[str]) -> str:
        query = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
            __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
        params = {"assetSelection": [{"path": path} for path in assets], "partitionNames": partitions}
        answer = self.ask(query, params=params)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return answer["backfillId"]

    def backfill_status(self, backfill: str) -> str:
        query = (
            "query ($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
        )
        return self.ask(query, id=backfill)["partitionBackfillOrError"]["status"]

    def colours(self, *path: str) -> dict[str, str]:
        """Each partition of an asset with the colour of its square in the UI."""
        query = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeys
            assetPartitionStatuses { ... on TimePartitionStatuses { ranges { status startKey endKey } } } } } }"""
        node = self.ask(query, key={"path": path})["assetNodeOrError"]
        colours = dict.fromkeys(node["partitionKeys"], "MISSING")
        for stretch in node["assetPartitionStatuses"]["ranges"]:
            for key in colours:
                if stretch["startKey"] <= key <= stretch["endKey"]:
                    colours[key] = stretch["status"]
        return colours

    def check(self, name: str, *path: str) -> dict[str, str]:
        """Each partition's latest verdict of one check."""
        query = """query ($key: AssetKeyInput!, $name: String!, $partition: String!) {
            assetCheckExecutions(assetKey: $key, checkName: $name, limit: 1, partition: $partition) { status } }"""
        verdicts = {}
        for key in self.partitions(*path):
            found = self.ask(query, key={"path": path}, name=name, partition=key)["assetCheckExecutions"]
            verdicts[key] = found[0]["status"] if found else "NONE"
        return verdicts

    def run_process(self, tag: str) -> int | None:
        """The process of the running run of a backfill, as its log tells it."""
        query = """query ($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs { results {
            eventConnection { events { ... on EngineEvent { message } ... on MessageEvent { message } } } } } } }"""
        found = self.ask(query, filter={"tags": [{"key": "dagster/backfill", "value": tag}], "statuses": ["STARTED"]})
        for run in found["runsOrError"]["results"]:
            for event in run["eventConnection"]["events"]:
                if match := re.search(r"Started process for run \(pid: (\d+)\)", event.get("message") or ""):
                    return int(match[1])
        return None


def until(condition: Callable[[], Any], what: str) -> Any:
    """Ask again, a few times a second, until a real process has got that far."""
    end = time.monotonic() + _PATIENCE
    pause = threading.Event()
    while time.monotonic() < end:
        if found := condition():
            return found
        pause.wait(0.3)
    raise AssertionError(f"{what} took longer than {_PATIENCE:.0f} s")


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
    environment = {**os.environ, "MARKET_ASSETS_HOME": str(home), "MARKET_ASSETS_UNIVERSE": str(universe)}
    environment.pop("DAGSTER_HOME", None)
    return environment


@pytest.fixture(scope="module")
def platform(environment: dict[str, str], home: Path) -> Iterator[Platform]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (home / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "market_assets.cli", "up", "--port", str(port), "--json"],
            env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    platform = Platform(f"http://127.0.0.1:{port}")
    try:
        until(lambda: platform.alive() or process.poll() is not None, "the start")
        assert process.poll() is None, (home / "up.log").read_text()
        first = (home / "up.log").read_text().splitlines()[0]
        assert json.loads(first)["url"] == f"http://127.0.0.1:{port}"
        yield platform
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def backfills(platform: Platform) -> dict[str, str]:
    """Both profiles' backfills, launched together, so that the daemon's rounds are waited for once."""
    year = platform.backfill(["year", "candles_1h"], partitions=platform.partitions("year", "candles_1h"))
    stalled = platform.backfill(["stalled", "candles_1m"], partitions=platform.partitions("stalled", "candles_1m"))
    return {"year": year, "stalled": stalled}


def stored_per_day(home: Path, table: str) -> dict[str, Counter[str]]:
    """What the DuckDB file itself holds: rows by day and symbol."""

    def read() -> list[tuple[str, str, int]] | None:
        try:
            with duckdb.connect(home / "market.duckdb", read_only=True) as db:
                return db.execute(
                    f"SELECT strftime(ts, '%Y-%m-%d'), symbol, count(*) FROM {table} GROUP BY ALL"
                ).fetchall()
        except duckdb.IOException:
            return None

    days: dict[str, Counter[str]] = {}
    for day, symbol, rows in until(read, "a look into the store"):
        days.setdefault(day, Counter())[symbol] = rows
    return days


def test_a_year_launched_over_graphql_shows_the_truth_of_every_partition(
    platform: Platform, home: Path, backfills: dict[str, str]
) -> None:
    keys = platform.partitions("year", "candles_1h")
    assert len(keys) == 366
    ended = {"COMPLETED_FAILED", "COMPLETED_SUCCESS", "COMPLETED"}
    until(lambda: platform.backfill_status(backfills["year"]) in ended, "the backfill")

    days = stored_per_day(home, "year.candles_1h")
    colours = platform.colours("year", "candles_1h")
    continuity = platform.check("continuity", "year", "candles_1h")
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
    assert set(platform.check("validity", "year", "candles_1h").values()) == {"SUCCEEDED"}


def test_a_killed_run_keeps_what_it_finished_and_a_second_backfill_does_only_the_rest(
    platform: Platform, home: Path, vendor: PracticeVendor, environment: dict[str, str], backfills: dict[str, str]
) -> None:
    path = ("stalled", "candles_1m")
    keys = platform.partitions(*path)
    until(lambda: platform.colours(*path)["2024-02-16"] == "MATERIALIZED", "the last partition before the stall")
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
        env=environment, capture_output=True, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr.decode()
    assert json.loads(again.stdout)["complete"] is True
    assert set(platform.colours(*path).values()) == {"MATERIALIZED"}
    assert set(platform.check("continuity", *path).values()) == {"SUCCEEDED"}
    asked = [entry for entry in list(vendor.log)[before:] if entry["symbol"] == "SPY"]
    first = min(int(entry["startTime"]) for entry in asked if entry["startTime"] != "0")
    stalled_at = datetime.fromisoformat(f"{max(finished)}T00:00Z").timestamp() * 1000
    assert first > stalled_at, "the second backfill asked again for what was stored"
