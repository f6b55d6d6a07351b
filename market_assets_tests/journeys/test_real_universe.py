"""The main job on real input.

All four profiles of real candles go through Dagster, and are compared with the files themselves.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import dagster as dg
import duckdb
import polars as pl
import pytest

from market_assets.config.load import load_universe
from market_assets.definitions import build_definitions
from market_assets.defs.automation.runs import Runner, instance_at, plan_backfill
from market_assets.defs.resources import Clock, StoreResource
from market_assets.expected.series import calendar_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from market_assets.config.universe import Profile, Symbol, Universe
    from market_assets.market.timeframes import Timeframe

_VALUES = ["ts", "open", "high", "low", "close", "volume"]


class Backfilled:
    """The real universe, its instance and its store after one backfill."""

    def __init__(self, shared: Path, home: Path, instance: dg.DagsterInstance) -> None:
        self.universe: Universe = load_universe(shared / "universe.real.yaml")
        self.clock = Clock(fixed="2026-01-01T00:00:00+00:00")
        self.file = home / "market.duckdb"
        self.instance = instance
        resources = {"store": StoreResource(database=str(self.file)), "clock": self.clock}
        self.definitions = build_definitions(self.universe, overrides=resources)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def backfill(self, *, derive: bool = True) -> list[bool]:
        plans = [
            run
            for one in self.universe.profiles.values()
            for run in plan_backfill(one, one.window(self.now), self.now)
            if derive or run.timeframes[0] in one.timeframes.fetch
        ]
        return [
            Runner(self.definitions, self.instance).execute(run, done=lambda: None)[1]
            for run in plans
        ]

    def table(self, profile: str, timeframe: str) -> pl.DataFrame:
        with duckdb.connect(self.file, read_only=True) as db:
            return db.sql(f"SELECT * FROM {profile}.candles_{timeframe} ORDER BY symbol, ts").pl()

    def query(self, sql: str) -> pl.DataFrame:
        with duckdb.connect(self.file, read_only=True) as db:
            return db.sql(sql).pl()


@pytest.fixture(scope="module")
def backfilled(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backfilled]:
    home = tmp_path_factory.mktemp("home")
    with instance_at(home) as instance:
        done = Backfilled(shared, home, instance)
        assert all(done.backfill())
        yield done


def file_rows(
    shared: Path, profile: Profile, symbol: Symbol, timeframe: Timeframe, now: datetime
) -> pl.DataFrame:
    """The rows of a symbol's first file that are bars of its calendar, between its dates."""
    path = (
        shared
        / "data"
        / profile.kind.value.lower()
        / f"{symbol.sources[0].symbol}__{timeframe}.parquet"
    )
    rows = pl.read_parquet(path).with_columns(pl.col("ts").cast(pl.Datetime("us")))
    bars = calendar_of(profile).bars(timeframe, symbol.window(now)).select("ts")
    return rows.join(bars, on="ts", how="semi").select(_VALUES).sort("ts")


def test_stored_rows_equal_the_files_rows_on_the_calendar_bit_for_bit(
    backfilled: Backfilled, shared: Path
) -> None:
    for profile in backfilled.universe.profiles.values():
        for timeframe in profile.timeframes.fetch:
            stored = backfilled.table(profile.name, str(timeframe))
            assert set(stored["symbol"]) == set(profile.symbols)
            for symbol in profile.symbols.values():
                expected = file_rows(shared, profile, symbol, timeframe, backfilled.now)
                own = stored.filter(pl.col("symbol") == symbol.name).select(_VALUES)
                assert len(expected) > 0
                assert own.equals(expected.cast(own.schema)), f"{profile.name} {symbol.name}"


def test_the_gaps_are_binances_outage_and_not_one_quiet_minute(backfilled: Backfilled) -> None:
    gaps = backfilled.query(
        "SELECT symbol, first_ts, last_ts, bars, status FROM ops.gaps ORDER BY symbol"
    )
    assert [(row[0], str(row[1]), str(row[2]), row[3]) for row in gaps.iter_rows()] == [
        ("BTCUSDT", "2023-03-24 12:40:00", "2023-03-24 13:59:00", 80),
        ("ETHUSDT", "2023-03-24 12:40:00", "2023-03-24 13:59:00", 80),
    ]
    matrix = backfilled.query("SELECT * FROM ops.completeness")
    fetched = matrix.filter(
        pl.col("timeframe").is_in(["1m"]) | (pl.col("profile") == "equity_daily")
    )
    assert (
        fetched["expected"] == fetched["stored"] + fetched["explained"] + fetched["missing"]
    ).all()
    assert matrix.filter(pl.col("missing") > 0)["symbol"].unique().sort().to_list() == [
        "BTCUSDT",
        "ETHUSDT",
    ]


def test_quiet_minutes_are_explained_in_their_number(backfilled: Backfilled) -> None:
    matrix = backfilled.query(
        "SELECT symbol, expected, stored, explained FROM ops.completeness WHERE timeframe = '1m'"
    )
    quiet = {
        row["symbol"]: row for row in matrix.filter(pl.col("explained") > 0).iter_rows(named=True)
    }
    assert set(quiet) == {"BTCUSDC.KRAKEN", "6EH4", "EURUSD"}
    assert quiet["BTCUSDC.KRAKEN"]["expected"] == 15 * 1440
    # 423 minutes without a trade inside the file,
    # and the last minute of the month, which it ends before.
    assert quiet["6EH4"]["explained"] == 424


def test_every_check_partition_tells_what_the_store_holds(backfilled: Backfilled) -> None:
    for profile in backfilled.universe.profiles.values():
        for timeframe in profile.timeframes.fetch:
            asset = dg.AssetKey([profile.name, f"candles_{timeframe}"])
            keys = [
                dg.AssetCheckKey(asset, check) for check in ("continuity", "genesis", "validity")
            ]
            found = backfilled.instance.event_log_storage.get_asset_check_partition_info(keys)
            red = {
                (info.check_key.name, info.partition_key)
                for info in found
                if info.latest_execution_status.value != "SUCCEEDED"
            }
            assert red == ({("continuity", "2023-03-24")} if profile.name == "crypto" else set())
            materialized = backfilled.instance.get_materialized_partitions(asset)
            assert {info.partition_key for info in found} == materialized
            assert len(found) == 3 * len(materialized)


def test_a_second_backfill_asks_for_open_gaps_alone_and_changes_no_row(
    backfilled: Backfilled,
) -> None:
    before = {
        name: backfilled.table(name, str(profile.timeframes.fetch[0]))
        for name, profile in backfilled.universe.profiles.items()
    }
    known = set(backfilled.query("SELECT job_id FROM ops.jobs")["job_id"])
    assert all(backfilled.backfill(derive=False))
    for name, profile in backfilled.universe.profiles.items():
        assert backfilled.table(name, str(profile.timeframes.fetch[0])).equals(before[name])
    fills = backfilled.query("SELECT job_id, profile, detail FROM ops.jobs WHERE kind = 'fill'")
    fills = fills.filter(~pl.col("job_id").is_in(known))
    details = {profile: json.loads(detail) for _, profile, detail in fills.iter_rows()}
    assert {name: detail["rows"]["new"] for name, detail in details.items()} == dict.fromkeys(
        details, 0
    )
    asked = {
        name: sum(usage["requests"] for usage in detail["requests"].values())
        for name, detail in details.items()
    }
    assert asked == {**dict.fromkeys(details, 0), "crypto": 2}


def test_a_derived_bar_is_made_of_the_minutes_of_its_session(backfilled: Backfilled) -> None:
    days = backfilled.query("SELECT ts, bars, bars_expected FROM equity.candles_1d ORDER BY ts")
    half = days.filter(pl.col("bars") == 210)["ts"].dt.strftime("%Y-%m-%d").to_list()
    assert half == ["2024-07-03", "2024-11-29", "2024-12-24"]
    assert (days.filter(~pl.col("ts").dt.strftime("%Y-%m-%d").is_in(half))["bars"] == 390).all()
    assert (days["bars"] == days["bars_expected"]).all()
    outage = backfilled.query(
        """
        SELECT bars, bars_expected
        FROM crypto.candles_1d
        WHERE symbol = 'BTCUSDT' AND ts = '2023-03-24'
        """
    )
    assert outage.row(0) == (1360, 1440)
    week = backfilled.query(
        "SELECT * FROM equity_daily.candles_1w WHERE symbol = 'AAPL' AND ts = '2001-09-10'"
    ).row(0, named=True)
    assert (week["bars"], week["bars_expected"]) == (1, 1)


@pytest.mark.parametrize("timeframe", ["5m", "15m"])
@pytest.mark.parametrize(
    "name", ["binance-spot-2023outage__BTCUSDT", "binance-spot-illiquid__WAVESBTC"]
)
def test_derived_candles_equal_the_vendors_own(
    backfilled: Backfilled, shared: Path, name: str, timeframe: str
) -> None:
    vendor = pl.read_parquet(
        shared / "data" / "crypto" / f"{name}__{timeframe}.parquet"
    ).with_columns(pl.col("ts").cast(pl.Datetime("us")))
    symbol = name.partition("__")[2]
    derived = backfilled.table("crypto", timeframe).filter(pl.col("symbol") == symbol)
    both = derived.join(vendor, on="ts", suffix="_vendor")
    assert len(both) > 2500
    for column in ("open", "high", "low", "close"):
        assert both[column].equals(both[f"{column}_vendor"].alias(column)), column
    assert (
        (both["volume"] - both["volume_vendor"]).abs() <= 1e-6 * both["volume_vendor"].abs() + 1e-9
    ).all()
