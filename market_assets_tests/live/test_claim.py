"""One session at a time streams a profile's candles in a home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from market_assets.errors import StreamBusyError
from market_assets.live.claim import claimant_of, claimed
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.work.run import Run

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2025, 3, 3, 12, tzinfo=UTC)
MINUTES = Dataset.candles("crypto", Timeframe.M1)

HOLDER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from market_assets.live.claim import claimed
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.work.run import Run

dataset = Dataset.candles("crypto", Timeframe.M1)
with claimed(Path(sys.argv[1]), dataset, Run("3f2a"), datetime(2025, 3, 3, 12, tzinfo=UTC)):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_one_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    with (
        claimed(tmp_path, MINUTES, Run("3f2a"), NOW),
        pytest.raises(StreamBusyError) as refusal,
        claimed(tmp_path, MINUTES, Run(), NOW),
    ):
        raise AssertionError("both have it")

    assert str(refusal.value) == (
        f"crypto/candles_1m is streamed already, by Dagster's run 3f2a (process {os.getpid()}) "
        "since 2025-03-03 12:00:00Z: end that one first, "
        "or look at what it stores with market-assets tail crypto."
    )


def test_other_candles_are_streamed_beside_it(tmp_path: Path) -> None:
    hours = Dataset.candles("crypto", Timeframe.H1)
    with claimed(tmp_path, MINUTES, Run(), NOW), claimed(tmp_path, hours, Run(), NOW):
        assert claimant_of(tmp_path, MINUTES)
        assert claimant_of(tmp_path, hours)


def test_nobody_streams_before_and_after(tmp_path: Path) -> None:
    before = claimant_of(tmp_path, MINUTES)
    with claimed(tmp_path, MINUTES, Run(), NOW):
        during = claimant_of(tmp_path, MINUTES)

    assert before is None
    assert during == (
        f"market-assets stream in a terminal (process {os.getpid()}) since 2025-03-03 12:00:00Z"
    )
    assert claimant_of(tmp_path, MINUTES) is None


def test_a_process_that_is_killed_leaves_it_to_the_next(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert claimant_of(tmp_path, MINUTES) is not None
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert claimant_of(tmp_path, MINUTES) is None
    with claimed(tmp_path, MINUTES, Run(), NOW):
        pass
