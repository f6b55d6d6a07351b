"""Partitions are made out of stored ones, in batches of whatever size and order."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from polars.testing import assert_frame_equal

from market_assets.store import Store
from market_assets.verdicts.verdicts import SymbolCounts
from market_assets.work.making import joined_counts
from market_assets_tests.support.enrich_ground import (
    CRYPTO_SINCE_JANUARY,
    D1,
    FUTURES,
    H1,
    H4,
    W1,
    at,
    counted,
    days,
)

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _spring(clock):
    clock.now = datetime(2025, 3, 12, tzinfo=UTC)


# Any order, and again


def test_months_derived_in_any_order_give_the_same_bars(market, clock, tmp_path):
    """Two weeks reach over the end of a month.

    The window is Monday 2025-01-27 to Sunday 2025-02-02, and on to 2025-03-02.
    """
    clock.now = datetime(2025, 3, 5, tzinfo=UTC)
    months = [
        days("2025-01-20", "2025-02-01"),
        days("2025-02-01", "2025-03-01"),
        days("2025-03-01", "2025-03-05"),
    ]
    tables = []
    for number, order in enumerate([months, [months[2], months[0], months[1]]]):
        crypto = market(CRYPTO_SINCE_JANUARY, fetch="[1h]", derive="[4h, 1d, 1w]")
        crypto.store = Store(tmp_path / str(number), clock=clock)
        for month in order:
            crypto.fill(month, timeframe=H1, outages=("2025-02-11 00:00..2025-02-13 07:00",))
            for timeframe in (D1, W1):
                crypto.derive(timeframe, month)
        tables.append([crypto.candles(timeframe) for timeframe in (D1, W1)] + [crypto.matrix()])
    first = tables[0]
    assert first[1].select("ts", "bars", "bars_expected").rows() == [
        (at("2025-01-20"), 7, 7),
        (at("2025-01-27"), 7, 7),
        (at("2025-02-03"), 7, 7),
        (at("2025-02-10"), 5, 7),
        (at("2025-02-17"), 7, 7),
        (at("2025-02-24"), 7, 7),
    ]
    for table in tables[1:]:
        assert_frame_equal(table[0], first[0])
        assert_frame_equal(table[1], first[1])
        assert table[2] == first[2]


# The job


@pytest.mark.parametrize("batch_bars", [1, 10_000_000])
def test_the_size_of_a_batch_changes_nothing(batch_bars: int, market, monkeypatch):
    monkeypatch.setattr("market_assets.enrich.derive.Derive.batch_bars", batch_bars)
    futures = market(FUTURES, symbols="ES: {}")
    futures.fill(days("2025-03-03", "2025-03-06"))
    outcomes = futures.derive(H4, days("2025-03-03", "2025-03-06"))
    assert counted(outcomes) == [
        ("2025-03-03", "ES", 6, 6, 0, 0),
        ("2025-03-04", "ES", 6, 6, 0, 0),
        ("2025-03-05", "ES", 6, 6, 0, 0),
    ]
    assert [one.rows for one in outcomes] == [6, 6, 6]


def test_counts_of_several_pieces_stand_by_partition_and_symbol():
    first, second, third = (SymbolCounts(symbol, 2, 2, 0, 0) for symbol in "ABC")
    pieces = [{"2025-03-04": (third,)}, {"2025-03-03": (second,), "2025-03-04": (first, second)}]
    assert joined_counts(pieces) == {
        "2025-03-03": (second,),
        "2025-03-04": (first, second, third),
    }
    assert joined_counts(pieces[:1]) == pieces[0]
    assert joined_counts([]) == {}
