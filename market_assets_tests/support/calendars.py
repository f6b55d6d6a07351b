"""Sessions on the clock of their exchange, and real candles to hold a calendar against."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.gaps import missing
from market_assets.market.timeframes import Timeframe, Window

if TYPE_CHECKING:
    from pathlib import Path


def day(text: str) -> Window:
    first = date.fromisoformat(text)
    return Window.of_days(first, first + timedelta(days=1))


def session_of(calendar: str, text: str) -> list[tuple[datetime, datetime]]:
    """The stretches of one session, on the clock of its exchange."""
    loaded = load_calendar(calendar)
    first = date.fromisoformat(text)
    spans = loaded.spans(Window.of_days(first - timedelta(days=2), first + timedelta(days=2)))
    return [
        (
            opens.replace(tzinfo=UTC).astimezone(loaded.zone),
            closes.replace(tzinfo=UTC).astimezone(loaded.zone),
        )
        for session, opens, closes in spans.iter_rows()
        if session == first
    ]


def closes_at(calendar: str, text: str) -> str | None:
    stretches = session_of(calendar, text)
    return f"{stretches[-1][1]:%H:%M}" if stretches else None


def candles(shared: Path, name: str) -> pl.Series:
    path = shared / "data" / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there")
    return pl.read_parquet(path)["ts"].unique().sort()


def outside(calendar: str, timeframe: Timeframe, ts: pl.Series) -> pl.Series:
    """The candles that open where the calendar allows none."""
    allowed = load_calendar(calendar).bars(timeframe, span(ts))["ts"]
    return missing(ts, allowed)


def span(ts: pl.Series) -> Window:
    return Window(ts[0].replace(tzinfo=UTC), ts[-1].replace(tzinfo=UTC) + timedelta(microseconds=1))
