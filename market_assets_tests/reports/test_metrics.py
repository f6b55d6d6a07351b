"""What a monitor is told: the figures of the ledgers, by profile or by symbol."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.reports.metrics import Metric, metrics_of
from market_assets_tests.support.alerts_ground import universe_of
from market_assets_tests.support.store_rows import counts
from market_assets_tests.support.stream_rows import note_streams, stream_row

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.config.universe import Universe
    from market_assets.store import Store

H1 = Dataset.candles("kept", Timeframe.H1)
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
AT = NOW.replace(tzinfo=None)


@pytest.fixture
def universe(tmp_path: Path) -> Universe:
    return universe_of(tmp_path)


def told(store: Store, universe: Universe, *, by_symbol: bool = False) -> dict[str, Metric]:
    with store.reading("testing") as view:
        metrics = metrics_of(view, universe, NOW, size=4_096, by_symbol=by_symbol)
    names = [metric.name for metric in metrics]
    assert len(set(names)) == len(names)
    return {metric.name.removeprefix("market_assets_"): metric for metric in metrics}


def figures(metric: Metric) -> dict[tuple[str, ...], float]:
    return dict(metric.samples)


@pytest.fixture
def ledger(store: Store) -> Store:
    """Ten hours of two symbols must exist: ETH has all, BTC lacks five, one of them explained."""
    series = pl.DataFrame({"symbol": ["BTC", "ETH"], "expected": [10, 10]}).with_columns(
        profile=pl.lit("kept"),
        timeframe=pl.lit("1h"),
        derived=pl.lit(value=False),
        counted_until=pl.lit(AT).cast(TS),
    )
    begin = AT - timedelta(hours=10)
    gap = {
        "symbol": "BTC",
        "first_ts": begin,
        "last_ts": begin,
        "attempts": 1,
        "failures": 0,
        "confirmations": 0,
        "first_seen": AT,
        "reason": "",
    }
    gaps = [
        {**gap, "status": "open", "bars": 2},
        {**gap, "first_ts": begin + timedelta(hours=4), "status": "outage", "bars": 1},
        {**gap, "first_ts": begin + timedelta(hours=6), "status": "abandoned", "bars": 1},
    ]
    with store.writing("testing") as transaction:
        transaction.series.put(series)
        transaction.candles.create(H1, derived=False)
        opens = [("ETH", begin + timedelta(hours=hour)) for hour in range(10)]
        opens += [("BTC", begin + timedelta(hours=hour)) for hour in (2, 3, 5, 7)]
        rows = pl.DataFrame(opens, schema={"symbol": pl.String, "ts": TS}, orient="row")
        prices = {name: pl.lit(1.0) for name in ("open", "high", "low", "close", "volume")}
        candles = rows.with_columns(**prices, source=pl.lit("practice"))
        window = Window(NOW - timedelta(hours=10), NOW)
        transaction.candles.merge(H1, ["BTC", "ETH"], window, candles)
        # The last hours of BTC were not judged yet.
        transaction.partitions.put(
            H1, counts(("2025-03-01", "BTC", 8, 4, 1, 3), ("2025-03-01", "ETH", 10, 10, 0, 0))
        )
        for row in gaps:
            names = ", ".join(row)
            places = ", ".join("?" for _ in row)
            transaction.connection.execute(
                f"INSERT INTO ops.gaps (profile, timeframe, {names}) "
                f"VALUES ('kept', '1h', {places})",
                list(row.values()),
            )
    return store


def test_missing_bars_by_reason_add_up(ledger: Store, universe: Universe) -> None:
    metrics = told(ledger, universe)
    kept = ("kept", "1h")
    assert figures(metrics["bars_expected"]) == {kept: 20}
    assert figures(metrics["bars_stored"]) == {kept: 14}
    assert figures(metrics["bars_explained"]) == {(*kept, "outage"): 1}
    assert figures(metrics["bars_missing"]) == {
        (*kept, "open"): 2,
        (*kept, "abandoned"): 1,
        (*kept, "unasked"): 2,
    }
    assert figures(metrics["open_gaps"]) == {kept: 1}
    assert figures(metrics["completeness_ratio"]) == {kept: 0.75}
    assert figures(metrics["partitions"]) == {(*kept, "lacking"): 1}
    assert figures(metrics["store_bytes"]) == {(): 4_096}


def test_the_newest_bar_is_that_of_the_symbol_furthest_behind(
    ledger: Store, universe: Universe
) -> None:
    behind = (NOW - timedelta(hours=2)).timestamp()
    assert figures(told(ledger, universe)["last_bar_timestamp_seconds"]) == {("kept", "1h"): behind}
    assert figures(told(ledger, universe, by_symbol=True)["last_bar_timestamp_seconds"]) == {
        ("kept", "1h", "BTC"): behind,
        ("kept", "1h", "ETH"): NOW.timestamp(),
    }


def test_a_symbol_is_a_label_where_that_is_asked_for(ledger: Store, universe: Universe) -> None:
    metrics = told(ledger, universe, by_symbol=True)
    assert metrics["bars_missing"].labels == ("profile", "timeframe", "symbol", "reason")
    assert figures(metrics["completeness_ratio"]) == {
        ("kept", "1h", "BTC"): 0.5,
        ("kept", "1h", "ETH"): 1.0,
    }


def test_what_a_profile_has_left_that_is_gone_is_not_told(ledger: Store, tmp_path: Path) -> None:
    universe = universe_of(tmp_path)
    other = type(universe)(**{**vars(universe), "profiles": {}})
    metrics = told(ledger, other)
    names = [name for name, metric in metrics.items() if metric.samples]
    assert names == ["store_bytes", "store_lock_waits_total", "store_lock_wait_seconds_total"]


def test_streams_by_state_with_their_lag(store: Store, universe: Universe) -> None:
    since = NOW - timedelta(minutes=5)
    note_streams(
        store,
        stream_row("kept", "BTC", "live", since, NOW, lag_p50=0.4, lag_p99=0.9, reconnects=2),
        stream_row("kept", "ETH", "silent", since, NOW, lag_p50=0.4, lag_p99=0.9, reconnects=2),
    )
    metrics = told(store, universe)
    assert figures(metrics["stream_symbols"]) == {
        ("kept", "1h", "live"): 1,
        ("kept", "1h", "silent"): 1,
    }
    assert figures(metrics["stream_lag_seconds"]) == {
        ("kept", "1h", "0.5"): 0.4,
        ("kept", "1h", "0.99"): 0.9,
    }
    assert figures(metrics["stream_reconnects"]) == {("kept", "1h"): 2}


def test_a_store_without_a_fill_has_metrics(store: Store, universe: Universe) -> None:
    metrics = told(store, universe)
    assert {metric.kind for metric in metrics.values()} == {"gauge", "counter"}
    for metric in metrics.values():
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert all(len(sample.labels) == len(metric.labels) for sample in metric.samples)
