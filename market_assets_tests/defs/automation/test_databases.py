"""Dagster's SQLite files, written anew where they are mostly free."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from market_assets.defs.automation.databases import compact_databases
from market_assets.store import compact
from market_assets_tests.support.pruned_homes import keeper
from market_assets_tests.support.toy import KEY, KEYS

if TYPE_CHECKING:
    from market_assets_tests.support.defs_ground import Ground


pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)


def test_a_database_that_is_mostly_free_becomes_shorter_while_others_read(
    kept: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "FREE_BYTES", 100_000)
    monkeypatch.setattr(compact, "FREE_SHARE", 0.1)
    for number in range(130):
        event = dg.AssetObservation(KEY, metadata={"n": number, "text": "x" * 6000})
        kept.instance.report_runless_asset_event(event)
    keeper(kept).prune()
    index = kept.home / "history" / "runs" / "index.db"
    reader = sqlite3.connect(index)
    cursor = reader.execute("SELECT count(*) FROM event_logs")
    announced = compact_databases(kept.instance, dry_run=True)
    assert announced > 100_000
    freed = compact_databases(kept.instance)
    assert freed > 0.8 * announced
    assert cursor.fetchone()[0] > 0
    reader.close()
    assert compact_databases(kept.instance) == 0
    assert len(kept.instance.get_materialized_partitions(KEY)) == len(KEYS)
    with sqlite3.connect(index) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
