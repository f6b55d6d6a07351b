"""`market-assets deploy`: prints, writes, says the next step, and is careful."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets_tests.support.shell import Shell

TARGETS = ("systemd", "compose", "docker", "kubernetes", "grafana")


@pytest.mark.parametrize("target", TARGETS)
def test_files_are_printed_without_a_folder_and_written_with_one(
    filled: tuple[Shell, dict], target: str, tmp_path: Path
) -> None:
    shell, _ = filled
    printed = shell.run("deploy", target, "--json").json["files"]
    folder = tmp_path / "out"
    placed = shell.run("deploy", target, str(folder), "--json").json

    assert placed["written"] == [*printed]
    assert placed["next"]
    for name, text in printed.items():
        assert (folder / name).read_text() == text

    again = shell.run("deploy", target, str(folder))
    assert "as it was" in again.out
    assert "written" not in again.out


def test_a_changed_file_is_kept_unless_that_is_forced(
    filled: tuple[Shell, dict], tmp_path: Path
) -> None:
    shell, _ = filled
    shell.run("deploy", "docker", str(tmp_path))
    (tmp_path / "Dockerfile").write_text("mine")

    refused = shell.run("deploy", "docker", str(tmp_path))
    assert refused.code == 1
    assert "--force" in refused.err
    assert (tmp_path / "Dockerfile").read_text() == "mine"

    shell.run("deploy", "docker", str(tmp_path), "--force")
    assert (tmp_path / "Dockerfile").read_text() != "mine"


def test_the_next_steps_make_what_systemd_wants_to_be_there(
    filled: tuple[Shell, dict], tmp_path: Path
) -> None:
    shell, _ = filled
    lake = tmp_path / "a lake"
    with shell.universe.open("a") as universe:
        universe.write(f"\nexport: {{folder: {lake}}}\n")

    steps = shell.run("deploy", "systemd", str(tmp_path / "out"), "--user", "candles", "--json")
    first, *_ = steps.json["next"]
    assert first == f"sudo install -d -m 700 -o candles '{lake}'"

    lake.mkdir()
    steps = shell.run("deploy", "systemd", str(tmp_path / "again"), "--json")
    assert not any("install -d" in step for step in steps.json["next"])


def test_a_chart_is_asked_for_by_the_version_of_dagster(
    filled: tuple[Shell, dict], tmp_path: Path
) -> None:
    shell, _ = filled
    steps = shell.run("deploy", "kubernetes", str(tmp_path / "a folder"), "--json").json["next"]
    assert f"--version {version('dagster')}" in steps[-1]
    assert f"-f '{tmp_path / 'a folder'}'/values.yaml" in steps[-1]


def test_an_unknown_target_is_refused_with_those_there_are(
    filled: tuple[Shell, dict],
) -> None:
    shell, _ = filled
    refused = shell.run("deploy", "nomad")
    assert refused.code == 2
    for target in TARGETS:
        assert target in refused.err
