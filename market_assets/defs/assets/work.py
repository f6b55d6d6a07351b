"""What all assets with partitions share: how they are declared, and how their work is reported."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import dagster as dg

from market_assets.defs.events import Reporter
from market_assets.defs.internals.adapter import NO_VALUE
from market_assets.defs.internals.collection import rare_collection
from market_assets.defs.keys import dataset_key, run_of
from market_assets.defs.pictures import Pictures
from market_assets.market.partitions import Partition
from market_assets.market.timeframes import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from market_assets.defs.pictures import Draw
    from market_assets.market.datasets import Dataset
    from market_assets.market.partitions import Cadence
    from market_assets.store import Store
    from market_assets.work.work import Work


def work_asset(
    dataset: Dataset,
    **special: Any,  # noqa: ANN401 - what dg.asset takes
) -> Callable[[Callable[..., Iterator[Any]]], dg.AssetsDefinition]:
    """`dg.asset` with what the assets of all datasets have in common.

    Args:
        dataset: What the asset makes; its owner is the group in the UI.
        special: The other arguments of `dg.asset`.
    """

    def declare(body: Callable[..., Iterator[Any]]) -> dg.AssetsDefinition:
        asset: dg.AssetsDefinition = dg.asset(
            key=dataset_key(dataset),
            # The events are yielded by hand, partition by partition: see Reporter.
            dagster_type=NO_VALUE,
            output_required=False,
            group_name=dataset.owner,
            owners=["team:market-data"],
            **special,
        )(body)
        return asset

    return declare


def window_of(context: dg.AssetExecutionContext, cadence: Cadence) -> Window:
    """From the start of the oldest of a run's partitions to the end of the newest."""
    keys = context.partition_keys
    first, last = (Partition.of_key(key, cadence).window for key in (min(keys), max(keys)))
    return Window(first.start, last.end)


def reported(
    context: dg.AssetExecutionContext,
    store: Store,
    work: Work,
    draw: Draw,
    *,
    now: datetime,
    checks: Sequence[str] = (),
) -> Iterator[Any]:
    """Do some work, and tell Dagster of each partition as soon as it is committed.

    Args:
        context: The run.
        store: Where the work commits.
        work: What is done.
        draw: Draws some of its partitions.
        now: The present instant.
        checks: The checks of the asset.
    """
    trigger = run_of(context.run).trigger
    pictures = Pictures(store, work.partitions, draw, now=now, trigger=trigger, log=context.log)
    reporter = Reporter(
        context,
        dataset_key(work.dataset),
        checks,
        due=len(work.partitions),
        pictures=pictures,
        noted=work.note_reported,
    )
    with rare_collection(), closing(work.batches()) as batches:
        for batch in batches:
            yield from reporter.report(batch)
    yield from reporter.close(list(context.partition_keys), work.audit)
