"""`market-assets deploy`: prints, writes, says the next step, and is careful."""

from __future__ import annotations

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


def test_an_unknown_target_is_refused_with_those_there_are(
    filled: tuple[Shell, dict],
) -> None:
    shell, _ = filled
    refused = shell.run("deploy", "nomad")
    assert refused.code == 2
    for target in TARGETS:
        assert target in refused.err
