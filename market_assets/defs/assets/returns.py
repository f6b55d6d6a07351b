"""The assets of aligned returns, each with a check of how much is neutral.

There is one per profile and timeframe, and one per timeframe across profiles.

Dagster reads the annotations of an asset's resources at run time, so that this module does without
postponed ones.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import dagster as dg

from market_assets.config.universe import Profile, Universe
from market_assets.defs.assets.partitions import days_or_months, partitions_of
from market_assets.defs.assets.work import reported, window_of, work_asset
from market_assets.defs.keys import dataset_key, run_of
from market_assets.defs.pictures import mask_drawn
from market_assets.defs.resources import Clock, StoreResource
from market_assets.expected.scope import Scope
from market_assets.imports import late_imports
from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import Timeframe

with late_imports():
    from market_assets.enrich.returns.returns import (
        Alignment,
        Returns,
        markets_cadence,
        reach_days,
    )


_CHECK = "alignment"
_COLUMNS = [
    dg.TableColumn(
        "symbol",
        "string",
        "The symbol; across profiles its profile comes before it, with a point between",
    ),
    dg.TableColumn(
        "ts", "timestamp", "The bar's open, UTC; of a day its session's date, of a week its Monday"
    ),
    dg.TableColumn(
        "simple_return",
        "double",
        "Close over the last stored close before it, less 1; 0.0 where neutral",
    ),
    dg.TableColumn("log_return", "double", "Logarithm of that ratio; 0.0 where neutral"),
    dg.TableColumn(
        "bars",
        "integer",
        "How many bars of the symbol's calendar the return spans; 0 where neutral",
    ),
    dg.TableColumn("neutral", "string", "Why nothing was measured; null where it was"),
]


def profile_returns(scope: Scope) -> dg.AssetsDefinition:
    """The aligned returns of a profile's symbols."""
    profile = scope.profile

    def alignment(now: datetime) -> Alignment:
        return Alignment.of_profile(scope.at(now))

    return _asset(
        alignment,
        partitions=partitions_of(scope),
        members=[profile],
        # The close before a partition's first return is in the partition before.
        reach=1,
        now=scope.now,
        description=(
            f"{scope.timeframe} returns of {len(profile.symbols)} symbols "
            f"on the grid of the calendar {profile.calendar}, 0.0 where there is none, and why."
        ),
    )


def markets_returns(universe: Universe, timeframe: Timeframe, now: datetime) -> dg.AssetsDefinition:
    """The aligned returns of the symbols of several profiles."""
    members, markets = universe.in_markets(timeframe), universe.markets

    def alignment(now: datetime) -> Alignment:
        return Alignment.of_markets(universe, timeframe, now)

    cadence = markets_cadence(timeframe)
    ends = [member.end for member in members if member.end]
    partitions = days_or_months(
        cadence,
        min(member.start for member in members),
        max(ends) if len(ends) == len(members) else None,
        now,
    )
    return _asset(
        alignment,
        partitions=partitions,
        members=members,
        reach=reach_days(members, now) if cadence is Cadence.DAY else 1,
        now=now,
        description=(
            f"{timeframe} returns of the symbols of {', '.join(member.name for member in members)} "
            f"on the {markets.calendar} of their calendars, 0.0 where there is none, and why."
        ),
    )


def _asset(
    alignment: Callable[[datetime], Alignment],
    *,
    partitions: dg.TimeWindowPartitionsDefinition,
    members: list[Profile],
    reach: int,
    now: datetime,
    description: str,
) -> dg.AssetsDefinition:
    dataset, cadence = alignment(now).dataset, alignment(now).cadence
    key = dataset_key(dataset)

    @work_asset(
        dataset,
        deps=[
            dg.AssetDep(
                dataset_key(member.candles(dataset.timeframe)),
                partition_mapping=dg.TimeWindowPartitionMapping(
                    start_offset=-reach, allow_nonexistent_upstream_partitions=True
                ),
            )
            for member in members
        ],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[
            dg.AssetCheckSpec(
                _CHECK,
                asset=key,
                partitions_def=partitions,
                description="No symbol has more neutral returns than the universe allows, "
                "where its calendar calls for one.",
            )
        ],
        description=f"{description}\n\nNeutral values are here alone: no candle is made up.",
        metadata={
            "dagster/column_schema": dg.TableSchema(_COLUMNS),
            "dagster/table_name": ".".join(key.path),
            "symbols": dg.MetadataValue.json(
                sorted(symbol for member in members for symbol in member.symbols)
            ),
        },
        kinds={"duckdb", "polars"},
    )
    def returns(
        context: dg.AssetExecutionContext, store: StoreResource, clock: Clock
    ) -> Iterator[Any]:
        present, opened = clock.now(), store.store(clock)
        window = window_of(context, cadence)
        work = Returns(opened, alignment(present), window, run=run_of(context.run))
        draw = mask_drawn(dataset)
        yield from reported(context, opened, work, draw, now=present, checks=(_CHECK,))

    return returns
