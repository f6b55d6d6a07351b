"""The counts that go into a verdict."""

# ruff: noqa: FBT001 - parameters of a test

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.verdicts.verdicts import SymbolCounts, share


@pytest.mark.parametrize(
    ("expected", "missing", "completeness"), [(0, 0, 1.0), (4, 1, 0.75), (4, 4, 0.0), (4, 0, 1.0)]
)
def test_completeness_is_the_share_that_is_not_missing(
    expected: int, missing: int, completeness: float
):
    counts = SymbolCounts("A", expected, expected - missing, 0, missing)
    assert counts.completeness == completeness


@pytest.mark.parametrize(
    ("stored", "explained", "missing", "halted", "nothing"),
    [
        (0, 0, 4, 0, True),
        (0, 1, 3, 1, True),
        (0, 1, 3, 0, False),
        (1, 0, 3, 0, False),
        (0, 4, 0, 4, False),
        (0, 0, 0, 0, False),
    ],
)
def test_a_symbol_has_nothing_where_only_a_halt_explains_a_bar(
    stored: int, explained: int, missing: int, halted: int, nothing: bool
):
    total = stored + explained + missing
    counts = SymbolCounts("A", total, stored, explained, missing, halted=halted)
    assert counts.has_nothing is nothing


def test_a_share_is_cut_and_not_rounded():
    assert share(9_999_999, 10_000_000) == 0.999999
    assert share(0, 3) == 0.0
    assert share(0, 0) == 1.0


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_a_share_is_one_only_where_nothing_is_missing(part: int, more: int):
    assert share(part, part + more) < 1
    assert share(more, more) == 1
