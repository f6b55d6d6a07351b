"""Bars that are possible and still likely wrong."""

from __future__ import annotations

import polars as pl
import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.verdicts.plausibility import FINDING_SCHEMA, implausible
from market_assets_tests.support.ordinary_market import FIRST, changed, market

MINUTES = 20 * 1440


def found(frame: pl.DataFrame, timeframe: Timeframe = Timeframe.M1) -> list[tuple[object, ...]]:
    rows = implausible(frame, timeframe)
    assert rows.schema == FINDING_SCHEMA
    minute = (pl.col("first_ts") - FIRST).dt.total_minutes()
    return rows.select("what", minute, "bars").rows()


LATE = 15 * 1440


def test_an_ordinary_market_is_plausible():
    assert found(market()) == []


@pytest.mark.parametrize("lasts", [1, 2, 3])
@pytest.mark.parametrize("way", [1.05, 0.95])
def test_a_price_that_leaves_and_comes_back_is_a_spike(lasts: int, way: float):
    prices = {name: pl.col(name) * way for name in ("open", "high", "low", "close")}
    assert found(changed(market(), LATE, lasts, **prices)) == [("spike", LATE, lasts)]


def test_a_wick_alone_is_a_spike_and_a_crash_is_none():
    assert found(changed(market(), LATE, 1, high=pl.col("high") * 1.03)) == [("spike", LATE, 1)]
    prices = {name: pl.col(name) * 0.8 for name in ("open", "high", "low", "close")}
    assert found(changed(market(), LATE, MINUTES, **prices)) == []


def test_a_storm_in_which_all_bars_are_wide_is_none():
    storm = {"high": pl.col("high") * 1.02, "low": pl.col("low") * 0.98}
    assert found(changed(market(), LATE, 60, **storm)) == []


def test_a_price_that_stands_still_is_frozen_where_it_never_does():
    frozen = market()
    at = frozen["close"][LATE - 1]
    still = changed(
        frozen, LATE, 45, **{name: pl.lit(at) for name in ("open", "high", "low", "close")}
    )
    assert found(still) == [("frozen", LATE, 45)]
    short = changed(
        frozen, LATE, 20, **{name: pl.lit(at) for name in ("open", "high", "low", "close")}
    )
    assert found(short) == []


def test_a_symbol_that_seldom_trades_is_left_alone():
    thin = market(flat=0.6)
    at = thin["close"][LATE - 1]
    still = changed(
        thin, LATE, 200, **{name: pl.lit(at) for name in ("open", "high", "low", "close")}
    )
    spike = changed(still, LATE + 1000, 1, high=pl.col("high") * 1.05)
    assert found(spike) == []


def test_a_volume_of_next_to_nothing_is_a_collapse_but_not_where_it_always_is():
    frame = market()
    assert found(changed(frame, LATE + 300, 60, volume=pl.col("volume") * 0.001)) == [
        ("volume_collapse", LATE + 300, 60)
    ]
    every_day = frame.with_columns(
        volume=pl.when((pl.int_range(pl.len()) % 1440).is_between(300, 359))
        .then(0.001)
        .otherwise("volume")
    )
    assert found(every_day) == []


def test_what_comes_later_changes_nothing_of_what_was_found_before():
    frame = changed(market(), LATE, 1, high=pl.col("high") * 1.05)
    wild = {
        name: pl.col(name) * pl.Series([1 + (at % 7) / 10 for at in range(MINUTES)])
        for name in ("high", "close")
    }
    later = changed(frame, LATE + 2000, MINUTES, **wild)
    assert found(later)[:1] == found(frame) == [("spike", LATE, 1)]


def test_without_a_past_nothing_is_said():
    assert found(changed(market(15), 10, 1, high=pl.col("high") * 2)) == []
    assert implausible(market(0), Timeframe.M1).is_empty()
