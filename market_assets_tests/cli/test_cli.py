"""The front door of the terminal: it lists its commands, and loads only what one needs."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from market_assets_tests.support.shell import Shell


@pytest.mark.parametrize(
    ("arguments", "variables", "words", "modules"),
    [
        (["--version"], {}, "market-assets 0.", 0),
        (["stauts"], {}, "Did you mean 'status'?", 0),
        (["status", "-h"], {}, "--wide", 1),
        (["backfill", "--help"], {}, "--from", 1),
        (["--help"], {}, "practice-vendor", 22),
        (
            [],
            {"_MARKET_ASSETS_COMPLETE": "complete_bash", "COMP_WORDS": "x sta", "COMP_CWORD": "1"},
            "status",
            1,
        ),
        (
            [],
            {
                "_MARKET_ASSETS_COMPLETE": "complete_bash",
                "COMP_WORDS": "x status --w",
                "COMP_CWORD": "2",
            },
            "--wide",
            1,
        ),
    ],
    ids=["version", "did you mean", "status", "backfill", "help", "commands", "options"],
)
def test_what_is_no_work_comes_without_loading_what_only_the_work_needs(
    arguments: list[str], variables: dict[str, str], words: str, modules: int
) -> None:
    code = (
        "import sys; sys.argv = ['market-assets', *sys.argv[1:]]\n"
        "from market_assets.cli import main\n"
        "try: main()\n"
        "finally: print('\\n', *sorted("
        "{'dagster', 'duckdb', 'httpx', 'pandas', 'polars'} & set(sys.modules)), "
        "sum(name.startswith('market_assets.cli.commands.') for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    *shown, loaded = done.stdout.splitlines()
    assert words in "\n".join([*shown, done.stderr])
    assert loaded.split() == [str(modules)]


def test_every_command_is_listed_with_what_it_does(shell: Shell) -> None:
    done = shell.process("--help")
    assert done.code == 0
    for command in ("up", "backfill", "status", "gaps", "jobs", "practice-vendor"):
        assert f"{command} " in done.out


def test_the_version_and_the_help_have_their_options(filled: tuple[Shell, dict]) -> None:
    shell, _ = filled
    assert shell.run("--version").out.startswith("market-assets 0.")
    text = shell.run("status", "-h").out
    assert all(option in text for option in ("--wide", "--home", "--universe"))
