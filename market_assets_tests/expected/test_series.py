"""From when until when each series is kept."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.config.universe import SourceSymbol
from market_assets.errors import UniverseError
from market_assets.expected.series import Series, series_of
from market_assets.market.timeframes import Window
from market_assets_tests.support.fill_ground import at

NOW = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)
# The zone follows the bounds.
instants = st.datetimes(
    datetime(2025, 1, 1),  # noqa: DTZ001
    datetime(2025, 4, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def series(start: datetime, end: datetime) -> Series:
    return Series("BTC", Window(start, end), (SourceSymbol(source="vendor", symbol="BTC"),))


class TestSeries:
    @given(start=instants, end=instants, genesis=instants)
    def test_a_series_since_its_genesis_is_the_part_of_it_that_the_genesis_leaves(
        self, start, end, genesis
    ):
        start, end = sorted((start, end))
        since = series(start, end).since(genesis).window
        left = Window(start, end).intersect(
            Window(min(genesis, at("2026-01-01T00:00")), at("2026-01-01T00:00"))
        )
        assert since.empty if left is None else since == left

    def test_a_series_ends_at_the_present_or_at_its_end_and_a_symbol_is_named_once(self, profile):
        kept = profile("""
            kind: CRYPTO
            start: 2025-02-01
            symbols: {BTC: {}, OLD: {end: 2025-02-10}, NEW: {start: 2025-04-01}}
        """)
        windows = {one.symbol: one.window for one in series_of(kept, NOW)}
        assert windows == {
            "BTC": Window(at("2025-02-01T00:00"), NOW),
            "OLD": Window(at("2025-02-01T00:00"), at("2025-02-10T00:00")),
            "NEW": Window(at("2025-04-01T00:00"), at("2025-04-01T00:00")),
        }
        assert [one.symbol for one in series_of(kept, NOW, ["OLD", "BTC", "OLD"])] == ["OLD", "BTC"]

    def test_every_symbol_that_is_not_kept_is_named(self, profile):
        kept = profile("kind: CRYPTO\nstart: 2025-02-01\nsymbols: {BTC: {}}")
        with pytest.raises(UniverseError) as caught:
            series_of(kept, NOW, ["NOPE", "BTC", "NIX"])
        assert caught.value.problems == [
            f"{name}: no such symbol; it has BTC" for name in ("NIX", "NOPE")
        ]
