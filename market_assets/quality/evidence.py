"""What is known of each bar that a calendar allows: stored, explained, or still to be filled.

Frames speak of one profile and timeframe. `bars` always means symbol, ts, halted: every bar that must be accounted
for, sorted by symbol and ts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market_time.timeframes import TS, literal

if TYPE_CHECKING:
    from datetime import datetime

    from market_assets.market_time.timeframes import Timeframe


class State(StrEnum):
    """What is known of one bar."""

    STORED = "stored"
    OPEN = "open"
    HALTED = "halted"
    NO_TRADE = "no_trade"
    OUTAGE = "outage"
    ABANDONED = "abandoned"


EXPLAINED = (State.HALTED, State.NO_TRADE, State.OUTAGE, State.ABANDONED)
"""The states of a bar that is absent and that nobody asks for any more."""


@dataclass(frozen=True)
class EvidenceRules:
    """When an absence counts as explained.

    Attributes:
        confirmations: How often all sources must have answered without the bar.
        apart: How far apart in time two answers must lie to count as two.
        quiet_limit: The longest silence that a source which leaves quiet bars out can explain by itself. A longer one is
            as likely a recorder that was off, and has to be confirmed like any other hole.
    """

    confirmations: int = 2
    apart: timedelta = timedelta(hours=1)
    quiet_limit: timedelta = timedelta(hours=1)

    def quiet_bars(self, timeframe: Timeframe) -> int:
        """The quiet limit as a number of bars, at least one."""
        return max(1, self.quiet_limit // timeframe.duration)


LEDGER_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "first_ts": TS,
        "last_ts": TS,
        "bars": pl.Int64(),
        "status": pl.String(),
        "attempts": pl.Int32(),
        "confirmations": pl.Int32(),
        "confirmed_at": TS,
        "first_seen": TS,
        "asked_at": TS,
        "reason": pl.String(),
    }
)
"""Columns of `ops.gaps` without the profile and the timeframe."""

ASKED_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "start_ts": TS,
        "end_ts": TS,
        "conclusive": pl.Boolean(),
        "quiet": pl.Boolean(),
        "reason": pl.String(),
    }
)
"""What was asked in this fill: disjoint stretches a symbol. `conclusive`: every source that can speak for the stretch
has answered; `quiet`: a source that leaves quiet bars out was the last to answer; `reason`: its words."""


def classify(
    bars: pl.DataFrame,
    present: pl.DataFrame,
    *,
    coverage: pl.DataFrame,
    ledger: pl.DataFrame,
    timeframe: Timeframe,
    rules: EvidenceRules,
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
    framed = bars.join(
        present.select("symbol", "ts", stored=pl.lit(value=True)),
        on=["symbol", "ts"],
        how="left",
        maintain_order="left",
    ).with_columns(pl.col("stored").fill_null(value=False))
    if len(framed) > len(bars):
        # A bar that somebody stored twice is one bar; the validity verdict tells of it.
        framed = framed.unique(maintain_order=True)
    if framed["stored"].all():
        return framed.select("symbol", "ts", state=pl.lit(State.STORED.value))
    framed = _within(framed, _quiet_stretches(coverage))
    settled = ledger.filter(pl.col("status") != State.OPEN).with_columns(
        end_ts=pl.col("last_ts") + pl.duration(microseconds=1)
    )
    framed = _within(framed, settled.select("symbol", start_ts="first_ts", end_ts="end_ts", status="status"))
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


def advance(
    states: pl.DataFrame,
    *,
    ledger: pl.DataFrame,
    asked: pl.DataFrame,
    now: datetime,
    rules: EvidenceRules,
) -> pl.DataFrame:
    """Count what this fill has learned of every absent bar, and say which of them are explained from now on.

    Args:
        states: symbol, ts, state, as `classify` gives it after the answers were stored.
        ledger: The absences seen before (LEDGER_SCHEMA).
        asked: What was asked just now (ASKED_SCHEMA).
        now: The present instant.
        rules: When an absence counts as explained.

    Returns:
        symbol, ts, state and the ledger's columns attempts, confirmations, confirmed_at, first_seen, asked_at, reason,
        a row a bar that belongs in the ledger: open, or settled by confirmation. What the calendar or a quiet source
        explains by itself needs no row.
    """
    at = literal(now)
    absent = states.filter(pl.col("state").is_in([State.OPEN, State.OUTAGE, State.ABANDONED, State.NO_TRADE]))
    memory = ledger.select(
        "symbol", "status", "attempts", "confirmations", "confirmed_at", "first_seen", "asked_at", "reason",
        start_ts="first_ts", end_ts=pl.col("last_ts") + pl.duration(microseconds=1),
    )  # fmt: skip
    absent = _within(absent, memory)
    # A quiet bar that was never in the ledger is explained by coverage alone.
    absent = absent.filter((pl.col("state") != State.NO_TRADE) | (pl.col("status") == State.NO_TRADE))
    absent = _within(absent, asked.rename({"reason": "answer"}))
    was_asked = pl.col("conclusive").is_not_null() & (pl.col("state") == State.OPEN)
    far_enough = pl.col("confirmed_at").is_null() | (at - pl.col("confirmed_at") >= rules.apart)
    counts = was_asked & pl.col("conclusive") & far_enough
    absent = absent.with_columns(
        attempts=pl.col("attempts").fill_null(0) + was_asked.fill_null(value=False).cast(pl.Int32),
        confirmations=pl.col("confirmations").fill_null(0) + counts.fill_null(value=False).cast(pl.Int32),
        confirmed_at=pl.when(counts).then(at).otherwise("confirmed_at"),
        first_seen=pl.col("first_seen").fill_null(at),
        asked_at=pl.when(was_asked).then(at).otherwise("asked_at"),
        reason=pl.when(was_asked).then("answer").otherwise("reason").fill_null("not asked yet"),
    )
    explained = (pl.col("state") == State.OPEN) & (pl.col("confirmations") >= rules.confirmations)
    settled = pl.when("quiet").then(pl.lit(State.NO_TRADE.value)).otherwise(pl.lit(State.OUTAGE.value))
    return absent.select(
        "symbol", "ts", "attempts", "confirmations", "confirmed_at", "first_seen", "asked_at", "reason",
        state=pl.when(explained).then(settled).otherwise("state"),
    )  # fmt: skip


def to_ledger(bars: pl.DataFrame, remembered: pl.DataFrame, partition_of: pl.Expr) -> pl.DataFrame:
    """Fold bars that share one story into rows of the ledger.

    Args:
        bars: symbol, ts: the calendar's bars, so that neighbours on the calendar make one row.
        remembered: What `advance` returned.
        partition_of: Maps `ts` to what a row may not reach across.

    Returns:
        A frame of LEDGER_SCHEMA.
    """
    story = ["status", "attempts", "confirmations", "confirmed_at", "first_seen", "asked_at", "reason"]
    placed = (
        bars.select("symbol", "ts")
        .with_row_index("place")
        .join(remembered.rename({"state": "status"}), on=["symbol", "ts"], how="inner", maintain_order="left")
    )
    breaks = (
        (pl.col("place") != pl.col("place").shift() + 1)
        | pl.any_horizontal(pl.col(c).ne_missing(pl.col(c).shift()) for c in ("symbol", "part", *story))
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
        .select(pl.col(name).cast(dtype) for name, dtype in LEDGER_SCHEMA.items())
    )


def _quiet_stretches(coverage: pl.DataFrame) -> pl.DataFrame:
    """The union of what sources that leave quiet bars out have answered for: symbol, start_ts, end_ts, covered.

    An answer without any row proves nothing: some vendors give it for a symbol that they do not know.
    """
    answers = coverage.filter(pl.col("omits_quiet") & (pl.col("bars") > 0)).sort("symbol", "start_ts")
    reach = pl.col("end_ts").cum_max().shift().over("symbol")
    return (
        answers.with_columns(fresh=(pl.col("start_ts") > reach).fill_null(value=True))
        .with_columns(stretch=pl.col("fresh").cum_sum())
        .group_by("stretch", maintain_order=True)
        .agg(pl.first("symbol"), pl.min("start_ts"), pl.max("end_ts"))
        .select("symbol", "start_ts", "end_ts", covered=pl.lit(value=True))
    )


def _within(bars: pl.DataFrame, stretches: pl.DataFrame) -> pl.DataFrame:
    """Give each bar the columns of the stretch that it lies in, null for a bar in none; stretches of a symbol are disjoint."""
    columns = [name for name in stretches.columns if name not in {"symbol", "start_ts", "end_ts"}]
    joined = bars.sort("symbol", "ts").join_asof(
        stretches.sort("symbol", "start_ts").with_columns(begins=pl.col("start_ts")),
        left_on="ts",
        right_on="start_ts",
        by="symbol",
        check_sortedness=False,
    )
    inside = (pl.col("ts") < pl.col("end_ts")).fill_null(value=False)
    joined = joined.with_columns(pl.when(inside).then(pl.col(name)).otherwise(None).alias(name) for name in columns)
    return joined.drop("start_ts", "end_ts", "begins", strict=False)
