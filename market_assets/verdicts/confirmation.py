"""What fills have learned of every absent bar: its confirmations, its attempts, its budget. Pure.

From these an absence is explained or abandoned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import TS, literal, midnight
from market_assets.verdicts.evidence import State
from market_assets.verdicts.ledger import STORY, WHO_SCHEMA, may_be_answered
from market_assets.verdicts.stretches import as_stretches, within

if TYPE_CHECKING:
    from datetime import datetime

    from market_assets.config.settings import EvidenceSettings, RepairSettings

ASKED_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "start_ts": TS,
        "end_ts": TS,
        "conclusive": pl.Boolean(),
        "quiet": pl.Boolean(),
        "failed": pl.Boolean(),
        "reason": pl.String(),
    }
)
"""What was asked in this fill: disjoint stretches per symbol.

`conclusive`: every source that can speak for the stretch has answered; `quiet`: a source that
leaves quiet bars out was the last to answer; `failed`: a source could not speak for it, so that the
same question may get an answer another time; `reason`: the words of the source.
"""

WITNESS_SCHEMA = pl.Schema({"spoken": pl.Boolean(), "witness": pl.String()})
"""Columns that may follow those of ASKED_SCHEMA.

`spoken`: some source has spoken for the stretch; `witness`: the hashes of the files that have,
separated by a blank. It is empty where a source other than a file has spoken, too: its next answer
may differ.
"""


def advance(
    states: pl.DataFrame,
    *,
    ledger: pl.DataFrame,
    asked: pl.DataFrame,
    refused: pl.DataFrame,
    now: datetime,
    rules: EvidenceSettings,
    budget: RepairSettings,
) -> pl.DataFrame:
    """Count what this fill has learned of every absent bar.

    The counts decide which bars are explained or abandoned from now on.

    Args:
        states: symbol, ts, state, as `classify` gives it after the answers were stored.
        ledger: The absences seen before (LEDGER_SCHEMA).
        asked: What was asked just now (ASKED_SCHEMA, and WITNESS_SCHEMA where files may have
            answered).
        refused: symbol, ts of rows that came and could not be stored: the source has these bars, so
            that nothing confirms their absence.
        now: The present instant.
        rules: When an absence counts as explained.
        budget: When one that is not explained is abandoned.

    Returns:
        symbol, ts, state and the ledger's columns attempts, failures, confirmations, confirmed_at,
        first_seen, asked_at, reason, and those of WHO_SCHEMA where `asked` has WITNESS_SCHEMA.
        There is one row per bar that belongs in the ledger: open, settled by confirmation, or
        abandoned. What the calendar or a quiet source explains by itself needs no row.
    """
    at = literal(now)
    says_who = set(WITNESS_SCHEMA) <= set(asked.columns)

    absent = _with_answers(_remembered(states, ledger), asked, refused, says_who=says_who)
    counted = _counted(absent, at, rules)

    still_open = pl.col("state") == State.OPEN
    explained = still_open & (pl.col("confirmations") >= rules.confirmations)
    settled = (
        pl.when("quiet").then(pl.lit(State.NO_TRADE.value)).otherwise(pl.lit(State.OUTAGE.value))
    )
    spent = _spent(at, budget)
    was_asked = pl.col("was_asked").fill_null(value=False)
    abandoned = still_open & ~explained & was_asked & spent.is_not_null()

    noted = [pl.col("answered"), pl.when(pl.col("witness") != "").then("witness").alias("witness")]
    who = noted if says_who else []
    return counted.select(
        "symbol",
        "ts",
        "attempts",
        "failures",
        "confirmations",
        "confirmed_at",
        "first_seen",
        "asked_at",
        *who,
        reason=pl.when(abandoned).then(pl.format("{}; {}", spent, "reason")).otherwise("reason"),
        state=pl.when(explained)
        .then(settled)
        .when(abandoned)
        .then(pl.lit(State.ABANDONED.value))
        .otherwise("state"),
    )


def _remembered(states: pl.DataFrame, ledger: pl.DataFrame) -> pl.DataFrame:
    """The absent bars, with what the ledger says of each."""
    absent = states.filter(
        pl.col("state").is_in(
            [State.OPEN, State.OUTAGE, State.CLOSED, State.ABANDONED, State.NO_TRADE]
        )
    )
    memory = as_stretches(
        ledger.match_to_schema({**ledger.schema, **WHO_SCHEMA}, missing_columns="insert"),
        *STORY,
        *WHO_SCHEMA,
    )
    absent = within(absent, memory)
    # A quiet bar that was never in the ledger is explained by coverage alone.
    return absent.filter((pl.col("state") != State.NO_TRADE) | (pl.col("status") == State.NO_TRADE))


def _with_answers(
    absent: pl.DataFrame, asked: pl.DataFrame, refused: pl.DataFrame, *, says_who: bool
) -> pl.DataFrame:
    """The absent bars, with what was answered and refused just now.

    A gap that was abandoned without an answer opens again when it is asked for all the same.
    """
    absent = within(absent, _with_witnesses(asked).rename({"reason": "answer", "witness": "files"}))
    again = (
        pl.col("conclusive").is_not_null()
        & (pl.col("state") == State.ABANDONED)
        & may_be_answered()
        & says_who
    )
    absent = absent.with_columns(
        state=pl.when(again).then(pl.lit(State.OPEN.value)).otherwise("state")
    )
    absent = absent.with_columns(witness=_united("witness", "files"))

    unfit = refused.select("symbol", "ts", refused=pl.lit(value=True)).unique()
    return absent.join(unfit, on=["symbol", "ts"], how="left", maintain_order="left")


def _counted(absent: pl.DataFrame, at: pl.Expr, rules: EvidenceSettings) -> pl.DataFrame:
    """The absent bars with their counts after the answers of just now."""
    was_asked = pl.col("conclusive").is_not_null() & (pl.col("state") == State.OPEN)

    # A stamp that lies a little ahead is one of another clock.
    since = at - pl.col("confirmed_at")
    far_enough = (
        pl.col("confirmed_at").is_null() | (since >= rules.apart) | (since < pl.duration(seconds=0))
    )

    # The same file is the same witness: it counts only once.
    witnesses = (
        pl.when(pl.col("witness") == "")
        .then(0)
        .otherwise(pl.col("witness").str.count_matches(" ") + 1)
    )
    stale = (pl.col("files") != "") & (witnesses <= pl.col("confirmations").fill_null(0))
    counts = was_asked & pl.col("conclusive") & far_enough & pl.col("refused").is_null() & ~stale

    return absent.with_columns(
        was_asked=was_asked,
        stale=stale.fill_null(value=False),
        attempts=pl.col("attempts").fill_null(0)
        + (was_asked & ~pl.col("failed")).fill_null(value=False).cast(pl.Int32),
        failures=pl.col("failures").fill_null(0)
        + (was_asked & pl.col("failed")).fill_null(value=False).cast(pl.Int32),
        confirmations=pl.col("confirmations").fill_null(0)
        + counts.fill_null(value=False).cast(pl.Int32),
        confirmed_at=pl.when(counts).then(at).otherwise("confirmed_at"),
        first_seen=pl.col("first_seen").fill_null(at),
        asked_at=pl.when(was_asked).then(at).otherwise("asked_at"),
        answered=pl.when(was_asked & pl.col("spoken"))
        .then(pl.lit(value=True))
        .otherwise("answered")
        .fill_null(value=False),
        reason=pl.when(was_asked).then("answer").otherwise("reason").fill_null("not asked yet"),
    )


def _with_witnesses(asked: pl.DataFrame) -> pl.DataFrame:
    """What was asked, with the columns of WITNESS_SCHEMA.

    Where they are not given, no answer is a file's.
    """
    if "witness" in asked.columns:
        return asked.with_columns(pl.col("witness").fill_null(""))
    return asked.with_columns(spoken="conclusive", witness=pl.lit(""))


def _united(*columns: str) -> pl.Expr:
    """The different hashes in some columns, sorted and separated by a blank."""
    words = pl.concat_str(*(pl.col(name).fill_null("") for name in columns), separator=" ")
    return (
        words.str.strip_chars()
        .str.split(" ")
        .list.unique()
        .list.sort()
        .list.join(" ")
        .str.strip_chars()
    )


def _spent(at: pl.Expr, budget: RepairSettings) -> pl.Expr:
    """Which budget of an open bar is spent, in words; null while none is."""
    confirming = pl.col("conclusive") & pl.col("refused").is_null() & ~pl.col("stale")
    # One try is not enough: the clock may have been ahead for a moment.
    often = pl.col("failures") >= budget.max_attempts
    tried_in_vain = often & (at - pl.col("first_seen") >= budget.give_up)
    since = pl.col("first_seen").dt.strftime("%Y-%m-%d %H:%MZ")
    old = (
        pl.lit(value=False)
        if budget.legacy_cutoff is None
        else pl.col("ts") < literal(midnight(budget.legacy_cutoff))
    )
    return (
        # A source that has none of it needs only be asked once more, late enough, to confirm it.
        pl.when((pl.col("attempts") >= budget.max_attempts) & ~confirming)
        .then(
            pl.when("stale")
            .then(pl.format("attempts: asked {} times, of files that have not changed", "attempts"))
            .otherwise(pl.format("attempts: asked {} times", "attempts"))
        )
        .when(tried_in_vain)
        .then(pl.format("time: not one answer since {}", since))
        # Only with an answer: a source that is down says nothing of its old bars.
        .when(old & (pl.col("attempts") > 0))
        .then(pl.lit(f"legacy cutoff: before {budget.legacy_cutoff}, and asked for once"))
    )
