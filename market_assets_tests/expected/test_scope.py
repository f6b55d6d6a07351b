"""What must exist of one timeframe, as of one instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.errors import UniverseError
from market_assets.expected.scope import Scope, scope_of
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.fill_ground import at

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Profile

NOW = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)
WINDOW = Window(at("2025-03-01T10:00"), at("2025-03-01T14:00"))


@pytest.fixture
def hours(profile: Callable[[str], Profile]) -> Scope:
    """Hours of two symbols, of which one begins at noon, and what is derived of them."""
    kept = profile("""
        kind: CRYPTO
        start: 2025-02-01
        timeframes: {fetch: [30m, 1h], derive: [4h]}
        symbols: {BTC: {}, AAA: {}}
    """)
    return scope_of(kept, Timeframe.H1, NOW).since({"AAA": at("2025-03-01T12:00")})


class TestBars:
    def test_the_bars_of_series_are_the_closed_ones_that_lie_in_them_sorted(self, hours):
        bars = hours.bars(WINDOW)
        assert bars.select("symbol", pl.col("ts").dt.hour()).rows() == [("BTC", 10), ("BTC", 11)]
        half = hours.of(Timeframe.M30).without({"BTC"}).bars(WINDOW)
        assert half["ts"].dt.to_string("%H:%M").to_list() == ["12:00"]

    def test_no_series_has_no_bars_and_no_partitions(self, hours):
        nothing = hours.without({"BTC", "AAA"})
        assert nothing.bars(WINDOW).is_empty()
        assert nothing.partitions(WINDOW) == []

    def test_the_grid_has_bars_still_to_come_and_only_closed_ones_are_closed(self, hours):
        assert [len(hours.grid(WINDOW)), len(hours.closed(WINDOW))] == [4, 2]

    def test_a_size_is_the_number_of_bars_by_the_hours_of_the_market(self, hours, profile):
        assert hours.size(WINDOW) == 2 * len(hours.grid(WINDOW)) == 8
        shares = profile("""
            kind: EQUITY
            start: 2024-11-01
            timeframes: {fetch: [1m, 1h, 1d]}
            symbols: {SPY: {}}
        """)
        # The day before Thanksgiving, Thanksgiving, and the half day after it.
        days = Window(at("2024-11-27T00:00"), at("2024-11-30T00:00"))
        for timeframe in (Timeframe.M1, Timeframe.H1, Timeframe.D1):
            scope = scope_of(shares, timeframe, NOW)
            assert scope.size(days) == len(scope.grid(days)) > 0
        midday = Window(at("2024-11-27T15:10"), at("2024-11-27T18:20"))
        minutes = scope_of(shares, Timeframe.M1, NOW)
        assert minutes.size(midday) == len(minutes.grid(midday)) == 190

    def test_a_derived_bar_belongs_to_a_series_that_it_shares_an_instant_with(self, hours):
        # It is 08:00 to 12:00, and the series begins at 11:00.
        late = scope_of(hours.profile, Timeframe.H4, NOW, ["AAA"]).since(
            {"AAA": at("2025-03-01T11:00")}
        )
        early = Window(at("2025-03-01T08:00"), at("2025-03-01T12:00"))
        (series,) = late.series
        assert late.grid(early).filter(late.belonging(series)).height == 1
        fetched = late.of(Timeframe.H1)
        opens = fetched.grid(early).filter(fetched.belonging(series))["ts"]
        assert opens.dt.hour().to_list() == [11]


def test_partitions_reach_as_far_as_the_series(hours: Scope) -> None:
    ever = Window(at("2020-01-01T00:00"), at("2030-01-01T00:00"))
    assert [partition.key for partition in hours.without({"BTC"}).partitions(ever)] == [
        "2025-03-01"
    ]
    assert len(hours.partitions(ever)) == 29


def test_a_scope_of_another_instant_has_the_same_symbols_from_their_start_on(hours: Scope) -> None:
    later = hours.without({"BTC"}).at(NOW + timedelta(hours=1))
    assert later.symbols == ["AAA"]
    assert later.extent == Window(at("2025-02-01T00:00"), NOW + timedelta(hours=1))


def test_some_symbols_are_those_that_are_named_and_none_named_are_all(hours: Scope) -> None:
    assert hours.only(["AAA"]).symbols == ["AAA"]
    assert hours.only([]).symbols == ["BTC", "AAA"]
    with pytest.raises(UniverseError):
        hours.only(["NOPE"])
