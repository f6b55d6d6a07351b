"""The candle assets: fetched ones with their verdicts, and the longer ones that are made of them.

Dagster reads the annotations of a config parameter at run time, so that this module does without
postponed ones.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from market_assets.defs.assets.partitions import partitions_of
from market_assets.defs.assets.work import reported, window_of, work_asset
from market_assets.defs.events import CHECKS
from market_assets.defs.fill_config import FillConfig
from market_assets.defs.keys import dataset_key, run_of
from market_assets.defs.pictures import candles_drawn
from market_assets.defs.resources import Clock, Sources, StoreResource
from market_assets.expected.scope import Scope
from market_assets.imports import late_imports
from market_assets.market.columns import DERIVED, EXTRAS, FETCHED
from market_assets.market.datasets import Dataset

with late_imports():
    from market_assets.enrich.derive import Derive
    from market_assets.fill.fill import Fill


_FETCHED_PER_RUN = 200
"""Fetched partitions in one run of a backfill.

They are few enough that a killed run is soon made good, and enough that the runs themselves cost
seconds, not hours.
"""

_CHECK_WORDS = {
    "continuity": "Every bar that the calendar, the genesis and the end call for is stored, "
    "or explained by evidence.",
    "genesis": "Nothing is stored before the symbol's first bar, "
    "and a series whose head is absent has a recorded genesis.",
    "validity": "Candles are possible, unique and on the grid; "
    "rows that a source gave and that were refused are listed.",
    "plausibility": (
        "No bar is a spike that comes back, no price stands still and no volume collapses, "
        "measured by each symbol's own past. "
        "Nothing is changed; symbols that trade seldom are left out."
    ),
    "agreement": (
        "Another source has the same closes, volumes and times. "
        "Only a sample of the partitions is compared, and only these have a verdict."
    ),
}

_FETCHED_COLUMNS, _DERIVED_COLUMNS = (
    [dg.TableColumn(column.name, column.kind, column.words) for column in (*columns, *EXTRAS)]
    for columns in (FETCHED, DERIVED)
)


def fetched_candles(scope: Scope) -> dg.AssetsDefinition:
    """The asset of a timeframe that sources are asked for, with its checks, partitioned alike."""
    profile = scope.profile
    key = dataset_key(scope.dataset)
    partitions = partitions_of(scope)
    checks = (
        *CHECKS,
        *(["plausibility"] if profile.checks.plausibility else []),
        *(["agreement"] if profile.compares else []),
    )

    @work_asset(
        scope.dataset,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=_FETCHED_PER_RUN),
        check_specs=[
            dg.AssetCheckSpec(
                check, asset=key, partitions_def=partitions, description=_CHECK_WORDS[check]
            )
            for check in checks
        ],
        description=_describe_fetched(scope),
        metadata=_static_metadata(scope, _FETCHED_COLUMNS),
        kinds={"duckdb", "polars", "candles"},
        pool=f"{profile.name}_fill",
    )
    def candles(
        context: dg.AssetExecutionContext,
        config: FillConfig,
        store: StoreResource,
        sources: dg.ResourceParam[Sources],
        clock: Clock,
    ) -> Iterator[Any]:
        options = config.to_options()
        # A bar that has closed this moment is missing only for a run that a person started.
        now = clock.now() - (profile.update.settle if options.only_due else timedelta())
        opened, present = store.store(clock), scope.at(now)
        window = window_of(context, scope.cadence)
        run = run_of(context.run)
        fill = Fill(opened, sources.build(profile), present, window, options, run=run)
        yield from reported(context, opened, fill, candles_drawn(present), now=now, checks=checks)

    return candles


def derived_candles(scope: Scope) -> dg.AssetsDefinition:
    """The asset of a timeframe that is made of a shorter one.

    A partition is renewed when the partition that it is made of is renewed.
    """
    profile = scope.profile
    source = profile.candles(profile.input_of(scope.timeframe))

    @work_asset(
        scope.dataset,
        # A profile may begin in the middle of a month, and its first month is made of the days that
        # it has.
        deps=[
            dg.AssetDep(
                dataset_key(source),
                partition_mapping=dg.TimeWindowPartitionMapping(
                    allow_nonexistent_upstream_partitions=True
                ),
            )
        ],
        partitions_def=partitions_of(scope),
        # Another policy than the fetched asset's keeps them in runs of their own: a day that cannot
        # be fetched must not keep the other days from being derived.
        backfill_policy=dg.BackfillPolicy.single_run(),
        description=_describe_derived(scope, source),
        metadata=_static_metadata(scope, _DERIVED_COLUMNS),
        kinds={"duckdb", "polars", "candles"},
    )
    def candles(
        context: dg.AssetExecutionContext, store: StoreResource, clock: Clock
    ) -> Iterator[Any]:
        now, opened = clock.now(), store.store(clock)
        present, window = scope.at(now), window_of(context, scope.cadence)
        derive = Derive(opened, present, window, run=run_of(context.run))
        yield from reported(context, opened, derive, candles_drawn(present), now=now)

    return candles


def _static_metadata(scope: Scope, columns: list[dg.TableColumn]) -> dict[str, Any]:
    profile = scope.profile
    return {
        "dagster/column_schema": dg.TableSchema(columns),
        "dagster/table_name": f"{profile.name}.{scope.dataset.name}",
        "calendar": profile.calendar,
        "symbols": dg.MetadataValue.json(sorted(profile.symbols)),
    }


def _describe_fetched(scope: Scope) -> str:
    profile = scope.profile
    symbols = profile.symbols.values()
    sources = sorted({choice.source for symbol in symbols for choice in symbol.sources})
    apart = "".join(f" {why}." for why in dict.fromkeys(symbol.apart for symbol in symbols) if why)
    sample = profile.agreement.sample
    compared = (
        f" {100 * sample:.4g} % of them are compared with another source."
        if profile.compares
        else ""
    )
    return (
        f"{scope.timeframe} candles of {len(profile.symbols)} {profile.kind} symbols "
        f"from {', '.join(sources)}, on the calendar {profile.calendar}.{apart}\n\n"
        f"A partition is one UTC {scope.cadence}. "
        "Materializing it asks the sources only for bars that are missing. "
        "It is red when too much of it is missing as a whole; "
        f"its checks say what is absent, of which symbol, and why.{compared}"
    )


def _describe_derived(scope: Scope, source: Dataset) -> str:
    return (
        f"{scope.timeframe} candles rolled up from {source}, "
        f"session by session on the calendar {scope.profile.calendar}.\n\nEach bar says "
        "of how many bars it is made, and of how many it would be if none were absent."
    )
