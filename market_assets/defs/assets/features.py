"""The assets of features: each is made of the candles of one timeframe.

Features are renewed when candles change that they reach back to.

Dagster reads the annotations of an asset's resources at run time, so that this module does without
postponed ones.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from market_assets.defs.assets.partitions import partitions_of
from market_assets.defs.assets.work import reported, window_of, work_asset
from market_assets.defs.keys import dataset_key, run_of
from market_assets.defs.pictures import features_drawn
from market_assets.defs.resources import Clock, StoreResource
from market_assets.expected.scope import Scope
from market_assets.imports import late_imports
from market_assets.market.datasets import Dataset

with late_imports():
    from market_assets.enrich.features.compute import features_of, reach_of
    from market_assets.enrich.features.featurize import Featurize, partitions_reached


_KEY_COLUMNS = [
    dg.TableColumn("symbol", "string", "The symbol as the universe calls it"),
    dg.TableColumn(
        "ts", "timestamp", "The bar's open, UTC; of a day its session's date, of a week its Monday"
    ),
]


def features(scope: Scope) -> dg.AssetsDefinition:
    """The features of a timeframe's candles."""
    profile = scope.profile
    dataset = Dataset.features(profile.name, scope.timeframe)
    made = features_of(profile.features, scope.timeframe)

    @work_asset(
        dataset,
        # A candle that heals changes the features of its own partition and of those that read back
        # to it, and no others.
        deps=[
            dg.AssetDep(
                dataset_key(scope.dataset),
                partition_mapping=dg.TimeWindowPartitionMapping(
                    start_offset=-partitions_reached(scope),
                    allow_nonexistent_upstream_partitions=True,
                ),
            )
        ],
        partitions_def=partitions_of(scope),
        backfill_policy=dg.BackfillPolicy.single_run(),
        description=_describe(scope),
        metadata={
            "dagster/column_schema": dg.TableSchema(
                [
                    *_KEY_COLUMNS,
                    *(dg.TableColumn(feature.name, "double", feature.words) for feature in made),
                ]
            ),
            "dagster/table_name": f"{dataset.owner}.{dataset.name}",
            "calendar": profile.calendar,
            "reach_bars": reach_of(made),
            "symbols": dg.MetadataValue.json(sorted(profile.symbols)),
        },
        kinds={"duckdb", "polars"},
    )
    def features(
        context: dg.AssetExecutionContext, store: StoreResource, clock: Clock
    ) -> Iterator[Any]:
        now, opened = clock.now(), store.store(clock)
        present, window = scope.at(now), window_of(context, scope.cadence)
        work = Featurize(opened, present, window, run=run_of(context.run))
        draw = features_drawn(present, [feature.name for feature in made])
        yield from reported(context, opened, work, draw, now=now)

    return features


def _describe(scope: Scope) -> str:
    made = features_of(scope.profile.features, scope.timeframe)
    return (
        f"{len(made)} features of each {scope.timeframe} candle of {scope.profile.name}, "
        "a column each; "
        "the universe says which, and over how many bars.\n\n"
        "They look at no later bar. A value that reaches over a gap, "
        "or before the first bar, is null: none is made of less than it takes. "
        f"A partition reads {reach_of(made):,} bars before it, so that a value does not depend "
        "on where it begins. A feature that is new in the universe is null until its partitions "
        "are materialized again; one that is gone keeps its column, and what was made of it."
    )
