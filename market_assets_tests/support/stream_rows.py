"""Rows of `ops.streams` as a session would note them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.store.database import naive
from market_assets.store.tables.streams import STREAM_SCHEMA

if TYPE_CHECKING:
    from datetime import datetime

    from market_assets.store import Store


def stream_row(
    profile: str, symbol: str, state: str, since: datetime, noted_at: datetime, **columns: object
) -> dict[str, object]:
    """A row of the hourly candles of `binance`; instants are aware."""
    row = {
        "profile": profile,
        "timeframe": "1h",
        "symbol": symbol,
        "source": "binance",
        "state": state,
        "words": "",
        "since": since,
        "reconnects": 0,
        "noted_at": noted_at,
        "dropped": 0,
        **columns,
    }
    return {name: naive(cell) if hasattr(cell, "tzinfo") else cell for name, cell in row.items()}


def stream_frame(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=STREAM_SCHEMA)


def note_streams(store: Store, *rows: dict[str, object]) -> None:
    with store.writing("a test") as transaction:
        transaction.streams.put(stream_frame(*rows))
