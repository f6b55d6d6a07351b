"""A YAML file that a person writes, with the line of every key and all its faults."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from market_assets.config.load import load_universe
from market_assets.errors import UniverseError
from market_assets_tests.support.universe_text import universe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from market_assets.config.universe import Universe

    Load = Callable[..., Universe]
    Problems = Callable[..., list[str]]


# What a sound file gives


def test_anchors_aliases_and_merges_are_followed(load: Load) -> None:
    profiles = load("""
        sources: {binance: {}}
        profiles:
          a: &a
            kind: CRYPTO
            start: 2024-01-01
            sources: [binance]
            symbols: {BTCUSDT: {}}
          b:
            <<: *a
            start: 2025-01-01
        """).profiles
    assert profiles["b"].start == date(2025, 1, 1)
    assert profiles["b"].symbols["BTCUSDT"].start == date(2025, 1, 1)


# What is wrong with a file as a whole


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty: write `sources:` and `profiles:`"),
        ("# nothing but a comment\n", "is empty: write `sources:`"),
        ("- a\n- b\n", "must be a mapping: write `sources:`"),
        ("just words\n", "must be a mapping"),
        ("sources: {}\nprofiles: {crypto: [}\n", "line 2, column "),
        ("a: 1\nb: c: d\n", "line 2, column 5: is not YAML"),
        ("path: {profile}/{symbol}.parquet\n", "needs quotes"),
        ("sources:\n\t- a\n", "line 2, column 1: is not YAML"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: is not YAML: expected a single document"),
        ("a: \x01\n", "is not YAML: "),
    ],
)
def test_a_file_that_is_no_mapping_in_yaml_is_one_problem(
    problems: Problems, text: str, problem: str
) -> None:
    (found,) = problems(text)
    assert problem in found


def test_a_file_that_is_not_text_is_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "universe.yaml"
    path.write_bytes(b"sources: \xff\xfe\x00")
    with pytest.raises(
        UniverseError, match="is not a text file in UTF-8: invalid start byte at byte 9"
    ):
        load_universe(path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ON", "true or false"),
        ("NO", "true or false"),
        ("0700", "a number"),
        ("1e5", None),
        ("2024-01-01", "a date"),
        ("~", "nothing"),
        ("1.5", "a number"),
    ],
)
def test_a_symbol_that_yaml_takes_for_something_else_wants_quotes(
    load: Load, problems: Problems, name: str, kind: str | None
) -> None:
    if kind is None:
        assert name in load(universe(symbols=f"{{{name}: {{}}}}")).profiles["crypto"].symbols
        return
    (found,) = problems(universe(symbols=f"{{{name}: {{}}}}"))
    assert (
        found
        == f"profiles.crypto.symbols.{name}: YAML reads {name} as {kind}; write it in quotes: "
        f'"{name}" (line 7)'
    )


def test_a_source_s_own_name_that_yaml_takes_for_something_else_wants_quotes(
    problems: Problems,
) -> None:
    (found,) = problems(universe(symbols="{ON.US: {sources: [{binance: ON}]}}"))
    assert found == (
        "profiles.crypto.symbols.ON.US.sources[0].binance: YAML reads ON as true or false; "
        'write it in quotes: "ON" (line 7)'
    )


def test_a_symbol_twice_is_told_with_both_lines(problems: Problems) -> None:
    text = universe(
        symbols="\n      BTCUSDT: {}\n      ETHUSDT: {}\n      BTCUSDT: {end: 2025-01-01}"
    )
    assert problems(text) == [
        "profiles.crypto.symbols.BTCUSDT: is written twice, on line 8 and 10 (line 10)"
    ]


def test_yaml_that_no_person_means_is_a_problem_too(problems: Problems) -> None:
    assert (
        "profiles.crypto.symbols: has a list or mapping for a key, on line 7 (line 7)"
        in problems(universe(symbols="{[1, 2]: {}}"))
    )
    assert problems(universe(symbols="{A: {sources: &own [*own]}}")) == [
        (
            "profiles.crypto.symbols.A.sources[0]: is an alias of something that it is part of, "
            "on line 7 (line 7)"
        )
    ]
    assert problems(universe("calendar: !env X")) == [
        "profiles.crypto.calendar: could not determine a constructor for the tag '!env' (line 8)"
    ]
