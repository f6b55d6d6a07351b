"""`market-assets init`: a first universe, written, tried and said."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

from market_assets.config.starter_table import STARTERS

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets_tests.support.shell import Shell


def fresh(shell: Shell, tmp_path: Path) -> Path:
    """A file that is not there yet, which the terminal takes for its universe."""
    path = tmp_path / "mine.yaml"
    shell.environment["MARKET_ASSETS_UNIVERSE"] = str(path)
    return path


def test_a_universe_is_written_tried_and_can_be_used(shell: Shell, tmp_path: Path) -> None:
    path = fresh(shell, tmp_path)
    done = shell.run("init", "binance", "--base-url", shell.vendor.url, "--symbols", "BTC")

    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == f"written: {path}"
    assert "ok binance BTC 1m: 5 bars, the last one of " in done.out
    assert done.out.splitlines()[-2:] == ["  market-assets backfill", "  market-assets up"]
    assert shell.run("validate").code == 0
    shell.vendor.log.clear()

    again = shell.run("init", "binance")
    assert again.code == 1
    assert "is there already and was left as it is; --force replaces it" in again.err
    assert not shell.vendor.log

    forced = shell.run("init", "practice", "--kind", "forex", "--force", "--offline", "--json")
    assert forced.code == 0
    assert forced.json["profiles"] == ["forex"]
    assert forced.json["tries"] == []
    assert "kind: FOREX" in path.read_text()


def test_the_next_commands_keep_to_the_home_that_was_named(shell: Shell, tmp_path: Path) -> None:
    path, home = fresh(shell, tmp_path), tmp_path / "a home of its own"
    done = shell.run("init", "practice", "--offline", "--home", str(home), "--json")

    assert done.json["next"] == [
        f"export MARKET_ASSETS_UNIVERSE={path}",
        f"export MARKET_ASSETS_HOME='{home}'",
        "market-assets backfill",
        "market-assets up",
    ]


def test_a_try_that_fails_writes_the_universe_all_the_same(shell: Shell, tmp_path: Path) -> None:
    path = fresh(shell, tmp_path)
    done = shell.run("init", "oanda", "polygon", "--json")

    assert done.code == 3
    assert path.is_file()
    assert [(result["source"], result["is_well"]) for result in done.json["tries"]] == [
        ("oanda", False),
        ("polygon", False),
    ]
    assert "OANDA_TOKEN is not set" in done.json["tries"][0]["words"]


def test_a_wrong_use_writes_nothing(shell: Shell, tmp_path: Path) -> None:
    path = fresh(shell, tmp_path)
    for arguments, words in (
        ([], "MARKET: name at least one of"),
        (["binance", "--timeframes", "2m"], "--timeframes 2m: no such timeframe; there are 1m"),
        (["practice", "--kind", "stocks"], "--kind stocks: no such kind; there are CRYPTO"),
        (["binance", "--symbols", "BTC/USDT"], "is no usable name"),
        (["binance", "--calendar", "XNYZ"], "XNYZ is no calendar; did you mean "),
        (["yahoo", "--start", "soon"], "--start soon: write a day like 2024-01-31"),
        (["files", "--kind", "crypto"], "--folder: say where the files are"),
    ):
        done = shell.run("init", *arguments, "--offline")

        assert done.code == 2
        assert words in " ".join(done.err.replace("│", " ").split())
        assert not path.exists()


def test_somebody_at_a_terminal_is_asked(shell: Shell, tmp_path: Path) -> None:
    path = fresh(shell, tmp_path)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "market_assets.cli", "init", "--offline"],
        env=shell.environment,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    os.write(ours, b"practice\nABC,DEF\n2026-01-05\n")
    out, err = process.communicate(timeout=60)
    os.close(ours)

    assert (process.returncode, out.splitlines()[0]) == (0, f"written: {path}")
    assert "What is to be kept?" in err
    text = path.read_text()
    assert "ABC: {}" in text
    assert "start: 2026-01-05" in text


def test_the_help_names_every_market(shell: Shell) -> None:
    words = " ".join(shell.run("init", "--help").out.replace("│", " ").split())

    assert all(name in words for name in STARTERS)
