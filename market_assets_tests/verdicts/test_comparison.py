"""Two sources of one symbol.

What differs is named with its figures, and what does not differ is not named.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_assets.market.timeframes import TS, Timeframe
from market_assets.verdicts.comparison import Comparison, compare
from market_assets.verdicts.pair import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Read = Callable[..., pl.DataFrame]

DAY = datetime(2025, 3, 3)  # noqa: DTZ001 - as in a column of the store


@pytest.fixture(scope="session")
def read(shared: Path) -> Read:
    """Real candles of one file, of some days perhaps."""

    def candles(
        name: str, first: date | None = None, last: date | None = None, symbol: str | None = None
    ) -> pl.DataFrame:
        rows = pl.scan_parquet(shared / "data" / f"{name}.parquet").with_columns(
            pl.col("volume").cast(pl.Float64)
        )
        day = pl.col("ts").dt.date()
        rows = rows if first is None else rows.filter(day.is_between(first, last or first))
        rows = rows if symbol is None else rows.filter(pl.col("symbol") == symbol)
        return rows.select("ts", "close", "volume").sort("ts").collect()

    return candles


def moved(rows: pl.DataFrame, by: str) -> pl.DataFrame:
    return rows.with_columns(pl.col("ts").dt.offset_by(by))


def by_day(rows: pl.DataFrame) -> dict[object, pl.DataFrame]:
    return rows.with_columns(day=pl.col("ts").dt.date()).partition_by(
        "day", as_dict=True, include_key=False
    )


def told(ours: pl.DataFrame, theirs: pl.DataFrame, **tolerances: float | None) -> Comparison:
    return compare(ours, theirs, Timeframe.M1, **({"close": 0.001, "volume": None} | tolerances))


def walk(
    bars: int = 1440, seed: int = 0, *, still: float = 0.0, step: float = 1e-4
) -> pl.DataFrame:
    """Minutes of a price that walks at random, and stands still in a share of them."""
    random = np.random.default_rng(seed)
    moves = random.normal(0, step, bars) * (random.random(bars) >= still)
    ts = pl.Series([DAY + timedelta(minutes=number) for number in range(bars)], dtype=TS)
    return pl.DataFrame(
        {
            "ts": ts,
            "close": 100 * np.exp(np.cumsum(moves)),
            "volume": random.integers(1, 99, bars) * 1.0,
        }
    )


class TestRealSources:
    def test_two_that_record_the_same_market_agree(self, read: Read) -> None:
        ours, theirs = (
            by_day(read("forex/histdata__EURUSD__1m")),
            by_day(read("forex/mt4-2020__EURUSD__1m")),
        )
        both = ours.keys() & theirs.keys()
        assert len(both) == 24
        assert all(not told(ours[day], theirs[day], close=0.0001).disagreements for day in both)

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

    def test_an_illiquid_venue_that_leaves_minutes_out_is_not_taken_for_shifted(
        self, read: Read
    ) -> None:
        ours, theirs = (
            by_day(read("crypto/binanceus__BTCUSDC__1m")),
            by_day(read("crypto/kraken__BTCUSDC__1m")),
        )
        found = [told(ours[day], theirs[day]) for day in ours.keys() & theirs.keys()]
        assert {each.kind for one in found for each in one.disagreements} == {Kind.CLOSE}
        assert all(one.only_ours for one in found)

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

    @pytest.mark.parametrize(
        "name",
        [
            "crypto/binance-spot-illiquid__IOTABTC__1m",
            "crypto/kraken__BTCUSDC__1m",
            "forex/histdata__EURUSD__1m",
        ],
    )
    @pytest.mark.parametrize(
        ("by", "kind", "words"),
        [
            ("1m", Kind.SHIFTED, "one bar, 1 min later"),
            ("-1m", Kind.SHIFTED, "one bar, 1 min earlier"),
            ("1h", Kind.CLOCK, "1 h later"),
            ("-5h", Kind.CLOCK, "5 h earlier"),
            ("5h30m", Kind.CLOCK, "5.5 h later"),
        ],
    )
    def test_shifted_copies_of_real_days_are_told_by_how_much(
        self, read: Read, name: str, by: str, kind: Kind, words: str
    ) -> None:
        rows = read(name)
        shifted = by_day(moved(rows, by))
        days = [
            (own, shifted[day])
            for day, own in by_day(rows).items()
            if own.height > 600 and day in shifted
        ]
        assert len(days) > 15
        found = [told(*pair).disagreements for pair in days[:10]]
        assert {(len(each), each[0].kind) for each in found} == {(1, kind)}
        assert all(words in each[0].words for each in found)

    @pytest.mark.parametrize("name", ["crypto/kraken__BTCUSDC__1m", "forex/histdata__EURUSD__1m"])
    def test_a_copy_whose_clock_changes_in_the_middle_is_told_with_its_instant(
        self, read: Read, name: str
    ) -> None:
        for own in list(by_day(read(name)).values())[2:8]:
            early = pl.col("ts").dt.hour() < 7
            late = pl.concat([own.filter(early), moved(own.filter(~early), "1h")]).unique("ts")
            back = pl.concat([moved(own.filter(early), "-1h"), own.filter(~early)]).unique("ts")
            if own.filter(early).height < 100:
                continue
            for theirs, turn, seconds in ((late, "from {}", 3600), (back, "before {}", -3600)):
                (found,) = told(own, theirs).disagreements
                assert (found.kind, found.worst) == (Kind.CLOCK, seconds)
                assert turn.format(f"{own['ts'][0]:%Y-%m-%d} 07:0") in found.words


class TestAnyCandles:
    @settings(max_examples=30)
    @given(st.integers(0, 10_000), st.floats(0, 0.9), st.integers(1, 1440))
    def test_a_source_agrees_with_itself_whatever_it_leaves_out(
        self, seed: int, still: float, bars: int
    ) -> None:
        ours = walk(bars, seed, still=still)
        theirs = ours.sample(fraction=0.6, seed=seed)
        found = told(ours, theirs, volume=0.01)
        assert (found.disagreements, found.compared, found.only_theirs) == ((), len(theirs), 0)
        assert found.only_ours == len(ours) - len(theirs)

    @settings(max_examples=30)
    @given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0, 3e-4))
    def test_noise_and_flat_markets_are_never_taken_for_a_shift(
        self, seed: int, still: float, noise: float
    ) -> None:
        ours = walk(720, seed, still=still)
        random = np.random.default_rng(seed + 1)
        theirs = ours.with_columns(close=pl.col("close") * np.exp(random.normal(0, noise, 720)))
        assert {each.kind for each in told(ours, theirs).disagreements} <= {Kind.CLOSE}

    @settings(max_examples=30)
    @given(
        st.integers(0, 10_000),
        st.floats(0, 0.8),
        st.sampled_from([-600, -60, -30, -1, 1, 30, 60, 600]),
    )
    def test_a_shift_is_found_whatever_the_ratio(
        self, seed: int, still: float, minutes: int
    ) -> None:
        ours = walk(1440, seed, still=still)
        theirs = moved(ours, f"{minutes}m").with_columns(pl.col("close") * 7)
        (found,) = told(ours, theirs, volume=0.01).disagreements
        assert (found.kind in {Kind.SHIFTED, Kind.CLOCK}, found.worst) == (True, 60 * minutes)

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

    @pytest.mark.parametrize(
        "theirs", [walk(0), moved(walk(50), "20d")], ids=["nothing", "another time"]
    )
    def test_what_has_no_bar_in_common_says_so_by_its_counts(self, theirs: pl.DataFrame) -> None:
        assert told(walk(50), theirs) == Comparison(0, 50, len(theirs))
