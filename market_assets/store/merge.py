"""How candles that came are merged with those that are stored. Pure.

What is read and written for it is in `market_assets/store/tables/candles.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import polars as pl

from market_assets.market.columns import EXTRA_SCHEMA, OHLCV, extras_in
from market_assets.store.schema import CANDLE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_KEY = ["symbol", "ts"]


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Attributes:
        new: symbol, ts of the rows that were not there before.
        revised: symbol, ts of the rows whose values changed; their old values are in ops.revisions.
        rows: All rows of the window after the merge, sorted by symbol and ts: the candle columns.
        filled: symbol, ts of the rows whose values stayed, and that have extra columns now which
            were null.
    """

    new: pl.DataFrame
    revised: pl.DataFrame
    rows: pl.DataFrame
    filled: pl.DataFrame


@dataclass(frozen=True)
class Merge:
    """A merge, and what it writes.

    Attributes:
        revised: symbol, ts of the rows whose values change; unique.
        gone: symbol, ts of the rows that are removed for others.
        written: The rows that are added, with all of their columns.
        result: What it comes to.
    """

    revised: pl.DataFrame
    gone: pl.DataFrame
    written: pl.DataFrame
    result: Merged

    @classmethod
    def of(cls, before: pl.DataFrame, incoming: pl.DataFrame) -> Self:
        """Merge candles.

        Args:
            before: Those that are stored, with the extra columns that have a value.
            incoming: Those that came, with any extra columns; unique by symbol and ts.
        """
        extras = extras_in({*incoming.columns, *before.columns})
        columns = [*CANDLE_COLUMNS, *extras]
        before, incoming = with_columns(before, extras), with_columns(incoming, extras)
        incoming = incoming.select(columns).sort(_KEY)

        filled = incoming.clear()
        if before.is_empty():
            new, revised = incoming, before
        else:
            new = incoming.join(before, on=_KEY, how="anti")
            matched = before.join(incoming, on=_KEY, how="inner", suffix="_new")
            differs = _differ(OHLCV)
            # A bar that somebody stored twice is replaced by the one row that came.
            doubled = pl.Series(matched.select(_KEY).is_duplicated())
            if extras:
                differs, filled = _with_extras(matched, differs | doubled, extras, columns)
            revised = matched.filter(differs | doubled)

        changed = _changed(incoming, revised, extras, columns)
        gone = pl.concat([revised.select(_KEY), filled.select(_KEY)])
        kept = before.join(gone, on=_KEY, how="anti") if len(gone) else before
        keys = revised.select(_KEY).unique(maintain_order=True)
        rows = new.select(CANDLE_COLUMNS)
        if len(kept) or len(gone):
            parts = [part.select(CANDLE_COLUMNS) for part in (kept, new, changed, filled)]
            rows = pl.concat(parts).sort(_KEY)
        return cls(
            revised=keys,
            gone=gone,
            written=pl.concat([new, changed, filled]),
            result=Merged(
                new=new.select(_KEY),
                revised=keys,
                rows=rows,
                filled=filled.select(_KEY),
            ),
        )


def _changed(
    incoming: pl.DataFrame, revised: pl.DataFrame, extras: Sequence[str], columns: Sequence[str]
) -> pl.DataFrame:
    """The rows that take the place of revised ones.

    What the new row does not say, the old one of the same values and source still does.
    """
    if revised.is_empty():
        return incoming.clear()
    changed = incoming.join(revised, on=_KEY, how="semi")
    if not extras:
        return changed
    old_extras = revised.filter(~_differ(OHLCV), pl.col("source") == pl.col("source_new")).select(
        *_KEY, *(pl.col(name).alias(f"{name}_old") for name in extras)
    )
    return (
        changed.join(old_extras.unique(_KEY), on=_KEY, how="left", maintain_order="left")
        .with_columns(pl.coalesce(name, f"{name}_old") for name in extras)
        .select(columns)
    )


def with_columns(rows: pl.DataFrame, extras: Sequence[str]) -> pl.DataFrame:
    """Rows with some extra columns in their types, of nulls where there are none."""
    return rows.with_columns(
        (pl.col(name) if name in rows.columns else pl.lit(None))
        .cast(EXTRA_SCHEMA[name])
        .alias(name)
        for name in extras
    )


def _differ(names: Iterable[str]) -> pl.Expr:
    """Whether one of some columns of a row is not what came for it (with _new)."""
    return pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_new")) for name in names)


def _with_extras(
    matched: pl.DataFrame, differs: pl.Expr, extras: Sequence[str], columns: Sequence[str]
) -> tuple[pl.Expr, pl.DataFrame]:
    """What extra columns add to a comparison of stored rows with those that came (with _new).

    A volume tells that two sources speak of the same trades; without one, only the same source
    knows what it counts.

    Returns:
        Whether a row is revised; and the rows, with some columns, that are not and of which nulls
        are filled.
    """
    same_source = pl.col("source") == pl.col("source_new")
    other = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_new") for name in extras).fill_null(
        value=False
    )
    revised = differs | (same_source & other)
    gained = pl.any_horizontal(
        pl.col(name).is_null() & pl.col(f"{name}_new").is_not_null() for name in extras
    )
    filled = matched.filter(~revised, gained, same_source | pl.col("volume").is_not_null())
    return revised, filled.with_columns(pl.coalesce(name, f"{name}_new") for name in extras).select(
        columns
    )
