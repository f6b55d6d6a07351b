"""What is old in Dagster's bookkeeping is deleted.

Partitions and checks look the same before and after.
"""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.loader import LoadingContextForTest
from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionResolvedStatus
from dagster._utils.error import SerializableErrorInfo

from market_assets.config.services import RetentionSettings
from market_assets.defs.automation.pruning import prune_dagster
from market_assets.defs.automation.runs import instance_at
from market_assets.defs.internals.adapter import latest_materializations
from market_assets.defs.internals.checks import check_output
from market_assets.defs.internals.event_log import PooledSqliteEventLogStorage
from market_assets_tests.support.defs_ground import colours
from market_assets_tests.support.toy import CHECK, DAYS, KEY, KEYS, evaluation, fills, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_assets.keeping import Removed

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)

SETTINGS = RetentionSettings(events=2, observations=3)
WHOLE = dg.AssetKey(["toy", "whole"])


def later(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


async def resolved(
    instance: dg.DagsterInstance, partitions: list[str | None]
) -> dict[str | None, Any]:
    context = LoadingContextForTest(instance)
    found = {}
    for partition in partitions:
        chosen = PartitionKeyFilter(key=partition)
        newest = instance.event_log_storage.get_latest_asset_check_execution_by_key([CHECK], chosen)
        record = newest[CHECK]
        found[partition] = (
            await record.resolve_status(context),
            await record.targets_latest_materialization(context),
            getattr(record.evaluation, "description", None),
        )
    return found


def looks(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What the UI shows of the partitions and checks, read afresh: nothing may rest on a cache."""
    log = instance.event_log_storage
    log.wipe_asset_cached_status(KEY)
    infos = log.get_asset_check_partition_info([CHECK])
    # As the UI asks: what has not come to a verdict is told by its run.
    records = asyncio.run(resolved(instance, [info.partition_key for info in infos]))
    return {
        "colours": colours(instance, KEY, DAYS),
        "newest": latest_materializations(instance, KEY, KEYS),
        "verdicts": infos,
        "checks": records,
        "latest": log.get_latest_asset_check_execution_by_key([CHECK]),
        "assets": instance.get_asset_records([KEY, WHOLE]),
        "events": {
            key: instance.fetch_materializations(
                dg.AssetRecordsFilter(KEY, asset_partitions=[key]), limit=1
            ).records
            for key in KEYS
        },
        "newest event": log.get_maximum_record_id(),
    }


def many_runs(instance: dg.DagsterInstance) -> list[str]:
    """Partitions that were filled often, one that failed last, one whose check never came."""

    def breaks_off(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield dg.AssetMaterialization(KEY, partition=KEYS[2])
        yield evaluation(context, KEYS[2])
        raise dg.Failure("the process is gone")

    runs = [run(instance, fills(*KEYS[:5])) for _ in range(4)]
    runs.append(run(instance, breaks_off, KEYS[2], KEYS[4]))
    runs.append(run(instance, fills(KEYS[3], red=(KEYS[3],)), KEYS[3], KEYS[3]))
    for number in range(6):
        instance.report_runless_asset_event(dg.AssetMaterialization(WHOLE, metadata={"n": number}))
        instance.report_runless_asset_event(dg.AssetObservation(KEY, metadata={"n": number}))
    return runs


def files(instance: dg.DagsterInstance) -> set[str]:
    """The files of the home, without those that SQLite has beside a file while it is open."""
    root = Path(instance.root_directory)
    every = (path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)) for path in every if not path.name.endswith(("-wal", "-shm"))
    }


def counted(removed: list[Removed]) -> dict[str, int]:
    return {each.what: each.count for each in removed}


@pytest.fixture(scope="module")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a history, which each test copies."""
    home = tmp_path_factory.mktemp("filled") / "home"
    with instance_at(home) as instance:
        many_runs(instance)
    return home


@pytest.fixture
def full(tmp_path: Path, _filled: Path) -> Iterator[dg.DagsterInstance]:
    with instance_at(shutil.copytree(_filled, tmp_path / "home")) as instance:
        yield instance


def test_the_newest_observation_of_a_partition_stays_until_the_partition_is_filled(
    full: dg.DagsterInstance,
) -> None:
    for key in (KEYS[0], KEYS[5]):
        for words in ("an older reason", "the reason"):
            full.report_runless_asset_event(
                dg.AssetObservation(KEY, partition=key, description=words)
            )
    full.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=KEYS[0]))
    full.report_runless_asset_event(dg.AssetObservation(KEY))
    prune_dagster(full, RetentionSettings(observations=1), later(400))
    kept = [record.asset_observation for record in full.fetch_observations(KEY, 99).records]
    assert [(each.partition, each.description) for each in kept if each and each.partition] == [
        (KEYS[5], "the reason")
    ]


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


def test_of_what_is_not_old_only_what_is_beyond_the_newest_few_goes(
    full: dg.DagsterInstance,
) -> None:
    before, runs = looks(full), set(full.get_run_ids())
    removed = counted(prune_dagster(full, SETTINGS, later(0.5)))
    assert looks(full) == before
    assert set(full.get_run_ids()) == runs
    assert "runs" not in removed
    # Each was filled at least four times, and of two partitions the first two are the newest.
    newest = {
        key: len(
            full.fetch_materializations(
                dg.AssetRecordsFilter(KEY, asset_partitions=[key]), 99
            ).records
        )
        for key in KEYS[:5]
    }
    assert newest == dict.fromkeys(KEYS[:5], 2)
    assert len(full.fetch_materializations(WHOLE, 99).records) == 3
    assert len(full.fetch_observations(KEY, 99).records) == 3
    # What is younger than an hour is left alone.
    assert prune_dagster(full, RetentionSettings(events=1, observations=1), later(0)) == []


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


def test_ticks_and_evaluations_go_by_their_age_and_the_last_two_of_each_stay(
    instance: dg.DagsterInstance,
) -> None:
    broken = SerializableErrorInfo("broken", [], None)

    def tick(name: str, days_ago: float, status: TickStatus) -> None:
        data = TickData(
            instigator_origin_id=name,
            instigator_name=name,
            instigator_type=InstigatorType.SENSOR,
            status=status,
            timestamp=later(-days_ago).timestamp(),
            selector_id=name,
            run_ids=[],
            error=broken if status is TickStatus.FAILURE else None,
        )
        instance.create_tick(data)

    for hours in range(60, 0, -6):
        tick("often", hours / 24, TickStatus.SKIPPED)
    for days in (40, 20, 10, 5, 1):
        tick("seldom", days, TickStatus.SUCCESS)
    tick("gone", 100, TickStatus.FAILURE)
    tick("gone", 90, TickStatus.FAILURE)
    tick("gone", 80, TickStatus.FAILURE)

    def left(name: str) -> int:
        return len(instance.get_ticks(name, name))

    removed = prune_dagster(instance, RetentionSettings(), later(0))
    assert counted(removed) == {"ticks": 7 + 3 + 1}
    assert (left("often"), left("seldom"), left("gone")) == (3, 2, 2)
    prune_dagster(instance, RetentionSettings(), later(365))
    assert (left("often"), left("seldom"), left("gone")) == (2, 2, 2)
    assert instance.get_ticks("often", "often", limit=1)[0].timestamp > later(-0.3).timestamp()


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
