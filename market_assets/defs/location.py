"""The code location of a universe: all its definitions, put together.

`defs` is what `market_assets.definitions` offers to Dagster.
"""

from __future__ import annotations

import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from market_assets.config.load import load_universe
from market_assets.defs.assets.actions import EVERY, actions_asset, actions_schedule
from market_assets.defs.assets.candles import derived_candles, fetched_candles
from market_assets.defs.assets.completeness import completeness_asset
from market_assets.defs.assets.export import export_assets, export_sensors
from market_assets.defs.assets.features import features
from market_assets.defs.assets.returns import markets_returns, profile_returns
from market_assets.defs.assets.troubles import troubles_asset, troubles_check
from market_assets.defs.automation.alerts import alert_sensor
from market_assets.defs.automation.follow import follow_sensor
from market_assets.defs.automation.repair import repair_sensor
from market_assets.defs.automation.retention import EVERY as DAILY
from market_assets.defs.automation.retention import retention_schedule
from market_assets.defs.automation.streams import stream_job, stream_sensor
from market_assets.defs.automation.updates import update_schedule
from market_assets.defs.internals.collection import without_collection
from market_assets.defs.resources import Clock, Sources, StoreResource
from market_assets.expected.scope import scope_of
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.market.timeframes import midnight

with late_imports():
    from market_assets.enrich.made import made_in


if TYPE_CHECKING:
    from collections.abc import Mapping

    from market_assets.config.universe import Universe


def build_definitions(
    universe: Universe, *, overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """The assets, checks, schedules, sensors and resources of a universe.

    Args:
        universe: What to keep.
        overrides: Resources to use in place of the usual ones: store, sources, clock.
    """
    resources: dict[str, Any] = {
        "store": StoreResource(database=str(home() / "market.duckdb")),
        "sources": Sources(universe),
        "clock": Clock(),
        **(overrides or {}),
    }
    clock = resources["clock"]
    now = clock.now() if isinstance(clock, Clock) else present()
    profiles = universe.profiles.values()
    assets: list[dg.AssetsDefinition | dg.AssetSpec] = [troubles_asset()]
    with warnings.catch_warnings():
        # Partitioned checks are in preview and backfill policies in beta: Dagster is pinned, and
        # the contract tests watch them.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        warnings.simplefilter("ignore", dg.BetaWarning)
        for profile in profiles:
            frames = profile.timeframes
            scopes = {timeframe: scope_of(profile, timeframe, now) for timeframe in frames.kept}
            assets += [fetched_candles(scopes[timeframe]) for timeframe in frames.fetch]
            assets += [derived_candles(scopes[timeframe]) for timeframe in frames.derive]
            assets += [features(scopes[timeframe]) for timeframe in frames.features]
            assets += [profile_returns(scopes[timeframe]) for timeframe in frames.returns]
            assets.append(completeness_asset(profile))
            assets += [actions_asset(profile)] if profile.has_actions else []
        assets += [
            markets_returns(universe, timeframe, now) for timeframe in universe.markets.timeframes
        ]
        assets += export_assets(universe)
        sensors: list[dg.SensorDefinition] = [repair_sensor(profile, now) for profile in profiles]
    if made_in(universe):
        sensors.append(follow_sensor(universe))
    sensors += export_sensors(universe)
    running = [
        profile for profile in profiles if profile.end is None or midnight(profile.end) > now
    ]
    jobs = {
        profile.name: stream_job(universe, profile) for profile in running if profile.stream.enabled
    }
    sensors += [stream_sensor(universe, universe.profiles[name], job) for name, job in jobs.items()]
    schedules = [(profile, update_schedule(universe, profile)) for profile in running]
    watched = {
        sensor.name: timedelta(seconds=sensor.minimum_interval_seconds or 30) for sensor in sensors
    }
    # It looks so often that a machine under load may leave out a few.
    watched |= {f"stream_{name}": timedelta(minutes=1) for name in jobs}
    watched |= {schedule.name: profile.update.every for profile, schedule in schedules}
    daily = [actions_schedule(profile) for profile in running if profile.has_actions]
    watched |= {schedule.name: EVERY for schedule in daily}
    retention = retention_schedule(universe)
    watched |= {retention.name: DAILY}
    return dg.Definitions(
        assets=assets,
        asset_checks=[troubles_check(universe)],
        resources=resources,
        # One process per run: a fill has its own concurrency, and one process per step costs
        # seconds each.
        executor=dg.in_process_executor,
        jobs=list(jobs.values()),
        schedules=[*(schedule for _, schedule in schedules), *daily, retention],
        sensors=[*sensors, alert_sensor(universe, watched)],
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the universe named by `MARKET_ASSETS_UNIVERSE`, or of the packaged one."""
    with without_collection():
        return build_definitions(load_universe())
