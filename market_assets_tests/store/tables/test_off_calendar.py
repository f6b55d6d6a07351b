"""Bars that sources gave and the calendar refused."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.verdicts.doubt import OFF_CALENDAR_SCHEMA

M1 = Dataset.candles("equity", Timeframe.M1)
DAY = date(2025, 1, 4)


def bars(minutes, *rows: tuple[str, str, int, int]) -> pl.DataFrame:
    """Rows of a symbol, a side of the day, how many bars, and how many of these were traded."""
    values = [
        (symbol, DAY, side, minutes.naive(0), minutes.naive(count), count, traded)
        for symbol, side, count, traded in rows
    ]
    return pl.DataFrame(values, schema=OFF_CALENDAR_SCHEMA, orient="row")


def test_the_answer_with_more_bars_counts(write, read, minutes):
    write("off_calendar.put", M1, bars(minutes, ("A", "no_session", 5, 3), ("B", "after", 1, 0)))
    write("off_calendar.put", M1, bars(minutes, ("A", "no_session", 4, 4)))
    write("off_calendar.put", M1, bars(minutes, ("B", "after", 2, 1), ("B", "before", 1, 1)))
    found = read("off_calendar.of", "equity").select("symbol", "side", "bars", "traded").rows()
    assert found == [("B", "after", 2, 1), ("B", "before", 1, 1), ("A", "no_session", 5, 3)]


def test_the_days_of_a_calendar_that_changed_are_forgotten_for_its_profile(write, read, minutes):
    write("off_calendar.put", M1, bars(minutes, ("A", "no_session", 5, 3)))
    write("off_calendar.forget", "futures", [DAY])
    write("off_calendar.forget", "equity", [DAY + timedelta(days=1)])
    assert read("off_calendar.of").height == 1
    write("off_calendar.forget", "equity", [DAY])
    assert read("off_calendar.of").is_empty()
