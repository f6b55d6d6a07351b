"""A small asset made like ours, to see what Dagster makes of its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from market_assets.defs.internals.adapter import latest_materializations, range_tags
from market_assets.defs.internals.checks import check_evaluation, check_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Body = Callable[[dg.AssetExecutionContext], Iterator[Any]]

KEY = dg.AssetKey(["toy", "candles"])
CHECK = dg.AssetCheckKey(KEY, "whole")
# A Thursday is missing, and the weekend.
DAYS = dg.DailyPartitionsDefinition(
    "2025-01-06",
    end_date="2025-01-15",
    exclusions=["0 0 * * 0,6", dg.DailyPartitionsDefinition("2025-01-09").start],
)
KEYS = ["2025-01-06", "2025-01-07", "2025-01-08", "2025-01-10", "2025-01-13", "2025-01-14"]


def toy(body: Body) -> dg.AssetsDefinition:
    """An asset made like ours, with events yielded by hand.

    It is partitioned, and has a check that is partitioned alike.
    """

    @dg.asset(
        key=KEY,
        partitions_def=DAYS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec("whole", asset=KEY, partitions_def=DAYS)],
        output_required=False,
    )
    def candles(context):
        yield from body(context)

    return candles


def run(
    instance: dg.DagsterInstance, body: Body, first: str = KEYS[0], last: str = KEYS[-1]
) -> str:
    """Materialize a range of the toy asset; gives the run's id."""
    result = dg.materialize(
        [toy(body)], instance=instance, tags=range_tags(first, last), raise_on_error=False
    )
    return result.run_id


def evaluation(
    context: dg.AssetExecutionContext,
    partition: str,
    *,
    passed: bool = True,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
    words: str = "A sentence.",
) -> Any:
    return check_evaluation(
        asset_key=KEY,
        check=CHECK.name,
        partition=partition,
        passed=passed,
        severity=severity,
        description=words,
        metadata={"missing": dg.MetadataValue.int(3)},
        materialization=latest_materializations(context.instance, KEY, [partition]).get(partition),
        run_id=context.run.run_id,
        timestamp=1.0,
    )


def fills(*partitions: str, red: tuple[str, ...] = (), then: Exception | None = None) -> Body:
    """A step that fills some partitions, and may raise.

    It judges the filled and the red partitions.
    """

    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        for partition in partitions:
            yield dg.AssetMaterialization(KEY, partition=partition)
        for partition in (*partitions, *red):
            yield evaluation(context, partition, passed=partition not in red)
        yield check_output(KEY, CHECK.name)
        if then is not None:
            raise then

    return body


def verdicts(instance: dg.DagsterInstance) -> dict[str | None, tuple[str, bool]]:
    infos = instance.event_log_storage.get_asset_check_partition_info([CHECK])
    return {
        info.partition_key: (info.latest_execution_status.value, info.is_current) for info in infos
    }
