"""What a shell offers at a press of the key, asked for as a shell does it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

UNIVERSE = """
sources:
  vendor: {type: practice, headers: {X-Key: "${NOT_SET}"}}
  files: {type: archive, path: "{symbol}.csv"}
markets: {name: all, timeframes: [1d]}
profiles:
  crypto:
    kind: CRYPTO
    start: 2025-02-03
    timeframes: {fetch: [1m], derive: [1h, 1d]}
    symbols: {BTC: {}, ETH: {}, BNB: {}}
  coins: {kind: CRYPTO, start: a mistake, symbols: {"$(touch bad)": {}, "A;B": {}, "-x": {}}}
  equity:
    timeframes: {fetch: [1d]}
    symbols: {SPY: {}, "BRK.B": {}, "ES=F": {}}
"""
"""A file that cannot be used: its names are offered as well."""

PROGRAM = "import sys; sys.argv[0] = 'market-assets'; from market_assets.cli import main; main()"


class Prompt:
    """A line that is being typed in a folder with a universe, and no home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.universe = folder / "universe.yaml"
        self.universe.write_text(UNIVERSE)
        self.environment = {
            **os.environ,
            "MARKET_ASSETS_HOME": str(folder / "home"),
            "MARKET_ASSETS_UNIVERSE": str(self.universe),
        }

    def offered(self, line: str) -> list[str]:
        """What is offered at the end of a line, by bash's protocol; nothing else may be said."""
        words = line.split(" ")
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={
                **self.environment,
                "_MARKET_ASSETS_COMPLETE": "complete_bash",
                "COMP_WORDS": "\n".join(words),
                "COMP_CWORD": str(len(words) - 1),
            },
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert [path.name for path in self.folder.iterdir() if path.name != "elsewhere.yaml"] == [
            "universe.yaml"
        ]
        return done.stdout.split()


@pytest.fixture
def prompt(tmp_path: Path) -> Prompt:
    return Prompt(tmp_path)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("market-assets sta", ["status"]),
        ("market-assets status --js", ["--json"]),
        ("market-assets status c", ["crypto", "coins"]),
        ("market-assets status crypto ", ["coins", "equity"]),
        ("market-assets backfill --symbols B", ["BTC", "BNB", "BRK.B"]),
        ("market-assets backfill equity --symbols B", ["BRK.B"]),
        ("market-assets gaps crypto --symbols BTC,", ["BTC,ETH", "BTC,BNB"]),
        ("market-assets tail crypto --timeframe ", ["1m", "1h", "1d"]),
        ("market-assets returns a", ["all"]),
        ("market-assets probe ", ["vendor", "files"]),
        ("market-assets probe vendor E", ["ETH", "ES=F"]),
    ],
)
def test_names_of_commands_and_of_the_universe_are_offered(
    prompt: Prompt, line: str, offered: list[str]
) -> None:
    assert prompt.offered(line) == offered


def test_a_name_that_a_shell_would_act_upon_is_not_offered(prompt: Prompt) -> None:
    assert prompt.offered("market-assets backfill coins --symbols ") == []


def test_the_universe_is_the_one_that_the_line_names(prompt: Prompt) -> None:
    other = prompt.folder / "elsewhere.yaml"
    other.write_text("profiles: {metals: {symbols: {XAU: {}}}}")
    assert prompt.offered(f"market-assets --universe {other} status ") == ["metals"]
    assert prompt.offered(f"market-assets status --universe {other} ") == ["metals"]


@pytest.mark.parametrize("text", [None, "", "profiles: [", "profiles: 3", "\0"])
def test_nothing_is_said_where_the_universe_cannot_be_read(
    prompt: Prompt, text: str | None
) -> None:
    if text is None:
        prompt.universe = Path("gone.yaml")
        prompt.environment["MARKET_ASSETS_UNIVERSE"] = "gone.yaml"
    else:
        prompt.universe.write_text(text)
    assert prompt.offered("market-assets status ") == []


def test_bash_completes_with_the_script_that_is_installed(prompt: Prompt) -> None:
    bash = which("bash")
    program = Path(sys.executable).with_name("market-assets")
    if bash is None or not program.exists():
        pytest.skip("needs bash, and market-assets as a command")
    script = """
        set -eu
        PATH="$1:$PATH"
        eval "$(_MARKET_ASSETS_COMPLETE=source_bash market-assets)"
        COMP_WORDS=(market-assets status e); COMP_CWORD=2
        _market_assets_completion market-assets
        echo "${COMPREPLY[*]}"
    """
    done = subprocess.run(
        [bash, "--norc", "-c", script, "bash", str(program.parent)],
        env=prompt.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("equity", "")
