"""Partitions that were judged too early, or without one of their series."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.expected.scope import Scope, scope_of
from market_assets.expected.unfinished import unfinished_partitions
from market_assets.market.timeframes import TS, Timeframe
from market_assets_tests.support.fill_ground import at

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Profile

NOW = datetime(2025, 3, 3, 12, tzinfo=UTC)


@pytest.fixture
def hours(profile: Callable[[str], Profile]) -> Scope:
    """Hours of two symbols over two days and a half, of which one begins on the second day."""
    kept = profile("""
        kind: CRYPTO
        start: 2025-03-01
        timeframes: {fetch: [1h]}
        symbols: {BTC: {}, ETH: {start: 2025-03-02}}
    """)
    return scope_of(kept, Timeframe.H1, NOW)


def unfinished(hours: Scope, **judged: tuple[str, int]) -> set[str]:
    """What is unfinished where days of March were judged at an instant for so many symbols."""
    rows = [
        (f"2025-03-{day[1:]}", at(instant).replace(tzinfo=None), symbols)
        for day, (instant, symbols) in judged.items()
    ]
    schema = {"partition": pl.String, "judged_at": TS, "symbols": pl.Int64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    partitions = hours.partitions(hours.window)
    until = NOW - timedelta(minutes=10)
    return unfinished_partitions(hours, partitions, judged=frame, until=until)


def test_what_was_judged_after_its_last_bar_for_all_its_series_is_finished(hours: Scope) -> None:
    whole = {"d01": ("2025-03-02T00:00", 1), "d02": ("2025-03-03T00:00", 2)}
    assert unfinished(hours, **whole, d03=("2025-03-03T11:55", 2)) == set()


def test_a_bar_that_closed_after_the_judgement_leaves_it_unfinished(hours: Scope) -> None:
    whole = {"d01": ("2025-03-02T00:00", 1), "d03": ("2025-03-03T11:55", 2)}
    assert unfinished(hours, **whole, d02=("2025-03-02T23:30", 2)) == {"2025-03-02"}


def test_a_series_that_was_not_judged_leaves_it_unfinished_where_it_has_bars(hours: Scope) -> None:
    alone = {
        "d01": ("2025-03-02T00:00", 1),
        "d02": ("2025-03-03T00:00", 1),
        "d03": ("2025-03-03T11:55", 1),
    }
    assert unfinished(hours, **alone) == {"2025-03-02", "2025-03-03"}
    assert unfinished(hours.without({"ETH"}), **alone) == set()
