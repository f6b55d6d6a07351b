"""Names in the file: which ones can be used, and which are written twice."""

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
