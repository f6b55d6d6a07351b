"""Which bars each series must have, as a stretch of the calendar's bars."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from market_assets.expected.called import called_of, grid_of
from market_assets.expected.scope import scope_of
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.fill_ground import at

NOW = at("2025-03-01T12:30")


@pytest.mark.parametrize(
    ("kind", "timeframe"),
    [("CRYPTO", "1h"), ("EQUITY", "15m"), ("FUTURES", "1d"), ("FOREX", "1w")],
)
def test_each_partition_has_the_bars_that_a_fill_expects(profile, kind, timeframe):
    kept = profile(f"""
        kind: {kind}
        start: 2023-11-15
        timeframes: {{fetch: [{timeframe}]}}
        symbols:
          ONE: {{}}
          MID: {{start: 2024-02-14, end: 2025-01-16}}
          LATER: {{start: 2026-01-01}}
    """)
    scope = scope_of(kept, Timeframe(timeframe), NOW)
    scope = scope.since({"ONE": at("2023-11-20T15:07")})

    called = called_of(scope, NOW)

    bars = scope.bars(Window(at("2023-11-13"), at("2025-03-03")))
    counts = bars.group_by("symbol", scope.part()).agg(expected=pl.len().cast(pl.Int64))
    assert called.partitions.sort("symbol", "part").equals(counts.sort("symbol", "part"))
    edges = bars.group_by("symbol").agg(pl.len(), pl.first("ts").alias("f"), pl.last("ts"))
    assert {
        symbol: (
            stretch.bars,
            stretch.first.replace(tzinfo=None),
            stretch.last.replace(tzinfo=None),
        )
        for symbol, stretch in called.stretches.items()
    } == {symbol: tuple(rest) for symbol, *rest in edges.iter_rows()}


def test_what_has_not_closed_until_an_instant_is_not_called_for(profile):
    kept = profile("kind: CRYPTO\nstart: 2025-02-28\ntimeframes: {fetch: [1h]}\nsymbols: {A: {}}")
    scope = scope_of(kept, Timeframe.H1, NOW)
    assert called_of(scope, NOW).stretches["A"].bars == 36
    assert called_of(scope, NOW - timedelta(hours=1)).stretches["A"].bars == 35
    assert called_of(scope, at("2025-02-28")).hull is None
    assert called_of(scope, at("2025-02-28")).partitions.is_empty()


def test_the_grid_has_the_calendars_bars_of_whole_days_and_none_beyond_it(profile):
    kept = profile("kind: EQUITY\nstart: 2025-02-28\ntimeframes: {fetch: [1m]}\nsymbols: {A: {}}")
    scope = scope_of(kept, Timeframe.M1, NOW)
    for days in (("2024-12-24", "2025-01-04"), ("2025-02-28", "2025-03-06")):
        window = Window(*(at(day) for day in days))
        grid = grid_of(scope, window)
        bars = scope.grid(window)
        assert grid["bits"].bitwise_count_ones().sum() == len(bars)
        assert (
            grid["part"].unique().sort().equals(bars["ts"].dt.date().unique().sort().alias("part"))
        )
    assert grid_of(scope, Window(at("1800-01-01"), at("1801-01-01"))).is_empty()
