"""Bars and returns to draw, and pictures read back from their pixels."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from io import BytesIO
from itertools import groupby

import polars as pl
from hypothesis import strategies as st
from PIL import Image

from market_assets.market.timeframes import TS
from market_assets.pictures.colours import INCOMPLETE, MARKS
from market_assets.pictures.heatmap import CELL_SCHEMA, CellState
from market_assets.verdicts.evidence import State

DAY = datetime.fromisoformat("2025-02-03")
BUDGET = 15_000
HEADING = 64
LINE = (33, 102, 172)

MONDAY = date(2025, 3, 3)

RAIL = {colour: mark for mark, (colour, _) in MARKS.items()}

number = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1e-300, 1e300, -37.63, 100.0])
row = st.tuples(st.sampled_from([*MARKS, State.STORED]), number, number, number, number, number)


def bars(
    *states: str, minutes: int = 1, volume: float | None = 1.0, prices: tuple[float, ...] = ()
) -> pl.DataFrame:
    """Consecutive bars from DAY, one state each.

    The stored bars rise and fall by turns, or have the given closes.
    """
    rows = []
    for number, state in enumerate(states):
        ts = DAY + timedelta(minutes=number * minutes)
        close = prices[number] if prices else 101.0 if number % 2 else 99.0
        stored = (100.0, max(100.0, close) + 1, min(100.0, close) - 1, close, volume)
        own = stored if state in {State.STORED, INCOMPLETE} else (None,) * 5
        known = State.STORED.value if state == INCOMPLETE else str(state)
        rows.append(
            (
                ts,
                ts,
                ts + timedelta(minutes=minutes),
                *own,
                known,
                state in {INCOMPLETE, State.OPEN},
            )
        )
    names = ("open", "high", "low", "close", "volume")
    schema = {
        "ts": TS,
        "opens_at": TS,
        "closes_at": TS,
        **dict.fromkeys(names, pl.Float64),
        "state": pl.String,
        "broken": pl.Boolean,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def pixels(png: bytes) -> list[list[tuple[int, int, int]]]:
    image = Image.open(BytesIO(png)).convert("RGB")
    flat = list(image.get_flattened_data())
    return [flat[y * image.width : (y + 1) * image.width] for y in range(image.height)]


def returns(*reasons: str | None, symbol: str = "BTC", minutes: int = 60) -> pl.DataFrame:
    rows = [
        (symbol, DAY + timedelta(minutes=minutes * number), reason)
        for number, reason in enumerate(reasons)
    ]
    return pl.DataFrame(
        rows, schema={"symbol": pl.String, "ts": TS, "neutral": pl.String}, orient="row"
    )


def cells(*rows: tuple[str, date, float], state: CellState = CellState.JUDGED) -> pl.DataFrame:
    return pl.DataFrame([(*row, state.value) for row in rows], schema=CELL_SCHEMA, orient="row")


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


def rail(png: bytes) -> list[tuple[str, int]]:
    """What the rail below the prices shows from left to right, and how many pixels of each."""
    row = max(pixels(png)[:-40], key=lambda row: sum(1 for pixel in row if pixel in RAIL))
    return [(RAIL[colour], len(list(run))) for colour, run in groupby(row) if colour in RAIL]
