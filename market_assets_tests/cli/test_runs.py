"""Runs of a command in its own process: they can be stopped, and go on from there."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

from market_assets.practice.book import Market
from market_assets_tests.support.shell import Done, Shell

if TYPE_CHECKING:
    from collections.abc import Callable


def until(condition: Callable[[], object]) -> None:
    """Ask again, a few times a second, until a process has got that far."""
    pause, end = threading.Event(), time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        pause.wait(0.1)


def test_ctrl_c_stops_a_backfill_the_next_one_ends_with_0_and_a_third_asks_for_nothing(
    shell: Shell,
) -> None:
    # The first request of a symbol is a probe for its first bar; the vendor hangs on the second.
    delay = {"fault": "delay", "symbols": ["ETH"], "seconds": 600, "every": 2}
    shell.vendor.set_faults(Market.model_validate({"faults": [delay]}).faults)
    process = shell.start("backfill")
    until(lambda: process.poll() is not None or (shell.asked() and shell.counted("crypto")))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    stopped = shell.checked(Done(process.returncode, out, err))
    assert stopped.code == 130
    assert "Stopped. What was committed is kept" in stopped.err
    assert "derive" not in stopped.err
    assert [job["status"] for job in shell.jobs()] == ["CANCELLED"]

    shell.vendor.set_faults([])
    done = shell.process("backfill", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["complete"] is True
    assert (done.json["failed_runs"], done.json["failures"], done.json["failed_partitions"]) == (
        [],
        [],
        0,
    )
    matrix = {(row["symbol"], row["timeframe"]): row for row in done.json["completeness"]}
    assert {row["health"] for row in matrix.values()} == {"HEALTHY"}
    assert matrix["ETH", "4h"]["stored"] == 42
    assert {entry["symbol"] for entry in shell.asked()} == {"BTC", "ETH", "SPY"}

    shell.vendor.log.clear()
    again = shell.run("backfill")
    assert again.code == 0
    assert shell.asked() == []
    # Progress is told where it does not disturb what is piped: a line for each kind of work, over
    # all profiles.
    derived, fetched = again.err.splitlines()
    assert fetched.startswith("fetch: 12/12 partitions in 0:")
    assert derived.startswith("derive: 8/8 partitions in 0:")
    assert "partitions" not in again.out
