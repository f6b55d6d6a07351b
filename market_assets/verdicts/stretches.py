"""Which stretch each bar lies in. Pure.

What a stretch says of its bars is a matter of whoever gives it.
"""

from __future__ import annotations

import polars as pl


def as_stretches(ledger: pl.DataFrame, *columns: str, **named: str | pl.Expr) -> pl.DataFrame:
    """Rows of the ledger as the stretches that `within` takes.

    Returns:
        symbol, start_ts, end_ts and the columns asked for.
    """
    bounds = {
        "start_ts": pl.col("first_ts"),
        "end_ts": pl.col("last_ts") + pl.duration(microseconds=1),
    }
    return ledger.select("symbol", *columns, **bounds, **named)


def within(bars: pl.DataFrame, stretches: pl.DataFrame) -> pl.DataFrame:
    """Give each bar the columns of the stretch that it lies in.

    Args:
        bars: symbol, ts and other columns.
        stretches: symbol, start_ts, end_ts and the columns to give; those of a symbol are disjoint.

    Returns:
        The bars, sorted by symbol and ts; the columns are null for a bar in no stretch.
    """
    columns = [name for name in stretches.columns if name not in {"symbol", "start_ts", "end_ts"}]
    joined = bars.sort("symbol", "ts").join_asof(
        stretches.sort("symbol", "start_ts").with_columns(begins=pl.col("start_ts")),
        left_on="ts",
        right_on="start_ts",
        by="symbol",
        check_sortedness=False,
    )
    inside = (pl.col("ts") < pl.col("end_ts")).fill_null(value=False)
    joined = joined.with_columns(
        pl.when(inside).then(pl.col(name)).otherwise(None).alias(name) for name in columns
    )
    return joined.drop("start_ts", "end_ts", "begins", strict=False)
