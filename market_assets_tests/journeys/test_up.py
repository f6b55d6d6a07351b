"""One start of `market-assets up`, and what it has to bear."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from market_assets.up.state import read_state
from market_assets_tests.support.platform import process_of, processes, running, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_assets_tests.support.platform import Platform

UNIVERSE = """
sources:
  files: {type: archive, path: "{symbol}.csv"}
repair: {every: 5s}
alerts: {every: 5s}
profiles:
  past: {kind: CRYPTO, start: 2025-02-03, end: 2025-02-04, timeframes: {fetch: [1h]},
         sources: [files], symbols: {AAA: {}}}
"""

LATER = """
  later: {kind: CRYPTO, start: 2025-02-03, end: 2025-02-04, timeframes: {fetch: [1h]},
          sources: [files], symbols: {BBB: {}}}
"""

BARS = "ts,open,high,low,close,volume\n" + "".join(
    f"2025-02-03T{hour:02}:00:00,10,11,9,10,1\n" for hour in range(24)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="module")
def home(folder: Path) -> Path:
    # Letters that mean something in a URL.
    home = folder / "a home#1 of 100%"
    home.mkdir()
    return home


@pytest.fixture(scope="module")
def universe(folder: Path) -> Path:
    path = folder / "universe.yaml"
    path.write_text(UNIVERSE)
    for symbol in ("AAA", "BBB"):
        (folder / f"{symbol}.csv").write_text(BARS)
    return path


@pytest.fixture(scope="module")
def environment(home: Path, universe: Path) -> dict[str, str]:
    environment = {
        **os.environ,
        "MARKET_ASSETS_HOME": str(home),
        "MARKET_ASSETS_UNIVERSE": str(universe),
    }
    environment.pop("DAGSTER_HOME", None)
    return environment


@pytest.fixture(scope="module")
def platform(home: Path, environment: dict[str, str]) -> Iterator[Platform]:
    with running(home, environment) as platform:
        yield platform


def fork_server_of(home: Path) -> int | None:
    """The process that pages and code server are forks of; None while there are no pages."""
    pages = process_of(home, "pages")
    if pages is None:
        return None
    try:
        return int(Path(f"/proc/{pages}/stat").read_text().rpartition(")")[2].split()[1])
    except FileNotFoundError:
        return None


def profiles_shown(platform: Platform) -> set[str]:
    """The profiles that the pages show."""
    nodes = platform.ask("{ assetNodes { assetKey { path } } }")["assetNodes"]
    # The page of what is wrong belongs to no profile.
    return {node["assetKey"]["path"][0] for node in nodes} - {"platform"}


def looks(platform: Platform) -> int:
    """How often the alerts sensor has looked; 0 while its code server is new to the pages."""
    try:
        return platform.ticks("alerts")
    except KeyError:
        return 0


def _a_killed_code_server_is_back_in_seconds_and_the_sensors_go_on(
    platform: Platform, home: Path
) -> None:
    before = process_of(home, "code")
    assert before is not None
    ticks = until(lambda: looks(platform), "the first look of the alerts sensor")
    os.kill(before, signal.SIGKILL)
    until(lambda: process_of(home, "code") not in {None, before}, "another code server")
    state = until(lambda: (state := read_state(home)) and state.restarts and state, "the state")
    assert [(restart.what, restart.why) for restart in state.restarts] == [
        ("code server", "killed by SIGKILL")
    ]
    until(lambda: looks(platform) > ticks, "the next look of the alerts sensor")
    look = ["alerts", "--json"]
    alert = until(
        lambda: [row for row in answer(look, home) if row["kind"] == "restart"], "the alert"
    )
    assert alert[0]["subject"] == "code server"


def _killed_pages_are_back_with_the_daemon(platform: Platform, home: Path) -> None:
    before, ticks = process_of(home, "pages"), looks(platform)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    until(lambda: process_of(home, "pages") not in {None, before}, "other pages")
    # The listening socket is the supervisor's: who asks meanwhile waits.
    until(lambda: looks(platform) > ticks, "the next look of the alerts sensor")
    state = read_state(home)
    assert state is not None
    assert [restart.what for restart in state.restarts] == [
        "code server",
        "server of pages and sensors",
    ]


def _a_killed_fork_server_is_back_with_all_that_it_had_started(
    platform: Platform, home: Path
) -> None:
    before, ticks = fork_server_of(home), looks(platform)
    children = {process_of(home, "pages"), process_of(home, "code")}
    assert before is not None
    os.kill(before, signal.SIGKILL)
    until(
        lambda: (
            fork_server_of(home) not in {None, before}
            and process_of(home, "code") is not None
            and not children & set(processes(home))
        ),
        "other pages and another code server",
    )
    until(lambda: looks(platform) > ticks, "the next look of the alerts sensor")
    state = read_state(home)
    assert state is not None
    assert {restart.what for restart in state.restarts[2:]} == {
        "fork server",
        "server of pages and sensors",
        "code server",
    }
    log = (home / "log" / "up.log").read_text()
    assert (
        "up: the fork server has ended (killed by SIGKILL), and all that it has started with it."
        in log
    )


def answer(arguments: list[str], home: Path) -> list[dict[str, str]]:
    environment = {**os.environ, "MARKET_ASSETS_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "market_assets.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout)


def _a_second_up_and_a_bad_port_are_refused_in_one_sentence(
    platform: Platform, environment: dict[str, str], tmp_path: Path
) -> None:
    elsewhere = {**environment, "MARKET_ASSETS_HOME": str(tmp_path)}
    port = platform.url.rpartition(":")[2]
    for options, chosen, words in (
        (
            [],
            environment,
            (
                "another `market-assets up` runs on this home folder "
                f"(process {platform.process.pid}, "
            ),
        ),
        (
            ["--port", port],
            elsewhere,
            f"port {port} is taken by another program; choose another one with --port.",
        ),
        (
            ["--port", "99999"],
            elsewhere,
            "--port 99999: there is no such port; choose one from 1024 to 65535.",
        ),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "market_assets.cli", "up", *options],
            env=chosen,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert words in done.stderr.replace("\n", " ")
        assert len(done.stderr.strip().splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"up.lock"}


def _a_page_of_another_site_changes_nothing(platform: Platform) -> None:
    mutation = "mutation { wipeAssets(assetPartitionRanges: []) { __typename } }"
    post = {"query": mutation}
    with httpx.Client(base_url=platform.url, timeout=30) as client:
        for refused in (
            client.get("/graphql", params={"query": mutation}),
            client.post("/graphql", json=post, headers={"Origin": "https://evil.example"}),
            client.post("/graphql", json=post, headers={"Origin": "null"}),
            client.post("/graphql", json=post, headers={"Host": "evil.example"}),
            client.get("/", headers={"Host": "evil.example:3000"}),
            client.post("/report_asset_materialization/past/candles_1h"),
        ):
            assert refused.status_code == 403
            assert refused.text.strip().endswith(".")
        page = client.get(
            "/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        )
        assert page.status_code == 200
        asked = client.post(
            "/graphql", json={"query": "{ version }"}, headers={"Origin": platform.url}
        )
        assert asked.json()["data"]["version"]
        assert client.get("/graphql", params={"query": "{ version }"}).json()["data"]["version"]
    assert handshake(platform.url, origin="https://evil.example") == 403
    assert handshake(platform.url, origin=platform.url) == 101


def handshake(url: str, *, origin: str) -> int:
    """What a browser is answered that opens the pages' WebSocket from a page of an origin."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(
            "GET /graphql HTTP/1.1\r\n"
            f"Host: {host}:{port}\r\n"
            f"Origin: {origin}\r\n"
            "Upgrade: websocket\r\n"
            "Connection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-ws\r\n\r\n".encode()
        )
        return int(client.recv(1000).split()[1])


def _a_changed_universe_is_taken_over_and_a_faulty_one_is_not(
    platform: Platform, home: Path, universe: Path
) -> None:
    assert profiles_shown(platform) == {"past"}
    universe.write_text(UNIVERSE + LATER.replace("end: 2025-02-04", "end: never"))
    state = until(lambda: (state := read_state(home)) and state.faults and state, "the fault")
    assert any("profiles.later.end" in fault and "never" in fault for fault in state.faults)
    assert profiles_shown(platform) == {"past"}

    universe.write_text(UNIVERSE + LATER)
    until(lambda: profiles_shown(platform) == {"past", "later"}, "the new universe")
    state = read_state(home)
    assert state is not None
    assert state.faults == []
    assert state.taken_over_at is not None
    assert len(state.restarts) == 5
    log = (home / "log" / "up.log").read_text()
    assert "up: the universe has changed: profile later is new: BBB; 1h." in log


def _a_signal_ends_all_in_seconds(platform: Platform, home: Path) -> None:
    assert len(processes(home)) >= 2
    platform.process.send_signal(signal.SIGTERM)
    # Three seconds for the processes, and what a loaded machine takes to import Dagster once more.
    assert platform.process.wait(timeout=60) == 0
    assert processes(home) == {}
    state = read_state(home)
    assert state is not None
    assert state.ended_at is not None


def test_up_is_left_on_and_stands_what_happens_to_it(
    platform: Platform, home: Path, environment: dict[str, str], tmp_path: Path, universe: Path
) -> None:
    """One start serves all: what each part finds is what the part before has left."""
    _a_killed_code_server_is_back_in_seconds_and_the_sensors_go_on(platform, home)
    _killed_pages_are_back_with_the_daemon(platform, home)
    _a_killed_fork_server_is_back_with_all_that_it_had_started(platform, home)
    _a_second_up_and_a_bad_port_are_refused_in_one_sentence(platform, environment, tmp_path)
    _a_page_of_another_site_changes_nothing(platform)
    _a_changed_universe_is_taken_over_and_a_faulty_one_is_not(platform, home, universe)
    _a_signal_ends_all_in_seconds(platform, home)
