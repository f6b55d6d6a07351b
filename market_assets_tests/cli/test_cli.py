"""The front door of the terminal: it lists its commands, and loads only what one needs."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from market_assets.cli import COMMANDS, CommandTable

if TYPE_CHECKING:
    from market_assets_tests.support.shell import Done, Shell


@pytest.mark.parametrize(
    ("arguments", "variables", "words", "modules"),
    [
        (["--version"], {}, "market-assets 0.", 0),
        (["stauts"], {}, "Did you mean 'status'?", 0),
        (["status", "-h"], {}, "--wide", 1),
        (["backfill", "--help"], {}, "--from", 1),
        (["--help"], {}, "practice-vendor", 27),
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


LOADED = (
    "import sys; sys.argv = ['market-assets', *sys.argv[1:]]\n"
    "from market_assets.cli import main\n"
    "try: main()\n"
    "finally: print('\\n', *sorted({modules} & set(sys.modules)))"
)

DEAR = {
    "PIL",
    "alembic",
    "asyncio",
    "dagster",
    "exchange_calendars",
    "httpx",
    "numpy",
    "pandas",
    "pandas_market_calendars",
    "pyarrow",
    "sqlalchemy",
    "websockets",
}
"""What takes more time to import than most commands have for all that they do."""


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("validate", set()),
        ("status", {"numpy"}),
        ("gaps", set()),
        ("list equity", set()),
        ("tail -n 3", set()),
        ("jobs", set()),
        ("genesis", set()),
        ("alerts", {"numpy"}),
        ("usage", {"alembic", "asyncio", "dagster", "sqlalchemy"}),
        ("prune --dry-run", {"alembic", "asyncio", "dagster", "sqlalchemy"}),
    ],
)
def test_a_command_that_reads_loads_no_dear_library_that_it_does_not_need(
    holed: tuple[Shell, Done], command: str, needed: set[str]
) -> None:
    shell, _ = holed
    # The hours of New York are in a file of the home from the second command on at the latest.
    shell.process("status")
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(modules=DEAR), *command.split()],
        capture_output=True,
        text=True,
        check=False,
        env=shell.environment,
    )
    assert done.returncode in {0, 3}, done.stderr
    assert set(done.stdout.splitlines()[-1].split()) <= needed


def test_a_command_looks_for_garbage_seldom_and_not_at_its_end() -> None:
    code = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_threshold()[0], gc.get_freeze_count() > 10_000))\n"
        "from market_assets.cli import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "50000 True"


def test_every_command_is_listed_with_what_it_does(shell: Shell) -> None:
    done = shell.process("--help")
    assert done.code == 0
    for command in ("up", "backfill", "status", "gaps", "jobs", "practice-vendor"):
        assert f"{command} " in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_a_paragraph_of_the_help_is_one_line_that_the_terminal_breaks(name: str) -> None:
    command = CommandTable(shared=())[name]
    assert command.help
    for paragraph in command.help.split("\n\n"):
        assert "\n" not in paragraph.strip()


def test_the_version_and_the_help_have_their_options(filled: tuple[Shell, dict]) -> None:
    shell, _ = filled
    assert shell.run("--version").out.startswith("market-assets 0.")
    text = shell.run("status", "-h").out
    assert all(option in text for option in ("--wide", "--home", "--universe"))
