"""Where a command works: the home folder and the universe.

They are given by option, environment or folder. The tests cover also what is kept there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets_tests.support.shell import Shell, in_this_process

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "command", ["status", "gaps", "jobs", "genesis", "alerts", "list", "tail", "returns crypto"]
)
def test_a_command_that_reads_makes_no_folder(
    filled: tuple[Shell, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    shell, _ = filled
    monkeypatch.chdir(tmp_path)
    universe = {**shell.environment}
    if command.startswith("returns"):
        path = tmp_path / "universe.yaml"
        path.write_text(shell.universe.read_text().replace("derive: [4h, 1d]", "returns: [1h]"))
        universe["MARKET_ASSETS_UNIVERSE"] = str(path)
    del universe["MARKET_ASSETS_HOME"]
    lost = in_this_process(command.split(), universe)
    assert (lost.code, lost.out) == (1, "")
    assert f"no home folder is named, and there is no data in {tmp_path}" in lost.err

    empty = in_this_process([*command.split(), "--home", "elsewhere"], universe)
    assert (
        f"{tmp_path / 'elsewhere'} holds no store yet: market-assets backfill makes it."
        in empty.err
    )
    assert "No gaps." not in empty.out
    assert empty.code == {"status": 3, "gaps": 3, "tail": 3, "returns crypto": 1}.get(command, 0)
    assert {entry.name for entry in tmp_path.iterdir()} <= {"universe.yaml"}


def test_home_and_universe_are_named_by_options_before_or_after_the_command(
    filled: tuple[Shell, dict], tmp_path: Path
) -> None:
    shell, _ = filled
    wrong = {
        **shell.environment,
        "MARKET_ASSETS_HOME": str(tmp_path),
        "MARKET_ASSETS_UNIVERSE": "nowhere.yaml",
    }
    options = ["--home", str(shell.home), "--universe", str(shell.universe)]
    before, after = (
        in_this_process(words, wrong)
        for words in ([*options, "jobs", "--json"], ["jobs", "--json", *options])
    )
    assert (before.code, before.json["jobs"]) == (after.code, after.json["jobs"])
    assert before.json["home"] == after.json["home"] == str(shell.home)
    assert before.json["universe"] == str(shell.universe)
    assert not list(tmp_path.iterdir())

    shown = in_this_process(["jobs"], shell.environment)
    assert shown.err == f"home {shell.home} universe {shell.universe}\n"


def test_a_broken_universe_is_told_as_it_is_written(shell: Shell) -> None:
    text = shell.universe.read_text().replace(
        "sources: [vendor]\n    symbols: {BTC", "symbols: {BTC"
    )
    shell.universe.write_text(text.replace("kind: EQUITY", "kind: EQUITIES"))
    done = shell.process("status")
    assert done.code == 1
    assert done.out == ""
    assert "2 problems" in done.err
    assert "write which to ask, such as [vendor]" in done.err
    assert "did you mean EQUITY?" in done.err.replace("'", "")
    assert not shell.home.exists()


def test_a_file_that_is_no_store_is_left_as_it_is(shell: Shell) -> None:
    shell.home.mkdir()
    (shell.home / "market.duckdb").write_text("my notes, not a database")
    done = shell.run("gaps", "--json")
    assert (done.code, done.out) == (1, "")
    assert "market.duckdb cannot be opened" in done.err
    assert (shell.home / "market.duckdb").read_text() == "my notes, not a database"
