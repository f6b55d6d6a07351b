"""Which rows of Dagster's own files have had their time."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus
from dagster._utils.error import SerializableErrorInfo

from market_assets.config.services import RetentionSettings
from market_assets.defs.automation.pruning import prune_dagster
from market_assets_tests.support.pruned_homes import counted, later, looks
from market_assets_tests.support.toy import KEY, KEYS

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)

SETTINGS = RetentionSettings(events=2, observations=3)
WHOLE = dg.AssetKey(["toy", "whole"])


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
