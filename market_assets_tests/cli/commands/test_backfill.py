"""`market-assets backfill`: what it fills is what other commands and pages show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from market_assets.defs.assets.completeness import completeness_key

if TYPE_CHECKING:
    import pytest

    from market_assets_tests.support.shell import Done, Shell


def test_status_is_the_matrix_that_the_backfill_showed(holed: tuple[Shell, Done]) -> None:
    shell, backfill = holed
    table = shell.run("status")
    assert table.code == 3
    assert table.out.strip() in backfill.out
    assert table.err == ""
    done = shell.run("status", "equity", "--json")
    assert done.code == 0
    rows = {row["symbol"]: row for row in done.json}
    assert set(rows) == {"SPY", "THIN"}
    assert rows["THIN"] == {
        "profile": "equity",
        "symbol": "THIN",
        "timeframe": "1h",
        "expected": 14,
        "stored": 13,
        "explained": 1,
        "missing": 0,
        "completeness": 1.0,
        "first_ts": "2025-02-04T14:30:00Z",
        "last_ts": "2025-02-05T20:30:00Z",
        "health": "HEALTHY",
        "doubled": 0,
        "abandoned": 0,
    }


def test_completeness_has_its_page_after_the_first_backfill(
    holed: tuple[Shell, Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, _ = holed
    monkeypatch.setenv("DAGSTER_HOME", str(shell.home))
    missing = {}
    with dg.DagsterInstance.from_config(str(shell.home)) as instance:
        for profile in ("crypto", "equity"):
            event = instance.get_latest_materialization_event(completeness_key(profile))
            missing[profile] = (
                event.asset_materialization.metadata["bars_missing"].value if event else None
            )
    assert missing == {"crypto": 175, "equity": 0}
