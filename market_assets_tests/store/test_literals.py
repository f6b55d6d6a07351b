"""Values that are written into statements: DuckDB reads them as if it had bound them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from market_assets.store.literals import literal, written_out

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    # The least of each length is read as a minus before a number that is too long for it.
    st.integers(1 - 2**63, 2**63 - 1).filter(lambda value: value != -(2**31)),
    st.floats(allow_nan=False),
    TEXTS,
    st.dates(min_value=date(1, 1, 1)),
    st.datetimes(),
    st.timedeltas(timedelta(days=-9999), timedelta(days=9999)),
)


class Colour(StrEnum):
    RED = "red"


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


@given(value=VALUES)
@example(value=float("inf"))
@example(value=-0.0)
@example(value=1e-320)
@example(value="'; DROP TABLE ops.gaps; --")
@example(value="?$name\\\n\0\x1f'")
@example(value="\0")
@example(value=2**31)
@example(value=-(2**31) - 1)
def test_a_value_is_what_it_would_be_bound_as(connection, value):
    question = "SELECT ?, typeof(?)"
    bound = connection.execute(question, [value, value]).fetchall()
    assert connection.execute(written_out(question, [value, value])).fetchall() == bound


@given(values=st.one_of(st.lists(TEXTS), st.lists(st.dates()), st.lists(st.integers(0, 2**31 - 1))))
@example(values=["", ""])
@example(values=["a\x1fb", "c"])
@example(values=[""])
def test_a_list_is_what_it_would_be_bound_as(connection, values):
    question = "SELECT ?, typeof(?), len(?)"
    bound = connection.execute(question, [values] * 3).fetchall()
    assert connection.execute(written_out(question, [values] * 3)).fetchall() == bound


def test_not_a_number_and_a_member_of_an_enumeration_and_an_instant_with_its_zone(connection):
    text = f"SELECT {literal(float('nan'))}, {literal(Colour.RED)}"
    ((number, colour),) = connection.execute(text).fetchall()
    assert number != number  # noqa: PLR0124
    assert colour == "red"
    instant = datetime(2025, 3, 1, 12, tzinfo=UTC)
    question = "SELECT ? = TIMESTAMPTZ '2025-03-01 13:00:00+01:00'"
    assert connection.execute(written_out(question, [instant])).fetchall() == [(True,)]


def test_values_stand_where_their_parameters_stood(connection):
    question = """
        SELECT '?', "a?" -- is it $this or ?
        FROM (SELECT $first::VARCHAR || 'it''s $second' AS "a?") WHERE $second = 5 -$second
        """
    text = written_out(question, {"first": "?", "second": 2.5})
    assert connection.execute(text).fetchall() == [("?", "?it's $second")]
    assert connection.execute(written_out("SELECT 1 -?", [-1])).fetchall() == [(2,)]


@pytest.mark.parametrize(
    ("question", "values"),
    [("SELECT ?", []), ("SELECT ?", [1, 2]), ("SELECT 1", [1]), ("SELECT $a", {"a": 1, "b": 2})],
)
def test_values_without_a_parameter_are_refused(question, values):
    with pytest.raises(ValueError, match=r"parameters? (is|are) not"):
        written_out(question, values)


def test_a_value_of_another_type_is_refused():
    with pytest.raises(TypeError, match="is no value for a statement"):
        literal(object())


def test_a_query_with_values_needs_neither_pandas_nor_numpy_nor_pyarrow():
    program = (
        "import duckdb, sys; from market_assets.store.database import Database;"
        "found = Database(duckdb.connect()).frame('SELECT ? AS a, ? AS b', 1, 'x');"
        "assert found.rows() == [(1, 'x')];"
        "print({'pandas', 'numpy', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
