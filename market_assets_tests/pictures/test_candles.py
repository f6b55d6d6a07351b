"""The pictures of a partition, read back from their pixels."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from io import BytesIO
from itertools import groupby

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from market_assets.enrich.returns.align import Neutral
from market_assets.market.timeframes import TS
from market_assets.pictures.candles import (
    DOWN,
    INCOMPLETE,
    MARKS,
    MEASURED,
    MOST_CANDLES,
    REASONS,
    UP,
    candle_picture,
    feature_picture,
    mask_picture,
)
from market_assets.pictures.drawing import PAPER
from market_assets.verdicts.evidence import State

DAY = datetime.fromisoformat("2025-02-03")
BUDGET = 15_000
HEADING = 64
RAIL = {colour: mark for mark, (colour, _) in MARKS.items()}
LINE = (33, 102, 172)


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


def rail(png: bytes) -> list[tuple[str, int]]:
    """What the rail below the prices shows from left to right, and how many pixels of each."""
    row = max(pixels(png)[:-40], key=lambda row: sum(1 for pixel in row if pixel in RAIL))
    return [(RAIL[colour], len(list(run))) for colour, run in groupby(row) if colour in RAIL]


def test_a_gap_is_marked_at_its_place_and_as_long_as_it_is() -> None:
    states = [State.NO_TRADE] * 760 + [State.OPEN] * 80 + [State.OUTAGE] * 600
    found = rail(candle_picture(bars(*states), title="kept BTC 1m"))
    assert [mark for mark, _ in found] == ["no_trade", "open", "outage"]
    whole = sum(length for _, length in found)
    assert [1440 * length / whole for _, length in found] == pytest.approx([760, 80, 600], abs=3)


def test_one_missing_minute_of_a_day_is_seen_behind_the_candles_and_on_the_rail() -> None:
    states = [State.STORED] * 1440
    states[700] = State.OPEN
    png = candle_picture(bars(*states), title="kept BTC 1m")
    assert rail(png) == [("open", 2)]
    band = MARKS[State.OPEN][1]
    columns = {x for row in pixels(png)[HEADING:] for x, pixel in enumerate(row) if pixel == band}
    assert max(columns) - min(columns) == 1


def test_what_is_missing_is_drawn_over_what_is_explained() -> None:
    states = [State.NO_TRADE, State.OPEN] * 720
    found = dict(rail(candle_picture(bars(*states), title="kept BTC 1m")))
    assert found.keys() == {"open"}


@pytest.mark.parametrize("mark", MARKS)
def test_each_mark_has_a_colour_of_its_own_and_a_word_in_the_legend(mark: str) -> None:
    plain, marked = (
        candle_picture(bars(State.STORED, one, State.STORED, minutes=60), title="kept BTC 1h")
        for one in (State.STORED, mark)
    )
    assert [name for name, _ in rail(marked)] == [mark]
    assert rail(plain) == []
    rows = pixels(marked)
    assert any(pixel == MARKS[mark][0] for row in rows[-24:] for pixel in row)
    assert sum(row.count(MARKS[mark][1]) for row in rows) > 1000


def test_a_stored_bar_that_is_made_of_less_is_drawn_and_marked() -> None:
    png = candle_picture(bars(State.STORED, INCOMPLETE, minutes=60), title="kept BTC 1h")
    seen = {pixel for row in pixels(png) for pixel in row}
    assert {UP, DOWN, *MARKS[INCOMPLETE]} <= seen


def test_a_rising_candle_lies_where_its_prices_are() -> None:
    png = candle_picture(
        bars(State.STORED, State.STORED, minutes=60, prices=(90.0, 110.0)), title="kept BTC 1h"
    )
    rows = pixels(png)[:-40]
    heights = {
        colour: [y for y, row in enumerate(rows) if row.count(colour) > 5] for colour in (UP, DOWN)
    }
    # Both begin at 100, the middle of the picture: one goes down from there, the other up.
    assert heights[UP][-1] == pytest.approx(heights[DOWN][0], abs=1)
    assert len(heights[UP]) == pytest.approx(len(heights[DOWN]), abs=1)


def test_many_bars_share_a_candle_and_few_have_one_each() -> None:
    def candles(number: int) -> int:
        (row,) = (
            row
            for row in [
                max(
                    pixels(candle_picture(bars(*[State.STORED] * number), title=""))[40:250],
                    key=busy,
                )
            ]
        )
        return sum(1 for colour, _ in groupby(row) if colour in {UP, DOWN})

    def busy(row: list[tuple[int, int, int]]) -> int:
        return sum(1 for colour, _ in groupby(row) if colour in {UP, DOWN})

    assert candles(24) == 24
    assert candles(MOST_CANDLES) == MOST_CANDLES
    assert candles(1440) == 96


def test_volume_that_nobody_knows_has_no_room() -> None:
    known, unknown, odd = (
        candle_picture(bars(State.STORED, State.STORED, volume=volume), title="kept EURUSD 1m")
        for volume in (5.0, None, float("nan"))
    )
    assert len(pixels(unknown)) < len(pixels(known))
    assert unknown == odd


def test_a_market_that_was_closed_takes_no_room_and_is_told() -> None:
    whole = bars(*[State.STORED] * 60)
    closed = whole.with_columns(
        pl.when(pl.int_range(pl.len()) < 30)
        .then(name)
        .otherwise(pl.col(name) + pl.duration(hours=1))
        .alias(name)
        for name in ("ts", "opens_at", "closes_at")
    )
    one, other = (pixels(candle_picture(frame, title="kept ES 1m")) for frame in (whole, closed))
    assert len(one[0]) == len(other[0])
    dashed = (140, 140, 140)
    assert sum(row.count(dashed) for row in other) > 40 + sum(row.count(dashed) for row in one)


def test_a_feature_s_line_has_a_hole_where_it_has_no_value() -> None:
    frame = bars(*[State.STORED] * 30).with_columns(
        x=pl.when(pl.int_range(pl.len()).is_between(10, 19))
        .then(None)
        .otherwise(pl.int_range(pl.len()).cast(pl.Float64))
    )
    rows = pixels(feature_picture(frame, "x", title="kept BTC 1m"))
    columns = [any(row[x] == LINE for row in rows) for x in range(len(rows[0]))]
    runs = [(drawn, len(list(run))) for drawn, run in groupby(columns)]
    assert [drawn for drawn, _ in runs] == [False, True, False, True, False]
    assert runs[2][1] > runs[1][1]


def test_a_feature_without_any_value_is_an_empty_panel() -> None:
    frame = bars(State.STORED, State.STORED).with_columns(x=pl.lit(None, pl.Float64), y=pl.lit(1.0))
    empty, full = (pixels(feature_picture(frame, name, title="kept")) for name in ("x", "y"))
    assert not any(LINE in row for row in empty)
    assert any(LINE in row for row in full)
    assert len(pixels(feature_picture(frame, "x", "y", title="kept"))) > len(full)


def returns(*reasons: str | None, symbol: str = "BTC", minutes: int = 60) -> pl.DataFrame:
    rows = [
        (symbol, DAY + timedelta(minutes=minutes * number), reason)
        for number, reason in enumerate(reasons)
    ]
    return pl.DataFrame(
        rows, schema={"symbol": pl.String, "ts": TS, "neutral": pl.String}, orient="row"
    )


def cells(png: bytes) -> list[list[tuple[int, int, int]]]:
    """The colours of a mask row by row, without those of the legend and of letters.

    Neighbours that are alike count as one.
    """
    colours = set(REASONS.values())
    found = []
    for row in pixels(png)[HEADING:]:
        runs = [(colour, len(list(run))) for colour, run in groupby(row)]
        found.append([colour for colour, length in runs if colour in colours and length > 5])
    return [row for row, _ in groupby(row for row in found if row)][:-1]


def test_each_reason_of_the_mask_has_a_colour_of_its_own() -> None:
    assert set(REASONS) == {"", *Neutral}
    assert len(set(REASONS.values())) == len(REASONS)
    assert PAPER not in REASONS.values()
    reasons = [None, *Neutral]
    row, *_ = cells(mask_picture(returns(*reasons), title="kept returns_1h"))
    assert row == [MEASURED, *(REASONS[reason] for reason in Neutral)]


def test_the_mask_has_a_row_a_symbol_and_shows_the_weightiest_reason_of_a_cell() -> None:
    minutes: list[str | None] = [None] * 1440
    minutes[700], minutes[701] = Neutral.OPEN_GAP, Neutral.NO_TRADE
    frame = pl.concat(
        [
            returns(*minutes, symbol="ETH", minutes=1),
            returns(*[Neutral.CLOSED_MARKET, None] * 720, symbol="BTC", minutes=1),
            returns(*[Neutral.CLOSED_MARKET] * 1440, symbol="SPY", minutes=1),
        ]
    )
    png = mask_picture(frame, title="markets returns_1m")
    assert cells(png) == [
        [MEASURED],
        [MEASURED, REASONS[Neutral.OPEN_GAP], MEASURED],
        [REASONS[Neutral.CLOSED_MARKET]],
    ]


def test_of_very_many_symbols_the_mask_shows_those_that_lack_most_within_the_budget() -> None:
    reasons = [None, *Neutral]
    frame = pl.concat(
        returns(
            *(reasons[(number * 7 + hour * 3) % len(reasons)] for hour in range(744)),
            symbol=f"S{number:03}USDT",
        )
        for number in range(200)
    )
    png = mask_picture(frame, title="kept returns_1h")
    image = Image.open(BytesIO(png))
    assert len(png) < BUDGET
    assert image.width <= 980
    assert image.height < 1000


def test_nothing_at_all_is_a_picture_too() -> None:
    assert pixels(candle_picture(bars(), title="kept"))
    assert pixels(
        feature_picture(bars().with_columns(x=pl.lit(None, pl.Float64)), "x", title="kept")
    )
    assert pixels(mask_picture(returns(), title="kept"))


number = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1e-300, 1e300, -37.63, 100.0])
row = st.tuples(st.sampled_from([*MARKS, State.STORED]), number, number, number, number, number)


@settings(max_examples=15)
@given(st.lists(row, max_size=30), st.integers(1, 60), st.sampled_from([1, 60, 1440, 10_080]))
def test_whatever_the_prices_are_there_is_a_small_picture_and_always_the_same(
    rows: list[tuple[str, float | None]], times: int, minutes: int
) -> None:
    rows = rows * times
    frame = bars(*(own[0] for own in rows), minutes=minutes)
    names = ("open", "high", "low", "close", "volume")
    odd = pl.DataFrame(
        [own[1:] for own in rows], schema=dict.fromkeys(names, pl.Float64), orient="row"
    )
    frame = frame.with_columns(odd.get_columns())
    pictures = [
        (
            candle_picture(one, title="kept BTC"),
            feature_picture(one, "close", "volume", title="kept BTC"),
        )
        for one in (frame, frame.clone())
    ]
    assert pictures[0] == pictures[1]
    for png in pictures[0]:
        assert len(png) < BUDGET
        assert Image.open(BytesIO(png)).width <= 980


def test_who_only_knows_of_the_pictures_does_not_load_what_draws_them() -> None:
    code = "import sys, market_assets.pictures.candles; print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
