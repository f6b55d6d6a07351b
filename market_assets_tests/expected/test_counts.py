"""How many bars each series must have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from market_assets.expected.counts import count_series
from market_assets.expected.scope import scope_of
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.fill_ground import at

NOW = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)


class TestCounting:
    @pytest.mark.parametrize(
        ("kind", "timeframe"),
        [("CRYPTO", "1h"), ("FUTURES", "1d"), ("FOREX", "1w"), ("EQUITY", "5m")],
    )
    def test_as_many_bars_are_counted_as_a_fill_expects(self, profile, kind, timeframe):
        kept = profile(f"""
            kind: {kind}
            start: 2023-11-15
            timeframes: {{fetch: [{timeframe}]}}
            symbols: {{ONE: {{}}, MID: {{start: 2024-02-14, end: 2025-01-16}}, NEW: {{}},
                      LATER: {{start: 2026-01-01}}}}
        """)
        timeframe = Timeframe(timeframe)
        genesis = {"NEW": datetime(2025, 2, 26, tzinfo=UTC) + timedelta(hours=3)}

        counted = count_series(kept, {timeframe: genesis}, NOW)

        whole = Window(at("2023-11-13T00:00"), at("2025-03-03T00:00"))
        bars = scope_of(kept, timeframe, NOW).since(genesis).bars(whole)
        expected = dict.fromkeys(kept.symbols, 0) | dict(bars.group_by("symbol").len().iter_rows())
        assert dict(counted.select("symbol", "expected").iter_rows()) == expected
        assert expected["ONE"] > expected["MID"] > 0

    def test_a_derived_bar_is_counted_as_soon_as_a_part_of_it_was_to_be_fetched(self, profile):
        # From a Wednesday on, the week before it has a part of its days.
        kept = profile("""
            kind: CRYPTO
            start: 2025-02-12
            end: 2025-02-26
            timeframes: {fetch: [1h], derive: [1d, 1w]}
            symbols: {BTC: {}}
        """)
        counted = count_series(kept, {}, at("2025-03-10T00:00"))
        rows = counted.select("timeframe", "expected", "derived").rows()
        assert rows == [("1h", 14 * 24, False), ("1d", 14, True), ("1w", 3, True)]

    def test_a_bar_that_the_next_update_is_still_to_bring_is_not_called_for_before_it_was_judged(
        self, profile
    ):
        kept = profile("""
            kind: CRYPTO
            start: 2025-02-28
            timeframes: {fetch: [1m]}
            update: {every: 5m, settle: 30s}
            symbols: {BTC: {}}
        """)
        whole = (NOW - at("2025-02-28T00:00")) // timedelta(minutes=1)

        def expected(ago: timedelta) -> int:
            return count_series(kept, {}, NOW, judged={Timeframe.M1: NOW - ago})["expected"].item()

        # Bars that closed in the last six and a half minutes may be on their way.
        assert [expected(timedelta(minutes=minutes)) for minutes in (0, 2, 6, 30)] == [
            whole,
            whole - 2,
            whole - 6,
            whole - 7,
        ]
        assert count_series(kept, {}, NOW)["expected"].item() == whole
