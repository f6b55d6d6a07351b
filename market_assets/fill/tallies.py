"""Rows by partition, and how many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from market_assets.expected.scope import Scope

Tally = dict[str, dict[str, int]]
"""Numbers by partition key and by another name: a symbol, a source, a column."""


def tally(scope: Scope, rows: pl.DataFrame, column: str = "symbol") -> Tally:
    """How many rows (ts and more) there are by partition and by a column's value."""
    return tallies(scope, rows, column)[0]


def tallies(scope: Scope, rows: pl.DataFrame, *columns: str) -> list[Tally]:
    """The tallies of some rows by each of some columns, made in one go."""
    counts: list[Tally] = [{} for _ in columns]
    for key, *values, number in rows.group_by(scope.part(), *columns).agg(pl.len()).iter_rows():
        for count, value in zip(counts, values, strict=True):
            totals = count.setdefault(key.isoformat(), {})
            totals[value] = totals.get(value, 0) + number
    return counts


def by_partition(scope: Scope, rows: pl.DataFrame, column: str = "ts") -> dict[str, pl.DataFrame]:
    """Some rows, few in most fills, split by the partition that a time of theirs is in."""
    parts = rows.with_columns(scope.part(column)).partition_by("part", as_dict=True)
    return {key.isoformat(): frame for (key,), frame in parts.items()}
