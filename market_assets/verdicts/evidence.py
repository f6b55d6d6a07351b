"""What is known of each bar that a calendar allows: stored, explained, or still to be filled.

Frames are of one profile and timeframe. `bars` always means symbol, ts, halted: every bar that must
be accounted for, sorted by symbol and ts.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import TS, literal, midnight

if TYPE_CHECKING:
    from datetime import datetime

    from market_assets.config.settings import EvidenceSettings, RepairSettings
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

NO_SESSION = "the calendar has a session here, no source has a bar"
"""Why a bar is `closed`.

No symbol of the profile traded in its whole session, so that the market was likely closed.
"""

SESSION_AFTER_ALL = "another symbol has a bar of this session, so that the market was open"

MISSING = (State.OPEN, State.ABANDONED)
"""The states of a bar that nothing explains: still asked for, or its budget is spent."""


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

WHO_SCHEMA = pl.Schema({"witness": pl.String(), "answered": pl.Boolean()})
"""Columns that may follow those of LEDGER_SCHEMA.

`witness`: the hashes of the files that have said that they lack the bars, separated by a blank;
`answered`: whether any source has ever spoken for them, null in rows that are older than this
column.
"""

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

AROUND_SCHEMA = pl.Schema(
    {"symbol": pl.String(), "start_ts": TS, "end_ts": TS, "witness": pl.String()}
)
"""From the first row to the last of files that have answered without some bars between them, each
with its hash."""


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
    framed = within(framed, _quiet_stretches(coverage))
    settled = ledger.filter(pl.col("status") != State.OPEN)
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
    absent = states.filter(
        pl.col("state").is_in(
            [State.OPEN, State.OUTAGE, State.CLOSED, State.ABANDONED, State.NO_TRADE]
        )
    )
    memory = as_stretches(
        ledger.match_to_schema({**ledger.schema, **WHO_SCHEMA}, missing_columns="insert"),
        "status",
        "attempts",
        "failures",
        "confirmations",
        "confirmed_at",
        "first_seen",
        "asked_at",
        "reason",
        *WHO_SCHEMA,
    )
    absent = within(absent, memory)
    # A quiet bar that was never in the ledger is explained by coverage alone.
    absent = absent.filter(
        (pl.col("state") != State.NO_TRADE) | (pl.col("status") == State.NO_TRADE)
    )
    absent = within(absent, _with_witnesses(asked).rename({"reason": "answer", "witness": "files"}))
    # A gap that was abandoned without an answer opens again when it is asked for all the same.
    says_who = set(WITNESS_SCHEMA) <= set(asked.columns)
    again = (
        pl.col("conclusive").is_not_null()
        & (pl.col("state") == State.ABANDONED)
        & _may_be_answered()
        & says_who
    )
    absent = absent.with_columns(
        state=pl.when(again).then(pl.lit(State.OPEN.value)).otherwise("state")
    )
    absent = absent.with_columns(witness=_united("witness", "files"))
    unfit = refused.select("symbol", "ts", refused=pl.lit(value=True)).unique()
    absent = absent.join(unfit, on=["symbol", "ts"], how="left", maintain_order="left")
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
    absent = absent.with_columns(
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
    still_open = pl.col("state") == State.OPEN
    explained = still_open & (pl.col("confirmations") >= rules.confirmations)
    settled = (
        pl.when("quiet").then(pl.lit(State.NO_TRADE.value)).otherwise(pl.lit(State.OUTAGE.value))
    )
    spent = _spent(at, budget)
    abandoned = still_open & ~explained & was_asked.fill_null(value=False) & spent.is_not_null()
    noted = [pl.col("answered"), pl.when(pl.col("witness") != "").then("witness").alias("witness")]
    who = noted if says_who else []
    return absent.select(
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


def _may_be_answered() -> pl.Expr:
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
    return ledger.filter(pl.col("status") == State.ABANDONED, _may_be_answered())


def unheld_sessions(
    states: pl.DataFrame,
    remembered: pl.DataFrame,
    *,
    grid: pl.DataFrame,
    sessions: pl.DataFrame,
    around: pl.DataFrame,
    rules: EvidenceSettings,
) -> pl.DataFrame:
    """The sessions that every symbol is without, as far as sources have told.

    A symbol's own absence is confirmed by `advance`, or else told by a file that goes on after the
    session: as many different files as there must be confirmations, each of another symbol, are as
    good as one source that is asked as often.

    Args:
        states: symbol, ts, state of all bars.
        remembered: What `advance` returned of the absent ones.
        grid: ts, session: the calendar's bars.
        sessions: session, first_ts, last_ts: the opens of the whole sessions that these are of.
        around: A frame of AROUND_SCHEMA.
        rules: How many confirmations there must be.

    Returns:
        session, first (the open of the first of its bars), sorted.
    """
    absent = [*CONFIRMED_ABSENT, State.OPEN, State.ABANDONED]
    bars = states.filter(pl.col("state") != State.HALTED).join(grid, on="ts")
    bars = bars.filter(pl.col("state").is_in(absent).all().over("session"))
    bars = bars.join(
        remembered.select("symbol", "ts", "confirmations"), on=["symbol", "ts"], how="left"
    )
    is_settled = pl.col("state").is_in(CONFIRMED_ABSENT)
    by_symbol = bars.group_by("session", "symbol").agg(
        first=pl.min("ts"),
        settled=is_settled.all(),
        answered=(is_settled | (pl.col("confirmations") > 0).fill_null(value=False)).all(),
    )
    goes_on = [pl.col("start_ts") < pl.col("first_ts"), pl.col("end_ts") > pl.col("last_ts")]
    files = (
        around.unique()
        .join_where(sessions, *goes_on)
        .group_by("session", "symbol")
        .agg(pl.col("witness").unique())
    )
    by_symbol = by_symbol.join(files, on=["session", "symbol"], how="left")
    by_file = ~pl.col("settled")
    return (
        by_symbol.group_by("session")
        .agg(
            pl.min("first"),
            told=(pl.col("settled") | (pl.col("answered") & pl.col("witness").is_not_null())).all(),
            settled=pl.sum("settled"),
            files=pl.col("witness").filter(by_file).explode(empty_as_null=False).n_unique(),
            confirmed=pl.col("settled").all(),
        )
        .filter(
            "told",
            pl.col("confirmed") | (pl.col("settled") + pl.col("files") >= rules.confirmations),
        )
        .select("session", "first")
        .sort("session")
    )


def with_closed_sessions(
    remembered: pl.DataFrame, closed: pl.Series, held: pl.Series, rules: EvidenceSettings
) -> pl.DataFrame:
    """Say of absent bars whether their whole session was closed.

    Args:
        remembered: What `advance` returned.
        closed: The opens (TS) of the bars of sessions in which no symbol has a bar from any source.
        held: Those of sessions in which one has.
        rules: How many confirmations an outage has.

    Returns:
        The same: a bar that is absent from such a session is `closed`; one that was closed in a
            session
        that was held is an outage where that is confirmed, and open where it is not.
    """
    inside = pl.col("ts").is_in(closed.implode())
    absent = pl.col("state").is_in([*CONFIRMED_ABSENT, State.OPEN, State.ABANDONED])
    again = (pl.col("state") == State.CLOSED) & pl.col("ts").is_in(held.implode())
    after_all = (
        pl.when(pl.col("confirmations") >= rules.confirmations)
        .then(pl.lit(State.OUTAGE.value))
        .otherwise(pl.lit(State.OPEN.value))
    )
    return remembered.with_columns(
        state=pl.when(absent & inside)
        .then(pl.lit(State.CLOSED.value))
        .when(again)
        .then(after_all)
        .otherwise("state"),
        reason=pl.when(absent & inside)
        .then(pl.lit(NO_SESSION))
        .when(again)
        .then(pl.lit(SESSION_AFTER_ALL))
        .otherwise("reason"),
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
    story = [
        "status",
        "attempts",
        "failures",
        "confirmations",
        "confirmed_at",
        "first_seen",
        "asked_at",
        "reason",
    ]
    who = [name for name in WHO_SCHEMA if name in remembered.columns]
    story += who
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


def _quiet_stretches(coverage: pl.DataFrame) -> pl.DataFrame:
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
