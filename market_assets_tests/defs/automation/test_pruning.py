"""What is old in Dagster's bookkeeping is deleted.

Partitions and checks look the same before and after.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionResolvedStatus

from market_assets.config.services import RetentionSettings
from market_assets.defs.automation.pruning import prune_dagster
from market_assets.defs.internals.checks import check_output
from market_assets.defs.internals.event_log import PooledSqliteEventLogStorage
from market_assets_tests.support.pruned_homes import counted, later, looks
from market_assets_tests.support.toy import CHECK, KEY, KEYS, evaluation, fills, run

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)

SETTINGS = RetentionSettings(events=2, observations=3)


def files(instance: dg.DagsterInstance) -> set[str]:
    """The files of the home, without those that SQLite has beside a file while it is open."""
    root = Path(instance.root_directory)
    every = (path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)) for path in every if not path.name.endswith(("-wal", "-shm"))
    }


def test_what_the_ui_shows_is_the_same_after_everything_old_is_gone(
    full: dg.DagsterInstance,
) -> None:
    before, runs = looks(full), full.get_run_ids()
    assert set(before["colours"].values()) == {"MATERIALIZED", "FAILED", "MISSING"}
    assert {status for status, _, _ in before["checks"].values()} == {
        AssetCheckExecutionResolvedStatus.SUCCEEDED,
        AssetCheckExecutionResolvedStatus.FAILED,
        AssetCheckExecutionResolvedStatus.EXECUTION_FAILED,
        AssetCheckExecutionResolvedStatus.SKIPPED,
    }
    files_before = files(full)

    announced = prune_dagster(full, SETTINGS, later(60), dry_run=True)
    assert files(full) == files_before
    assert full.get_run_ids() == runs
    removed = prune_dagster(full, SETTINGS, later(60))
    assert removed == announced
    assert all(each.count > 0 for each in removed)
    assert looks(full) == before

    # The run that says why a partition is red stays, and the last one; their files too.
    kept = set(full.get_run_ids())
    assert len(kept) < len(runs)
    shards = {Path(name).stem for name in files(full) if name.startswith("history/runs/")}
    assert kept <= shards
    assert not (set(runs) - kept) & {
        part for name in files(full) for part in Path(name).with_suffix("").parts
    }

    assert prune_dagster(full, SETTINGS, later(60)) == []
    assert looks(full) == before


def test_a_run_that_goes_on_is_left_alone_with_all_that_it_has_written(
    full: dg.DagsterInstance,
) -> None:
    run_id = full.get_run_ids(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))[-1]
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, job_name="toy")
    full.report_dagster_event(event, run_id)
    logs = len(full.all_logs(run_id))
    assert full.get_run_by_id(run_id).status is dg.DagsterRunStatus.STARTED
    prune_dagster(full, SETTINGS, later(60))
    assert len(full.all_logs(run_id)) == logs
    planned = full.event_log_storage.get_asset_check_execution_history(CHECK, limit=99)
    assert run_id in {record.run_id for record in planned}


def test_a_prune_that_is_killed_leaves_all_well_and_the_next_one_ends_it(
    full: dg.DagsterInstance,
) -> None:
    class Killed(BaseException):
        pass

    before = looks(full)
    rounds = 0
    while True:
        steps = 0

        def kill_at_the_third() -> bool:
            nonlocal steps
            steps += 1
            if steps == 3:
                raise Killed
            return True

        rounds += 1
        try:
            prune_dagster(full, SETTINGS, later(60), go_on=kill_at_the_third)
        except Killed:
            assert looks(full) == before
        else:
            break
    assert rounds > 3
    assert prune_dagster(full, SETTINGS, later(60)) == []
    assert looks(full) == before
    # A prune without time does nothing, and says so.
    assert prune_dagster(full, SETTINGS, later(90), go_on=lambda: False) == []


def test_the_file_of_a_small_run_is_small(instance: dg.DagsterInstance) -> None:
    run_id = run(instance, fills(*KEYS))
    log = instance.event_log_storage
    assert isinstance(log, PooledSqliteEventLogStorage)
    log.dispose()
    assert Path(log.path_for_shard(run_id)).stat().st_size < 100_000


def test_of_old_partitions_the_numbers_stay_and_the_tables_go(instance: dg.DagsterInstance) -> None:
    table = dg.MetadataValue.table(
        [dg.TableRecord({"symbol": f"S{number}", "missing": 0}) for number in range(50)]
    )
    metadata = {
        "rows": 5,
        "symbols": table,
        "first": "2025-01-06",
        "text": dg.MetadataValue.md("# A"),
    }

    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        for key in KEYS[:2]:
            tags = {"dagster/data_version": f"v-{key}"}
            yield dg.AssetMaterialization(KEY, partition=key, metadata=metadata, tags=tags)
            yield evaluation(context, key)
        yield check_output(KEY, CHECK.name)

    run(instance, body, KEYS[0], KEYS[1])
    before = looks(instance)
    assert prune_dagster(instance, RetentionSettings(), later(89)) != []
    old = instance.fetch_materializations(KEY, limit=9).records
    assert [record.asset_materialization.metadata["symbols"] for record in old] == [table, table]

    announced = prune_dagster(instance, RetentionSettings(), later(91), dry_run=True)
    assert prune_dagster(instance, RetentionSettings(), later(91)) == announced
    assert counted(announced) == {"details of materializations": 2}
    assert announced[0].bytes > 2 * 2000
    records = instance.fetch_materializations(KEY, limit=9).records
    assert [record.storage_id for record in records] == [record.storage_id for record in old]
    for record, was in zip(records, old, strict=True):
        event = record.asset_materialization
        assert event.tags == was.asset_materialization.tags
        assert event.partition == was.asset_materialization.partition
        assert {name: value.value for name, value in event.metadata.items()} == {
            "rows": 5,
            "first": "2025-01-06",
            "details": "removed after 90 days (retention.details)",
        }
        assert record.timestamp == was.timestamp
        assert (record.run_id, record.event_log_entry.step_key) == (was.run_id, "toy__candles")
        assert record.event_log_entry.message == was.event_log_entry.message
    after = looks(instance)
    for name in ("colours", "newest", "verdicts", "checks", "latest", "newest event"):
        assert after[name] == before[name]
    assert prune_dagster(instance, RetentionSettings(), later(365)) == []


def test_a_check_of_an_old_partition_keeps_its_sentence_and_its_numbers(
    instance: dg.DagsterInstance,
) -> None:
    table = dg.MetadataValue.table([dg.TableRecord({"gap": "x" * 400})])

    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield dg.AssetMaterialization(KEY, partition=KEYS[0])
        judged = evaluation(context, KEYS[0], passed=False)
        yield judged.with_metadata({**judged.metadata, "gaps": table})
        yield check_output(KEY, CHECK.name)

    run(instance, body, KEYS[0], KEYS[0])
    before = looks(instance)
    removed = prune_dagster(instance, RetentionSettings(), later(91))
    assert counted(removed)["details of check evaluations"] == 1
    after = looks(instance)
    for name in ("colours", "newest", "verdicts", "checks"):
        assert after[name] == before[name]
    (record,) = instance.event_log_storage.get_asset_check_execution_history(CHECK, limit=9)
    assert record.evaluation.metadata["missing"] == dg.MetadataValue.int(3)
    assert set(record.evaluation.metadata) == {"missing", "details"}
