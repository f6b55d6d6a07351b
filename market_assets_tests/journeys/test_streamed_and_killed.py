"""A profile is streamed with every fault, in a terminal and in Dagster, and killed again and again.

Afterwards what is stored equals the vendor's truth bit by bit, no bar twice, and there is no hole.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.defs.automation.runs import instance_at
from market_assets.defs.internals.adapter import FINISHED
from market_assets.defs.keys import STREAM_TAG
from market_assets.home import HOME_VARIABLE
from market_assets.market.clock import CLOCK_VARIABLE, present
from market_assets.practice.stream_faults import StreamFault
from market_assets_tests.support.live_ground import LiveGround, clock_text, live_ground
from market_assets_tests.support.platform import process_of, running, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from market_assets_tests.support.platform import Platform

START = datetime(2025, 3, 3)  # noqa: DTZ001 - as the store has it
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
FAULTS = (
    StreamFault(fault="duplicate", every=3),
    StreamFault(fault="swap", every=5),
    StreamFault(fault="late", every=7, seconds=15),
    StreamFault(fault="revision", every=9, seconds=30),
    StreamFault(fault="unclosed", every=11),
    StreamFault(fault="truncated", every=97),
    StreamFault(fault="stranger", every=50),
    StreamFault(fault="drop", every=400),
)


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveGround]:
    monkeypatch.setenv(CLOCK_VARIABLE, clock_text())
    with live_ground(tmp_path, *SYMBOLS) as ground:
        yield ground


def started(live: LiveGround) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "market_assets.cli", "stream", "live", "--json"]
    return subprocess.Popen(
        [*command, "--universe", str(live.path)],
        env={**os.environ, HOME_VARIABLE: str(live.home)},
        stdout=subprocess.PIPE,
        text=True,
    )


def read_until_stored(process: subprocess.Popen[str], bars: int) -> dict[str, object]:
    """Read reports until so many bars are stored."""
    assert process.stdout is not None
    for line in process.stdout:
        report = json.loads(line)
        if report["stored_in_all"] >= bars:
            return report
    raise AssertionError("the stream ended too soon")


def test_rows_are_the_truth_after_faults_and_kills(live: LiveGround) -> None:
    live.set_faults(*FAULTS)
    first = (present() - timedelta(minutes=20)).replace(second=0, microsecond=0)

    for bars in (1, 9, 2):
        process = started(live)
        read_until_stored(process, bars)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert process.stdout is not None
        process.stdout.close()

    # The last revisions come right, and the process is asked to end.
    live.set_faults()
    process = started(live)
    read_until_stored(process, 12)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert json.loads(rest.splitlines()[-1])["is_last"]
    assert live.wrong() == {}
    assert live.holes(first) == []
    assert live.table("SELECT * FROM ops.gaps WHERE status <> 'open'").is_empty()


def newest_bar(live: LiveGround) -> datetime:
    """The newest bar that is stored; before all where there is none."""
    if not (live.home / "market.duckdb").exists():
        return START
    (newest,) = live.table("SELECT max(last_bar_at) AS ts FROM ops.streams WHERE state = 'live'")[
        "ts"
    ].to_list()
    return newest or START


def streams_on(live: LiveGround, platform: Platform, former: set[str]) -> str:
    """Wait until a run that was not there before streams, and has stored a bar; its id."""

    def alive() -> str | None:
        runs = platform.runs_of("stream_live")
        started = [run for run, status in runs.items() if status == "STARTED"]
        return started[0] if started and started[0] not in former else None

    run = until(alive, "a run that streams")
    before = newest_bar(live)
    until(lambda: newest_bar(live) > before, "a streamed bar")
    return run


def test_dagster_keeps_a_stream_alive_whatever_is_killed(live: LiveGround) -> None:
    live.keep(stream={"enabled": True}, repair={"every": "10m"})
    live.set_faults(*FAULTS[:5])
    environment = {
        **os.environ,
        HOME_VARIABLE: str(live.home),
        "MARKET_ASSETS_UNIVERSE": str(live.path),
    }
    environment.pop("DAGSTER_HOME", None)
    live.home.mkdir()
    first = present().replace(second=0, microsecond=0) - timedelta(minutes=150)

    with running(live.home, environment) as platform:
        one = streams_on(live, platform, set())
        process = platform.run_process("live", STREAM_TAG)
        assert process is not None
        os.kill(process, signal.SIGKILL)
        two = streams_on(live, platform, {one})
        assert platform.runs_of("stream_live")[one] == "FAILURE"

        # The run goes on without pages and daemon, and with the next ones.
        pages = process_of(live.home, "pages")
        assert pages is not None
        os.kill(pages, signal.SIGKILL)
        until(lambda: process_of(live.home, "pages") not in {None, pages}, "other pages")
        until(platform.alive, "pages that answer")
        live.set_faults()
        before = newest_bar(live)
        until(lambda: newest_bar(live) > before + timedelta(minutes=6), "the last revisions")
        runs = platform.runs_of("stream_live")
        assert runs == {two: "STARTED", one: "FAILURE"}

    with instance_at(live.home) as instance:
        assert {run.status for run in instance.get_runs()} <= FINISHED
    assert live.wrong() == {}
    assert live.holes(first) == []
