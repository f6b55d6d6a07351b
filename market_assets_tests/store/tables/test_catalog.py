"""Which tables the store has, and what goes with a profile."""

from __future__ import annotations

import pytest

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe

M1 = Dataset.candles("crypto", Timeframe.M1)


@pytest.fixture
def kept(store, minutes):
    """Candles of two profiles, and a table that is none of ours."""
    with store.writing("preparing") as transaction:
        for profile in ("crypto", "my markets"):
            dataset = Dataset.candles(profile, Timeframe.M1)
            transaction.candles.create(dataset, derived=False)
            rows = minutes.candles(("BTC", 1, 1.0, 1.0), ("ETH", 2, 1.0, 1.0))
            transaction.candles.merge(dataset, ["BTC", "ETH"], minutes.window(0, 9), rows)
        transaction.connection.execute("CREATE TABLE crypto.notes AS SELECT 1 AS n")


@pytest.mark.usefixtures("kept")
def test_every_table_of_candles_says_what_it_holds(read, minutes):
    held = (2, 2, minutes.naive(1), minutes.naive(2))
    assert read("catalog.holdings").rows() == [
        ("crypto", "candles_1m", *held),
        ("my markets", "candles_1m", *held),
    ]
    assert read("catalog.has", "crypto", "candles_1m")
    assert not read("catalog.has", "crypto", "candles_5m")
    assert {"crypto", "my markets", "ops"} <= set(read("catalog.schemas"))


@pytest.mark.usefixtures("kept")
def test_with_a_profile_go_its_tables_and_its_rows_in_every_ledger(write, read, minutes):
    rows = minutes.candles(("BTC", 1, 2.0, 1.0))
    write("candles.merge", M1, ["BTC"], minutes.window(0, 9), rows)
    assert read("revisions.of", M1, "BTC", minutes.at(1)).height == 1
    write("catalog.drop_profile", "crypto")
    assert read("catalog.holdings")["schema"].to_list() == ["my markets"]
    assert read("revisions.of", M1, "BTC", minutes.at(1)).is_empty()
    assert read("completeness.matrix").is_empty()
