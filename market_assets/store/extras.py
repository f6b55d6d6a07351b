"""Rows of a table of candles, with the extra columns that have a value.

Which extra columns there may be: `market_assets/market/columns.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.columns import EXTRA_NAMES, EXTRA_SCHEMA, extras_in
from market_assets.store.database import bounds
from market_assets.store.schema import identifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.market.timeframes import Window
    from market_assets.store.database import Database


def rows_of(
    database: Database,
    source: str,
    window: Window,
    symbols: Sequence[str] | None,
    *,
    extras: Sequence[str],
    absent: Sequence[str] = (),
    probe: str | None = None,
) -> pl.DataFrame:
    """The rows of some or all symbols in a window.

    The rows have all columns of the table, but of the extra ones only those with a value:
    columns of nulls would take as much memory as columns of prices.

    Args:
        database: The open store.
        source: The table, or what gives one.
        window: Where.
        symbols: Whose; None for all.
        extras: The extra columns that are wanted.
        absent: Those of them that are to be there, of nulls, where they have no value.
        probe: The table that says which of them have a value; None where that is not to be
            looked for.
    """
    where = "WHERE ts >= $start AND ts < $end"
    named: dict[str, object] = dict(zip(("start", "end"), bounds(window), strict=True))
    if symbols is not None:
        where += " AND list_contains($symbols, symbol)"
        named["symbols"] = list(symbols)
    # Tables that an earlier version has left to readers have none.
    if not extras:
        quoted_names = ", ".join(f"'{name}'" for name in EXTRA_NAMES)
        return database.frame(
            f"SELECT COLUMNS(name -> name NOT IN ({quoted_names})) FROM {source} {where}",
            **named,
        )
    result = database.execute(f"SELECT * FROM {source} LIMIT 0")
    columns = [str(name) for name, *_ in result.description or ()]
    result.fetchall()
    held = extras_in({*columns} & {*extras})
    if held and probe:
        counts = ", ".join(f"count({name})" for name in held)
        (sizes,) = database.execute(f"SELECT {counts} FROM {probe} {where}", named).fetchall()
        held = [name for name, count in zip(held, sizes, strict=True) if count]
    wanted = [identifier(name) for name in columns if name not in EXTRA_NAMES or name in held]
    rows = database.frame(f"SELECT {', '.join(wanted)} FROM {source} {where}", **named)
    if not absent:
        return rows
    nulls = [pl.lit(None, EXTRA_SCHEMA[name]).alias(name) for name in absent if name not in held]
    return rows.with_columns(nulls).select(
        *(name for name in rows.columns if name not in EXTRA_NAMES), *absent
    )
