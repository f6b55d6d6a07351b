"""`market-assets stream`: what it shows, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from market_assets.home import HOME_VARIABLE
from market_assets.live.claim import claimed
from market_assets.market.clock import CLOCK_VARIABLE, present
from market_assets.work.run import Run, Trigger
from market_assets_tests.support.live_ground import LiveGround, clock_text, live_ground

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveGround]:
    monkeypatch.setenv(CLOCK_VARIABLE, clock_text())
    with live_ground(tmp_path, "BTCUSDT", "ETHUSDT") as ground:
        yield ground


def run(live: LiveGround, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "market_assets.cli", "stream", *arguments]
    return subprocess.run(
        [*command, "--universe", str(live.path)],
        env={**os.environ, HOME_VARIABLE: str(live.home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_pipe_gets_a_line_for_each_commit_and_an_end_after_its_time(live: LiveGround) -> None:
    done = run(live, "live", "--for", "3m")

    assert done.returncode == 0, done.stderr
    *lines, summary = done.stdout.splitlines()
    assert any("vendor connected: BTCUSDT, ETHUSDT: served" in line for line in lines)
    assert any("REST gave" in line for line in lines)
    assert any(" bars, lag p50 " in line and line.endswith("2 live") for line in lines)
    assert " bars stored, " in summary


def test_sigterm_ends_it_with_143_and_a_last_report(live: LiveGround) -> None:
    command = [sys.executable, "-m", "market_assets.cli", "stream", "live", "--json"]
    process = subprocess.Popen(
        [*command, "--universe", str(live.path)],
        env={**os.environ, HOME_VARIABLE: str(live.home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["timeframe"] == "1m"

    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)

    assert process.returncode == 143
    assert json.loads(rest.splitlines()[-1])["is_last"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nobody"], 2, "nobody: no such profile; there are live"),
        (["live", "--for", "soon"], 2, "--for soon: write a number and its unit"),
        (["live", "--for", "0s"], 2, "--for 0s: write a number and its unit"),
        (["live", "--timeframe", "5m"], 2, "--timeframe 5m: live does not fetch it"),
        (["live", "--symbols", "DOGE"], 2, "DOGE: no such symbol"),
    ],
)
def test_a_wrong_use_is_named(
    live: LiveGround, arguments: list[str], code: int, words: str
) -> None:
    done = run(live, *arguments)

    assert done.returncode == code
    assert words in " ".join(done.stderr.replace("│", " ").split())


def test_a_profile_that_cannot_be_streamed_names_what_can(live: LiveGround) -> None:
    text = "".join(
        line for line in live.path.read_text().splitlines(keepends=True) if "stream_url" not in line
    )
    live.path.write_text(text)

    done = run(live, "live", "--for", "1m")

    assert done.returncode == 1
    words = " ".join(done.stderr.split())
    assert "profile live: nothing of 1m can be streamed: source vendor: base_url is http" in words
    assert "the types with a stream are binance, bitfinex, bybit, coinbase, kraken" in words


def test_a_profile_that_a_run_streams_is_refused_with_its_name(live: LiveGround) -> None:
    dataset = live.profile.candles(live.profile.base_timeframe)
    with claimed(live.home, dataset, Run("3f2a", Trigger.STREAM), present()):
        done = run(live, "live", "--for", "3m")

    assert done.returncode == 1
    assert "bars" not in done.stdout
    assert (
        f"error live/candles_1m is streamed already, by Dagster's run 3f2a (process {os.getpid()}) "
    ) in " ".join(done.stderr.split())
