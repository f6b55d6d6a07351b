"""Which sessions were not held, and what is said of the bars of one that was held after all."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest

from market_assets.config.settings import EvidenceSettings
from market_assets.market.timeframes import TS
from market_assets.verdicts.closures import (
    AROUND_SCHEMA,
    NO_SESSION,
    SESSION_AFTER_ALL,
    unheld_sessions,
    with_closed_sessions,
)
from market_assets.verdicts.evidence import State

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone

NINE, TEN = at("2025-03-03T09:00"), at("2025-03-03T10:00")
NEXT = at("2025-03-04T09:00")
MONDAY, TUESDAY = date(2025, 3, 3), date(2025, 3, 4)
RULES = EvidenceSettings(confirmations=2)
GRID = pl.DataFrame(
    {"ts": [NINE, TEN, NEXT], "session": [MONDAY, MONDAY, TUESDAY]},
    schema={"ts": TS, "session": pl.Date},
)
SESSIONS = GRID.group_by("session").agg(first_ts=pl.min("ts"), last_ts=pl.max("ts"))


def rows(**states: tuple[str, str, str]) -> pl.DataFrame:
    """The states of the three bars of each symbol."""
    return pl.DataFrame(
        [
            (symbol, ts, state)
            for symbol, told in states.items()
            for ts, state in zip((NINE, TEN, NEXT), told, strict=True)
        ],
        schema={"symbol": pl.String, "ts": TS, "state": pl.String},
        orient="row",
    )


def unheld(states: pl.DataFrame, *files: tuple[str, str], confirmations: int = 0) -> list[date]:
    """The sessions of which nobody has a bar.

    Each file is of a symbol, goes on before and after both sessions, and has a hash.
    """
    remembered = states.filter(pl.col("state") != State.STORED).with_columns(
        confirmations=pl.lit(confirmations)
    )
    around = [(symbol, at("2025-03-01"), at("2025-03-09"), name) for symbol, name in files]
    found = unheld_sessions(
        states,
        remembered,
        grid=GRID,
        sessions=SESSIONS,
        around=pl.DataFrame(around, schema=AROUND_SCHEMA, orient="row"),
        rules=RULES,
    )
    return found["session"].to_list()


def test_a_session_that_is_confirmed_absent_of_every_symbol_was_not_held():
    lost = (State.OUTAGE, State.OUTAGE, State.STORED)
    assert unheld(rows(A=lost, B=lost)) == [MONDAY]


@pytest.mark.parametrize("other", [State.STORED, State.OPEN])
def test_one_bar_of_one_symbol_that_is_stored_or_open_keeps_it(other: State):
    lost = (State.OUTAGE, State.OUTAGE, State.STORED)
    assert unheld(rows(A=lost, B=(State.OUTAGE, other, State.STORED))) == []


def test_halted_bars_say_nothing_of_it():
    assert unheld(rows(A=(State.OUTAGE, State.HALTED, State.STORED))) == [MONDAY]


def test_as_many_files_as_there_must_be_confirmations_tell_it():
    states = rows(A=(State.OPEN, State.OPEN, State.STORED), B=(State.OPEN, State.OPEN, "stored"))
    both = [("A", "one hash"), ("B", "another hash")]
    assert unheld(states, *both, confirmations=1) == [MONDAY]
    assert unheld(states, *both, confirmations=0) == []
    assert unheld(states, both[0], confirmations=1) == []
    assert unheld(states, both[0], ("B", "one hash"), confirmations=1) == []


def closed(state: State, *, confirmations: int = 0, held: bool = False) -> tuple[str, str | None]:
    """The state and the reason of a bar of a session that was closed, or held after all."""
    remembered = pl.DataFrame(
        [("A", NINE, state.value, confirmations, None)],
        schema={
            "symbol": pl.String,
            "ts": TS,
            "state": pl.String,
            "confirmations": pl.Int64,
            "reason": pl.String,
        },
        orient="row",
    )
    bars, nothing = GRID["ts"], GRID["ts"].clear()
    found = with_closed_sessions(
        remembered, nothing if held else bars, bars if held else nothing, RULES
    )
    return found["state"][0], found["reason"][0]


def test_absent_bars_of_a_closed_session_are_closed():
    assert closed(State.OPEN) == (State.CLOSED, NO_SESSION)
    assert closed(State.ABANDONED) == (State.CLOSED, NO_SESSION)
    assert closed(State.HALTED) == (State.HALTED, None)


def test_a_session_that_was_held_after_all_opens_its_bars_again_or_leaves_an_outage():
    assert closed(State.CLOSED, held=True) == (State.OPEN, SESSION_AFTER_ALL)
    assert closed(State.CLOSED, held=True, confirmations=2) == (State.OUTAGE, SESSION_AFTER_ALL)
    assert closed(State.OPEN, held=True) == (State.OPEN, None)
