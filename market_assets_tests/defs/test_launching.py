"""Dagster is asked as its pages are, and what it refuses is told: the journey has the real one."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from market_assets.defs.launching import Pages
from market_assets.errors import PlatformError
from market_assets.fill.options import FillOptions
from market_assets.market.datasets import Dataset
from market_assets.serve.platform import Range
from market_assets.up.state import State, write_state
from market_assets.work.run import Trigger

PART = Range(Dataset.named("crypto", "candles_1h"), "2025-02-03", "2025-02-09")
NODE = {
    "assetNodeOrError": {
        "jobNames": ["__ASSET_JOB"],
        "repository": {"name": "__repository__", "location": {"name": "somewhere"}},
    }
}


@contextmanager
def vendor(*answers):
    """Pages that answer one question after another, and what they were asked."""
    queue, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = queue.pop(0)
            body = body if isinstance(body, bytes) else json.dumps({"data": body}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_run_has_the_range_the_trigger_and_the_options(tmp_path):
    done = {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": "abc"}}}
    with vendor(NODE, done) as (url, asked):
        pages = Pages(tmp_path, url)
        assert pages.launch(PART, FillOptions(symbols=["BTC"]), Trigger.BACKFILL) == "abc"
        assert pages.page_of("abc") == f"{url}runs/abc"
    params = asked[1]["variables"]["params"]
    tags = {tag["key"]: tag["value"] for tag in params["executionMetadata"]["tags"]}

    assert params["selector"]["assetSelection"] == [{"path": ["crypto", "candles_1h"]}]
    assert params["selector"]["repositoryLocationName"] == "somewhere"
    assert tags["dagster/asset_partition_range_start"] == "2025-02-03"
    assert tags["market_assets/trigger"] == "backfill"
    (config,) = params["runConfigData"]["ops"].values()
    assert config == {"config": {"symbols": ["BTC"]}}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([{"assetNodeOrError": {}}], "another universe"),
        (
            [NODE, {"launchRun": {"__typename": "UnauthorizedError", "message": "read only"}}],
            "read only",
        ),
        (
            [
                NODE,
                {
                    "launchRun": {
                        "__typename": "RunConfigValidationInvalid",
                        "errors": [{"message": "no such key"}],
                    }
                },
            ],
            "no such key",
        ),
        ([b"<html>"], "do not answer"),
        ([b'{"errors": [{"message": "syntax"}]}'], "syntax"),
        ([b"[]"], "refuse"),
    ],
)
def test_what_dagster_refuses_is_told(tmp_path, answers, words):
    with vendor(*answers) as (url, _), pytest.raises(PlatformError, match=words):
        Pages(tmp_path, url).launch(PART, FillOptions(), Trigger.REPAIR)


def test_daemons_and_runs_are_read(tmp_path):
    health = {"instance": {"daemonHealth": {"allDaemonStatuses": [
        {"daemonType": "SENSOR", "required": True, "healthy": False},
        {"daemonType": "BACKFILL", "required": False, "healthy": None},
    ]}}}  # fmt: skip
    run = {"runOrError": {"runId": "a", "status": "STARTED", "startTime": 0.0, "endTime": None,
                          "tags": [{"key": "x", "value": "y"}]}}  # fmt: skip
    with vendor(health, run, {"runOrError": {}}) as (url, _):
        pages = Pages(tmp_path, url)
        assert pages.daemons() == {"SENSOR": False}
        state = pages.run("a")
        assert (state.status, state.tags) == ("STARTED", {"x": "y"})
        assert (state.started_at, state.ended_at) == (datetime(1970, 1, 1, tzinfo=UTC), None)
        assert pages.run("b") is None


def test_the_pages_are_those_of_up(tmp_path):
    with pytest.raises(PlatformError, match="market-assets up"):
        Pages(tmp_path).daemons()
    write_state(
        tmp_path,
        State(1, "http://127.0.0.1:1", "universe.yaml", datetime(2025, 3, 1, tzinfo=UTC)),
    )
    with pytest.raises(PlatformError, match="do not answer"):
        Pages(tmp_path).daemons()
