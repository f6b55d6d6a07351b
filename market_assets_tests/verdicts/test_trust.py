"""How far each bar can be relied on, by marks of stretches."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from market_assets.verdicts.trust import ALONE, TRUST_SCHEMA, Quality, quality_of

START = datetime(2025, 1, 1)  # noqa: DTZ001 - as frames hold it: UTC, without a zone
KINDS = [Quality.DISPUTED, Quality.REVISED, Quality.LATE, Quality.CONFIRMED, ALONE]


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def bars(*spans: tuple[str, int, int]) -> pl.DataFrame:
    """Bars of a symbol that hold the opens from a minute on, without another."""
    schema = {name: TRUST_SCHEMA[name] for name in ("symbol", "since", "until")}
    return pl.DataFrame(
        [(symbol, minute(a), minute(b)) for symbol, a, b in spans], schema=schema, orient="row"
    )


def marks(*rows: tuple[str, int, int, str]) -> pl.DataFrame:
    values = [(symbol, minute(a), minute(b), str(kind)) for symbol, a, b, kind in rows]
    return pl.DataFrame(values, schema=TRUST_SCHEMA, orient="row")


def test_without_a_mark_every_bar_is_single():
    assert quality_of(bars(("A", 0, 1), ("B", 0, 1)), marks()).to_list() == ["single", "single"]
    assert quality_of(bars(), marks(("A", 0, 1, "late"))).to_list() == []


def test_of_several_words_the_first_that_holds_is_said():
    every = [("A", 0, 9, kind) for kind in KINDS[:4]]
    for count, word in enumerate(("disputed", "revised", "late", "confirmed", "single")):
        assert quality_of(bars(("A", 1, 2)), marks(*every[count:])).to_list() == [word]


def test_a_mark_is_of_its_symbol_and_ends_before_its_end():
    found = quality_of(
        bars(("B", 1, 2), ("A", 2, 3), ("A", 1, 2), ("A", 0, 1)), marks(("A", 1, 2, "revised"))
    )
    assert found.to_list() == ["single", "single", "revised", "single"]


def test_confirmations_that_meet_cover_a_bar_together_and_a_hole_does_not():
    found = quality_of(
        bars(("A", 0, 4), ("A", 3, 6), ("A", 5, 6)),
        marks(("A", 0, 2, "confirmed"), ("A", 2, 4, "confirmed"), ("A", 5, 8, "confirmed")),
    )
    assert found.to_list() == ["confirmed", "single", "confirmed"]


def test_a_longer_mark_counts_behind_a_shorter_one_that_began_later():
    assert quality_of(
        bars(("A", 8, 9)), marks(("A", 0, 10, "late"), ("A", 1, 2, "late"))
    ).to_list() == ["late"]


_SPANS = st.tuples(st.sampled_from("AB"), st.integers(0, 12), st.integers(1, 5)).map(
    lambda s: (s[0], s[1], s[1] + s[2])
)


@given(
    st.lists(_SPANS, max_size=8), st.lists(st.tuples(_SPANS, st.sampled_from(KINDS)), max_size=8)
)
def test_it_is_what_counting_minute_by_minute_says(spans, told):
    table = [(symbol, a, b, kind) for (symbol, a, b), kind in told]
    minutes = {
        kind: {(symbol, at) for symbol, a, b, own in table if own == kind for at in range(a, b)}
        for kind in KINDS
    }

    def word(symbol: str, a: int, b: int) -> str:
        own = {(symbol, at) for at in range(a, b)}
        for kind in KINDS[:3]:
            if own & minutes[kind]:
                return kind.value
        whole = own <= minutes[Quality.CONFIRMED] and not own & minutes[ALONE]
        return "confirmed" if whole else "single"

    assert quality_of(bars(*spans), marks(*table)).to_list() == [word(*span) for span in spans]
