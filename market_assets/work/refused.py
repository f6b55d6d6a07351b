"""The refused rows in words: how many, why, an example, and the setting that would mend them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.market.instants import to_second
from market_assets.market.timeframes import TS
from market_assets.verdicts.advice import advice_for
from market_assets.verdicts.clean import FAULTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.store import Snapshot

REFUSED_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "partition": pl.String(),
        "source": pl.String(),
        "reason": pl.String(),
        "rows": pl.Int64(),
        "example_ts": TS,
        "example": pl.String(),
    }
)
"""Columns of `ops.refused` without the profile and the timeframe.

They are rows of the latest answers for a partition that cannot be stored.
"""

_EXAMPLE = 120


def refused_frame(rejects: pl.DataFrame, partition: pl.Expr) -> pl.DataFrame:
    """Count refused rows by partition, symbol, source and reason, each with an example.

    Args:
        rejects: symbol, ts, reason, values, asked, source.
        partition: Names the partition of a time in `asked`.

    Returns:
        A frame of REFUSED_SCHEMA. A row outside the sessions, or of a bar not closed yet, is no
        fault and not in it.
    """
    return (
        rejects.filter(pl.col("reason").is_in(FAULTS))
        .with_columns(partition=partition)
        .group_by("symbol", "partition", "source", "reason", maintain_order=True)
        .agg(
            rows=pl.len().cast(pl.Int64),
            example_ts=pl.first("ts"),
            example=pl.first("values").str.slice(0, _EXAMPLE),
        )
        .select(REFUSED_SCHEMA.names())
        .cast(REFUSED_SCHEMA)
    )


def refused_rows(
    view: Snapshot, profiles: Sequence[str], *, symbols: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """The refused rows of some profiles where bars are missing, most rows first.

    Each has `words` that describe it, and `advice`.
    """
    table = view.refused.present().filter(pl.col("profile").is_in(list(profiles)))
    if symbols is not None:
        table = table.filter(pl.col("symbol").is_in(list(symbols)))
    if table.is_empty():
        return []
    kinds = (
        table.sort("partition", descending=True)
        .group_by("profile", "timeframe", "source", "reason", maintain_order=True)
        .agg(
            pl.col("symbol").unique().sort(),
            pl.sum("rows"),
            pl.first("example_ts", "example"),
            example_symbol=pl.first("symbol"),
            partitions=pl.col("partition").n_unique(),
        )
        .sort("rows", "profile", "timeframe", "reason", descending=[True, False, False, False])
    )
    return [
        {**row, "advice": advice_for(row["reason"]), "words": refused_words(row)}
        for row in kinds.to_dicts()
    ]


def refused_words(row: Mapping[str, Any]) -> str:
    """One sentence about refused rows.

    It says how many rows of which source were refused, why, one of them, and the setting that would
    mend it.

    Args:
        row: source, reason, rows, symbol (names), example_symbol, example_ts, example.
    """
    names = row["symbol"]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
    at = to_second(row["example_ts"]) if row["example_ts"] else "no time"
    count = "1 row" if row["rows"] == 1 else f"{row['rows']:,} rows"
    example = example_words(row["example_symbol"], at, row["example"], advice_for(row["reason"]))
    return f"{count} of {row['source'] or 'a source'} ({shown}) refused: {row['reason']}. {example}"


def example_words(symbol: str, at: str, values: str, advice: str) -> str:
    """One refused row in words, and what may mend it."""
    return f"One of them: {symbol} {at} {values}. What may mend it: {advice}."
