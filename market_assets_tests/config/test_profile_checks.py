"""What the keys of one profile may not say together, and what it cannot be called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

from market_assets.config.names import RESERVED_NAMES
from market_assets_tests.support.universe_text import universe

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Universe

    Load = Callable[..., Universe]
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


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "Crypto",
            (
                "is no usable name: write a lower-case letter, then letters, "
                "digits and underscores, such as crypto (line 4)"
            ),
        ),
        (
            "us-equity",
            (
                "is no usable name: write a lower-case letter, then letters, "
                "digits and underscores, such as us_equity (line 4)"
            ),
        ),
        (
            "2nd",
            (
                "is no usable name: write a lower-case letter, then letters, "
                "digits and underscores (line 4)"
            ),
        ),
        (
            "crypté",
            (
                "is no usable name: write a lower-case letter, then letters, "
                "digits and underscores, such as crypt_ (line 4)"
            ),
        ),
        ("ops", "is a name that DuckDB or this project keeps for itself; choose another (line 4)"),
        ("main", "is a name that DuckDB or this project keeps for itself; choose another (line 4)"),
        (
            "information_schema",
            "is a name that DuckDB or this project keeps for itself; choose another (line 4)",
        ),
        (
            "select",
            "is a name that DuckDB or this project keeps for itself; choose another (line 4)",
        ),
    ],
)
def test_a_profile_s_name_is_a_plain_identifier_of_its_own(
    problems: Problems, name: str, problem: str
) -> None:
    (found,) = problems(universe().replace("crypto:", f"{name}:"))
    assert found == f"profiles.{name}: {problem}"


def test_two_profiles_do_not_differ_in_case_alone(problems: Problems) -> None:
    again = universe().partition("profiles:\n")[2].replace("crypto", "CRYPTO_")
    (found,) = problems(universe() + again.replace("CRYPTO_:", "Crypto:"))
    assert (
        found == "profiles.Crypto: differs from crypto only in upper and lower case; "
        "choose another name (line 9)"
    )


def test_a_name_that_passes_is_a_schema_in_duckdb_without_quotes() -> None:
    with duckdb.connect() as store:
        words = store.sql(
            "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
        ).fetchall()
        databases = store.sql("SELECT database_name FROM duckdb_databases()").fetchall()
        schemas = store.sql("SELECT schema_name FROM duckdb_schemas()").fetchall()
    assert {name for (name,) in words + databases + schemas} <= RESERVED_NAMES


@pytest.mark.parametrize("name", ["BTC/USDT", '"A B"', '"A,B"', '"a\\\\b"', '""', '".."'])
def test_a_symbol_s_name_has_nothing_that_separates_names_or_paths(
    problems: Problems, name: str
) -> None:
    (found,) = problems(universe(symbols=f"{{{name}: {{}}}}"))
    assert found.startswith("profiles.crypto.symbols.")
    assert (
        "is no usable name: "
        "leave out slashes, commas and spaces (a source may have its own name for it" in found
    )


@pytest.mark.parametrize(
    "name",
    ["BRK.B", "1INCH", "ES=F", "^GSPC", "Y", "6EH4", "BTCUSDC.KRAKEN", '"ON"', '"0700"', "C"],
)
def test_names_that_markets_have_are_symbols(load: Load, name: str) -> None:
    assert list(load(universe(symbols=f"{{{name}: {{}}}}")).profiles["crypto"].symbols) == [
        name.strip('"')
    ]


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
