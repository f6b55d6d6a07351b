"""Rows come oldest first in frames, and a cursor goes on where a page has ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.errors import ReadError
from market_assets.market.timeframes import Window
from market_assets.reports.question import Question
from market_assets.serve import rows as module
from market_assets.serve.rows import Cursor, Rows
from market_assets_tests.support.serve_ground import END, HOLE, START

WHOLE = Window(datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))


@pytest.fixture
def ask(filled):
    question = Question.about(filled.universe(), filled.dataset)
    with filled.store.reading("asking") as view:
        yield lambda **options: Rows(question, view, filled.home, **{"window": WHOLE, **options})


@pytest.mark.parametrize("limit", [30, 100, 334, 335, 336, None])
def test_pages_of_any_length_make_the_whole(ask, limit):
    frames, after = [], None
    while True:
        rows = ask(limit=limit, after=after)
        page = pl.concat(rows.frames())
        assert limit is None or len(page) <= limit
        frames.append(page)
        after = rows.next
        if after is None:
            break
    whole = pl.concat(frames)

    assert whole.equals(pl.concat(ask().frames()))
    assert len(whole) == 335 == ask().count()
    assert whole.select("ts", "symbol").equals(whole.select("ts", "symbol").unique().sort(pl.all()))


def test_frames_are_short_whatever_is_asked_for(ask, monkeypatch):
    monkeypatch.setattr(module, "_ROWS", 48)
    lengths = [len(frame) for frame in ask().frames()]

    assert sum(lengths) == 335
    assert max(lengths) <= 2 * 48


def test_a_window_without_rows_has_a_form(ask, monkeypatch):
    monkeypatch.setattr(module, "_FEWEST", 1)
    windows = [Window(START, START), Window(END, WHOLE.end), Window(WHOLE.start, START)]
    # The hour that is lacking, looked for in many short stretches.
    windows.append(Window(HOLE + timedelta(minutes=1), HOLE + timedelta(minutes=59)))
    for window in windows:
        (frame,) = ask(window=window, limit=1).frames()
        assert frame.is_empty()
        assert "close" in frame.columns


def test_columns_are_those_that_were_named(ask):
    frame = pl.concat(ask(columns=["close", "ts"], limit=3).frames())

    assert frame.columns == ["symbol", "ts", "close"]
    with pytest.raises(ReadError, match="did you mean close"):
        list(ask(columns=["clos"]).frames())


@given(
    st.integers(-8_000_000_000_000_000, 10_000_000_000_000_000),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
)
def test_a_cursor_is_read_as_it_was_written(micros, symbol):
    cursor = Cursor(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros), symbol)
    assert Cursor.read(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AAAA",
        "x",
        "\x00",
        "\N{PILE OF POO}",
        "a" * 500,
        "MTIz",
        "OTk5OTk5OTk5OTk5OTk5OTk5OSBCVEM",
    ],
)
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(ReadError) as refused:
        Cursor.read(text)
    assert refused.value.key == "cursor"
