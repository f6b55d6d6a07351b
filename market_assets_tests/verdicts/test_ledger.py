"""The ledger of absences: neighbours with one story make one row, within a partition."""

from __future__ import annotations

from datetime import date

import polars as pl

from market_assets.config.settings import RepairSettings
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
from market_assets.verdicts.confirmation import advance
from market_assets.verdicts.ledger import LEDGER_SCHEMA, to_ledger
from market_assets_tests.support.absences import (
    DAY,
    NOW,
    RULES,
    asked,
    at,
    but,
    grid,
    ledger,
    present,
    states,
    story,
)


def test_a_row_never_reaches_over_a_partition():
    bars = grid(3000)
    stored = but(*range(1000, 2900), count=3000)
    classified = states(stored, bars=bars)
    remembered = advance(
        classified,
        ledger=ledger(),
        asked=asked((0, 3000)),
        now=NOW,
        rules=RULES,
        refused=present(),
        budget=RepairSettings(),
    )
    assert story(to_ledger(bars, remembered, DAY), "bars") == [
        (1000, 1439, 440),
        (1440, 2879, 1440),
        (2880, 2899, 20),
    ]
    assert story(to_ledger(bars, remembered, pl.lit(1)), "bars") == [(1000, 2899, 1900)]


def test_neighbours_on_the_calendar_make_one_row():
    week = Window.of_days(date(2025, 3, 6), date(2025, 3, 12))
    bars = (
        load_calendar("XNYS")
        .bars(Timeframe.D1, week)
        .select(pl.lit("A").alias("symbol"), "ts", "halted")
    )
    classified = states(present(), bars=bars, timeframe=Timeframe.D1)
    remembered = advance(
        classified,
        ledger=ledger(),
        asked=asked(),
        now=NOW,
        rules=RULES,
        refused=present(),
        budget=RepairSettings(),
    )
    rows = to_ledger(bars, remembered, pl.col("ts").dt.month_start())
    assert rows.select("first_ts", "last_ts", "bars").rows() == [
        (at("2025-03-06"), at("2025-03-11"), 4)
    ]


def test_symbols_do_not_share_a_row():
    bars = grid(4, "A", "B")
    remembered = advance(
        states(present(), bars=bars),
        ledger=ledger(),
        asked=asked(),
        now=NOW,
        rules=RULES,
        refused=present(),
        budget=RepairSettings(),
    )
    rows = to_ledger(bars, remembered, DAY)
    assert rows.select("symbol", "bars").rows() == [("A", 4), ("B", 4)]


def test_nothing_to_remember_is_an_empty_ledger():
    remembered = advance(
        states(but()),
        ledger=ledger(),
        asked=asked((0, 10)),
        now=NOW,
        rules=RULES,
        refused=present(),
        budget=RepairSettings(),
    )
    result = to_ledger(grid(), remembered, DAY)
    assert result.schema == LEDGER_SCHEMA
    assert result.is_empty()
