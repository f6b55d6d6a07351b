"""Words of a message: names, the one that was probably meant, and counts."""

from __future__ import annotations

import pytest

from market_assets.words import are, hint, listed, many


@pytest.mark.parametrize(
    ("word", "ending"),
    [
        ("cripto", "; did you mean crypto?"),
        ("EQUITY", "; did you mean Equity?"),
        ("zzz", "."),
        (7, "."),
    ],
)
def test_the_name_that_was_probably_meant_is_asked_for(word: object, ending: str):
    assert hint(word, ["crypto", "Equity"]) == ending


def test_of_many_names_the_first_are_listed_and_the_others_counted():
    assert listed([]) == "none"
    assert listed(["a", "b"]) == "a, b"
    assert listed("abc", most=2) == "a, b and 1 more"


def test_counts_have_their_noun_and_their_verb():
    assert [many(count, "bar") for count in (0, 1, 1234)] == ["0 bars", "1 bar", "1,234 bars"]
    assert [are(count) for count in (0, 1, 2)] == ["are", "is", "are"]
