"""Aligned returns as assets.

They are red where too much is neutral, and are made again exactly where their candles changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from market_assets.config.load import load_universe
from market_assets.definitions import build_definitions
from market_assets.defs.automation.runs import RangeRun, Runner, plan_backfill, plan_markets
from market_assets.market.datasets import Family
from market_assets.market.timeframes import Timeframe
from market_assets_tests.support.defs_ground import Follower

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground

RETURNS = dg.AssetKey(["kept", "returns_1h"])
DAYS = [f"2025-02-{day:02}" for day in range(3, 10)]


@pytest.fixture
def returns(ground: Ground, vendor: Callable[..., PracticeVendor]) -> Ground:
    """A week of hours with returns; a third of one symbol's 5th is a hole."""
    hole = {
        "fault": "hole",
        "symbols": ["ETH"],
        "start": "2025-02-05T02:00Z",
        "end": "2025-02-05T10:00Z",
    }
    ground.keep(vendor(hole), "{timeframes: {fetch: [1h], returns: [1h]}}")
    return ground


def align(ground: Ground, *days: str) -> bool:
    run = RangeRun("kept", (Timeframe.H1,), days, Family.RETURNS)
    return Runner(ground.definitions, ground.instance).execute(run, done=lambda: None)[1]


def test_a_partition_with_too_many_neutral_returns_fails_its_check_and_names_the_symbol(
    returns: Ground,
) -> None:
    returns.fill()
    assert align(returns, *DAYS)
    rows = returns.table(
        "SELECT count(*) AS n, count(neutral) AS neutral FROM kept.returns_1h"
    ).row(0)
    assert rows == (2 * 7 * 24, 2 + 8)
    check = dg.AssetCheckKey(RETURNS, "alignment")
    found = returns.instance.event_log_storage.get_asset_check_partition_info([check])
    passed = {one.partition_key: one.latest_execution_status.value for one in found}
    assert passed == {day: "FAILED" if day == "2025-02-05" else "SUCCEEDED" for day in DAYS}
    (run,) = returns.instance.get_runs(limit=1)
    (failed,) = (
        entry.get_dagster_event().asset_check_evaluation_data
        for entry in returns.instance.all_logs(run.run_id)
        if entry.is_dagster_event
        and entry.get_dagster_event().event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
        and not entry.get_dagster_event().asset_check_evaluation_data.passed
    )
    assert "1 symbol is DEGRADED (ETH)" in str(failed.description)
    assert failed.metadata["neutral_open_gap"].value == 8


def test_a_candle_partition_that_changes_requests_its_own_returns_and_the_next_partition_s(
    returns: Ground,
) -> None:
    returns.fill()
    assert align(returns, *DAYS)
    follower = Follower(returns)
    assert follower.asked() == {}
    returns.fill("2025-02-05", refetch=True)
    assert follower.asked() == {}
    with returns.store_resource.get_connection() as connection:
        connection.execute(
            "DELETE FROM kept.candles_1h WHERE ts = '2025-02-07 05:00' AND symbol = 'BTC'"
        )
    returns.fill("2025-02-07")
    assert follower.asked() == {"returns_1h": [("2025-02-07", "2025-02-08")]}


def test_the_terminal_makes_the_returns_of_a_window_and_of_the_partition_behind_it(
    returns: Ground,
) -> None:
    window = returns.profile.window(returns.clock.now())
    runs = plan_backfill(returns.profile, window, returns.clock.now())
    assert [(run.family, run.partitions[0], run.partitions[-1]) for run in runs] == [
        ("candles", "2025-02-03", "2025-02-09"),
        ("returns", "2025-02-03", "2025-02-09"),
    ]
    assert [run.fetches(returns.profile) for run in runs] == [True, False]
    part = type(window)(window.start, window.start.replace(day=5))
    runs = plan_backfill(returns.profile, part, returns.clock.now())
    assert [(run.partitions[0], run.partitions[-1]) for run in runs] == [
        ("2025-02-03", "2025-02-04"),
        ("2025-02-03", "2025-02-05"),
    ]
    assert plan_markets(returns.universe, {"kept": window}, returns.clock.now()) == []


def test_returns_across_profiles_are_an_asset_of_their_own(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MARKET_ASSETS_HOME", str(tmp_path))
    path = tmp_path / "universe.yaml"
    path.write_text(
        "sources: {practice: {}}\n"
        "markets: {timeframes: [1d, 30m], calendar: intersection, name: everything}\n"
        "profiles:\n"
        "  coins: {kind: CRYPTO, start: 2025-01-06, sources: [practice], symbols: {BTC: {}}, "
        "timeframes: {fetch: [1m], derive: [30m, 1d]}}\n"
        "  stocks: {kind: EQUITY, start: 2025-02-03, sources: [practice], symbols: {SPY: {}}, "
        "timeframes: {fetch: [1m], derive: [30m, 1d]}}\n"
    )
    graph = build_definitions(load_universe(path, environ={})).resolve_asset_graph()
    daily = graph.get(dg.AssetKey(["everything", "returns_1d"]))
    assert {key.to_user_string() for key in daily.parent_keys} == {
        "coins/candles_1d",
        "stocks/candles_1d",
    }
    halves = graph.get(dg.AssetKey(["everything", "returns_30m"]))
    assert halves.partitions_def.get_partition_keys()[0] == "2025-01-06"
    mapping = graph.get_partition_mapping(halves.key, dg.AssetKey(["stocks", "candles_30m"]))
    stocks = graph.get(dg.AssetKey(["stocks", "candles_30m"])).partitions_def
    friday = stocks.empty_subset().with_partition_keys(["2025-02-07"])
    behind = mapping.get_downstream_partitions_for_partitions(friday, stocks, halves.partitions_def)
    assert max(behind.get_partition_keys()) == "2025-02-14"
