"""The command `doctor`, over a home that a backfill has made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets_tests.support.shell import Shell

CODES = {"ok": 0, "warn": 3, "fail": 1}


def files_below(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_a_home_after_a_backfill_is_well_and_nothing_is_written(
    filled: tuple[Shell, dict],
) -> None:
    shell, _ = filled
    before = files_below(shell.home.parent)
    done = shell.run("doctor", "--json")
    checks = {check["subject"]: check for check in done.json["checks"]}

    assert files_below(shell.home.parent) == before
    assert done.code == CODES[done.json["state"]]
    assert (done.json["home"], done.json["universe"]) == (str(shell.home), str(shell.universe))
    well = ("packages", "home", "universe", "keys", "store", "dagster's files", "locks")
    assert {checks[subject]["state"] for subject in well} == {"ok"}
    assert checks["source vendor"]["words"].startswith(f"{shell.vendor.url} answers")
    assert checks["clock skew"]["state"] in {"ok", "skip"}


def test_what_fails_is_told_with_its_next_step_and_ends_with_1(filled: tuple[Shell, dict]) -> None:
    shell, _ = filled
    key = shell.environment.pop("VENDOR_KEY")
    try:
        done = shell.run("doctor", "--offline")
    finally:
        shell.environment["VENDOR_KEY"] = key
    assert (done.code, done.err) == (1, "")
    assert "fail keys: set it in the environment" in done.out
    assert "not asked, because of --offline" in done.out
