"""Corporate actions as an asset: runs, verdict and views.

The runs start as the UI and the schedule start them. The views stand on the actions.
"""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import duckdb
import polars as pl
import pytest

from market_assets.config.load import load_universe
from market_assets.definitions import build_definitions
from market_assets.defs.assets.actions import actions_key
from market_assets.defs.automation.runs import Runner, plan_backfill
from market_assets.defs.keys import AUTOMATIC_TAG, TRIGGER_TAG, dataset_key
from market_assets.defs.resources import Clock, StoreResource
from market_assets.expected.series import prepare
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets_tests.support.alert_bell import Bell

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.fromisoformat("2021-04-01T12:00:00+00:00")
UNIVERSE = """
sources:
  archive: {path: "lean__{symbol}__1d.parquet"}
  files: {type: action_files, path: "actions/{symbol}.csv",
          columns: {ex_date: Date, ratio: Stock Splits, amount: Dividends},
          amounts: split_adjusted, currency: USD}
profiles:
  us:
    kind: EQUITY
    start: 2020-08-03
    end: 2020-12-01
    timeframes: {fetch: [1d], derive: [1w]}
    sources: [archive]
    actions: [files]
    symbols: {AAPL: {}, BAC: {}}
"""


class Us:
    """A home with four months of Apple and Bank of America, and the files of their actions."""

    key = actions_key("us")

    def __init__(self, home: Path, instance: dg.DagsterInstance, shared: Path) -> None:
        self.home, self.instance = home, instance
        (home / "actions").mkdir()
        lines = (
            (shared / "data" / "oracle" / "yahoo_actions" / "dividends_splits_2015-2025.csv")
            .read_text()
            .splitlines()
        )
        for symbol in ("AAPL", "BAC"):
            own = [
                line.partition(",")[2]
                for line in lines
                if line.partition(",")[0] in {"symbol", symbol}
            ]
            (home / "actions" / f"{symbol}.csv").write_text("\n".join(own))
            shutil.copy(shared / "data" / "equity" / f"lean__{symbol}__1d.parquet", home)
        (home / "universe.yaml").write_text(UNIVERSE)
        self.universe = load_universe(home / "universe.yaml", environ={})
        self.profile = self.universe.profiles["us"]
        self.at(NOW)

    def at(self, now: datetime) -> None:
        self.resources = {
            "store": StoreResource(database=str(self.home / "market.duckdb")),
            "clock": Clock(fixed=now.isoformat()),
        }
        self.definitions = build_definitions(self.universe, overrides=self.resources)

    def fill(self) -> None:
        for run in plan_backfill(self.profile, self.profile.window(NOW), NOW):
            Runner(self.definitions, self.instance).execute(run, done=lambda: None)

    def store_days(self) -> None:
        """What `fill` would store of days, at a twentieth of the time."""
        window = self.profile.window(NOW)
        with self.resources["store"].store(self.resources["clock"]).writing("days") as transaction:
            prepare(transaction, self.profile)
            for symbol in self.profile.symbols:
                rows = pl.read_parquet(self.home / f"lean__{symbol}__1d.parquet").filter(
                    window.holds()
                )
                transaction.candles.merge(
                    Dataset.candles("us", Timeframe.D1),
                    [symbol],
                    window,
                    rows.with_columns(source=pl.lit("archive")),
                )

    def record(self, **config: object) -> tuple[str, bool]:
        return Runner(self.definitions, self.instance).execute_assets([self.key], config=config)

    def materialization(self) -> Any:
        event = self.instance.get_latest_materialization_event(self.key)
        return event.asset_materialization if event else None

    def check(self) -> Any:
        key = dg.AssetCheckKey(self.key, "actions_match_prices")
        (record,) = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        return record.event.dagster_event.asset_check_evaluation_data

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(self.home / "market.duckdb", read_only=True) as db:
            return db.execute(query).fetchall()


@pytest.fixture
def us(tmp_path: Path, instance: dg.DagsterInstance, shared: Path) -> Us:
    return Us(tmp_path / "home", instance, shared)


def test_a_run_records_the_actions_holds_them_against_the_prices_and_makes_the_views(us):
    us.fill()

    _, success = us.record()

    assert success
    made = us.materialization().metadata
    assert {
        name: made[name].value
        for name in ("dagster/row_count", "splits", "dividends", "renames", "new", "symbols")
    } == {
        "dagster/row_count": 4,
        "splits": 1,
        "dividends": 3,
        "renames": 0,
        "new": 4,
        "symbols": 2,
    }
    newest = made["newest"].records[0].data
    assert (newest["symbol"], newest["ex_date"], newest["what"]) == (
        "AAPL",
        "2020-11-06",
        "0.205 USD",
    )
    assert made["newest"].records[-1].data["what"] == "0.82 USD"
    verdict = us.check()
    assert verdict.passed
    assert verdict.description.startswith("The raw prices moved as the splits say, which are 1")
    ((raw,),) = us.sql(
        "SELECT close FROM us.candles_1d WHERE symbol = 'AAPL' AND ts = '2020-08-28'"
    )
    ((adjusted,),) = us.sql(
        """
        SELECT close
        FROM us.adjusted_1d(DATE '2020-08-31')
        WHERE symbol = 'AAPL' AND ts = '2020-08-28'
        """
    )
    assert (raw, adjusted) == (499.23, 499.23 / 4)
    ((weeks,),) = us.sql("SELECT count(*) FROM us.candles_1w_adjusted WHERE symbol = 'AAPL'")
    assert weeks == 18

    version = us.instance.get_latest_materialization_event(us.key).asset_materialization.tags[
        "dagster/data_version"
    ]
    us.at(NOW + timedelta(days=1))
    assert us.record()[1]
    assert us.materialization().tags["dagster/data_version"] == version
    assert us.materialization().metadata["new"].value == 0


def test_a_source_that_fails_for_one_symbol_leaves_the_run_red_and_everything_else_recorded(us):
    us.record()
    (us.home / "actions" / "AAPL.csv").unlink()
    us.at(NOW + timedelta(days=1))

    run_id, success = us.record()

    assert not success
    (entry,) = us.instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    failure: Any = entry.get_dagster_event().event_specific_data
    said = failure.user_failure_data
    assert "of 1 of 2 symbols could not be had (AAPL)" in said.description
    assert "cannot be read" in said.description
    assert "cannot be read" in said.metadata["failed_symbols"].records[0].data["why"]
    assert us.sql(
        "SELECT symbol, count(*) FROM us.corporate_actions GROUP BY ALL ORDER BY ALL"
    ) == [
        ("AAPL", 3),
        ("BAC", 1),
    ]
    # What could be judged is judged: here, that there are no candles yet.
    assert "no daily candles yet" in us.check().description


def test_a_split_that_is_missing_is_seen_in_the_prices(us):
    us.store_days()
    path = us.home / "actions" / "AAPL.csv"
    path.write_text(
        "\n".join(line for line in path.read_text().splitlines() if "2020-08-31" not in line)
    )

    assert us.record()[1]

    verdict = us.check()
    assert (verdict.passed, verdict.severity.value) == (False, "WARN")
    row = verdict.metadata["jumps_without_action_listed"].records[0].data
    assert (row["symbol"], row["session"]) == ("AAPL", "2020-08-31")
    assert row["ratio_of_prices"] == pytest.approx(4, rel=0.05)


def test_a_split_that_the_prices_do_not_know_is_an_alert_until_it_is_corrected(us):
    us.store_days()
    path = us.home / "actions" / "AAPL.csv"
    right = path.read_text()
    path.write_text(right.replace("2020-08-31,0.0,4.0", "2020-08-28,0.0,4.0"))
    bell = Bell(us.universe, us.definitions, us.instance, us.home)

    def told() -> list[str]:
        bell.tick()
        sql = "SELECT summary FROM ops.alerts WHERE kind = 'failed_check' AND over_at IS NULL"
        return [summary for (summary,) in us.sql(sql)]

    assert us.record()[1]
    assert "told 4, the prices say 0.99" in us.check().description
    assert us.check().severity.value == "ERROR"
    assert told() == ["the check actions_match_prices fails"]

    path.write_text(right)
    us.at(NOW + timedelta(days=1))
    assert us.record()[1]
    assert told() == []
    assert us.sql("SELECT ex_date::VARCHAR, kind FROM ops.action_revisions") == [
        ("2020-08-28", "split")
    ]


def test_the_schedule_asks_for_those_that_are_due_and_is_on_by_default(us):
    def tick() -> Any:
        schedule = next(one for one in us.definitions.schedules or () if one.name == "actions_us")
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
        with dg.build_schedule_context(instance=us.instance, resources=us.resources) as context:
            return schedule(context)

    # The profile has ended: what is over is recorded by hand, or by a backfill.
    assert "actions_us" not in {one.name for one in us.definitions.schedules or ()}
    us.at(datetime.fromisoformat("2020-11-10T03:15:00+00:00"))
    request = tick()
    assert request.run_config["ops"]["us__corporate_actions"]["config"] == {
        "symbols": ["AAPL", "BAC"]
    }
    assert request.tags[TRIGGER_TAG] == "update"
    assert request.tags[AUTOMATIC_TAG] == "true"

    assert us.record(symbols=["AAPL"])[1]
    assert tick().run_config["ops"]["us__corporate_actions"]["config"] == {"symbols": ["BAC"]}
    assert us.record()[1]
    assert tick().skip_message == "every symbol was answered for within a day"


def test_only_profiles_with_actions_have_the_asset(us):
    keys = us.definitions.resolve_asset_graph().get_all_asset_keys()
    assert us.key in keys
    assert dataset_key(Dataset.candles("us", Timeframe.D1)) in keys

    (us.home / "universe.yaml").write_text(UNIVERSE.replace("    actions: [files]\n", ""))
    without = build_definitions(
        load_universe(us.home / "universe.yaml", environ={}), overrides=us.resources
    )

    assert us.key not in without.resolve_asset_graph().get_all_asset_keys()
