"""Evidence against a calendar: which bars it refuses, and what follows from them."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from market_assets.market.timeframes import TS, Timeframe
from market_assets.verdicts.doubt import OFF_CALENDAR_SCHEMA, Doubt, Sort, doubts, off_calendar

NEW_YORK = ZoneInfo("America/New_York")
at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone

# Half past nine to noon and one to four in New York, on a Friday and on the Monday after it.
SPANS = pl.DataFrame(
    [
        (date(2025, 3, day), at(f"2025-03-{day:02}T{opens}"), at(f"2025-03-{day:02}T{closes}"))
        for day in (7, 10)
        for opens, closes in (
            [("14:30", "17:00"), ("18:00", "21:00")]
            if day == 7
            else [("13:30", "16:00"), ("17:00", "20:00")]
        )
    ],
    schema={"session": pl.Date, "open": TS, "close": TS},
    orient="row",
)
CLOSED = pl.DataFrame(schema={"symbol": pl.String, "session": pl.Date})


def sides(*opens: str, values: str = "o=1 h=2 l=1 c=2 v=5") -> pl.DataFrame:
    rows = [("A", at(open_), values) for open_ in opens]
    schema = {"symbol": pl.String, "ts": TS, "values": pl.String}
    return off_calendar(pl.DataFrame(rows, schema=schema, orient="row"), SPANS, NEW_YORK)


@pytest.mark.parametrize(
    ("opens", "day", "side"),
    [
        ("2025-03-07T14:00", date(2025, 3, 7), "before"),
        ("2025-03-07T17:30", date(2025, 3, 7), "between"),
        ("2025-03-07T21:30", date(2025, 3, 7), "after"),
        ("2025-03-08T15:00", date(2025, 3, 8), "no_session"),
        ("2025-03-10T13:00", date(2025, 3, 10), "before"),
    ],
)
def test_a_refused_bar_lies_on_a_side_of_its_day_s_trading(opens: str, day: date, side: str):
    found = sides(opens)
    assert found.schema == OFF_CALENDAR_SCHEMA
    assert found.select("day", "side", "bars", "traded").rows() == [(day, side, 1, 1)]


@pytest.mark.parametrize(
    ("values", "traded"),
    [
        ("h=2 l=1 v=5", 1),
        ("h=2 l=1 v=0", 0),
        ("h=2 l=1", 1),
        ("h=2 l=2", 0),
        ("h=2 l=1 v=none", 1),
        ("", 0),
    ],
)
def test_a_bar_was_traded_by_its_volume_or_else_if_it_moved(values: str, traded: int):
    assert sides("2025-03-08T15:00", values=values)["traded"].to_list() == [traded]


def test_a_bar_that_came_twice_counts_once():
    found = sides("2025-03-08T15:00", "2025-03-08T15:00", "2025-03-08T16:00")
    assert found.select("first_ts", "last_ts", "bars").rows() == [
        (at("2025-03-08T15:00"), at("2025-03-08T16:00"), 2)
    ]


def row(day: int, side: str, first: str, last: str, traded: int = 1) -> tuple[object, ...]:
    stamps = (at(f"2025-02-{day:02}T{clock}") for clock in (first, last))
    return ("A", date(2025, 2, day), side, *stamps, traded, traded)


def found(
    *rows: tuple[object, ...],
    timeframe: Timeframe = Timeframe.M1,
    extended: bool = False,
    closed: pl.DataFrame = CLOSED,
) -> list[Doubt]:
    refused = pl.DataFrame(rows, schema=OFF_CALENDAR_SCHEMA, orient="row")
    return doubts(refused, closed, timeframe, NEW_YORK, extended=extended)


def test_a_quarter_of_an_hour_without_a_session_is_a_doubt_and_less_is_none():
    assert found(row(1, "no_session", "15:00", "15:13", traded=14)) == []
    (doubt,) = found(row(1, "no_session", "15:00", "15:14", traded=15))
    assert (doubt.sort, doubt.days, doubt.symbols) == (Sort.SESSION, (date(2025, 2, 1),), ("A",))
    assert doubt.words == (
        "15 bars with trades on 2025-02-01, where the calendar has no session "
        "(the last from 10:00 to 10:14 at the exchange)"
    )


def test_of_days_a_single_bar_is_enough_and_has_no_hours():
    (doubt,) = found(row(1, "no_session", "00:00", "00:00"), timeframe=Timeframe.D1)
    assert doubt.words == "1 bar with trades on 2025-02-01, where the calendar has no session"
    before = [row(day, "before", "00:00", "00:00") for day in (3, 4, 5)]
    assert found(*before, timeframe=Timeframe.D1) == []


@pytest.mark.parametrize("side", ["before", "between", "after"])
def test_the_same_minute_of_three_days_is_a_doubt(side: str):
    rows = [row(day, side, "21:00", "21:00") for day in (3, 4, 5)]
    assert found(*rows[:2]) == []
    assert found(*rows[:2], row(5, side, "21:01", "21:01")) == []
    assert found(*rows[:2], row(5, side, "21:00", "21:00", traded=0)) == []
    (doubt,) = found(*rows)
    assert doubt.sort == Sort.HOURS
    assert "on 3 days that the calendar refuses" in doubt.words
    assert doubt.words.endswith("at 16:00 at the exchange, since 2025-02-03")


def test_extended_hours_of_stocks_are_no_doubt_but_those_in_a_pause_are():
    hours = [row(day, "after", "21:00", "22:30", traded=90) for day in (3, 4, 5)]
    assert len(found(*hours)) == 1
    assert found(*hours, extended=True) == []
    pause = [row(day, "between", "17:00", "18:30", traded=90) for day in (3, 4, 5)]
    assert len(found(*pause, extended=True)) == 1


def test_closed_sessions_are_named_and_of_many_some():
    days = [date(2025, 2, day) for day in range(1, 8)]
    closed = pl.DataFrame({"symbol": ["B", *["A"] * 7], "session": [days[0], *days]})
    (doubt,) = found(closed=closed)
    assert (doubt.sort, doubt.symbols, doubt.days) == (Sort.CLOSED, ("A", "B"), tuple(days))
    assert doubt.words == (
        "the calendar has a session on 2025-02-01, 2025-02-02, 2025-02-03, 2025-02-04, "
        "2025-02-05 and 2 more days, no source has a bar of it"
    )
