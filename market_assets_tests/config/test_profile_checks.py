"""What the keys of one profile may not say together, and what it cannot be called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets_tests.support.universe_text import universe

if TYPE_CHECKING:
    from collections.abc import Callable

    Problems = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("profile", "symbol", "problem"),
    [
        (
            "end: 2024-01-01",
            "",
            "end: 2024-01-01 is not after the start, 2024-01-01: no day is left (line 8)",
        ),
        (
            "end: 2023-12-31",
            "",
            "end: 2023-12-31 is not after the start, 2024-01-01: no day is left (line 8)",
        ),
        (
            "",
            "start: 2023-12-31",
            (
                "symbols.BTCUSDT.start: 2023-12-31 is before the profile's start, 2024-01-01; "
                "move that one, or leave this one out (line 7)"
            ),
        ),
        (
            "end: 2024-06-01",
            "start: 2024-06-01",
            (
                "symbols.BTCUSDT.start: 2024-06-01 is not before the profile's end, 2024-06-01: "
                "no day is left (line 7)"
            ),
        ),
        (
            "end: 2024-06-01",
            "end: 2024-06-02",
            (
                "symbols.BTCUSDT.end: 2024-06-02 is after the profile's end, 2024-06-01; "
                "move that one, or leave this one out (line 7)"
            ),
        ),
        (
            "",
            "start: 2024-03-01, end: 2024-02-01",
            (
                "symbols.BTCUSDT.end: 2024-02-01 is not after the start, 2024-03-01: "
                "no day is left (line 7)"
            ),
        ),
        (
            "",
            "end: 2023-02-01",
            (
                "symbols.BTCUSDT.end: 2023-02-01 is not after the profile's start, 2024-01-01: "
                "no day is left (line 7)"
            ),
        ),
    ],
)
def test_dates_leave_days_and_promise_none_that_the_profile_does_not_keep(
    problems: Problems, profile: str, symbol: str, problem: str
) -> None:
    (found,) = problems(universe(profile, symbols=f"{{BTCUSDT: {{{symbol}}}}}"))
    assert found == f"profiles.crypto.{problem}"


@pytest.mark.parametrize(
    ("timeframes", "problem"),
    [
        (
            "{fetch: []}",
            "fetch: is empty; name what the sources are asked for, such as [1m] (line 8)",
        ),
        ("{fetch: [1m, 1m]}", "fetch: 1m is written 2 times (line 8)"),
        ("{derive: [5m, 5m]}", "derive: 5m is written 2 times (line 8)"),
        (
            "{fetch: [1m, 1h], derive: [1h]}",
            "derive: 1h is fetched as well; keep it in one of the two lists (line 8)",
        ),
        (
            "{fetch: [1h], derive: [5m]}",
            (
                "derive: 5m cannot be made of 1h, the shortest fetched one; "
                "fetch a shorter one (line 8)"
            ),
        ),
        (
            "{fetch: [1m], derive: [1w]}",
            "derive: 1w is made of 1d, which is neither fetched nor derived; add 1d (line 8)",
        ),
    ],
)
def test_timeframes_can_be_made_of_what_is_fetched(
    problems: Problems, timeframes: str, problem: str
) -> None:
    (found,) = problems(universe(f"timeframes: {timeframes}"))
    assert found == f"profiles.crypto.timeframes.{problem}"
