"""Sessions that the calendar has and that were not held: the state `closed`. Pure.

Whether the calendar is in doubt then: `market_assets/verdicts/doubt.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import TS
from market_assets.verdicts.evidence import CONFIRMED_ABSENT, State

if TYPE_CHECKING:
    from market_assets.config.settings import EvidenceSettings

NO_SESSION = "the calendar has a session here, no source has a bar"
"""Why a bar is `closed`.

No symbol of the profile traded in its whole session, so that the market was likely closed.
"""
SESSION_AFTER_ALL = "another symbol has a bar of this session, so that the market was open"

AROUND_SCHEMA = pl.Schema(
    {"symbol": pl.String(), "start_ts": TS, "end_ts": TS, "witness": pl.String()}
)
"""From the first row to the last of files that have answered without some bars between them, each
with its hash."""


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
