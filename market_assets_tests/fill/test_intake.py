"""What a source's rows add to an answer, without a source that is asked."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from market_assets.config.kinds import PriceRules
from market_assets.config.universe import SourceSymbol
from market_assets.errors import SourceError
from market_assets.fill.answers import Answer, Page
from market_assets.fill.intake import Delivery, take, unexplained
from market_assets.fill.terms import Terms
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.contract import Traits
from market_assets_tests.support.fill_ground import at

START = at("2025-02-27T10:00")
MINUTE = timedelta(minutes=1)
WINDOW = Window(START, START + 10 * MINUTE)
TERMS = Terms(
    Timeframe.M1,
    load_calendar("24/7"),
    START + timedelta(days=1),
    rules=PriceRules(),
    jitter=0.1,
    quiet_bars=2,
)
GRID = TERMS.closed_bars(WINDOW)
NAME = SourceSymbol(source="vendor", symbol="BTC")


def answer() -> Answer:
    return Answer(Page("BTC", (NAME,), WINDOW, GRID, bars=GRID.to_frame(), unfinished=GRID.clear()))


def delivery(*minutes: int, emits_empty_bars: bool = False) -> Delivery:
    rows = GRID.gather([minute for minute in minutes if minute < 10]).to_frame()
    later = [START + minute * MINUTE for minute in minutes if minute >= 10]
    rows = rows.vstack(pl.DataFrame({"ts": later}, schema=rows.schema))
    values = {name: pl.lit(100.0) for name in ("open", "high", "low", "close", "volume")}
    traits = Traits((Timeframe.M1,), 1000, earliest_probe=False, emits_empty_bars=emits_empty_bars)
    return Delivery(traits, NAME, WINDOW, (WINDOW,), rows.with_columns(**values))


def minutes(opens: pl.Series) -> list[int]:
    return [(ts - GRID[0]) // MINUTE for ts in opens]


def test_what_came_is_kept_and_what_did_not_is_still_absent():
    given = answer()

    absent = take(given, delivery(0, 1, 2, 6), TERMS, GRID, fallback=False)

    assert minutes(absent) == [3, 4, 5, 7, 8, 9]
    assert [(source, minutes(rows["ts"])) for source, rows in given.candles] == [
        ("vendor", [0, 1, 2, 6])
    ]
    assert [row[-2:] for row in given.coverage] == [(4, True)]


def test_a_less_preferred_source_gives_only_what_is_lacking():
    given = answer()

    absent = take(given, delivery(0, 1, 2), TERMS, GRID[1:3], fallback=True)

    assert absent.is_empty()
    assert [minutes(rows["ts"]) for _, rows in given.candles] == [[1, 2]]


def test_an_answer_to_another_question_is_none():
    with pytest.raises(SourceError, match="not one of the 2 bars in the answer lies in the window"):
        take(answer(), delivery(20, 21), TERMS, GRID, fallback=False)


def test_a_short_silence_needs_no_other_source_and_a_long_one_does():
    given = answer()
    absent = take(given, delivery(0, 1, 4, 5, 9), TERMS, GRID, fallback=False)

    assert minutes(unexplained(given, absent, TERMS.quiet_bars)) == [6, 7, 8]
    assert not given.spared


def test_nothing_is_explained_by_a_source_that_has_every_bar():
    given = answer()
    absent = take(given, delivery(0, 9, emits_empty_bars=True), TERMS, GRID, fallback=False)

    assert unexplained(given, absent, 60).equals(absent)
