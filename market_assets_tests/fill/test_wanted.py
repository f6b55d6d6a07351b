"""Which bars a fill asks for, and in which pages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import pytest

from market_assets.fill.options import FillOptions
from market_assets.fill.wanted import marked, pages_of
from market_assets.market.timeframes import TS, Window
from market_assets_tests.support.fill_ground import at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from market_assets.expected.scope import Scope
    from market_assets.store import Store

NOW = datetime(2025, 3, 1, 6, 30, tzinfo=UTC)
MORNING = Window(at("2025-03-01T00:00"), at("2025-03-01T08:00"))


class Traits(NamedTuple):
    page_size: int


class Paged(NamedTuple):
    """As much of a source as the planning of pages asks for."""

    traits: Traits


@pytest.fixture
def hours(hours_of_march: Callable[[datetime], Scope]) -> Scope:
    return hours_of_march(NOW)


def states(hours: Scope, **absent: Mapping[int, str]) -> pl.DataFrame:
    """The states of a morning: stored, but for some hours of some symbols."""
    rows = [
        (symbol, ts, absent.get(symbol, {}).get(ts.hour, "stored"))
        for symbol, ts, _ in hours.bars(MORNING).iter_rows()
    ]
    return pl.DataFrame(
        rows, schema={"symbol": pl.String, "ts": TS, "state": pl.String}, orient="row"
    )


def wanted(store: Store, hours: Scope, options: FillOptions, **absent: Mapping[int, str]) -> list:
    with store.writing("making the store"):
        pass
    with store.reading("looking") as view:
        bars = marked(view, hours, states(hours, **absent), MORNING, options)
    return bars.filter("wanted").select("symbol", pl.col("ts").dt.hour()).rows()


def test_what_is_open_is_asked_for_and_what_is_explained_is_not(store: Store, hours: Scope) -> None:
    absent = {"BTC": {2: "open", 3: "no_trade"}, "ETH": {4: "outage", 5: "open"}}
    assert wanted(store, hours, FillOptions(), **absent) == [("BTC", 2), ("ETH", 5)]


def test_the_newest_closed_bars_are_asked_for_again(store: Store, hours: Scope) -> None:
    options = FillOptions(recheck=2)
    assert wanted(store, hours, options, BTC={1: "open", 5: "halted"}) == [
        ("BTC", 1),
        ("BTC", 4),
        ("ETH", 4),
        ("ETH", 5),
    ]


def test_a_refetch_asks_for_all(store: Store, hours: Scope) -> None:
    assert len(wanted(store, hours, FillOptions(refetch=True))) == 12


def pages(hours: Scope, asked: Scope, *, newest_first: bool = False) -> list[tuple[str, int, int]]:
    """Three wanted hours of each symbol in pages of two: symbol, first hour, wanted bars."""
    bars = states(hours).with_columns(wanted=pl.col("ts").dt.hour().is_in([0, 1, 5]))
    sources = {
        reference.source: Paged(Traits(2))
        for series in hours.series
        for reference in series.sources
    }
    planned = pages_of(asked, bars, MORNING, sources=sources, newest_first=newest_first)
    return [(page.symbol, page.window.start.hour, len(page.wanted)) for page in planned]


def test_pages_hold_the_wanted_bars_in_the_order_in_which_to_ask(hours: Scope) -> None:
    planned = pages(hours, hours)
    assert sorted(planned[:2]) == [("BTC", 0, 2), ("ETH", 0, 2)]
    assert sum(bars for *_, bars in planned) == 6
    starts = [start for _, start, _ in pages(hours, hours, newest_first=True)]
    assert starts == sorted(starts, reverse=True)


def test_series_that_are_left_out_are_not_asked_for(hours: Scope) -> None:
    assert {symbol for symbol, *_ in pages(hours, hours.without({"ETH"}))} == {"BTC"}
