"""Parameters are read in one way: instants of UTC, names by commas, and nothing unknown."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from market_assets.errors import ReadError
from market_assets.serve.parameters import (
    FIRST,
    LAST,
    Stretch,
    profiles_named,
    symbols_named,
)


def stretch(**values) -> Stretch:
    return Stretch.model_validate({"profile": "crypto", "timeframe": "1h", **values})


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2025-01-31", datetime(2025, 1, 31, tzinfo=UTC)),
        ("2025-01-31T14:30Z", datetime(2025, 1, 31, 14, 30, tzinfo=UTC)),
        ("2025-01-31t14:30:00z", datetime(2025, 1, 31, 14, 30, tzinfo=UTC)),
        ("2025-01-31T14:30:00+02:00", datetime(2025, 1, 31, 12, 30, tzinfo=UTC)),
        ("2025-01-31T14:30:00 02:00", datetime(2025, 1, 31, 12, 30, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("0000-01-01T00:00:00Z", FIRST),
        ("0001-01-01T00:00:00+14:00", FIRST),
        ("9999-12-31T23:59:59-14:00", LAST),
    ],
)
def test_an_instant_is_one_of_utc_within_the_time_of_markets(text, instant):
    assert stretch(**{"from": text}).start == instant


@pytest.mark.parametrize(
    "text", ["", "now", "2025-02-30", "2025-13-01", "20250131", "2025-01-31T25:00Z", "1738300000"]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValidationError, match="is no time"):
        stretch(**{"from": text})


@given(st.text() | st.integers() | st.none() | st.lists(st.text()))
def test_whatever_is_given_for_an_instant_is_read_or_refused(value):
    with suppress(ValidationError):
        assert FIRST <= stretch(to=value).end <= LAST


def test_names_are_separated_by_commas_or_given_one_by_one():
    assert stretch(symbols="BTC, ETH,,BTC").symbols == ["BTC", "ETH"]
    assert stretch(symbols=["BTC", "ETH,SOL"]).symbols == ["BTC", "ETH", "SOL"]
    for text in ("a" * 9_000, "\x00", "é"):
        with pytest.raises(ValidationError):
            stretch(symbols=text)


def test_a_parameter_that_there_is_not_is_refused():
    with pytest.raises(ValidationError):
        stretch(tiemframe="1h")


def test_a_window_that_ends_before_it_begins_is_refused():
    with pytest.raises(ReadError) as refused:
        _ = stretch(**{"from": "2025-02-01", "to": "2025-01-01"}).window
    assert refused.value.key == "to"


def test_profiles_and_symbols_are_those_of_the_universe(filled):
    universe = filled.universe()

    assert [profile.name for profile in profiles_named(universe, [])] == ["crypto", "equity"]
    assert symbols_named(universe.profiles.values(), ["SPY", "BTC"]) == ["SPY", "BTC"]
    with pytest.raises(ReadError, match="did you mean crypto"):
        profiles_named(universe, ["crypt"])
    with pytest.raises(ReadError, match="no symbol"):
        symbols_named([universe.profiles["crypto"]], ["SPY"])
