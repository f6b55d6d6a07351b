"""How far a table reaches, and the newest candle of each symbol, however old it is."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.store_rows import actions, at, days

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


def test_a_symbol_spans_from_its_first_to_its_last_row_of_a_window(view):
    first, last, rows = view.served.span(DATASET, "NEW", WHOLE)

    assert (first.year, last.year, rows) == (2024, 2025, 2)
    assert view.served.span(DATASET, "NEW", Window(WHOLE.start, first)) is None


def test_longer_candles_are_made_of_those_that_each_bar_holds(view):
    first, last = datetime(1995, 1, 2), datetime(1995, 1, 3)  # noqa: DTZ001 - as the store has it
    behind = datetime(1995, 1, 4)  # noqa: DTZ001
    days = pl.DataFrame({"ts": [first, last], "since": [first, last], "until": [last, behind]})
    weeks = pl.DataFrame({"ts": [first], "since": [first], "until": [behind]})

    assert view.served.candles_in(DATASET, "OLD", days)["close"].to_list() == [1.0, 2.0]
    (week,) = view.served.candles_in(DATASET, "OLD", weeks).to_dicts()
    assert (week["open"], week["close"], week["volume"]) == (1.0, 2.0, 200.0)
    assert view.served.candles_in(DATASET, "NONE", weeks).is_empty()


def test_longer_candles_are_made_of_prices_on_the_footing_of_a_day(kept):
    closes = (("2024-06-03", 100.0), ("2024-06-04", 102.0), ("2024-06-05", 52.0))
    kept.candles(Timeframe.D1, days("A", *closes))
    kept.tell(actions(("A", "2024-06-05", 2.0)))
    week = pl.DataFrame({"ts": [at("2024-06-03")]}).with_columns(
        since="ts", until=pl.col("ts") + pl.duration(days=7)
    )
    dataset = Dataset.candles("us", Timeframe.D1)

    with kept.store.reading("looking") as view:
        raw = view.served.candles_in(dataset, "A", week)
        before = view.served.candles_in(dataset, "A", week, date(2024, 6, 4))
        after = view.served.candles_in(dataset, "A", week, date(2024, 6, 5))
    assert [frame.select("open", "high").row(0) for frame in (raw, after)] == [
        (100.0, 102.0),
        (50.0, 52.0),
    ]
    # What closed later was not on that footing yet.
    assert before["open"].to_list() == [100.0]


def test_an_empty_table_has_neither(store):
    with store.writing("candles") as transaction:
        transaction.candles.create(DATASET, derived=False)
    with store.reading("looking") as view:
        assert view.served.extent(DATASET) is None
        assert view.served.latest(DATASET, ["OLD"]).is_empty()
