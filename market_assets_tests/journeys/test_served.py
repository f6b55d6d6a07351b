"""From a home that nobody has filled to candles over HTTP, and a hole that is healed over it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from market_assets_tests.support.browser import chromium, opened
from market_assets_tests.support.platform import running, until

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "the-token-of-the-journey-4711"  # noqa: S105 - of tests

UNIVERSE = """
sources:
  files: {type: archive, path: "{symbol}.csv"}
repair: {every: 1d}
update: {first_backfill: 1d}
profiles:
  past: {kind: CRYPTO, start: 2025-02-03, end: 2025-02-05, timeframes: {fetch: [1h]},
         sources: [files], symbols: {AAA: {}}}
serve: {token: "${SERVE_TOKEN}", port: 1}
"""

BARS = [f"2025-02-0{day}T{hour:02}:00:00,10,11,9,10,1\n" for day in (3, 4) for hour in range(24)]
HOLE, OTHER = 30, 5
"""The bars that the file lacks at first, on different days."""


def write_bars(path, bars) -> None:
    path.write_text("ts,open,high,low,close,volume\n" + "".join(bars))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "universe.yaml").write_text(UNIVERSE)
    (folder / "home").mkdir()
    write_bars(
        folder / "AAA.csv", [bar for place, bar in enumerate(BARS) if place not in {HOLE, OTHER}]
    )
    return folder


@pytest.fixture(scope="module")
def environment(folder):
    environment = {
        **os.environ,
        "MARKET_ASSETS_HOME": str(folder / "home"),
        "MARKET_ASSETS_UNIVERSE": str(folder / "universe.yaml"),
        "SERVE_TOKEN": TOKEN,
    }
    environment.pop("DAGSTER_HOME", None)
    return environment


@pytest.fixture(scope="module")
def client(folder, environment) -> Iterator[httpx.Client]:
    """A client of `market-assets serve` beside `market-assets up`."""
    command = [sys.executable, "-m", "market_assets.cli", "serve", "--port", "0", "--json"]
    with (
        running(folder / "home", environment),
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as server,
    ):
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
            yield client
        server.terminate()
        server.communicate(timeout=60)


def candles(client: httpx.Client) -> int:
    answer = client.get("/v1/candles?profile=past&timeframe=1h")
    return len(answer.json()["data"]) if answer.status_code == 200 else 0


def follow(client: httpx.Client, answer: httpx.Response) -> dict:
    """The run of an answer, once it has ended."""
    assert answer.status_code == 202, answer.text
    (run,) = answer.json()["runs"]
    ends = {"SUCCESS", "FAILURE", "CANCELED"}
    until(lambda: client.get(run["follow"]).json()["status"] in ends, "the run has ended")
    progress = client.get(run["follow"]).json()
    assert progress["page"].endswith(run["run_id"])
    return progress


def repair_on_the_page(client: httpx.Client) -> None:
    """Have the hole of the fourth repaired in a browser, and see the chart without it."""
    url = client.base_url.join("/symbol?profile=past&timeframe=1h&symbol=AAA")
    with chromium() as browser, opened(browser, str(url), allow=("401",)) as page:
        page.set_default_timeout(60_000)
        page.locator("dialog input").fill(TOKEN)
        page.keyboard.press("Enter")
        page.locator("#summary", has_text="2 bars (missing)").wait_for()
        page.click('#gaps [data-gap="2025-02-04T06:00:00Z"]')
        page.locator("#story-body .verdict", has_text="Missing").wait_for()
        page.click("#repair-start")
        page.locator("#repair", has_text="Healed: the bar is there.").wait_for()
        page.locator("#summary", has_text="1 bar (missing)").wait_for()
        assert page.locator("#gaps tbody tr").count() == 1


def test_a_backfill_and_repairs_are_started_followed_and_seen(client, folder):
    assert candles(client) == 0

    progress = follow(client, client.post("/v1/backfills", json={"profile": "past"}))
    assert (progress["progress"], progress["job"]["trigger"]) == (1.0, "backfill")
    assert candles(client) == len(BARS) - 2
    assert client.get("/v1/gaps?profile=past").json()["total"] == 2

    # The file has one of the bars now, and somebody repairs it on the page of the symbol.
    write_bars(folder / "AAA.csv", [bar for place, bar in enumerate(BARS) if place != OTHER])
    repair_on_the_page(client)
    assert candles(client) == len(BARS) - 1

    # The file has all bars now, and a repair asks for what the other day lacks.
    write_bars(folder / "AAA.csv", BARS)
    progress = follow(client, client.post("/v1/repairs", json={"profile": "past"}))
    assert (progress["status"], progress["job"]["trigger"]) == ("SUCCESS", "repair")
    assert candles(client) == len(BARS)
    assert client.get("/v1/gaps?profile=past").json()["total"] == 0
    assert client.post("/v1/repairs", json={"profile": "past"}).json() == {"runs": []}


def test_dagsters_daemon_is_seen_to_be_alive(client):
    assert client.get("/v1/ready").json()["daemon"] is True
    assert client.get("/v1/ready", headers={"Authorization": "x"}).status_code == 401
