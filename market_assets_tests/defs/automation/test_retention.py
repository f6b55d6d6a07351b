"""The daily prune of a home: its schedule, its run, what it measures, and what it leaves alone."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from filelock import FileLock

from market_assets.config.services import RetentionSettings
from market_assets.defs.automation import pruning, retention
from market_assets.defs.automation.databases import compact_databases
from market_assets.defs.keys import AUTOMATIC_TAG
from market_assets.errors import StoreError
from market_assets.store import compact
from market_assets_tests.support.pruned_homes import keeper
from market_assets_tests.support.shell import in_this_process
from market_assets_tests.support.toy import KEY, KEYS

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.keeping import Removed
    from market_assets_tests.support.defs_ground import Ground


pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)

LATER = timedelta(days=60)


def old_file(home: Path, name: str, days: float = 90, size: int = 1000) -> Path:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    written = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    os.utime(path, (written, written))
    return path


def schedule(ground: Ground) -> Any:
    return next(each for each in ground.definitions.schedules or () if each.name == "retention")


def tick(ground: Ground) -> Any:
    # Left at once: when it is collected later, Dagster forgets the instance of the next test.
    with dg.build_schedule_context(
        instance=ground.instance,
        scheduled_execution_time=ground.clock.now(),
        resources={"store": ground.store_resource, "clock": ground.clock},
    ) as context:
        return schedule(ground).evaluate_tick(context)


def counted(removed: list[Removed]) -> dict[str, int]:
    return {each.what: each.count for each in removed}


def test_a_tick_removes_what_is_old_by_itself_and_says_so(kept: Ground) -> None:
    old_file(kept.home, "archives/binance/BTC.zip")
    announced = keeper(kept).prune(dry_run=True)
    found = tick(kept)
    assert not found.run_requests
    assert found.skip_message == retention.told(announced)
    assert "1 runs" in found.skip_message
    assert "1 downloaded archives" in found.skip_message
    assert tick(kept).skip_message == "Nothing is old enough to be removed."
    assert len(kept.instance.get_run_ids()) == 1
    assert len(kept.instance.get_materialized_partitions(KEY)) == len(KEYS)


def test_what_a_tick_has_no_time_for_is_done_by_a_run(
    kept: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_TICK_TIME", -1.0)
    monkeypatch.setattr(compact, "FREE_BYTES", 0)
    monkeypatch.setattr(compact, "FREE_SHARE", 0.0)
    (request,) = tick(kept).run_requests
    assert request.tags[AUTOMATIC_TAG] == "true"
    assert request.run_key == f"{kept.clock.now():%Y-%m-%d %H:%M}"
    assert len(kept.instance.get_run_ids()) == 2
    resources = {"store": kept.store_resource, "clock": kept.clock}
    result = schedule(kept).job.execute_in_process(instance=kept.instance, resources=resources)
    assert result.success
    logs = [entry.user_message for entry in kept.instance.all_logs(result.run_id)]
    assert any(line.startswith("Removed 1 runs") for line in logs)
    assert any(line.endswith("shorter.") for line in logs)
    # The run that prunes is left, and the last one of the asset.
    assert len(kept.instance.get_run_ids()) == 2


def test_a_home_that_was_never_pruned_is_left_to_a_run(
    kept: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_LARGE", 0)
    assert len(tick(kept).run_requests) == 1
    assert len(kept.instance.get_run_ids()) == 2


def test_a_store_that_somebody_holds_leaves_the_ledgers_to_a_run(
    kept: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PATIENCE", timedelta(0))
    with kept.store_resource.store(kept.clock).reading("standing in the way"):
        (request,) = tick(kept).run_requests
    assert request.run_key


def test_two_prunes_at_once_do_not_run_into_each_other(kept: Ground) -> None:
    with FileLock(kept.home / "prune.lock"), pytest.raises(StoreError, match="another prune of"):
        keeper(kept).prune()
    assert counted(keeper(kept).prune())["runs"] == 1


def test_old_downloads_logs_and_leftovers_go_and_everything_else_stays(kept: Ground) -> None:
    gone = [
        old_file(kept.home, "archives/spot/BTC.zip"),
        old_file(kept.home, "archives/spot/.BTC.zip.1234"),
        old_file(kept.home, "log/up.log.3"),
        old_file(kept.home, "market.duckdb.new"),
        old_file(kept.home, "market.duckdb.compact"),
        old_file(kept.home, "market.duckdb.tmp/block"),
    ]
    stay = [
        old_file(kept.home, "archives/spot/ETH.zip", days=-59),
        old_file(kept.home, "log/up.log", days=-59.9),
        old_file(kept.home, "limits/binance.sqlite"),
        old_file(kept.home, "lake/crypto/candles_1m/2025-01-01.parquet"),
        old_file(kept.home, "yahoo/cookies.db"),
        old_file(kept.home, "notes.txt"),
    ]
    removed = counted(keeper(kept).prune())
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in stay)
    assert removed["downloaded archives"] == 1
    assert removed["log files"] == 1
    # One of them is the store's own, and goes when it is opened.
    assert removed["files of what was broken off"] == 3


def test_logs_of_runs_that_are_gone_go_with_their_age(kept: Ground) -> None:
    old = old_file(kept.home, "history/runs/0000.db")
    keeper(kept).prune()
    assert not old.exists()


def test_what_a_home_costs_is_told_by_part_with_what_shorter_settings_would_free(
    kept: Ground,
) -> None:
    for days in range(1, 29):
        old_file(kept.home, f"archives/{days}.zip", days=days - 60, size=100_000)
    parts = {part.name: part for part in keeper(kept).parts()}
    assert set(parts) >= {"candles", "events", "runs", "ticks", "caches", "other"}
    every = [path for path in kept.home.rglob("*") if path.is_file()]
    assert sum(part.files for part in parts.values()) == len(every)
    caches = parts["caches"]
    assert (caches.files, caches.bytes) == (28, 2_800_000)
    assert caches.growth == pytest.approx(100_000, rel=0.2)
    (shorter,) = keeper(kept).advice()
    assert (shorter.setting, shorter.now, shorter.shorter) == (
        "retention.caches",
        timedelta(days=30),
        timedelta(days=15),
    )
    assert shorter.frees == pytest.approx(1_400_000, rel=0.1)


def test_an_instance_on_another_storage_is_left_alone() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert pruning.prune_dagster(instance, RetentionSettings(), datetime.now(UTC) + LATER) == []
        assert compact_databases(instance) == 0


def test_the_terminal_tells_and_prunes_within_eighty_columns(
    kept: Ground,
) -> None:
    environment = {
        **os.environ,
        "MARKET_ASSETS_HOME": str(kept.home),
        "MARKET_ASSETS_UNIVERSE": str(kept.home / "universe.yaml"),
    }
    old_file(kept.home, "archives/BTC.zip", days=45, size=200_000)
    old_file(kept.home, "archives/ETH.zip", days=20, size=200_000)

    def run_command(*arguments: str) -> Any:
        done = in_this_process(arguments, environment)
        assert done.code == 0, done.err
        return done

    told = run_command("usage")
    assert max(map(len, told.out.splitlines())) <= 80
    assert "retention.caches 30d -> 15d frees about 200.0 kB." in told.out
    answer = run_command("usage", "--json").json
    assert answer["bytes"] == sum(part["bytes"] for part in answer["parts"])
    assert answer["advice"][0]["setting"] == "retention.caches"

    announced = run_command("prune", "--dry-run", "--json").json
    assert announced["removed"] == [
        {
            "part": "caches",
            "what": "downloaded archives",
            "count": 1,
            "bytes": 200_000,
            "partitions": 0,
        }
    ]
    shown = run_command("prune", "--dry-run").out
    assert max(map(len, shown.splitlines())) <= 80
    assert "200.0 kB would be removed." in shown
    assert announced["bytes_given_back"] == 0
    done = run_command("prune", "--json").json
    assert done["removed"] == announced["removed"]
    # What was a file of its own is off the disk; what were rows is free inside.
    assert 190_000 <= done["bytes_given_back"] <= 210_000
    assert done["bytes_free_inside"] >= 0
    assert run_command("prune").out.strip() == "Nothing is old enough to be removed."
