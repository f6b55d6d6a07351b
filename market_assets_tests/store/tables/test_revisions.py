"""The old values of candles that changed."""

from __future__ import annotations

from datetime import timedelta

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe

M1 = Dataset.candles("crypto", Timeframe.M1)


def test_a_bar_has_each_of_its_old_values_the_oldest_first(store, read, minutes, clock):
    with store.writing("preparing") as transaction:
        transaction.candles.create(M1, derived=False)
    for price in (1.0, 2.0, 3.0):
        with store.writing("merging") as transaction:
            rows = minutes.candles(("BTC", 5, price, 1.0), ("ETH", 5, 9.0, 1.0))
            transaction.candles.merge(M1, ["BTC", "ETH"], minutes.window(0, 10), rows)
        clock.now += timedelta(hours=1)

    old = read("revisions.of", M1, "BTC", minutes.at(5))
    assert old["close"].to_list() == [1.0, 2.0]
    assert old["revised_at"].is_sorted(descending=False)
    assert read("revisions.of", M1, "ETH", minutes.at(5)).is_empty()
    assert read("revisions.of", M1, "BTC", minutes.at(6)).is_empty()
