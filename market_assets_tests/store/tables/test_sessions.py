"""The calendar that a profile was judged by."""

from __future__ import annotations

from datetime import date

import polars as pl

from market_assets.market.timeframes import TS

SCHEMA = {"session": pl.Date, "open": TS, "close": TS}


def sessions(minutes, *days: int) -> pl.DataFrame:
    rows = [
        (date(2025, 1, 1 + day), minutes.naive(1440 * day), minutes.naive(1440 * day + 60))
        for day in days
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_the_sessions_that_were_put_last_are_read_in_their_order(write, read, minutes):
    assert read("sessions.digest", "equity") is None
    write("sessions.put", "equity", "old", sessions(minutes, 0, 1))
    write("sessions.put", "futures", "theirs", sessions(minutes, 0))
    write("sessions.put", "equity", "new", sessions(minutes, 3, 2))
    assert read("sessions.digest", "equity") == "new"
    assert read("sessions.of", "equity").rows() == sessions(minutes, 2, 3).rows()
    assert read("sessions.of", "futures").height == 1
