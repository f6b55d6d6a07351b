"""The first bars that sources have named."""

from __future__ import annotations

from datetime import timedelta

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe

M1, H1 = Timeframe.M1, Timeframe.H1


def test_the_genesis_is_the_one_that_was_found_last_and_all_are_kept(
    store, write, read, minutes, clock
):
    assert read("genesis.of", Dataset.candles("crypto", M1)) == {}
    write("genesis.put", Dataset.candles("crypto", M1), "BTC", minutes.at(100), "kraken")
    write("genesis.put", Dataset.candles("crypto", M1), "ETH", minutes.at(7), "binance")
    clock.now += timedelta(days=1)
    write("genesis.put", Dataset.candles("crypto", M1), "BTC", minutes.at(50), "binance")
    assert read("genesis.of", Dataset.candles("crypto", M1)) == {
        "BTC": minutes.at(50),
        "ETH": minutes.at(7),
    }
    write(
        "genesis.put", Dataset.candles("crypto", M1), "BTC", minutes.at(60), "binance"
    )  # in the same second
    assert read("genesis.of", Dataset.candles("crypto", M1))["BTC"] == minutes.at(60)
    assert read("genesis.of", Dataset.candles("crypto", H1)) == {}
    with store.writing("counting") as transaction:
        assert transaction.connection.execute(
            "SELECT count(*) FROM ops.genesis WHERE symbol = 'BTC'"
        ).fetchall() == [(3,)]


def test_the_geneses_are_listed_as_they_were_found_last_and_can_be_forgotten(write, read, minutes):
    for timeframe, symbol, minute in (
        (M1, "BTC", 9),
        (M1, "BTC", 5),
        (H1, "BTC", 60),
        (M1, "ETH", 7),
    ):
        write(
            "genesis.put",
            Dataset.candles("crypto", timeframe),
            symbol,
            minutes.at(minute),
            "binance",
        )
    write("genesis.put", Dataset.candles("other", M1), "BTC", minutes.at(1), "kraken")
    listed = read("genesis.all")
    assert listed.columns == ["profile", "symbol", "timeframe", "ts", "source", "found_at"]
    assert listed.select("profile", "symbol", "timeframe", "ts").rows() == [
        ("crypto", "BTC", "1h", minutes.naive(60)),
        ("crypto", "BTC", "1m", minutes.naive(5)),
        ("crypto", "ETH", "1m", minutes.naive(7)),
        ("other", "BTC", "1m", minutes.naive(1)),
    ]
    write("genesis.forget", "crypto", ["BTC"])
    assert read("genesis.all").select("profile", "symbol").rows() == [
        ("crypto", "ETH"),
        ("other", "BTC"),
    ]
