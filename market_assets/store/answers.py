"""Merges the answers of a source into fewer rows.

Stretches that meet or overlap become one stretch.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.gaps import left_over

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

COVERAGE_COLUMNS = (
    "symbol",
    "source",
    "start_ts",
    "end_ts",
    "bars",
    "omits_quiet",
    "answered_at",
    "answered_from",
)
"""Columns of `ops.coverage` without the profile and the timeframe.

`answered_at` is when the last of the answers came, `answered_from` when the first of them did: null
where there was one."""


def merge_coverage(answers: pl.DataFrame, bar: timedelta) -> pl.DataFrame:
    """Make one row of the answers whose stretches meet or overlap.

    Only answers of one source with the same `omits_quiet` are merged. An answer without a bar is
    never merged with one that had some: it proves nothing, and must not look as if it did. The
    stretch of a row is exactly what was answered for.

    Args:
        answers: COVERAGE_COLUMNS.
        bar: The timeframe's length.

    Returns:
        COVERAGE_COLUMNS. `bars` is how many bars were given at least: where stretches overlap, it
        is unknown which bars came twice, and all that could are counted once.
    """
    series = ["symbol", "source", "omits_quiet", "proof"]
    reach = pl.col("end_ts").cum_max().shift().over(series)
    twice = (pl.col("reach") - pl.col("start_ts")).clip(pl.duration(seconds=0)) / bar
    added = (pl.col("bars") - twice.fill_null(0).ceil().cast(pl.Int64)).clip(0)
    first = pl.col("answered_from").fill_null(pl.col("answered_at"))
    several = (pl.len() > 1) | pl.col("answered_from").is_not_null().any()

    return (
        answers.with_columns(proof=pl.col("bars") > 0)
        .sort(*series, "start_ts", "end_ts")
        .with_columns(reach=reach)
        .with_columns(apart=(pl.col("start_ts") > pl.col("reach")).fill_null(value=True))
        .with_columns(stretch=pl.col("apart").cum_sum(), added=added)
        .with_columns(added=pl.when("apart").then("bars").otherwise("added"))
        .group_by("stretch", maintain_order=True)
        .agg(
            pl.first("symbol", "source", "omits_quiet"),
            pl.min("start_ts"),
            pl.max("end_ts", "answered_at"),
            bars=pl.max_horizontal(pl.sum("added"), pl.max("bars")),
            answered_from=pl.when(several).then(first.min()),
        )
        .select(COVERAGE_COLUMNS)
    )


def without(answers: pl.DataFrame, cuts: Sequence[tuple[datetime, datetime]]) -> pl.DataFrame:
    """The answers without some stretches of time.

    The stretch of an answer becomes the parts of it that are left.

    Args:
        answers: Rows with start_ts and end_ts, among other columns.
        cuts: From and to, naive UTC; none overlaps another.

    Returns:
        The same columns; as many rows as there are parts.
    """
    cuts = sorted(cuts)
    starts = [start for start, _ in cuts]
    parts = []
    for row in answers.iter_rows(named=True):
        first, after = row["start_ts"], row["end_ts"]
        near = cuts[max(bisect_left(starts, first) - 1, 0) : bisect_left(starts, after)]
        parts += [
            row | {"start_ts": start, "end_ts": end} for start, end in left_over(first, after, near)
        ]
    return pl.DataFrame(parts, schema=answers.schema)
