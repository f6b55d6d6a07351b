"""The heat map, read back from its pixels."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, timedelta
from io import BytesIO
from itertools import groupby

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from market_assets.pictures.heatmap import (
    BANDS,
    MOST_ROWS,
    NEVER_FILLED,
    NOT_EXPECTED,
    Bucket,
    CellState,
    colour_of,
    heat_map,
)
from market_assets_tests.support.pictures import cells, day

MONDAY = date(2025, 3, 3)
GREEN, LIGHT, YELLOW, ORANGE, RED, DARK_RED = (colour for _, colour, _ in BANDS)
COLOURS = {GREEN, LIGHT, YELLOW, ORANGE, RED, DARK_RED, NEVER_FILLED, NOT_EXPECTED}


def drawn(
    frame: pl.DataFrame, symbols: list[str], bucket: Bucket = Bucket.DAY, *, cell_width: int = 26
) -> list[list[tuple[int, ...]]]:
    """The colours of the cells row by row, without the legend, by scanning the picture."""
    image = Image.open(BytesIO(heat_map(frame, symbols, bucket, title="kept 1m"))).convert("RGB")
    found = []
    lines = (
        _stretches([image.getpixel((x, y)) for x in range(image.width)])
        for y in range(image.height)
    )
    for stretches, _ in groupby(lines):
        if stretches:
            found.append(
                [
                    colour
                    for colour, pixels in stretches
                    for _ in range(max(1, round(pixels / cell_width)))
                ]
            )
    return found[:-1]


def _stretches(line: list[tuple[int, ...]]) -> list[tuple[tuple[int, ...], int]]:
    """The runs of a cell's colour and their lengths; what is shorter is the edge of a letter."""
    runs = [(colour, len(list(pixels))) for colour, pixels in groupby(line)]
    return [(colour, length) for colour, length in runs if colour in COLOURS and length > 5]


def test_each_cell_has_the_colour_of_its_share() -> None:
    shares = [1.0, 0.9999, 0.99, 0.95, 0.9, 0.7, 0.5, 0.2, 0.0]
    frame = cells(*(("BTC", day(number), share) for number, share in enumerate(shares)))
    assert drawn(frame, ["BTC"]) == [
        [GREEN, LIGHT, LIGHT, YELLOW, YELLOW, ORANGE, ORANGE, RED, DARK_RED]
    ]


def test_rows_are_the_symbols_in_their_order_and_columns_are_all_days_between() -> None:
    frame = cells(
        ("ETH", day(4), 1.0), ("BTC", day(0), 0.5), ("BTC", day(4), 1.0), ("GONE", day(9), 0.0)
    )
    weekdays = drawn(frame, ["BTC", "NEW", "ETH"])
    assert weekdays == [
        [ORANGE, NOT_EXPECTED, NOT_EXPECTED, NOT_EXPECTED, GREEN],
        [NOT_EXPECTED] * 5,
        [NOT_EXPECTED, NOT_EXPECTED, NOT_EXPECTED, NOT_EXPECTED, GREEN],
    ]


def test_what_was_never_filled_and_what_nobody_expects_have_colours_of_their_own() -> None:
    frame = pl.concat(
        [
            cells(("BTC", day(0), 0.0), state=CellState.NEVER_FILLED),
            cells(("BTC", day(1), 0.0), state=CellState.NOT_EXPECTED),
            cells(("BTC", day(2), 0.0)),
        ]
    )
    assert drawn(frame, ["BTC"]) == [[NEVER_FILLED, NOT_EXPECTED, DARK_RED]]


def test_a_week_is_one_column_and_so_is_a_month() -> None:
    weeks = cells(("BTC", MONDAY, 1.0), ("BTC", MONDAY + timedelta(weeks=2), 0.5))
    assert drawn(weeks, ["BTC"], Bucket.WEEK) == [[GREEN, NOT_EXPECTED, ORANGE]]
    months = cells(("BTC", date(2024, 12, 1), 1.0), ("BTC", date(2025, 2, 1), 0.2))
    assert drawn(months, ["BTC"], Bucket.MONTH) == [[GREEN, NOT_EXPECTED, RED]]


@given(st.integers(1, 10_000_000), st.integers(0, 10_000_000))
def test_only_what_lacks_nothing_is_green_and_more_is_never_redder(
    expected: int, known: int
) -> None:
    known = min(known, expected)
    shown = [colour for _, colour, _ in BANDS].index(colour_of(known / expected, CellState.JUDGED))
    assert (shown == 0) == (known == expected)
    assert (shown == len(BANDS) - 1) == (known == 0)
    more = colour_of(min(known + 1, expected) / expected, CellState.JUDGED)
    assert [colour for _, colour, _ in BANDS].index(more) <= shown


@pytest.mark.parametrize(
    ("days", "bucket"),
    [
        (1, Bucket.DAY),
        (35, Bucket.DAY),
        (120, Bucket.DAY),
        (121, Bucket.WEEK),
        (1000, Bucket.WEEK),
        (3650, Bucket.MONTH),
    ],
)
def test_the_longer_the_profile_the_longer_the_buckets(days: int, bucket: Bucket) -> None:
    assert Bucket.of(MONDAY, day(days)) is bucket
    firsts = (
        pl.DataFrame({"day": [day(n) for n in range(70)]})
        .select(bucket.first_day(pl.col("day")))["day"]
        .unique()
    )
    assert {Bucket.DAY: 70, Bucket.WEEK: 10, Bucket.MONTH: 3}[bucket] == len(firsts)
    assert bucket is not Bucket.WEEK or all(first.weekday() == 0 for first in firsts)


def many(symbols: int, columns: int, *, worst: int | None = None) -> tuple[pl.DataFrame, list[str]]:
    """Months of many symbols with a hole in each tenth cell.

    Of the symbol `worst`, if there is one, nothing is there.
    """
    names = [f"S{number:03d}USDT" for number in range(symbols)]
    months = pl.date_range(date(2015, 1, 1), date(2014 + columns // 12, 12, 1), "1mo", eager=True)
    rows = [
        (name, month, 0.0 if n == worst else (0.97 if (n * 7 + m * 3) % 10 == 0 else 1.0))
        for n, name in enumerate(names)
        for m, month in enumerate(months)
    ]
    return cells(*rows), names


def test_a_hundred_symbols_over_ten_years_are_a_small_picture_that_fits_the_dialog() -> None:
    frame, names = many(100, 120)
    png = heat_map(frame, names, Bucket.MONTH, title="kept 1m")
    assert len(png) < 30_000
    image = Image.open(BytesIO(png))
    assert (image.format, image.mode) == ("PNG", "P")
    assert image.width <= 980
    # Every row and every month has pixels of its own.
    found = drawn(frame, names, Bucket.MONTH, cell_width=7)
    assert [len(row) for row in found] == [120] * 100
    assert {colour for row in found for colour in row} == {GREEN, YELLOW}


def test_of_too_many_symbols_the_worst_are_shown_in_their_order() -> None:
    frame, names = many(MOST_ROWS + 80, 12, worst=MOST_ROWS + 79)
    found = drawn(frame, names, Bucket.MONTH)
    assert len(found) == MOST_ROWS
    assert found[-1] == [DARK_RED] * 12


def test_the_same_cells_in_any_order_make_the_same_bytes() -> None:
    frame, names = many(20, 24)
    one, other = (
        heat_map(each, names, Bucket.MONTH, title="kept", caption="As of today.")
        for each in (frame, frame.sample(fraction=1, shuffle=True, seed=3))
    )
    assert one == other


def test_nothing_expected_is_a_picture_without_cells() -> None:
    assert drawn(cells(), ["BTC", "ETH"]) == []
    assert drawn(cells(), []) == []


def test_who_only_knows_of_the_picture_does_not_load_what_draws_it() -> None:
    code = "import sys, market_assets.pictures.heatmap; print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
