"""`market-assets validate`: what a universe holds, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets_tests.support.shell import Shell


def test_validate_says_what_a_file_holds_and_what_is_wrong_with_it(
    filled: tuple[Shell, dict], tmp_path: Path
) -> None:
    shell, _ = filled
    good = shell.run("validate")
    assert (good.code, good.out.splitlines()[0]) == (0, f"valid: {shell.universe}")
    (crypto, equity) = shell.run("validate", "--json").json["profiles"]
    assert (crypto["fetch"], crypto["symbols"], equity["end"]) == (
        ["1h"],
        ["BTC", "ETH"],
        "2025-02-08",
    )

    path = tmp_path / "broken.yaml"
    path.write_text(shell.universe.read_text().replace("kind: EQUITY", "kind: EQUITIES"))
    assert shell.run("validate", str(path)).code == 1
    bad = shell.run("validate", str(path), "--json")
    assert (bad.code, bad.json["valid"], len(bad.json["problems"])) == (1, False, 1)
