"""How long a tick of the repair sensor and of the alert sensor takes.

The store has ten years of daily partitions of a hundred symbols.

    python benchmarks/sensor.py [--symbols 100] [--years 10] [--ticks 5]

A home is made with every partition materialized and judged, one day in twenty with open gaps and a
failed check; then each sensor is evaluated as the daemon does it, in this process. The first tick
builds Dagster's partition cache.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
import yaml

from market_assets.config.load import load_universe
from market_assets.definitions import build_definitions
from market_assets.defs.automation.runs import instance_at
from market_assets.defs.events import CHECKS
from market_assets.defs.internals.checks import check_evaluation
from market_assets.defs.keys import dataset_key
from market_assets.defs.resources import Clock, Sources, StoreResource
from market_assets.expected.counts import count_profile
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe, Window, midnight
from market_assets.store import Store

if TYPE_CHECKING:
    from market_assets.config.universe import Universe

H1 = Timeframe.H1
START = date(2015, 1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--ticks", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        end = START.replace(year=START.year + options.years)
        universe = write_universe(home, options.symbols, end)
        days = [START + timedelta(days=n) for n in range((end - START).days)]
        clock = Clock(fixed=f"{end}T12:00:00+00:00")
        print(
            f"{options.symbols} symbols, {len(days):,} daily partitions, "
            "one in twenty with a gap in every symbol"
        )
        with instance_at(home) as instance:
            fill_store(home, universe, days, clock)
            fill_log(instance, days)
            store = StoreResource(database=str(home / "market.duckdb"))
            definitions = build_definitions(universe, overrides={"store": store, "clock": clock})
            resources = {"store": store, "clock": clock, "sources": Sources(universe)}
            for sensor in definitions.sensors or ():
                if isinstance(sensor, dg.AutomationConditionSensorDefinition):
                    continue
                taken, used, cursor, words = [], [], None, ""
                for _ in range(options.ticks + 1):
                    needed = {name: resources[name] for name in sensor.required_resource_keys}
                    with dg.build_sensor_context(
                        instance=instance, cursor=cursor, resources=needed, definitions=definitions
                    ) as context:
                        begun, spent = time.perf_counter(), time.process_time()
                        result = sensor.evaluate_tick(context)
                        taken.append((time.perf_counter() - begun) * 1000)
                        used.append((time.process_time() - spent) * 1000)
                    cursor = result.cursor
                    words = f"{len(result.run_requests or ())} runs"
                first, *warm = taken
                print(
                    f"{sensor.name}: first {first:,.0f} ms, then min {min(warm):,.0f}, "
                    f"median {statistics.median(warm):,.0f}, "
                    f"max {max(warm):,.0f} ms (aim: under 300), CPU median "
                    f"{statistics.median(used[1:]):,.0f} ms; "
                    f"{words}"
                )


def write_universe(home: Path, symbols: int, end: date) -> Universe:
    path = home / "universe.yaml"
    profile = {
        "kind": "CRYPTO",
        "start": START,
        "timeframes": {"fetch": ["1h"]},
        "sources": ["practice"],
        "symbols": {f"S{n:03}": {} for n in range(symbols)},
    }
    path.write_text(
        yaml.safe_dump({"sources": {"practice": {}}, "profiles": {"kept": profile | {"end": end}}})
    )
    return load_universe(path, environ={})


def fill_store(home: Path, universe: Universe, days: list[date], clock: Clock) -> None:
    """Judge every partition of every symbol, and put a gap of two hours into each twentieth day."""
    store = Store(home, clock=clock.now)
    profile = universe.profiles["kept"]
    count_profile(store, profile, clock.now())
    names = pl.DataFrame({"symbol": sorted(profile.symbols)})
    frame = pl.DataFrame({"day": days}).with_row_index("n").with_columns(gap=pl.col("n") % 20 == 7)
    bars = pl.when("gap").then(2).otherwise(0).cast(pl.Int64)
    judged = frame.join(names, how="cross").select(
        "symbol",
        partition=pl.col("day").cast(pl.String),
        expected=pl.lit(24, pl.Int64),
        stored=24 - bars,
        explained=pl.lit(0, pl.Int64),
        missing=bars,
    )
    at = clock.now().replace(tzinfo=None) - timedelta(days=1)
    first = pl.col("day").cast(pl.Datetime("us")) + pl.duration(hours=3)
    gaps = (
        frame.filter("gap")
        .join(names, how="cross")
        .select(
            "symbol",
            first_ts=first,
            last_ts=first + pl.duration(hours=1),
            bars=pl.lit(2, pl.Int64),
            status=pl.lit("open"),
            attempts=pl.lit(1, pl.Int32),
            failures=pl.lit(0, pl.Int32),
            confirmations=pl.lit(0, pl.Int32),
            confirmed_at=pl.lit(None, pl.Datetime("us")),
            first_seen=pl.lit(at),
            asked_at=pl.lit(at),
            reason=pl.lit("benchmark"),
        )
    )
    with store.writing("preparing the benchmark") as transaction:
        window = Window(midnight(days[0]), datetime.now(UTC))
        transaction.partitions.put(Dataset.candles("kept", H1), judged)
        transaction.gaps.put(Dataset.candles("kept", H1), sorted(profile.symbols), window, gaps)


def fill_log(instance: dg.DagsterInstance, days: list[date]) -> None:
    """Materialize and judge every partition in Dagster's log."""
    key = dataset_key(Dataset.candles("kept", H1))
    for n, day in enumerate(days):
        partition = day.isoformat()
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))
        newest = instance.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION, {partition}
        )[partition]
        for check in CHECKS:
            instance.report_runless_asset_event(
                check_evaluation(
                    asset_key=key,
                    check=check,
                    partition=partition,
                    passed=n % 20 != 7 or check != "continuity",
                    severity=dg.AssetCheckSeverity.ERROR,
                    description="",
                    metadata={},
                    materialization=newest,
                    run_id="benchmark",
                    timestamp=time.time(),
                )
            )


if __name__ == "__main__":
    main()
