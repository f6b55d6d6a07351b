"""The assets of aligned returns, each with a check of how much is neutral.

There is one per profile and timeframe, and one per timeframe across profiles.

Dagster reads the annotations of an asset's resources at run time, so that this module does without
postponed ones.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

import dagster as dg

from market_assets.config.universe import Profile, Universe
from market_assets.defs.assets.candles import window_of
from market_assets.defs.assets.partitions import days_or_months, partitions_of
from market_assets.defs.events import Reporter, reported_in
from market_assets.defs.internals.adapter import NO_VALUE
from market_assets.defs.keys import candles_key, returns_key, trigger_of
from market_assets.defs.pictures import Pictures, mask_drawn
from market_assets.defs.resources import Clock, StoreResource
from market_assets.enrich.returns.returns import Returns, markets_cadence, reach_days
from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import Timeframe, Window

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


def profile_returns(profile: Profile, timeframe: Timeframe, now: datetime) -> dg.AssetsDefinition:
    """The aligned returns of a profile's symbols."""

    def returns(
        store: StoreResource, clock: Clock, window: Window, trigger: str, run_id: str
    ) -> Returns:
        return Returns.of_profile(
            store.store(clock),
            profile,
            timeframe,
            window,
            clock=clock.now,
            trigger=trigger,
            run_id=run_id,
        )

    return _asset(
        key=returns_key(profile.name, timeframe),
        partitions=partitions_of(profile, timeframe, now),
        cadence=profile.partitions.of(timeframe),
        members=[profile],
        timeframe=timeframe,
        # The close before a partition's first return is in the partition before.
        reach=1,
        make=returns,
        description=(
            f"{timeframe} returns of {len(profile.symbols)} symbols "
            f"on the grid of the calendar {profile.calendar}, 0.0 where there is none, and why."
        ),
    )


def markets_returns(universe: Universe, timeframe: Timeframe, now: datetime) -> dg.AssetsDefinition:
    """The aligned returns of the symbols of several profiles."""
    members, markets = universe.in_markets(timeframe), universe.markets

    def returns(
        store: StoreResource, clock: Clock, window: Window, trigger: str, run_id: str
    ) -> Returns:
        return Returns.of_markets(
            store.store(clock),
            universe,
            timeframe,
            window,
            clock=clock.now,
            trigger=trigger,
            run_id=run_id,
        )

    cadence = markets_cadence(timeframe)
    ends = [member.end for member in members if member.end]
    partitions = days_or_months(
        cadence,
        min(member.start for member in members),
        max(ends) if len(ends) == len(members) else None,
        now,
    )
    return _asset(
        key=returns_key(markets.name, timeframe),
        partitions=partitions,
        cadence=cadence,
        members=members,
        timeframe=timeframe,
        reach=reach_days(members, now) if cadence is Cadence.DAY else 1,
        make=returns,
        description=(
            f"{timeframe} returns of the symbols of {', '.join(member.name for member in members)} "
            f"on the {markets.calendar} of their calendars, 0.0 where there is none, and why."
        ),
    )


def _asset(
    *,
    key: dg.AssetKey,
    partitions: dg.TimeWindowPartitionsDefinition,
    cadence: Cadence,
    members: list[Profile],
    timeframe: Timeframe,
    reach: int,
    make: Callable[[StoreResource, Clock, Window, str, str], Returns],
    description: str,
) -> dg.AssetsDefinition:
    @dg.asset(
        key=key,
        deps=[
            dg.AssetDep(
                candles_key(member.name, timeframe),
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
        dagster_type=NO_VALUE,
        output_required=False,
        description=f"{description}\n\nNeutral values are here alone: no candle is made up.",
        metadata={
            "dagster/column_schema": dg.TableSchema(_COLUMNS),
            "dagster/table_name": ".".join(key.path),
            "symbols": dg.MetadataValue.json(
                sorted(symbol for member in members for symbol in member.symbols)
            ),
        },
        kinds={"duckdb", "polars"},
        group_name=key.path[0],
        owners=["team:market-data"],
    )
    def returns(
        context: dg.AssetExecutionContext, store: StoreResource, clock: Clock
    ) -> Iterator[Any]:
        keys, trigger = list(context.partition_keys), trigger_of(context.run.tags)
        work = make(store, clock, window_of(keys, cadence), trigger, context.run.run_id)
        drawn = mask_drawn(key.path[0], timeframe)
        pictures = Pictures(
            store.store(clock),
            work.partitions,
            drawn,
            now=clock.now(),
            trigger=trigger,
            log=context.log,
        )
        noted = reported_in(store.store(clock), work.dataset)
        reporter = Reporter(
            context, key, (_CHECK,), due=len(work.partitions), pictures=pictures, noted=noted
        )
        with closing(work.batches()) as batches:
            for batch in batches:
                yield from reporter.report(batch)
        yield from reporter.close(keys, work.audit)

    return returns
