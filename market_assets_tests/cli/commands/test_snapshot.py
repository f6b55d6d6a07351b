"""`market-assets snapshot`: a copy of the store for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from market_assets_tests.support.shell import Shell


def test_a_copy_for_other_programs_is_made_and_named(shell: Shell) -> None:
    none = shell.run("snapshot")
    assert none.code == 1
    assert "nothing was stored in this home yet" in none.err
    with shell.store().writing("preparing"):
        pass
    done = shell.run("snapshot", "--json")
    assert (done.code, done.json["path"]) == (0, str(shell.home / "published" / "market.duckdb"))
    assert done.json["bytes"] == (shell.home / "market.duckdb").stat().st_size
    assert str(shell.home / "published") in shell.run("snapshot").out
    parts = {part["name"]: part for part in shell.run("usage", "--json").json["parts"]}
    assert parts["copies"]["files"] >= 1
