"""Which partitions of a chunk can be committed, and which answers these need."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from market_assets.fill.answers import NO_CANDLES, Answer, Page
from market_assets.fill.chunks import Chunk
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import TS, Window

START = datetime(2025, 2, 24, tzinfo=UTC)
NOTHING = pl.Series(dtype=TS)


def days(number: int, *, newest_first: bool = False) -> list[Partition]:
    found = [
        Partition.holding(date(2025, 2, 24) + timedelta(days=day), Cadence.DAY)
        for day in range(number)
    ]
    return found[::-1] if newest_first else found


def page(first: float, after: float, symbol: str = "BTC") -> Page:
    """A page between two times, in days."""
    window = Window(START + timedelta(days=first), START + timedelta(days=after))
    return Page(symbol, (), window, NOTHING, NOTHING.to_frame("ts"), NOTHING)


def keys(partitions: list[Partition]) -> list[str]:
    return [partition.key for partition in partitions]


def test_a_partition_is_ready_when_all_pages_that_touch_it_are_answered():
    chunk = Chunk(days(3))
    pages = [page(0, 0.7), page(0.7, 1.4), page(1.4, 3)]
    chunk.plan(pages)
    assert chunk.ready() == []
    chunk.take(Answer(pages[0]))
    chunk.take(Answer(pages[2]))
    assert chunk.ready() == []
    chunk.take(Answer(pages[1]))
    assert keys(chunk.ready()) == ["2025-02-24", "2025-02-25", "2025-02-26"]
    assert chunk.is_answered


def test_nothing_is_ready_before_it_is_planned_and_all_is_where_nothing_is_asked():
    chunk = Chunk(days(2))
    assert chunk.ready() == []
    assert not chunk.is_answered
    chunk.plan([])
    assert len(chunk.ready()) == 2
    assert chunk.is_answered


@pytest.mark.parametrize("newest_first", [False, True])
def test_partitions_are_ready_in_the_order_of_the_fill_alone(newest_first):
    partitions = days(3, newest_first=newest_first)
    chunk = Chunk(partitions)
    pages = [page(0, 1), page(1, 2), page(2, 3)]
    chunk.plan(pages)
    chunk.take(Answer(pages[1]))
    assert chunk.ready() == []
    chunk.take(Answer(pages[2 if newest_first else 0]))
    assert chunk.ready() == partitions[:2]


def test_a_batch_has_all_answers_that_touch_it_and_a_page_over_its_edge_is_kept_for_the_next():
    chunk = Chunk(days(3))
    pages = [page(0, 0.5), page(0.5, 1.5), page(1.5, 3)]
    chunk.plan(pages)
    for asked in pages:
        chunk.take(Answer(asked))

    batch = chunk.cut(chunk.ready()[:1], None)
    assert [answer.page for answer in batch.answers] == pages[:2]
    assert batch.window == Window(START, START + timedelta(days=1))
    rest = chunk.cut(chunk.ready(), batch.newest)
    assert [answer.page for answer in rest.answers] == pages[1:]
    assert not chunk.todo


def test_the_newest_bar_is_that_of_all_chunks_so_far():
    chunk = Chunk(days(1))
    asked = page(0, 1)
    chunk.plan([asked])
    open_ = START + timedelta(hours=3)
    rows = NO_CANDLES.clear(1).with_columns(ts=pl.lit(open_.replace(tzinfo=None)).cast(TS))
    chunk.take(Answer(asked, candles=[("vendor", rows)]))
    later = open_ + timedelta(days=9)
    assert chunk.newest == open_
    assert chunk.cut(chunk.ready(), later).newest == later
