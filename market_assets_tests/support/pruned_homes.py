"""Homes that are pruned, and what the UI shows of them before and after."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.loader import LoadingContextForTest

from market_assets.defs.automation.retention import Keeper
from market_assets.defs.internals.adapter import latest_materializations
from market_assets_tests.support.defs_ground import colours
from market_assets_tests.support.toy import CHECK, DAYS, KEY, KEYS, evaluation, fills, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_assets.keeping import Removed
    from market_assets_tests.support.defs_ground import Ground

WHOLE = dg.AssetKey(["toy", "whole"])


def keeper(ground: Ground) -> Keeper:
    store = ground.store_resource.store(ground.clock)
    return Keeper(ground.home, store, ground.instance, ground.universe, ground.clock.now)


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


def counted(removed: list[Removed]) -> dict[str, int]:
    return {each.what: each.count for each in removed}
