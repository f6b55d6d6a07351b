"""How far a table reaches, and the newest candle of each symbol, however old it is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Window
from market_assets_tests.support.store_rows import days

DATASET = Dataset.named("kept", "candles_1d")
WHOLE = Window(datetime(1990, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))


@pytest.fixture
def view(store):
    with store.writing("candles") as transaction:
        transaction.candles.create(DATASET, derived=False)
        for frame in (
            days("OLD", ("1995-01-02", 1.0), ("1995-01-03", 2.0)),
            days("NEW", ("2024-01-01", 3.0), ("2025-02-03", 4.0)),
            days("MONTH", ("2025-01-10", 5.0)),
        ):
            transaction.candles.merge(DATASET, [frame["symbol"][0]], WHOLE, frame)
    with store.reading("looking") as view:
        yield view


def test_the_newest_candle_is_found_however_far_back_it_lies(view):
    latest = view.served.latest(DATASET, ["OLD", "NEW", "MONTH", "NONE"])

    assert latest.select("symbol", "close").rows() == [("MONTH", 5.0), ("NEW", 4.0), ("OLD", 2.0)]
    assert view.served.latest(DATASET, ["NEW"])["close"].to_list() == [4.0]


def test_a_table_reaches_from_its_oldest_to_behind_its_newest_row(view):
    extent = view.served.extent(DATASET)

    assert extent.start == datetime(1995, 1, 2, tzinfo=UTC)
    assert extent.start < datetime(2025, 2, 3, tzinfo=UTC) < extent.end
    assert view.served.size(DATASET, ["OLD", "NEW"], WHOLE) == 4


def test_an_empty_table_has_neither(store):
    with store.writing("candles") as transaction:
        transaction.candles.create(DATASET, derived=False)
    with store.reading("looking") as view:
        assert view.served.extent(DATASET) is None
        assert view.served.latest(DATASET, ["OLD"]).is_empty()
