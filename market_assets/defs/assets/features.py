"""The assets of features: each is made of the candles of one timeframe.

Features are renewed when candles change that they reach back to.

Dagster reads the annotations of an asset's resources at run time, so that this module does without
postponed ones.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

import dagster as dg

from market_assets.config.universe import Profile
from market_assets.defs.assets.candles import window_of
from market_assets.defs.assets.partitions import partitions_of
from market_assets.defs.events import Reporter, reported_in
from market_assets.defs.internals.adapter import NO_VALUE
from market_assets.defs.keys import candles_key, features_key, trigger_of
from market_assets.defs.pictures import Pictures, features_drawn
from market_assets.defs.resources import Clock, StoreResource
from market_assets.enrich.features.compute import features_of, reach_of
from market_assets.enrich.features.featurize import Featurize, partitions_reached
from market_assets.market.timeframes import Timeframe

_KEY_COLUMNS = [
    dg.TableColumn("symbol", "string", "The symbol as the universe calls it"),
    dg.TableColumn(
        "ts", "timestamp", "The bar's open, UTC; of a day its session's date, of a week its Monday"
    ),
]


def features(profile: Profile, timeframe: Timeframe, now: datetime) -> dg.AssetsDefinition:
    """The features of a timeframe's candles."""
    key = features_key(profile.name, timeframe)
    made = features_of(profile.features, timeframe)

    @dg.asset(
        key=key,
        # A candle that heals changes the features of its own partition and of those that read back
        # to it, and no others.
        deps=[
            dg.AssetDep(
                candles_key(profile.name, timeframe),
                partition_mapping=dg.TimeWindowPartitionMapping(
                    start_offset=-partitions_reached(profile, timeframe, now),
                    allow_nonexistent_upstream_partitions=True,
                ),
            )
        ],
        partitions_def=partitions_of(profile, timeframe, now),
        backfill_policy=dg.BackfillPolicy.single_run(),
        dagster_type=NO_VALUE,
        output_required=False,
        description=_describe(profile, timeframe),
        metadata={
            "dagster/column_schema": dg.TableSchema(
                [
                    *_KEY_COLUMNS,
                    *(dg.TableColumn(feature.name, "double", feature.words) for feature in made),
                ]
            ),
            "dagster/table_name": ".".join(key.path),
            "calendar": profile.calendar,
            "reach_bars": reach_of(made),
            "symbols": dg.MetadataValue.json(sorted(profile.symbols)),
        },
        kinds={"duckdb", "polars"},
        group_name=profile.name,
        owners=["team:market-data"],
    )
    def features(
        context: dg.AssetExecutionContext, store: StoreResource, clock: Clock
    ) -> Iterator[Any]:
        keys, trigger = list(context.partition_keys), trigger_of(context.run.tags)
        present = clock.now()
        opened = store.store(clock)
        work = Featurize(
            opened,
            profile,
            timeframe,
            window_of(keys, profile.partitions.of(timeframe)),
            clock=lambda: present,
            trigger=trigger,
            run_id=context.run.run_id,
        )
        drawn = features_drawn(profile, timeframe, [feature.name for feature in made], present)
        pictures = Pictures(
            opened, work.partitions, drawn, now=present, trigger=trigger, log=context.log
        )
        noted = reported_in(opened, work.dataset)
        reporter = Reporter(context, key, due=len(work.partitions), pictures=pictures, noted=noted)
        with closing(work.batches()) as batches:
            for batch in batches:
                yield from reporter.report(batch)
        yield from reporter.close(keys, work.audit)

    return features


def _describe(profile: Profile, timeframe: Timeframe) -> str:
    made = features_of(profile.features, timeframe)
    return (
        f"{len(made)} features of each {timeframe} candle of {profile.name}, a column each; "
        "the universe says which, and over how many bars.\n\n"
        "They look at no later bar. A value that reaches over a gap, "
        "or before the first bar, is null: none is made of less than it takes. "
        f"A partition reads {reach_of(made):,} bars before it, so that a value does not depend "
        "on where it begins. A feature that is new in the universe is null until its partitions "
        "are materialized again; one that is gone keeps its column, and what was made of it."
    )
