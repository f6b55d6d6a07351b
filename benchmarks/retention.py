"""What retention costs and gives back, on a store of ten million candles.

    python benchmarks/retention.py [--candles 10000000] [--folder /tmp/retention]

DuckDB makes the candles itself. A vendor on the loopback serves the same days and counts who asks
for what. Then: a dry run, a prune (with and without the lake) beside a writer that commits all the
time, a second prune, a compaction, and at last an update, a repair and a tick of Dagster's repair
sensor, which must not ask for anything that was removed.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from market_assets.config.load import load_universe
from market_assets.definitions import build_definitions
from market_assets.defs.automation.repair import look_everywhere
from market_assets.defs.automation.retention import Keeper
from market_assets.defs.automation.runs import instance_at, prepare_home
from market_assets.defs.resources import Clock, Sources, StoreResource
from market_assets.expected.counts import count_profile
from market_assets.expected.series import prepare
from market_assets.keeping import size_words
from market_assets.live.update import update_profile
from market_assets.market.timeframes import Timeframe
from market_assets.practice.book import Market
from market_assets.practice.simulate import Instrument
from market_assets.practice.vendor import PracticeVendor
from market_assets.reports.read import read
from market_assets.store import Store

if TYPE_CHECKING:
    from market_assets.config.universe import Universe

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
SYMBOLS = 20
DAY_BARS = 1440
_LACKING = timedelta(minutes=10)
"""The newest candles, which an update is to bring."""


def universe_of(folder: Path, url: str, days: int, keys: str = "") -> Universe:
    """The universe of the benchmark: minutes of twenty symbols."""
    start = (NOW - timedelta(days=days)).date()
    names = ", ".join(f"S{number:02}: {{}}" for number in range(SYMBOLS))
    path = folder / "universe.yaml"
    path.write_text(
        f"""
sources: {{practice: {{base_url: "{url}"}}}}
{keys}
profiles:
  coins:
    kind: CRYPTO
    start: {start}
    sources: [practice]
    symbols: {{{names}}}
    timeframes: {{fetch: [1m]}}
"""
    )
    return load_universe(path, environ={})


def make(store: Store, universe: Universe, days: int) -> int:
    """Make the candles and what a fill would have noted of them; returns how many there are."""
    profile = universe.profiles["coins"]
    start = (NOW - timedelta(days=days)).replace(hour=0, minute=0)
    end = (NOW - _LACKING).replace(tzinfo=None)
    with store.writing("making candles") as transaction:
        prepare(transaction, profile)
        connection = transaction.connection
        connection.execute(
            """
            INSERT INTO coins.candles_1m BY NAME
            SELECT 'S' || lpad(s::VARCHAR, 2, '0') AS symbol, ts, p AS open, p * 1.001 AS high,
                p * 0.999 AS low, p * 1.0002 AS close, 1 + hash(ts, s) % 1000 / 7.0 AS volume,
                'practice' AS source
            FROM (
                SELECT s, ts, round(100 * (1 + s) + 10 * sin(epoch(ts) / 9e4 + s)
                    + hash(s, ts) % 100 / 100.0, 2) AS p
                FROM range($start, $end, INTERVAL 1 MINUTE) t(ts), range($symbols) n(s)
            )
            ORDER BY ts, symbol
            """,
            {"start": start.replace(tzinfo=None), "end": end, "symbols": SYMBOLS},
        )
        connection.execute(
            """
            INSERT INTO ops.partitions BY NAME
            SELECT 'coins' AS profile, '1m' AS timeframe, strftime(ts, '%Y-%m-%d') AS partition,
                symbol, count(*) AS expected, count(*) AS stored, 0 AS explained, 0 AS missing,
                least(any_value(date_trunc('day', ts)) + INTERVAL 25 HOUR, $end) AS judged_at,
                $end AS changed_at, $end AS reported_at
            FROM coins.candles_1m
            GROUP BY ALL
            """,
            {"end": end},
        )
        connection.execute(
            """
            INSERT INTO ops.coverage BY NAME
            SELECT 'coins' AS profile, symbol, '1m' AS timeframe, 'practice' AS source,
                min(ts) AS start_ts, max(ts) + INTERVAL 1 MINUTE AS end_ts, count(*) AS bars,
                FALSE AS omits_quiet, $end AS answered_at, $end AS answered_from
            FROM coins.candles_1m
            GROUP BY symbol
            """,
            {"end": end},
        )
    count_profile(store, profile, NOW)
    with store.reading("counting") as view:
        ((rows,),) = view.database.execute("SELECT count(*) FROM coins.candles_1m").fetchall()
    return int(rows)


class Writer(threading.Thread):
    """Commits all the time, as updates and a stream do, and notes how long it waited."""

    def __init__(self, home: Path) -> None:
        super().__init__(daemon=True)
        self._store = Store(home, clock=lambda: NOW)
        self._over = threading.Event()
        self.waits: list[float] = []

    def run(self) -> None:
        while not self._over.is_set():
            began = time.perf_counter()
            with self._store.writing("an update") as transaction:
                transaction.connection.execute("UPDATE ops.store SET commits = commits + 1")
            self.waits.append(time.perf_counter() - began)
            self._over.wait(0.05)

    def stop(self) -> None:
        self._over.set()
        self.join()


def prune(home: Path, store: Store, universe: Universe, instance: dg.DagsterInstance) -> None:
    """A dry run, a prune beside a writer, a second one, and a compaction; with what each costs."""
    keeper = Keeper(home, store, instance, universe, lambda: NOW)
    began = time.perf_counter()
    announced = keeper.prune(dry_run=True)
    print(f"dry run: {time.perf_counter() - began:.2f} s")
    for removal in announced:
        size = size_words(removal.bytes)
        print(f"  {removal.count:,} {removal.what}, {removal.partitions} partitions, {size}")

    before = store.size
    writer = Writer(home)
    writer.start()
    began = time.perf_counter()
    removed = keeper.prune()
    spent = time.perf_counter() - began
    writer.stop()
    waits = sorted(writer.waits)
    print(
        f"prune: {spent:.1f} s; beside it {len(waits)} commits of a writer, half of them within "
        f"{1000 * waits[len(waits) // 2]:.0f} ms, the slowest {1000 * waits[-1]:.0f} ms"
    )
    print(f"dry run equals what was removed: {removed == announced}")
    print(f"second prune removes: {keeper.prune()}")

    pruned = store.size
    began = time.perf_counter()
    keeper.compact()
    print(
        f"file: {size_words(before)}, after the prune {size_words(pruned)}, "
        f"after a compaction of {time.perf_counter() - began:.1f} s {size_words(store.size)}"
    )


def asked_for(
    home: Path, universe: Universe, instance: dg.DagsterInstance, vendor: PracticeVendor
) -> None:
    """Run an update, a repair by hand and a repair tick, and print who asked for what."""
    clock = Clock(fixed=NOW.isoformat())
    store = Store(home, clock=lambda: NOW)
    profile = universe.profiles["coins"]
    sources = Sources(universe)
    resource = StoreResource(database=str(home / "market.duckdb"))
    definitions = build_definitions(universe, overrides={"store": resource, "clock": clock})
    vendor.log.clear()

    updated = update_profile(
        store, sources.build(profile), universe, profile, now=NOW, busy=lambda *_: ()
    )
    print(f"update: {'; '.join(updated.lines)}")
    looks = look_everywhere(
        profile, instance=instance, store=store, sources=sources.build(profile), now=NOW
    )
    look = looks[Timeframe.M1]
    print(f"repair: {len(look.troubled)} of {look.partitions} partitions are in trouble")
    sensor = next(each for each in definitions.sensors or () if each.name == "repair_coins")
    resources = {"store": resource, "sources": sources, "clock": clock}
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        result = sensor(context)
    print(f"repair tick: {result}")
    starts = [int(entry["startTime"]) for entry in vendor.log if entry["startTime"] is not None]
    oldest = datetime.fromtimestamp(min(starts) / 1000, UTC) if starts else None
    print(f"requests: {len(starts)}, none before {oldest}")


def main() -> None:
    """Run all of it, once without the lake and once with it."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("--candles", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    days = arguments.candles // (SYMBOLS * DAY_BARS)
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="retention"))
    folder.mkdir(parents=True, exist_ok=True)

    kept = f"candles_1m: {days // 2}d"
    instruments = {f"S{number:02}": Instrument() for number in range(SYMBOLS)}
    with PracticeVendor(Market(symbols=instruments), clock=lambda: NOW) as vendor:
        for name, keys in (
            ("without the lake", f"retention: {{{kept}}}"),
            ("archive_to_lake", f"export: {{}}\nretention: {{{kept}, archive_to_lake: true}}"),
        ):
            print(f"## {name}")
            home = folder / name.split()[0]
            shutil.rmtree(home, ignore_errors=True)
            prepare_home(home)
            store = Store(home, clock=lambda: NOW)
            began = time.perf_counter()
            rows = make(store, universe_of(folder, vendor.url, days), days)
            print(f"{rows:,} candles made in {time.perf_counter() - began:.1f} s")
            universe = universe_of(folder, vendor.url, days, keys)
            with instance_at(home) as instance:
                materialized(instance, days)
                prune(home, store, universe, instance)
                asked_for(home, universe, instance, vendor)
            if "lake" in keys:
                files = list((home / "lake").rglob("year=*/**/*.parquet"))
                size = size_words(sum(path.stat().st_size for path in files))
                began = time.perf_counter()
                whole = read("coins", "candles_1m", universe=universe, home=home)
                spent = time.perf_counter() - began
                print(f"lake: {len(files)} files, {size}; read() of all: {spent:.1f} s")
                print(f"rows that read() gives: {len(whole):,} of {rows:,}")


def materialized(instance: dg.DagsterInstance, days: int) -> None:
    """Have Dagster remember all partitions as filled."""
    start = (NOW - timedelta(days=days)).date()
    for number in range(days + 1):
        key = f"{start + timedelta(days=number)}"
        instance.report_runless_asset_event(
            dg.AssetMaterialization(["coins", "candles_1m"], partition=key)
        )


if __name__ == "__main__":
    main()
