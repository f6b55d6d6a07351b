"""What sources of corporate actions are asked, and what they tell."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import TYPE_CHECKING, Any

from market_assets.sources.actions import ACTION_SCHEMA

if TYPE_CHECKING:
    import polars as pl

    from market_assets.sources.actions import ActionSource


START, END = date(2014, 1, 1), date(2026, 1, 1)


def ask(source: ActionSource, symbol: str, start: date = START, end: date = END) -> pl.DataFrame:
    async def actions() -> pl.DataFrame:
        async with source:
            return await source.actions(symbol, start, end)

    return asyncio.run(actions())


def told(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """The actions without what is null in them."""
    assert frame.schema == ACTION_SCHEMA
    return [
        tuple(f"{cell}" if isinstance(cell, date) else cell for cell in row if cell is not None)
        for row in frame.rows()
    ]
