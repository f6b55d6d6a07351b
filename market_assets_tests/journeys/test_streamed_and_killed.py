"""A profile is streamed with every fault, and its process is killed again and again.

Afterwards what is stored equals the vendor's truth bit by bit, no bar twice, and there is no hole.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.home import HOME_VARIABLE
from market_assets.market.clock import CLOCK_VARIABLE, present
from market_assets.practice.stream_faults import StreamFault
from market_assets_tests.support.live_ground import LiveGround, clock_text, live_ground

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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

    for bars in (1, 4, 9, 2):
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
