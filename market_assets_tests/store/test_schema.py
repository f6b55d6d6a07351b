"""The names and texts of a universe as DuckDB reads them."""

# ruff: noqa: FBT001 - parameters of a test

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.market.columns import EXTRAS
from market_assets.market.datasets import Dataset, Family
from market_assets.market.timeframes import Timeframe
from market_assets.store.schema import (
    CANDLE_COLUMNS,
    DERIVED_COLUMNS,
    create_candle_table,
    create_feature_table,
    identifier,
    table_of,
    text_literal,
)

SIGNS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1)


@given(SIGNS)
def test_a_name_and_a_text_hold_whatever_signs(text: str):
    with duckdb.connect() as connection:
        cursor = connection.execute(f"SELECT {text_literal(text)} AS {identifier(text)}")
        assert cursor.fetchall() == [(text,)]
        assert cursor.description[0][0] == text


@pytest.mark.parametrize("derived", [True, False])
def test_a_candle_table_has_its_columns_with_their_words_and_is_made_once(derived: bool):
    dataset = Dataset.candles("O'Neil's", Timeframe.M1)
    names = [*(DERIVED_COLUMNS if derived else CANDLE_COLUMNS), *(extra.name for extra in EXTRAS)]
    with duckdb.connect() as connection:
        for _ in range(2):
            connection.execute(create_candle_table(dataset, derived=derived))
        columns = connection.execute(
            "SELECT column_name, comment FROM duckdb_columns() WHERE schema_name = ?", ["O'Neil's"]
        ).fetchall()
    assert [name for name, _ in columns] == names
    assert all(words for _, words in columns)


def test_a_feature_table_gets_the_columns_that_it_lacks_and_loses_none():
    dataset = Dataset("crypto", Family.FEATURES, Timeframe.H1)
    with duckdb.connect() as connection:
        for features in (["rsi"], ["sma", "rsi"], ["ema"]):
            connection.execute(create_feature_table(dataset, features))
        described = connection.execute(f"SELECT * FROM {table_of(dataset)}").description
    assert [column[0] for column in described] == ["symbol", "ts", "rsi", "sma", "ema"]
