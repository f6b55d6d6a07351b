"""Features as assets.

They are made again exactly where candles changed that they reach back to, and are red where a
symbol's could not be made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from market_assets.alerts.facts import store_troubles
from market_assets.defs.automation.runs import RangeRun, Runner, plan_backfill
from market_assets.market.datasets import Family
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.defs_ground import Follower

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground

FEATURES = dg.AssetKey(["kept", "features_1h"])
DAYS = [f"2025-02-{day:02}" for day in range(3, 10)]
# Sums over 30 bars reach into the day before, and into the one before that.
SOME = """
timeframes: {fetch: [1h], features: [1h]}
features: {atr: [], rsi: [], adx: [], macd: [], ema: [], sma: [5, 30], bb: [[20, 2]],
           volatility: [5], drawdown: [5]}
"""


@pytest.fixture
def features(ground: Ground, vendor: Callable[..., PracticeVendor]) -> Ground:
    """A week of hours of which every partition is filled."""
    ground.keep(vendor(), SOME)
    ground.fill()
    return ground


def make(ground: Ground, *days: str) -> tuple[dg.DagsterRun, bool]:
    run = RangeRun("kept", (Timeframe.H1,), days, Family.FEATURES)
    run_id, success = Runner(ground.definitions, ground.instance).execute(run, done=lambda: None)
    found = ground.instance.get_run_by_id(run_id)
    assert found is not None
    return found, success


def test_every_column_of_the_table_is_described_on_the_asset(features: Ground) -> None:
    run, success = make(features, *DAYS)
    assert success
    node = features.definitions.resolve_asset_graph().get(FEATURES)
    columns = {
        column.name: column.description for column in node.metadata["dagster/column_schema"].columns
    }
    table = features.table("SELECT * FROM kept.features_1h")
    assert list(columns) == table.columns
    assert all(columns.values())
    assert len(table) == 2 * 7 * 24
    assert table["sma_30"].null_count() == 2 * 29
    made = features.materializations(run)
    assert sorted(made) == DAYS
    assert made[DAYS[0]].metadata["dagster/partition_row_count"].value == 48
    assert all(one.tags and one.tags["dagster/data_version"] for one in made.values())


def test_a_candle_that_changes_requests_the_features_that_read_it_and_no_others(
    features: Ground,
) -> None:
    make(features, *DAYS)
    follower = Follower(features)
    assert follower.asked() == {}
    features.fill("2025-02-05", refetch=True)
    assert follower.asked() == {}
    with features.store_resource.get_connection() as connection:
        connection.execute(
            "DELETE FROM kept.candles_1h WHERE ts = '2025-02-05 05:00' AND symbol = 'BTC'"
        )
    features.fill("2025-02-05")
    assert follower.asked() == {"features_1h": [("2025-02-05", "2025-02-07")]}


def test_a_symbol_that_fails_leaves_the_others_stored_the_partition_green_and_somebody_told(
    features: Ground,
) -> None:
    with features.store_resource.get_connection() as connection:
        connection.execute(
            """
            UPDATE kept.candles_1h
            SET close = 'nan'
            WHERE ts = '2025-02-08 05:00' AND symbol = 'ETH'
            """
        )
    run, success = make(features, *DAYS)
    assert success
    seen = dict.fromkeys(DAYS, "MATERIALIZED")
    partitions = features.definitions.resolve_asset_graph().get(FEATURES).partitions_def
    states = features.instance.get_status_by_partition(FEATURES, DAYS, partitions)
    assert {key: state.value for key, state in states.items() if state} == seen
    rows = dict(
        features.table("SELECT symbol, count(*) FROM kept.features_1h GROUP BY ALL").iter_rows()
    )
    assert rows == {"BTC": 7 * 24, "ETH": 7 * 24}
    made = features.materializations(run)
    assert made["2025-02-07"].description is None
    why = made["2025-02-08"].description
    assert why.startswith(
        "Not whole: ETH: the candle at 2025-02-08 05:00Z has a price that is no number"
    )
    assert made["2025-02-08"].metadata["not_whole"].value == why
    with features.store_resource.store(features.clock).reading("looking") as view:
        troubles = store_troubles(view, features.universe, features.clock.now())
    (told,) = [one for one in troubles if one.kind.value == "enrichment"]
    assert told.subject == "features_1h"
    assert told.details[1].startswith(
        "2025-02-08: ETH: the candle at 2025-02-08 05:00Z has a price that is no number"
    )


def test_a_backfill_ends_with_the_features_of_its_window_and_of_what_reads_it(
    ground: Ground,
) -> None:
    profile = ground.keep(keys=SOME)
    now = ground.clock.now()
    whole = profile.window(now)
    runs = plan_backfill(profile, whole, now)
    assert [(run.family, run.timeframes, len(run.partitions)) for run in runs] == [
        ("candles", (Timeframe.H1,), 7),
        ("features", (Timeframe.H1,), 7),
    ]
    assert runs[1].keys == [FEATURES]
    assert not runs[1].fetches(profile)
    part = Window(whole.start, whole.start.replace(day=5))
    assert plan_backfill(profile, part, now)[1].partitions == tuple(DAYS[:4])
