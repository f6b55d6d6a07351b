"""Corporate actions as sources give them.

What splits, dividends, renames and delistings are, and which sources can be asked for them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeGuard

import polars as pl

from market_assets.errors import SourceError
from market_assets.sources.contract import Source

if TYPE_CHECKING:
    from datetime import date


class ActionKind(StrEnum):
    """What happened to a share."""

    SPLIT = "split"
    DIVIDEND = "dividend"
    RENAME = "rename"
    DELISTING = "delisting"


ACTION_SCHEMA = pl.Schema(
    {
        "ex_date": pl.Date(),
        "kind": pl.String(),
        "ratio": pl.Float64(),
        "amount": pl.Float64(),
        "currency": pl.String(),
        "detail": pl.String(),
    }
)
"""The columns of every frame of actions of one symbol.

ex_date is the first session that trades without the dividend or in new shares, under the new name,
or no more. A split has a `ratio`, new shares for an old one (0.1 merges ten). A dividend has an
`amount` per share as it was traded on its ex-date, not divided by later splits. What else is known
stands in `detail`; of two actions of one kind and day it tells them apart.
"""


class ActionSource(Source, Protocol):
    """A source that can be asked for corporate actions."""

    async def actions(self, symbol: str, start: date, end: date) -> pl.DataFrame:
        """Ask for the actions with an ex-date from `start` to before `end`.

        Args:
            symbol: The source's own name for the instrument.
            start: The first ex-date asked for.
            end: The first one no longer asked for; it may lie in the future, as actions are
                announced.

        Returns:
            A frame of ACTION_SCHEMA; empty where the source knows of none.

        Raises:
            SourceError: The source has not answered, or not with actions.
        """
        ...


def gives_actions(source: object) -> TypeGuard[ActionSource]:
    """True for a source, or a source's type, that can be asked for corporate actions."""
    return callable(getattr(source, "actions", None))


def tidy(
    rows: pl.DataFrame, start: date, end: date, *, about: str, divided: bool = False
) -> pl.DataFrame:
    """Bring what a source says of actions into order.

    Args:
        rows: A frame of ACTION_SCHEMA. A split of 0 or 1 and a dividend of 0 are none: tables that
            have a line for each day say so.
        start: The first ex-date.
        end: The first one no longer wanted.
        about: The source and the symbol, for the error.
        divided: The source has divided dividends by all splits since, and the rows hold all of
            these up to the present.

    Returns:
        The actions of the window (ACTION_SCHEMA), oldest first, each once; equal payments of a day
        stay.

    Raises:
        SourceError: A row is impossible: without a date, of an unknown kind, a split or dividend
            without a positive number.
    """
    nothing = ((pl.col("kind") == ActionKind.SPLIT) & pl.col("ratio").is_in([0.0, 1.0])) | (
        (pl.col("kind") == ActionKind.DIVIDEND) & (pl.col("amount") == 0)
    )
    rows = rows.match_to_schema(ACTION_SCHEMA).filter(~nothing.fill_null(value=False))
    number = (
        pl.when(pl.col("kind") == ActionKind.SPLIT)
        .then("ratio")
        .when(pl.col("kind") == ActionKind.DIVIDEND)
        .then("amount")
        .otherwise(1.0)
    )
    possible = (
        pl.col("ex_date").is_not_null()
        & pl.col("kind").is_in(list(ActionKind))
        & (number.is_finite() & (number > 0)).fill_null(value=False)
    )
    impossible = rows.filter(~possible.fill_null(value=False))
    if not impossible.is_empty():
        first = ", ".join(
            f"{name} {value}" for name, value in impossible.row(0, named=True).items()
        )
        raise SourceError(
            f"{about}: {len(impossible)} of {len(rows)} actions are none, the first: {first}. "
            "Correct the source, or its settings",
            permanent=True,
        )
    # Two equal payments of a day are two; a split that is given twice is one.
    payment = (pl.col("kind") == ActionKind.DIVIDEND).fill_null(value=False)
    rows = pl.concat([rows.filter(payment), rows.filter(~payment).unique()])
    wanted = (_as_paid(rows) if divided else rows).filter(
        pl.col("ex_date").is_between(start, end, closed="left")
    )
    return wanted.sort("ex_date", "kind", "detail", "amount", "ratio")


def _as_paid(actions: pl.DataFrame) -> pl.DataFrame:
    """Give dividends that are divided by all splits since in the shares of their own day."""
    splits = (
        actions.filter(pl.col("kind") == ActionKind.SPLIT)
        .group_by("ex_date")
        .agg(pl.col("ratio").product())
        .sort("ex_date")
        .select("ex_date", since=pl.col("ratio").cum_prod(reverse=True))
    )
    placed = actions.sort("ex_date").join_asof(
        splits, on="ex_date", strategy="forward", allow_exact_matches=False
    )
    paid = pl.col("amount") * pl.col("since").fill_null(1.0)
    # Vendors round what they divide, and one more split must not make another dividend of it.
    return placed.with_columns(amount=paid.round(6)).drop("since")
