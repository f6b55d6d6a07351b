"""The candle assets: fetched ones with their verdicts, and the longer ones that are made of them.

Dagster reads the annotations of a config parameter at run time, so that this module does without
postponed ones.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from market_assets.config.universe import Profile
from market_assets.defs.assets.partitions import partitions_of
from market_assets.defs.events import CHECKS, Reporter, reported_in
from market_assets.defs.internals.adapter import NO_VALUE
from market_assets.defs.keys import candles_key, trigger_of
from market_assets.defs.pictures import Pictures, candles_drawn
from market_assets.defs.resources import Clock, Sources, StoreResource
from market_assets.enrich.derive import Derive
from market_assets.fill import Fill
from market_assets.market.columns import DERIVED, EXTRAS, FETCHED
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import Timeframe, Window

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


class FillConfig(dg.Config):
    """What a run may be told in the launchpad.

    Attributes:
        symbols: Fill only these; empty for all of the profile.
        refetch: Ask also for bars that are stored or explained, to find revisions.
        newest_first: Fill the newest partition first.
        only_due: Leave out gaps that were asked for a short while ago, as repairs do.
        recheck: Ask also for so many of the newest stored bars, to find late revisions.
        max_fills: Send at most so many requests; 0 for no limit.
        max_minutes: Stop asking after so many minutes and keep what was had; 0 for no limit.
    """

    symbols: list[str] = Field(default_factory=list)
    refetch: bool = False
    newest_first: bool = False
    only_due: bool = False
    recheck: int = Field(default=0, ge=0)
    max_fills: int = Field(default=0, ge=0)
    max_minutes: float = Field(default=0.0, ge=0)


def fetched_candles(profile: Profile, timeframe: Timeframe, now: datetime) -> dg.AssetsDefinition:
    """The asset of a timeframe that sources are asked for, with its checks, partitioned alike."""
    key = candles_key(profile.name, timeframe)
    partitions = partitions_of(profile, timeframe, now)
    checks = (
        *CHECKS,
        *(["plausibility"] if profile.checks.plausibility else []),
        *(["agreement"] if profile.compares else []),
    )

    @dg.asset(
        key=key,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=_FETCHED_PER_RUN),
        check_specs=[
            dg.AssetCheckSpec(
                check, asset=key, partitions_def=partitions, description=_CHECK_WORDS[check]
            )
            for check in checks
        ],
        # The events are yielded by hand, partition by partition: see Reporter.
        dagster_type=NO_VALUE,
        output_required=False,
        description=_describe_fetched(profile, timeframe),
        metadata=_static_metadata(profile, timeframe, _FETCHED_COLUMNS),
        kinds={"duckdb", "polars", "candles"},
        group_name=profile.name,
        owners=["team:market-data"],
        pool=f"{profile.name}_fill",
    )
    def candles(
        context: dg.AssetExecutionContext,
        config: FillConfig,
        store: StoreResource,
        sources: dg.ResourceParam[Sources],
        clock: Clock,
    ) -> Iterator[Any]:
        keys, trigger = list(context.partition_keys), trigger_of(context.run.tags)
        # A bar that has closed this moment is missing only for a run that a person started.
        present = clock.now() - (profile.update.settle if config.only_due else timedelta())
        opened = store.store(clock)
        fill = Fill(
            opened,
            sources.build(profile),
            profile,
            timeframe,
            window_of(keys, profile.partitions.of(timeframe)),
            clock=lambda: present,
            symbols=config.symbols or None,
            newest_first=config.newest_first,
            refetch=config.refetch,
            only_due=config.only_due,
            recheck=config.recheck,
            max_fills=config.max_fills or None,
            trigger=trigger,
            max_time=timedelta(minutes=config.max_minutes) if config.max_minutes else None,
            run_id=context.run.run_id,
        )
        drawn = candles_drawn(profile, timeframe, present)
        pictures = Pictures(
            opened, fill.partitions, drawn, now=present, trigger=trigger, log=context.log
        )
        noted = reported_in(opened, profile.candles(timeframe))
        reporter = Reporter(
            context, key, checks, due=len(fill.partitions), pictures=pictures, noted=noted
        )
        with closing(fill.batches()) as batches:
            for batch in batches:
                yield from reporter.report(batch)
        yield from reporter.close(keys, fill.audit)

    return candles


def derived_candles(profile: Profile, timeframe: Timeframe, now: datetime) -> dg.AssetsDefinition:
    """The asset of a timeframe that is made of a shorter one.

    A partition is renewed when the partition that it is made of is renewed.
    """
    key = candles_key(profile.name, timeframe)
    source = profile.input_of(timeframe)

    @dg.asset(
        key=key,
        # A profile may begin in the middle of a month, and its first month is made of the days that
        # it has.
        deps=[
            dg.AssetDep(
                candles_key(profile.name, source),
                partition_mapping=dg.TimeWindowPartitionMapping(
                    allow_nonexistent_upstream_partitions=True
                ),
            )
        ],
        partitions_def=partitions_of(profile, timeframe, now),
        # Another policy than the fetched asset's keeps them in runs of their own: a day that cannot
        # be fetched must not keep the other days from being derived.
        backfill_policy=dg.BackfillPolicy.single_run(),
        dagster_type=NO_VALUE,
        output_required=False,
        description=_describe_derived(profile, timeframe, source),
        metadata=_static_metadata(profile, timeframe, _DERIVED_COLUMNS),
        kinds={"duckdb", "polars", "candles"},
        group_name=profile.name,
        owners=["team:market-data"],
    )
    def candles(
        context: dg.AssetExecutionContext, store: StoreResource, clock: Clock
    ) -> Iterator[Any]:
        keys, trigger = list(context.partition_keys), trigger_of(context.run.tags)
        window = window_of(keys, profile.partitions.of(timeframe))
        present = clock.now()
        opened = store.store(clock)
        derive = Derive(
            opened,
            profile,
            timeframe,
            window,
            clock=lambda: present,
            trigger=trigger,
            run_id=context.run.run_id,
        )
        drawn = candles_drawn(profile, timeframe, present)
        pictures = Pictures(
            opened, derive.partitions, drawn, now=present, trigger=trigger, log=context.log
        )
        noted = reported_in(opened, profile.candles(timeframe))
        reporter = Reporter(
            context, key, due=len(derive.partitions), pictures=pictures, noted=noted
        )
        with closing(derive.batches()) as batches:
            for batch in batches:
                yield from reporter.report(batch)
        yield from reporter.close(keys, derive.audit)

    return candles


def window_of(keys: Sequence[str], cadence: Cadence) -> Window:
    """From the start of the oldest of some partitions to the end of the newest."""
    partitions = [Partition.of_key(key, cadence).window for key in (min(keys), max(keys))]
    return Window(partitions[0].start, partitions[-1].end)


def _static_metadata(
    profile: Profile, timeframe: Timeframe, columns: list[dg.TableColumn]
) -> dict[str, Any]:
    return {
        "dagster/column_schema": dg.TableSchema(columns),
        "dagster/table_name": f"{profile.name}.{profile.candles(timeframe).name}",
        "calendar": profile.calendar,
        "symbols": dg.MetadataValue.json(sorted(profile.symbols)),
    }


def _describe_fetched(profile: Profile, timeframe: Timeframe) -> str:
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
        f"{timeframe} candles of {len(profile.symbols)} {profile.kind} symbols "
        f"from {', '.join(sources)}, on the calendar {profile.calendar}.{apart}\n\n"
        f"A partition is one UTC {profile.partitions.of(timeframe)}. "
        "Materializing it asks the sources only for bars that are missing. "
        "It is red when too much of it is missing as a whole; "
        f"its checks say what is absent, of which symbol, and why.{compared}"
    )


def _describe_derived(profile: Profile, timeframe: Timeframe, source: Timeframe) -> str:
    return (
        f"{timeframe} candles rolled up from {profile.candles(source)}, "
        f"session by session on the calendar {profile.calendar}.\n\nEach bar says "
        "of how many bars it is made, and of how many it would be if none were absent."
    )
