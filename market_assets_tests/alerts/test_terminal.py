"""`market-assets alerts` as a user and a script have it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from market_assets.alerts import Kind, Level, Trouble, Watch
from market_assets_tests.alerts.ground import universe_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from market_assets.store import Store
    from market_assets_tests.alerts.ground import MailServer, Webhook
    from market_assets_tests.conftest import Clock

FILLED_IN = "s3cr3t-value"


@pytest.fixture
def alerts(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        home = {"MARKET_ASSETS_HOME": str(tmp_path / "home"), "MARKET_ASSETS_UNIVERSE": str(tmp_path / "universe.yaml")}
        done = subprocess.run(
            [sys.executable, "-m", "market_assets.cli", "alerts", *options],
            env={**os.environ, **home, "HOOK_TOKEN": FILLED_IN}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert FILLED_IN not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def test_present_troubles_are_listed_and_those_that_are_over_on_request(
    tmp_path: Path, store: Store, clock: Clock, alerts: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    universe = universe_of(tmp_path, end="2025-02-02")
    watch = Watch(store, universe, clock)
    calm = alerts()
    assert (calm.returncode, calm.stdout.strip()) == (0, "No trouble.")
    trouble = Trouble("kept", Kind.GAP, "candles_1h", Level.ERROR, f"2 gaps [/closed] {FILLED_IN}", 2, ("BTC 2025",))
    universe_of(tmp_path, "json://127.0.0.1/${HOOK_TOKEN}", end="2025-02-02", secrets={"HOOK_TOKEN": FILLED_IN})
    watch.look([trouble])
    listed = alerts()
    assert listed.returncode == 3
    for words in ("2025-03-01 12:00", "ERROR", "kept gap candles_1h", "2 gaps [/closed] ${HOOK_TOKEN}", "BTC 2025"):
        assert words in listed.stdout
    assert "Nobody is told" not in listed.stdout
    (row,) = json.loads(alerts("--json").stdout)
    assert (row["kind"], row["count"], row["opened_at"], row["told_at"]) == ("gap", 2, "2025-03-01T12:00:00Z", None)
    watch.look()
    assert alerts("--json").stdout.strip() == "[]"
    over = alerts("--all")
    assert (over.returncode, "kept gap candles_1h" in over.stdout) == (0, True)


def test_a_test_message_goes_through_each_channel_and_the_answer_says_which_worked(
    tmp_path: Path, mail: MailServer, hook: Webhook, alerts: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    url = hook.url.replace("token-4711", "${HOOK_TOKEN}")
    universe_of(tmp_path, mail.url, url, secrets={"HOOK_TOKEN": FILLED_IN})
    good = alerts("--test")
    assert (good.returncode, good.stdout.splitlines()) == (
        0, ["mailto #1: took the message", "json #1: took the message"],
    )  # fmt: skip
    assert "a test" in mail.titles[0] == hook.titles[0]
    hook.status = 500
    bad = alerts("--test", "--json")
    assert (bad.returncode, bad.stderr) == (3, "")
    tried = json.loads(bad.stdout)
    assert (tried["mailto #1"], "500" in tried["json #1"]) == ("", True)
    universe_of(tmp_path)
    none = alerts("--test")
    assert (none.returncode, "names no channel" in none.stderr) == (3, True)
