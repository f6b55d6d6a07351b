"""Bars wait in order, the newest values of each alone, and no more of them than there is room."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from market_assets.live.buffer import Buffer
from market_assets.stream.stream import BAR_SCHEMA

START = datetime(2025, 3, 1, 12)  # noqa: DTZ001 - as a frame holds it


def bars(*rows: tuple[str, int], volume: float = 1.0) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (name, START + timedelta(minutes=at), *(1.0,) * 4, volume, *(None,) * 4, START, False)
            for name, at in rows
        ],
        schema=BAR_SCHEMA,
        orient="row",
    )


def taken(buffer: Buffer, **held: list[str]) -> dict[str, list[tuple[str, int, float]]]:
    return {
        part.source: [
            (name, (ts - START) // timedelta(minutes=1), volume)
            for name, ts, volume in part.bars.select("symbol", "ts", "volume").iter_rows()
        ]
        for part in buffer.take(held)
    }


def test_the_newest_values_of_a_bar_are_taken_once() -> None:
    buffer = Buffer(10)
    buffer.add("a", bars(("B", 0), ("A", 0)))
    buffer.add("b", bars(("A", 0)))
    buffer.add("a", bars(("A", 0), volume=2.0))

    assert taken(buffer) == {"a": [("A", 0, 2.0), ("B", 0, 1.0)], "b": [("A", 0, 1.0)]}
    assert taken(buffer) == {}
    assert len(buffer) == 0


def test_what_is_held_stays() -> None:
    buffer = Buffer(10)
    buffer.add("a", bars(("A", 0), ("B", 0)))
    buffer.add("b", bars(("A", 0)))

    assert taken(buffer, a=["A"]) == {"a": [("B", 0, 1.0)], "b": [("A", 0, 1.0)]}
    assert taken(buffer) == {"a": [("A", 0, 1.0)]}


def test_what_comes_back_is_older_than_what_has_come_since() -> None:
    buffer = Buffer(10)
    buffer.add("a", bars(("A", 0)))
    parts = buffer.take({})
    buffer.add("a", bars(("A", 0), volume=2.0))

    assert buffer.give_back(parts) == set()
    assert taken(buffer) == {"a": [("A", 0, 2.0)]}


def test_the_oldest_are_dropped_named_and_counted() -> None:
    buffer = Buffer(3)
    assert buffer.add("a", bars(("A", 0), ("B", 0), ("A", 1))) == set()

    assert buffer.add("a", bars(("C", 2), ("C", 3))) == {("a", "A"), ("a", "B")}

    assert buffer.dropped == 2
    assert taken(buffer) == {"a": [("A", 1, 1.0), ("C", 2, 1.0), ("C", 3, 1.0)]}
