"""The findings of comparing sources."""

from __future__ import annotations

import polars as pl
import pytest

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe

M1 = Dataset.candles("crypto", Timeframe.M1)
DAY, NEXT = "2025-01-01", "2025-01-02"


@pytest.fixture
def findings(read, minutes):
    """Makes findings of a symbol, a partition, the other source and what was found."""
    schema = read("agreement.of", M1, []).schema

    def make(*rows: tuple[str, str, str, str]) -> pl.DataFrame:
        usual = {
            "source": "ours",
            "compared": 9,
            "only_ours": 0,
            "only_theirs": 0,
            "bars": 1,
            "words": "as found",
            "sample": "[]",
            "tolerance": "0.001",
            "until_ts": minutes.naive(1440),
            "checked_at": minutes.naive(0),
        }
        values = [
            dict.fromkeys(schema)
            | usual
            | {"symbol": symbol, "partition": key, "other": other, "kind": kind}
            for symbol, key, other, kind in rows
        ]
        return pl.DataFrame(values, schema=schema)

    return make


def test_a_comparison_takes_the_place_of_the_one_before(write, read, findings):
    write("agreement.put", M1, findings(("BTC", DAY, "b", "close"), ("BTC", DAY, "b", "volume")))
    write("agreement.put", M1, findings(("BTC", DAY, "c", "close"), ("BTC", NEXT, "b", "agrees")))
    write("agreement.put", M1, findings(("BTC", DAY, "b", "agrees")))
    write("agreement.put", M1, findings())
    found = read("agreement.of", M1, [DAY]).select("other", "kind").rows()
    assert found == [("b", "agrees"), ("c", "close")]
    assert read("agreement.of", Dataset.candles("equity", Timeframe.M1), [DAY]).is_empty()


def test_disagreements_are_listed_the_newest_first(write, read, findings):
    write(
        "agreement.put",
        M1,
        findings(
            ("BTC", DAY, "b", "close"), ("BTC", NEXT, "b", "close"), ("ETH", DAY, "b", "agrees")
        ),
    )
    found = read("agreement.disagreements").select("symbol", "partition").rows()
    assert found == [("BTC", NEXT), ("BTC", DAY)]
