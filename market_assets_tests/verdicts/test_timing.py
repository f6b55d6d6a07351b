"""Whether the times of two sources are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_assets.verdicts.pair import Kind
from market_assets_tests.support.two_sources import by_day, moved, told, walk

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[..., pl.DataFrame]


class TestRealSources:
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
