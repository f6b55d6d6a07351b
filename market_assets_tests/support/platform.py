"""A running `market-assets up`: its processes, its GraphQL API, and looks into its store."""

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
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PATIENCE = 240.0
_PAUSES = (0.2, 1.0)
"""The first and the longest pause between two looks in seconds: each makes the server work."""


class Platform:
    """A running `market-assets up` and its GraphQL API.

    Attributes:
        url: Where the pages are.
        process: The supervisor.
    """

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.process = process
        self._http = httpx.Client(base_url=url, timeout=30)

    def close(self) -> None:
        self._http.close()

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = self._http.post("/graphql", json={"query": query, "variables": variables}).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def alive(self) -> bool:
        try:
            locations = self.ask(
                "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"
            )
        except (httpx.HTTPError, ValueError):
            return False
        entries = locations["workspaceOrError"]["locationEntries"]
        return bool(entries) and all(entry["loadStatus"] == "LOADED" for entry in entries)

    def partitions(self, *path: str) -> list[str]:
        query = (
            "query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... "
            "on AssetNode { partitionKeys } } }"
        )
        return self.ask(query, key={"path": path})["assetNodeOrError"]["partitionKeys"]

    def backfill(self, *assets: list[str], partitions: list[str]) -> str:
        query = """
            mutation ($params: LaunchBackfillParams!) {
                launchPartitionBackfill(backfillParams: $params) {
                    __typename
                    ... on LaunchBackfillSuccess { backfillId }
                    ... on PythonError { message }
                }
            }
        """
        params = {
            "assetSelection": [{"path": path} for path in assets],
            "partitionNames": partitions,
        }
        answer = self.ask(query, params=params)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return answer["backfillId"]

    def backfill_status(self, backfill: str) -> str:
        query = (
            "query ($id: String!) { partitionBackfillOrError(backfillId: $id) "
            "{ ... on PartitionBackfill { status } } }"
        )
        return self.ask(query, id=backfill)["partitionBackfillOrError"]["status"]

    def colours(self, *path: str) -> dict[str, str]:
        """Each partition of an asset with the colour of its square in the UI."""
        query = """
            query ($key: AssetKeyInput!) {
                assetNodeOrError(assetKey: $key) {
                    ... on AssetNode {
                        partitionKeys
                        assetPartitionStatuses {
                            ... on TimePartitionStatuses { ranges { status startKey endKey } }
                        }
                    }
                }
            }
        """
        node = self.ask(query, key={"path": path})["assetNodeOrError"]
        colours = dict.fromkeys(node["partitionKeys"], "MISSING")
        for stretch in node["assetPartitionStatuses"]["ranges"]:
            for key in colours:
                if stretch["startKey"] <= key <= stretch["endKey"]:
                    colours[key] = stretch["status"]
        return colours

    def check(self, name: str, *path: str) -> dict[str, str]:
        """Each partition's latest verdict of one check."""
        verdicts = {}
        keys = self.partitions(*path)
        # A request a partition would cost the server more than all it has to look up.
        for at in range(0, len(keys), 100):
            some = {f"p{number}": key for number, key in enumerate(keys[at : at + 100])}
            fields = " ".join(
                f"{alias}: assetCheckExecutions(assetKey: $key, checkName: $name, limit: 1, "
                f'partition: "{key}") {{ status }}'
                for alias, key in some.items()
            )
            answer = self.ask(
                f"query ($key: AssetKeyInput!, $name: String!) {{ {fields} }}",
                key={"path": path},
                name=name,
            )
            verdicts |= {
                key: answer[alias][0]["status"] if answer[alias] else "NONE"
                for alias, key in some.items()
            }
        return verdicts

    def ticks(self, sensor: str) -> int:
        """How often a sensor has looked without anything to do since it was turned on."""
        query = """
            query ($selector: SensorSelector!) {
                sensorOrError(sensorSelector: $selector) {
                    __typename
                    ... on Sensor { sensorState { ticks(limit: 200) { status } } }
                }
            }
        """
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "market_assets.definitions",
            "sensorName": sensor,
        }
        found = self.ask(query, selector=selector)["sensorOrError"]
        return sum(tick["status"] == "SKIPPED" for tick in found["sensorState"]["ticks"])

    def run_process(self, tag: str, key: str = "dagster/backfill") -> int | None:
        """The process of the running run with a tag, such as a backfill's, as its log tells it."""
        query = """
            query ($filter: RunsFilter!) {
                runsOrError(filter: $filter) {
                    ... on Runs {
                        results {
                            eventConnection {
                                events {
                                    ... on EngineEvent { message }
                                    ... on MessageEvent { message }
                                }
                            }
                        }
                    }
                }
            }
        """
        found = self.ask(
            query,
            filter={"tags": [{"key": key, "value": tag}], "statuses": ["STARTED"]},
        )
        for run in found["runsOrError"]["results"]:
            for event in run["eventConnection"]["events"]:
                if match := re.search(
                    r"Started process for run \(pid: (\d+)\)", event.get("message") or ""
                ):
                    return int(match[1])
        return None

    def runs(self, tag: str) -> dict[str, str]:
        """The runs of a backfill, and their statuses."""
        query = (
            "query ($filter: RunsFilter!) { runsOrError(filter: $filter) { ... "
            "on Runs { results { runId status } } } }"
        )
        found = self.ask(query, filter={"tags": [{"key": "dagster/backfill", "value": tag}]})
        return {run["runId"]: run["status"] for run in found["runsOrError"]["results"]}

    def runs_of(self, job: str) -> dict[str, str]:
        """The runs of a job, newest first, and their statuses."""
        query = (
            "query ($filter: RunsFilter!) { runsOrError(filter: $filter) { ... "
            "on Runs { results { runId status } } } }"
        )
        found = self.ask(query, filter={"pipelineName": job})
        return {run["runId"]: run["status"] for run in found["runsOrError"]["results"]}

    def terminate(self, run_id: str) -> str:
        """Have a run end, as the button of its page does."""
        mutation = "mutation ($id: String!) { terminateRun(runId: $id) { __typename } }"
        return self.ask(mutation, id=run_id)["terminateRun"]["__typename"]


def processes(home: Path) -> dict[int, str]:
    """The processes of the `up` of a home folder without its supervisor, and their names."""
    mark = f"MARKET_ASSETS_UP_ALIVE={home}".encode()
    members = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (
                mark in (entry / "environ").read_bytes()
                and "Z" not in (entry / "stat").read_text().rpartition(")")[2][:3]
            ):
                # Their command line is that of the process that they are forks of.
                members[int(entry.name)] = (entry / "comm").read_text().strip()
        except OSError:
            continue
    return members


def process_of(home: Path, what: str) -> int | None:
    return next((pid for pid, name in processes(home).items() if name == f"serve {what}"), None)


def until(condition: Callable[[], Any], what: str) -> Any:
    """Ask again, about once a second, until a real process has got that far."""
    end = time.monotonic() + _PATIENCE
    pause, longest = _PAUSES
    while time.monotonic() < end:
        if found := condition():
            return found
        threading.Event().wait(pause)
        pause = min(1.2 * pause, longest)
    raise AssertionError(f"{what} took longer than {_PATIENCE:.0f} s")


@contextmanager
def running(home: Path, environment: Mapping[str, str]) -> Iterator[Platform]:
    """Start `market-assets up` and wait until its definitions are loaded.

    All its processes are stopped at the end.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (home / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "market_assets.cli", "up", "--port", str(port), "--json"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    platform = Platform(f"http://127.0.0.1:{port}", process)
    try:
        until(lambda: platform.alive() or process.poll() is not None, "the start")
        assert process.poll() is None, (home / "up.log").read_text()
        first = (home / "up.log").read_text().splitlines()[0]
        assert json.loads(first)["url"] == f"http://127.0.0.1:{port}"
        yield platform
    finally:
        platform.close()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def look(home: Path, sql: str) -> list[tuple[Any, ...]]:
    """What the DuckDB file itself holds."""

    def read() -> list[tuple[Any, ...]] | None:
        try:
            with duckdb.connect(home / "market.duckdb", read_only=True) as db:
                return [("rows",), *db.execute(sql).fetchall()]
        except (duckdb.IOException, duckdb.CatalogException):
            return None

    return until(read, "a look into the store")[1:]
