"""Which source has answered for which stretch."""

from __future__ import annotations

from datetime import datetime

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets_tests.support.store_rows import answers

M1, H1 = Timeframe.M1, Timeframe.H1
at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone


def test_an_answer_is_found_by_every_window_that_it_touches(write, read, minutes):
    write(
        "coverage.put",
        Dataset.candles("crypto", M1),
        answers(minutes, ("BTC", "kraken", 10, 20, 7)),
    )

    def touched(first: int, after: int) -> bool:
        return not read(
            "coverage.of", Dataset.candles("crypto", M1), ["BTC"], minutes.window(first, after)
        ).is_empty()

    assert [touched(0, 10), touched(0, 11), touched(12, 13), touched(19, 30), touched(20, 30)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert read(
        "coverage.of", Dataset.candles("crypto", M1), ["ETH"], minutes.window(0, 30)
    ).is_empty()
    assert read(
        "coverage.of", Dataset.candles("crypto", H1), ["BTC"], minutes.window(0, 30)
    ).is_empty()
    (row,) = read(
        "coverage.of", Dataset.candles("crypto", M1), ["BTC"], minutes.window(0, 30)
    ).rows(named=True)
    assert (row["bars"], row["omits_quiet"], row["answered_at"]) == (
        7,
        True,
        at("2025-03-01 12:00"),
    )


def test_an_answer_replaces_those_of_the_same_source_inside_it(write, read, minutes):
    old = [
        ("BTC", "kraken", 0, 10, 5),
        ("BTC", "kraken", 10, 20, 5),
        ("BTC", "kraken", 15, 35, 5),
        ("BTC", "binance", 0, 10, 5),
        ("ETH", "kraken", 0, 10, 5),
    ]
    write("coverage.put", Dataset.candles("crypto", M1), answers(minutes, *old))
    write("coverage.put", Dataset.candles("equity", M1), answers(minutes, old[0]))
    write(
        "coverage.put",
        Dataset.candles("crypto", M1),
        answers(minutes, ("BTC", "kraken", 0, 30, 12)),
    )
    found = read(
        "coverage.of", Dataset.candles("crypto", M1), ["BTC", "ETH"], minutes.window(0, 100)
    ).sort("symbol", "source", "start_ts")
    # What meets or overlaps is one row, of as many bars as there must have been at least.
    assert found.select("symbol", "source", "start_ts", "end_ts", "bars").rows() == [
        ("BTC", "binance", minutes.naive(0), minutes.naive(10), 5),
        ("BTC", "kraken", minutes.naive(0), minutes.naive(35), 12),
        ("ETH", "kraken", minutes.naive(0), minutes.naive(10), 5),
    ]
    assert (
        read("coverage.of", Dataset.candles("equity", M1), ["BTC"], minutes.window(0, 100)).height
        == 1
    )


def test_an_empty_answer_does_not_take_the_place_of_evidence(write, read, minutes):
    write(
        "coverage.put",
        Dataset.candles("crypto", M1),
        answers(minutes, ("BTC", "kraken", 0, 10, 5), ("BTC", "kraken", 10, 20, 0)),
    )
    write(
        "coverage.put", Dataset.candles("crypto", M1), answers(minutes, ("BTC", "kraken", 0, 30, 0))
    )
    found = read(
        "coverage.of", Dataset.candles("crypto", M1), ["BTC"], minutes.window(0, 100)
    ).sort("start_ts", "end_ts")
    assert found.select("end_ts", "bars").rows() == [(minutes.naive(10), 5), (minutes.naive(30), 0)]
