"""Whether the prices and volumes of two sources are the same."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_assets.market.timeframes import Timeframe
from market_assets.verdicts.comparison import compare
from market_assets.verdicts.pair import Kind
from market_assets_tests.support.two_sources import told, walk

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[..., pl.DataFrame]


class TestRealSources:
    def test_two_venues_differ_in_closes_by_more_than_a_tenth_of_a_percent_but_in_nothing_else(
        self, read: Read
    ) -> None:
        days = (date(2023, 3, 17), date(2023, 3, 21))
        ours, theirs = (
            read("crypto/binance-spot-2023outage__BTCUSDT__1m", *days),
            read("crypto/binanceus__BTCUSDT__1m", *days),
        )
        (found,) = told(ours, theirs).disagreements
        assert (found.kind, 0.001 < found.worst < 0.005) == (Kind.CLOSE, True)
        assert f"{found.bars:,} of 7,200 closes lie more than 0.1 % apart" in found.words
        assert [bar["close"] for bar in found.sample] != [
            bar["their_close"] for bar in found.sample
        ]
        assert told(ours, theirs, close=0.005).disagreements == ()

    def test_bid_and_ask_lie_within_a_tenth_of_a_percent(self, read: Read) -> None:
        days = (date(2014, 5, 1), date(2014, 5, 9))
        bid, ask = (read(f"forex/lean-oanda-{side}__EURUSD__1m", *days) for side in ("bid", "ask"))
        assert told(bid, ask).disagreements == ()
        (found,) = told(bid, ask, close=0.00001).disagreements
        assert (found.kind, found.bars > 0.9 * len(bid)) == (Kind.CLOSE, True)

    @pytest.mark.parametrize(
        ("first", "last", "words"),
        [
            (date(2020, 8, 1), date(2020, 8, 28), "0.242507, then 0.242944 times ours, in 20 bars"),
            (date(2020, 9, 1), date(2020, 9, 30), "0.971776 times ours throughout, in 21 bars"),
            (date(2015, 12, 1), date(2020, 12, 31), "0.225469"),
        ],
        ids=["a month before a split with a dividend in it", "a month after it", "years"],
    )
    def test_adjusted_prices_beside_raw_ones_are_named_with_their_ratio(
        self, read: Read, first: date, last: date, words: str
    ) -> None:
        raw, adjusted = (
            read(name, first, last, "AAPL")
            for name in ("equity/lean__AAPL__1d", "equity/yahoo__PANEL20__1d")
        )
        (found,) = compare(raw, adjusted, Timeframe.D1, close=0.001, volume=None).disagreements
        assert found.kind is Kind.ADJUSTED
        assert words in found.words

    def test_a_split_of_seven_for_one_inside_the_window_is_named_with_both_ratios(
        self, read: Read
    ) -> None:
        raw = read("equity/lean__AAPL__1d", date(2014, 6, 1), date(2014, 6, 30))
        split = pl.col("ts") < datetime(2014, 6, 9)  # noqa: DTZ001
        adjusted = raw.with_columns(
            close=pl.when(split).then(pl.col("close") / 7).otherwise("close")
        )
        assert raw["close"][4] > 6 * raw["close"][5]  # it is raw
        (found,) = compare(raw, adjusted, Timeframe.D1, close=0.001, volume=None).disagreements
        assert (found.kind, found.bars, found.worst) == (Kind.ADJUSTED, 5, pytest.approx(1 / 7))
        assert "0.142857, then 1 times ours" in found.words
        assert found.first == datetime(2014, 6, 2, tzinfo=UTC)


class TestAnyCandles:
    @settings(max_examples=30)
    @given(
        st.integers(0, 10_000), st.lists(st.integers(0, 1439), min_size=1, max_size=9, unique=True)
    )
    def test_exactly_the_bars_beyond_the_tolerance_are_counted(
        self, seed: int, wrong: list[int]
    ) -> None:
        ours = walk(1440, seed)
        bad = pl.int_range(pl.len()).is_in(wrong)
        # Just beyond and just within.
        theirs = ours.with_columns(
            close=pl.col("close") * pl.when(bad).then(1.00101).otherwise(1.00099)
        )
        (found,) = told(ours, theirs).disagreements
        assert (found.kind, found.bars) == (Kind.CLOSE, len(wrong))
        assert found.worst == pytest.approx(0.00101, rel=1e-6)
        assert found.first.replace(tzinfo=None) == ours["ts"][min(wrong)]

    @pytest.mark.parametrize(("close", "count"), [(0.0, 0), (-37.63, 0), (5.0, 3)])
    def test_prices_of_zero_and_below_are_compared_too(self, close: float, count: int) -> None:
        ours = walk(3).with_columns(close=pl.lit(close))
        theirs = ours.with_columns(pl.col("close") if not count else pl.lit(-1.0).alias("close"))
        found = told(ours, theirs)
        assert sum(each.bars for each in found.disagreements) == count

    def test_volumes_are_compared_where_both_have_them(self) -> None:
        ours = walk(100)
        theirs = ours.with_columns(
            volume=pl.when(pl.int_range(100) < 40).then(None).otherwise(pl.col("volume") * 1000)
        )
        (found,) = told(ours, theirs, volume=0.01).disagreements
        assert (found.kind, found.bars, found.worst) == (Kind.VOLUME, 60, pytest.approx(0.999))
        assert "as a rule theirs are 1e+03 times ours" in found.words
        assert told(ours, theirs).disagreements == ()
