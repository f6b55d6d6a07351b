"""Each bar has what is said of the stretch that it lies in, and nothing of its neighbours."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from market_assets.market.timeframes import TS
from market_assets.verdicts.stretches import as_stretches, within


def frame(rows: list[tuple[object, ...]], *times: str, **types: type[pl.DataType]) -> pl.DataFrame:
    """Rows of a symbol, of times in minutes since midnight, and of other columns."""
    schema = {"symbol": pl.String, **dict.fromkeys(times, pl.Int64), **types}
    minute = 60_000_000
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        (pl.col(name) * minute).cast(TS) for name in times
    )


def test_a_bar_at_the_start_is_inside_and_one_at_the_end_is_not():
    bars = frame([("A", 1), ("A", 2), ("A", 3), ("B", 2)], "ts")
    stretches = frame([("A", 1, 3, "told")], "start_ts", "end_ts", word=pl.String)
    assert within(bars, stretches)["word"].to_list() == ["told", "told", None, None]


def test_without_a_stretch_every_bar_has_null_and_the_columns_are_there():
    bars = frame([("A", 1)], "ts")
    found = within(bars, frame([], "start_ts", "end_ts", word=pl.String, count=pl.Int64))
    assert found.columns == ["symbol", "ts", "word", "count"]
    assert found.row(0)[2:] == (None, None)


def test_a_row_of_the_ledger_reaches_from_its_first_bar_to_its_last():
    ledger = frame([("A", 1, 2, "open")], "first_ts", "last_ts", status=pl.String)
    stretches = as_stretches(ledger, "status", was=pl.lit("missing"))
    assert stretches.columns == ["symbol", "status", "start_ts", "end_ts", "was"]
    found = within(frame([("A", 0), ("A", 1), ("A", 2), ("A", 3)], "ts"), stretches)
    assert found["status"].to_list() == [None, "open", "open", None]


@given(st.sets(st.integers(0, 20)), st.lists(st.integers(0, 20), unique=True))
def test_it_is_what_looking_at_each_stretch_says(opens: set[int], edges: list[int]):
    edges = sorted(edges)
    spans = list(zip(edges[::2], edges[1::2], strict=False))
    stretches = frame(
        [("A", first, end, first) for first, end in spans], "start_ts", "end_ts", begun=pl.Int64
    )
    found = within(frame([("A", ts) for ts in sorted(opens, reverse=True)], "ts"), stretches)
    expected = [
        next((first for first, end in spans if first <= ts < end), None) for ts in sorted(opens)
    ]
    assert found["begun"].to_list() == expected
