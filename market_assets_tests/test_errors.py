"""What an error says is fit for every terminal, file and database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.errors import (
    SourceError,
    StoreBusyError,
    UniverseError,
    error_words,
    first_line,
    printable,
    reason_of,
    trace_words,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("café", "café"),
        ("a\nb\tc", "a b c"),
        ("\x1b[31mred", "\ufffd[31mred"),
        ("half \ud800", "half \ufffd"),
    ],
)
def test_what_steers_a_terminal_or_cannot_be_encoded_is_replaced(text: str, shown: str):
    assert printable(text) == shown
    assert str(SourceError(text)) == shown


@given(st.text())
def test_whatever_others_have_written_can_be_printed_and_encoded(text: str):
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)
    printable(text).encode()


def test_an_error_is_a_line_with_its_class():
    assert error_words(ValueError("one\n two ")) == "ValueError: one two"
    assert error_words(ValueError("x" * 999)) == "ValueError: " + "x" * 200
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"


def test_a_trace_is_printable_line_by_line():
    lines = trace_words(ValueError("odd \x07 words")).splitlines()
    assert lines[-1] == "ValueError: odd \ufffd words"


def test_the_problems_of_a_universe_are_counted_and_listed():
    assert str(UniverseError("u.yaml", ["a: wrong"])) == "u.yaml: 1 problem\n  - a: wrong"
    assert str(UniverseError("u.yaml", ["a", "b"])).startswith("u.yaml: 2 problems\n")


def test_who_tries_again_by_itself_is_told_the_reason_alone():
    busy = StoreBusyError("the store is held by market-assets up.", "Stop it, and run this again.")

    assert str(busy) == "the store is held by market-assets up. Stop it, and run this again."
    assert reason_of(busy) == "the store is held by market-assets up."
    assert reason_of(SourceError("no such symbol")) == "no such symbol"
