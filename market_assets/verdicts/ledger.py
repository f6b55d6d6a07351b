"""The ledger of absences: its rows, those that new candles fill, those that may be asked for again.

Pure. How its counts grow: `market_assets/verdicts/confirmation.py`. The table is in the store.
"""

from __future__ import annotations

import polars as pl

from market_assets.market.timeframes import TS
from market_assets.verdicts.evidence import State
from market_assets.verdicts.stretches import as_stretches, within

LEDGER_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "first_ts": TS,
        "last_ts": TS,
        "bars": pl.Int64(),
        "status": pl.String(),
        "attempts": pl.Int32(),
        "failures": pl.Int32(),
        "confirmations": pl.Int32(),
        "confirmed_at": TS,
        "first_seen": TS,
        "asked_at": TS,
        "reason": pl.String(),
    }
)
"""Columns of `ops.gaps` without the profile and the timeframe.

`attempts`: how often a source has answered without the bars, or refused a symbol that no source has
ever had; `failures`: how often the sources could not speak for them (no connection, an error, a key
refused, out of their reach).
"""

STORY = (
    "status",
    "attempts",
    "failures",
    "confirmations",
    "confirmed_at",
    "first_seen",
    "asked_at",
    "reason",
)
"""The columns of LEDGER_SCHEMA that say what is known of an absence."""

WHO_SCHEMA = pl.Schema({"witness": pl.String(), "answered": pl.Boolean()})
"""Columns that may follow those of LEDGER_SCHEMA.

`witness`: the hashes of the files that have said that they lack the bars, separated by a blank;
`answered`: whether any source has ever spoken for them, null in rows that are older than this
column.
"""


def may_be_answered() -> pl.Expr:
    """Whether an abandoned gap may get another answer.

    It may where no source has spoken for it, or only files, which may change.
    """
    # In rows older than `answered` the words decide: those of an error begin with its source.
    refused = pl.col("reason").str.contains(r"(^|; )source \S+: ").fill_null(value=False)
    of_files = (pl.col("witness").fill_null("") != "") & pl.col("reason").str.starts_with(
        "attempts: "
    )
    return (~pl.col("answered").fill_null(~refused)) | of_files


def askable(ledger: pl.DataFrame) -> pl.DataFrame:
    """The abandoned rows of a ledger that a backfill by hand asks for again.

    They were abandoned after refusals, or by files alone.

    What sources have answered for and do not have is not asked for again.
    """
    return ledger.filter(pl.col("status") == State.ABANDONED, may_be_answered())


def repaired(new: pl.DataFrame, ledger: pl.DataFrame) -> pl.DataFrame:
    """Which rows of the ledger some new candles have filled, whole or in part.

    Args:
        new: symbol, ts of candles that were not stored before.
        ledger: The absences seen before (LEDGER_SCHEMA).

    Returns:
        symbol, first_ts, last_ts, bars, was (the state until now), attempts, first_seen.
    """
    stretches = as_stretches(
        ledger, "attempts", "first_seen", was="status", row=pl.int_range(pl.len())
    )
    return (
        within(new.select("symbol", "ts"), stretches)
        .drop_nulls("row")
        .group_by("row", maintain_order=True)
        .agg(
            pl.first("symbol", "was", "attempts", "first_seen"),
            first_ts=pl.min("ts"),
            last_ts=pl.max("ts"),
            bars=pl.len().cast(pl.Int64),
        )
        .drop("row")
    )


def to_ledger(bars: pl.DataFrame, remembered: pl.DataFrame, partition_of: pl.Expr) -> pl.DataFrame:
    """Fold bars that share one story into rows of the ledger.

    Args:
        bars: symbol, ts: the calendar's bars, so that neighbours on the calendar make one row.
        remembered: What `advance` returned.
        partition_of: Maps `ts` to what a row may not reach across.

    Returns:
        A frame of LEDGER_SCHEMA, and of WHO_SCHEMA where that is remembered.
    """
    who = [name for name in WHO_SCHEMA if name in remembered.columns]
    story = [*STORY, *who]
    schema = {**LEDGER_SCHEMA, **{name: WHO_SCHEMA[name] for name in who}}
    placed = (
        bars.select("symbol", "ts")
        .with_row_index("place")
        .join(
            remembered.rename({"state": "status"}),
            on=["symbol", "ts"],
            how="inner",
            maintain_order="left",
        )
    )
    breaks = (
        (pl.col("place") != pl.col("place").shift() + 1)
        | pl.any_horizontal(
            pl.col(c).ne_missing(pl.col(c).shift()) for c in ("symbol", "part", *story)
        )
    ).fill_null(value=True)
    return (
        placed.with_columns(part=partition_of)
        .with_columns(run=breaks.cum_sum())
        .group_by("run", maintain_order=True)
        .agg(
            pl.first("symbol", *story),
            first_ts=pl.min("ts"),
            last_ts=pl.max("ts"),
            bars=pl.len().cast(pl.Int64),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    )
