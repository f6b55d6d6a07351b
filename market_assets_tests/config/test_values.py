"""How values of the file are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets_tests.support.universe_text import universe

if TYPE_CHECKING:
    from collections.abc import Callable

    Problems = Callable[..., list[str]]


# What a sound file gives


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "agreement: {sample: 5 percent}",
            "agreement.sample: 5 percent is no share; write it like 0.1% or 0.001",
        ),
        ("agreement: {sample: 200%}", "agreement.sample: "),
        ("agreement: {close: 0}", "agreement.close: "),
    ],
)
def test_a_share_that_is_none_is_refused(problems: Problems, text: str, problem: str) -> None:
    (found,) = problems(universe(top=text))
    assert found.startswith(problem)


# What is wrong with a key or a value


@pytest.mark.parametrize(
    ("duration", "problem"),
    [
        ("10", "10 is no duration; write a number and its unit: 90s, 10m, 1h, 365d (line 2)"),
        ("10:00", "600 is no duration; write"),
        ("10 min", "10 min is no duration; write"),
        ("-1h", "-1h is no duration; write"),
        ("9999999d", "9999999d is no duration; write"),
        ("0s", "0s is no time at all; write a longer one, such as 1s (line 2)"),
        ("[1h]", "['1h'] is no duration; write"),
    ],
)
def test_a_duration_is_a_number_and_a_unit(problems: Problems, duration: str, problem: str) -> None:
    (found,) = problems(universe(top=f"repair: {{max_time: {duration}}}"))
    assert found.startswith(f"repair.max_time: {problem}")


@pytest.mark.parametrize(
    ("backoff", "problem"),
    [
        ("[1h, 1m]", "repair.backoff: the first wait must not be longer than the longest"),
        ("[1m]", "repair.backoff[1]: is missing (line 2)"),
        ("[soon, 1h]", "repair.backoff[0]: soon is no duration"),
        ("[1m, 1h, 1d]", "repair.backoff: Tuple should have at most 2 items"),
    ],
)
def test_a_backoff_is_two_rising_durations(problems: Problems, backoff: str, problem: str) -> None:
    (found,) = problems(universe(top=f"repair: {{backoff: {backoff}}}"))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("day", "problem"),
    [
        ("2024-02-30", "'2024-02-30' is not in the calendar (line 6)"),
        ('"2023-02-29"', "'2023-02-29' is not in the calendar (line 6)"),
        ("2024-1-5", "2024-1-5 is no day; write it like 2024-01-31 (line 6)"),
        ("20240105", "20240105 is no day; write it like 2024-01-31 (line 6)"),
        ("2024-01-05 00:00:00", "2024-01-05 00:00:00 is no day; write it like 2024-01-31 (line 6)"),
        ("yesterday", "yesterday is no day; write it like 2024-01-31 (line 6)"),
    ],
)
def test_a_day_is_written_in_full(problems: Problems, day: str, problem: str) -> None:
    (found,) = problems(universe().replace("start: 2024-01-01", f"start: {day}"))
    assert found == f"profiles.crypto.start: {problem}"
