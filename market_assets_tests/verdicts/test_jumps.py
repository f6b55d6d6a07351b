"""Which first bars of a session are as likely an unreported split."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest

from market_assets.market.timeframes import TS
from market_assets.verdicts.evidence import State
from market_assets.verdicts.jumps import NO_JUMPS, overnight_jumps

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone

SCHEMA = {
    "symbol": pl.String,
    "ts": TS,
    "session": pl.Date,
    "open": pl.Float64,
    "close": pl.Float64,
    "state": pl.String,
}


def bars(*rows: tuple[str, int, int, float, float], state: State = State.STORED) -> pl.DataFrame:
    """Rows of a symbol, a day of March, an hour, an open and a close."""
    values = [
        (symbol, at(f"2025-03-{day:02}T{hour:02}:00"), date(2025, 3, day), opened, closed, state)
        for symbol, day, hour, opened, closed in rows
    ]
    return pl.DataFrame(values, schema=SCHEMA, orient="row")


@pytest.mark.parametrize(
    ("opened", "jumps"),
    [(50.0, 1), (68.0, 1), (70.0, 0), (100.0, 0), (144.0, 0), (146.0, 1), (0.0, 0)],
)
def test_a_night_to_two_thirds_or_to_one_and_a_half_is_a_jump(opened: float, jumps: int):
    found = overnight_jumps(bars(("A", 3, 20, 90.0, 100.0), ("A", 4, 14, opened, opened)))
    assert found.height == jumps
    assert found.schema == NO_JUMPS.schema


def test_a_jump_names_both_prices():
    found = overnight_jumps(bars(("A", 3, 20, 90.0, 100.0), ("A", 4, 14, 25.0, 26.0)))
    assert found.rows() == [("A", at("2025-03-04T14:00"), date(2025, 3, 4), 100.0, 25.0)]


def test_within_a_session_and_between_symbols_there_is_none():
    within = bars(("A", 3, 14, 100.0, 100.0), ("A", 3, 15, 25.0, 25.0))
    between = bars(("A", 3, 20, 100.0, 100.0), ("B", 4, 14, 25.0, 25.0))
    assert overnight_jumps(within).is_empty()
    assert overnight_jumps(between).is_empty()


def test_it_is_measured_from_the_last_stored_bar():
    frame = pl.concat(
        [
            bars(("A", 3, 20, 100.0, 100.0)),
            bars(("A", 4, 14, 0.0, 0.0), state=State.OPEN),
            bars(("A", 5, 14, 25.0, 25.0)),
        ]
    )
    assert overnight_jumps(frame)["close_before"].to_list() == [100.0]
