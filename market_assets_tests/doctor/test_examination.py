"""All checks together, over homes that are well and homes that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.doctor.examination import examine
from market_assets.doctor.facts import DagsterFile
from market_assets.doctor.findings import State

if TYPE_CHECKING:
    from pathlib import Path

SUBJECTS = [
    "python", "packages", "extras", "releases", "home", "file system", "room", "universe", "keys",
    "sources", "clock skew", "port of pages", "port of serve", "store", "dagster's files", "locks",
]  # fmt: skip


def test_a_home_that_is_not_there_is_examined_and_not_made(tmp_path: Path) -> None:
    home = tmp_path / "home"
    findings = examine(home, {"MARKET_ASSETS_HOME": str(home)}, [], offline=True)
    assert [finding.subject for finding in findings] == SUBJECTS
    assert {finding.subject for finding in findings if finding.state is State.FAIL} == set()
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_with_one_thing_hides_no_other(tmp_path: Path) -> None:
    universe = tmp_path / "universe.yaml"
    universe.write_text("profiles: 3")
    (tmp_path / "market.duckdb").write_bytes(b"no database" * 1000)
    environ = {"MARKET_ASSETS_UNIVERSE": str(universe)}
    newer = DagsterFile("history/runs.db", "z", "b", is_past=False)
    findings = {
        finding.subject: finding for finding in examine(tmp_path, environ, [newer], offline=False)
    }
    failures = {subject for subject, finding in findings.items() if finding.state is State.FAIL}
    assert failures == {"universe", "store", "dagster's files"}
    assert "the universe cannot be used" in findings["sources"].words
    assert all(findings[subject].step for subject in failures)
