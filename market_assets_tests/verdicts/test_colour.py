"""A partition's colour is about the partition.

One symbol without a bar is a matter for its check, but much that is missing is not.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.verdicts.colour import names_of, shortfall
from market_assets.verdicts.verdicts import SymbolCounts

LIMIT = 0.05


def counts(
    missing: int, symbol: str = "BTC", *, expected: int = 1440, halted: int = 0
) -> SymbolCounts:
    stored = expected - missing - halted
    return SymbolCounts(symbol, expected, stored, halted, missing, halted=halted)


WHOLE = [counts(0, f"S{number:02}") for number in range(99)]


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ([], ""),
        ([counts(0)], ""),
        ([counts(72)], ""),
        ([counts(73)], "73 of 1,440 bars are missing (BTC): 5.069 %, and at most 5 % may be"),
        (
            [counts(240), *WHOLE[:2]],
            "240 of 4,320 bars are missing (BTC): 5.556 %, and at most 5 % may be",
        ),
        ([counts(240), *WHOLE[:3]], ""),
        ([counts(1440)], "not one of 1,440 expected bars is stored or explained (BTC)"),
        ([counts(1430, halted=10)], "not one of 1,440 expected bars is stored or explained (BTC)"),
        ([counts(1440), counts(0, "ETH")], ""),
        ([counts(1440), *WHOLE], ""),
        (
            [counts(1440), counts(1440, "ETH"), counts(0, "XRP")],
            "2 of 3 symbols have nothing at all (BTC, ETH)",
        ),
        # What is not listed yet, or not any more, is no symbol of the partition.
        ([counts(1440), counts(0, "ETH"), counts(0, "NEW", expected=0)], ""),
        (
            [counts(1440), counts(0, "NEW", expected=0)],
            "not one of 1,440 expected bars is stored or explained (BTC)",
        ),
        # One that has nothing does not hide what another one lacks.
        (
            [counts(1440), counts(240, "ETH"), counts(0, "XRP")],
            "240 of 2,880 bars are missing (ETH): 8.333 %, and at most 5 % may be",
        ),
    ],
)
def test_a_partition_is_red_by_what_it_lacks_as_a_whole(own: list[SymbolCounts], why: str) -> None:
    assert shortfall(own, limit=LIMIT) == why


def test_what_may_still_be_had_counts_also_where_a_symbol_has_nothing() -> None:
    one_of_two = [counts(1440), counts(0, "ETH")]
    words = "1,440 of 2,880 bars are missing (BTC): 50 %, and at most 5 % may be"
    assert shortfall(one_of_two, limit=LIMIT, awaited={"BTC"}) == words
    assert shortfall([counts(1440), *WHOLE], limit=LIMIT, awaited={"BTC"}) == ""


def test_symbols_are_named_up_to_three() -> None:
    assert names_of(["A", "B", "C"]) == "A, B, C"
    assert names_of(["A", "B", "C", "D", "E"]) == "A, B, C and 2 more"


PARTITIONS = st.lists(
    st.integers(0, 30).flatmap(
        lambda expected: st.builds(counts, st.integers(0, expected), expected=st.just(expected))
    ),
    max_size=8,
)
LIMITS = st.floats(0, 1)


@given(PARTITIONS, LIMITS)
def test_a_stricter_limit_never_makes_a_red_partition_green(
    own: list[SymbolCounts], limit: float
) -> None:
    assert shortfall(own, limit=limit / 2) or not shortfall(own, limit=limit)
    if not any(one.missing for one in own):
        assert shortfall(own, limit=0) == ""


@given(PARTITIONS, LIMITS, st.randoms())
def test_the_order_of_the_symbols_is_no_matter(
    own: list[SymbolCounts], limit: float, order
) -> None:
    mixed = list(own)
    order.shuffle(mixed)
    assert bool(shortfall(mixed, limit=limit)) is bool(shortfall(own, limit=limit))


@given(PARTITIONS, LIMITS)
def test_a_symbol_that_has_nothing_never_changes_the_colour_of_a_half_that_is_there(
    own: list[SymbolCounts], limit: float
) -> None:
    there = [one for one in own if one.expected and not one.has_nothing]
    ghosts = [counts(1440, f"GHOST{number}") for number in range(len(there))]
    assert shortfall([*there, *ghosts], limit=limit) == shortfall(there, limit=limit)
    if there:
        assert shortfall([*there, *ghosts, counts(1440)], limit=limit) != ""
