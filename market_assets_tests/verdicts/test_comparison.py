"""Two sources of one symbol.

What differs is named with its figures, and what does not differ is not named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_assets.verdicts.comparison import Comparison
from market_assets_tests.support.two_sources import by_day, moved, told, walk

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    Read = Callable[..., pl.DataFrame]


class TestRealSources:
    def test_two_that_record_the_same_market_agree(self, read: Read) -> None:
        ours, theirs = (
            by_day(read("forex/histdata__EURUSD__1m")),
            by_day(read("forex/mt4-2020__EURUSD__1m")),
        )
        both = ours.keys() & theirs.keys()
        assert len(both) == 24
        assert all(not told(ours[day], theirs[day], close=0.0001).disagreements for day in both)


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

    @pytest.mark.parametrize(
        "theirs", [walk(0), moved(walk(50), "20d")], ids=["nothing", "another time"]
    )
    def test_what_has_no_bar_in_common_says_so_by_its_counts(self, theirs: pl.DataFrame) -> None:
        assert told(walk(50), theirs) == Comparison(0, 50, len(theirs))
