"""Frames of bars, answers and absences in minutes, for the tests of the evidence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from market_assets.config.settings import EvidenceSettings, RepairSettings
from market_assets.market.timeframes import TS, Timeframe
from market_assets.verdicts.confirmation import ASKED_SCHEMA, advance
from market_assets.verdicts.evidence import (
    State,
    classify,
)
from market_assets.verdicts.ledger import LEDGER_SCHEMA, to_ledger

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone
START = datetime(2025, 3, 3, tzinfo=UTC)
NOW = datetime(2025, 3, 5, tzinfo=UTC)
RULES = EvidenceSettings(quiet_limit=timedelta(minutes=3))

COVERAGE = {
    "symbol": pl.String,
    "start_ts": TS,
    "end_ts": TS,
    "bars": pl.Int64,
    "omits_quiet": pl.Boolean,
}
DAY = pl.col("ts").dt.date()


def naive(minute: int) -> datetime:
    return (START + timedelta(minutes=minute)).replace(tzinfo=None)


def grid(count: int = 10, *symbols: str, halted: range = range(0)) -> pl.DataFrame:
    """The bars of the first minutes, of one symbol or some."""
    rows = [
        (symbol, naive(minute), minute in halted)
        for symbol in symbols or ("A",)
        for minute in range(count)
    ]
    return pl.DataFrame(
        rows, schema={"symbol": pl.String, "ts": TS, "halted": pl.Boolean}, orient="row"
    )


def present(*minutes: int, symbol: str = "A") -> pl.DataFrame:
    rows = [(symbol, naive(minute)) for minute in minutes]
    return pl.DataFrame(rows, schema={"symbol": pl.String, "ts": TS}, orient="row")


def but(*absent: int, count: int = 10) -> pl.DataFrame:
    return present(*(minute for minute in range(count) if minute not in absent))


def covered(
    *answers: tuple[int, int], bars: int = 5, omits: bool = True, symbol: str = "A"
) -> pl.DataFrame:
    rows = [(symbol, naive(start), naive(end), bars, omits) for start, end in answers]
    return pl.DataFrame(rows, schema=COVERAGE, orient="row")


def gap(first: int, last: int, status: State, **story: object) -> dict[str, object]:
    told = {
        "attempts": 1,
        "failures": 0,
        "confirmations": 0,
        "confirmed_at": None,
        "asked_at": None,
        "reason": "it said so",
    }
    return {
        "symbol": "A",
        "first_ts": naive(first),
        "last_ts": naive(last),
        "bars": last - first + 1,
        "status": status.value,
        "first_seen": naive(0),
        **(told | story),
    }


def ledger(*gaps: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(gaps), schema=LEDGER_SCHEMA)


def asked(
    *stretches: tuple[int, int],
    conclusive: bool = True,
    quiet: bool = False,
    failed: bool = False,
    reason: str = "answered",
) -> pl.DataFrame:
    rows = [
        ("A", naive(start), naive(end), conclusive, quiet, failed, reason)
        for start, end in stretches
    ]
    return pl.DataFrame(rows, schema=ASKED_SCHEMA, orient="row")


def states(
    stored: pl.DataFrame,
    *,
    bars: pl.DataFrame | None = None,
    coverage: pl.DataFrame | None = None,
    known: pl.DataFrame | None = None,
    timeframe: Timeframe = Timeframe.M1,
    rules: EvidenceSettings = RULES,
) -> pl.DataFrame:
    return classify(
        grid() if bars is None else bars,
        stored,
        coverage=covered() if coverage is None else coverage,
        ledger=ledger() if known is None else known,
        timeframe=timeframe,
        rules=rules,
    )


def found(*arguments: pl.DataFrame, **options: object) -> dict[str, list[int]]:
    """The minutes of the first symbol in each state but stored."""
    frame = states(*arguments, **options).filter(pl.col("symbol") == "A")
    by_state: dict[str, list[int]] = {}
    for minute, state in enumerate(frame["state"]):
        if state != State.STORED:
            by_state.setdefault(state, []).append(minute)
    return by_state


def after(
    stored: pl.DataFrame,
    question: pl.DataFrame,
    *,
    known: pl.DataFrame | None = None,
    now: datetime = NOW,
    rules: EvidenceSettings = RULES,
    coverage: pl.DataFrame | None = None,
    refused: pl.DataFrame | None = None,
    **budget: object,
) -> pl.DataFrame:
    """The ledger after a fill that asked a question."""
    known = ledger() if known is None else known
    classified = states(stored, known=known, coverage=coverage)
    remembered = advance(
        classified,
        ledger=known,
        asked=question,
        refused=present() if refused is None else refused,
        now=now,
        rules=rules,
        budget=RepairSettings(**budget),
    )
    return to_ledger(classified, remembered, DAY)


def story(frame: pl.DataFrame, *columns: str) -> list[tuple]:
    minutes = ((pl.col(name) - naive(0)).dt.total_minutes() for name in ("first_ts", "last_ts"))
    return frame.select(*minutes, *(columns or ("status", "attempts", "confirmations"))).rows()
