"""Which bars each series is made of, and how many they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.config.universe import SourceSymbol
from market_assets.errors import UniverseError
from market_assets.expected.series import Series, bars_of, count_series, series_of
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
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


class TestBars:
    def test_the_bars_of_series_are_the_closed_ones_that_lie_in_them_sorted(self):
        window = Window(at("2025-03-01T10:00"), at("2025-03-01T14:00"))
        new = Series("AAA", Window(at("2025-03-01T12:00"), NOW), ())
        bars = bars_of(
            load_calendar("24/7"),
            Timeframe.H1,
            window,
            [series(at("2025-01-01T00:00"), NOW), new],
            NOW,
        )
        assert bars.select("symbol", pl.col("ts").dt.hour()).rows() == [("BTC", 10), ("BTC", 11)]
        half = bars_of(load_calendar("24/7"), Timeframe.M30, window, [new], NOW)
        assert half["ts"].dt.to_string("%H:%M").to_list() == ["12:00"]

    def test_no_series_has_no_bars(self):
        window = Window(at("2025-03-01T10:00"), at("2025-03-01T14:00"))
        assert bars_of(load_calendar("24/7"), Timeframe.H1, window, [], NOW).is_empty()


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
        own = [one.since(genesis.get(one.symbol)) for one in series_of(kept, NOW)]
        bars = bars_of(load_calendar(kept.calendar), timeframe, whole, own, NOW)
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
