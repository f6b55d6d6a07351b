"""What is known of each bar that a calendar allows: stored, explained, or still to be filled.

Frames are of one profile and timeframe. `bars` always means symbol, ts, halted: every bar that must
be accounted for, sorted by symbol and ts.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import literal
from market_assets.verdicts.stretches import as_stretches, within

if TYPE_CHECKING:
    from datetime import datetime

    from market_assets.config.settings import EvidenceSettings
    from market_assets.market.timeframes import Timeframe


class State(StrEnum):
    """What is known of one bar."""

    STORED = "stored"
    OPEN = "open"
    HALTED = "halted"
    NO_TRADE = "no_trade"
    OUTAGE = "outage"
    CLOSED = "closed"
    ABANDONED = "abandoned"


EXPLAINED = (State.HALTED, State.NO_TRADE, State.OUTAGE, State.CLOSED)
"""The states of a bar that is absent for a confirmed reason."""

CONFIRMED_ABSENT = (State.OUTAGE, State.NO_TRADE, State.CLOSED)
"""The states of a bar that the sources have answered without."""

MISSING = (State.OPEN, State.ABANDONED)
"""The states of a bar that nothing explains: still asked for, or its budget is spent."""

_CLOCKS_DIFFER = timedelta(minutes=1)
"""How far another machine's clock may be behind.

The same holds for an instant that leaves bars time to settle.
"""


def is_believable(stamp: datetime, now: datetime) -> bool:
    """Whether a stamp can be true: only a clock that is ahead stamps the future."""
    return stamp <= now + _CLOCKS_DIFFER


def believable(rows: pl.DataFrame, now: datetime, *stamps: str) -> pl.DataFrame:
    """The rows without a stamp (TS) of the future; the others count as never recorded.

    A clock that was ahead has recorded them. A null is no stamp.
    """
    latest = literal(now + _CLOCKS_DIFFER)
    return rows.filter(
        pl.all_horizontal((pl.col(stamp) <= latest).fill_null(value=True) for stamp in stamps)
    )


def classify(
    bars: pl.DataFrame,
    present: pl.DataFrame,
    *,
    coverage: pl.DataFrame,
    ledger: pl.DataFrame,
    timeframe: Timeframe,
    rules: EvidenceSettings,
) -> pl.DataFrame:
    """Say of each bar what is known of it.

    Args:
        bars: symbol, ts, halted.
        present: symbol, ts of what is stored.
        coverage: symbol, start_ts, end_ts, bars, omits_quiet: which stretches were answered for.
        ledger: The absences seen before (LEDGER_SCHEMA).
        timeframe: The bars' timeframe.
        rules: When an absence counts as explained.

    Returns:
        symbol, ts, state in the order of `bars`.
    """
    quiet, settled = quiet_stretches(coverage), ledger.filter(pl.col("status") != State.OPEN)
    if present.is_empty() and quiet.is_empty() and settled.is_empty():
        # Nothing is known of any bar, as in a first backfill.
        state = (
            pl.when("halted").then(pl.lit(State.HALTED.value)).otherwise(pl.lit(State.OPEN.value))
        )
        return bars.select("symbol", "ts", state=state)

    framed = bars.join(
        present.select("symbol", "ts", stored=pl.lit(value=True)),
        on=["symbol", "ts"],
        how="left",
        maintain_order="left",
    ).with_columns(pl.col("stored").fill_null(value=False))
    if len(framed) > len(bars):
        # A bar that somebody stored twice is one bar; the validity verdict reports it.
        framed = framed.unique(maintain_order=True)
    if framed["stored"].all():
        return framed.select("symbol", "ts", state=pl.lit(State.STORED.value))
    framed = within(framed, quiet)
    framed = within(framed, as_stretches(settled, "status"))
    # A silence is measured in bars of the calendar, so that a weekend within it does not count.
    silent = pl.col("covered").fill_null(value=False) & ~pl.col("stored") & ~pl.col("halted")
    framed = framed.with_columns(run=silent.rle_id().over("symbol")).with_columns(
        silence=pl.len().over("symbol", "run"), silent=silent
    )
    state = (
        pl.when("stored")
        .then(pl.lit(State.STORED.value))
        .when("halted")
        .then(pl.lit(State.HALTED.value))
        .when(pl.col("silent") & (pl.col("silence") <= rules.quiet_bars(timeframe)))
        .then(pl.lit(State.NO_TRADE.value))
        .otherwise(pl.col("status").fill_null(State.OPEN.value))
    )
    return framed.select("symbol", "ts", state=state)


def quiet_stretches(coverage: pl.DataFrame) -> pl.DataFrame:
    """The stretches that sources which leave quiet bars out have answered for, united.

    An answer without any row proves nothing: some vendors give it for a symbol that they do not
    know.

    Returns:
        symbol, start_ts, end_ts, covered (always true).
    """
    answers = coverage.filter(pl.col("omits_quiet") & (pl.col("bars") > 0)).sort(
        "symbol", "start_ts"
    )
    reach = pl.col("end_ts").cum_max().shift().over("symbol")
    return (
        answers.with_columns(fresh=(pl.col("start_ts") > reach).fill_null(value=True))
        .with_columns(stretch=pl.col("fresh").cum_sum())
        .group_by("stretch", maintain_order=True)
        .agg(pl.first("symbol"), pl.min("start_ts"), pl.max("end_ts"))
        .select("symbol", "start_ts", "end_ts", covered=pl.lit(value=True))
    )
