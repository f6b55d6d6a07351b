"""What a vendor's own library raises and says, and how long it wants to be left alone."""

from __future__ import annotations

import pytest

from market_assets.sources.transport.library import seconds_in, words


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30.0),
        (" 1.5 ", 1.5),
        (7, 7.0),
        (None, None),
        ("", None),
        ("-1", None),
        ("1e9", None),
        ("99999999", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_a_header_names_seconds_or_nothing(header: object, seconds: float | None):
    assert seconds_in(header) == seconds


def test_addresses_are_left_out_of_what_a_library_says():
    said = words(ValueError("GET https://api.example.com/v1?key=hunter2\nfailed"))
    assert said == "GET (address) failed"
    assert "hunter2" not in words("wss://user:hunter2@example.com refused")


def test_an_error_without_words_is_called_by_its_class():
    assert words(TimeoutError()) == "TimeoutError"
    assert len(words(ValueError("x" * 999))) <= 203
