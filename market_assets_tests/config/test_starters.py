"""What can be kept first, and what of it goes together."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from market_assets.config.kinds import Kind
from market_assets.config.starter_table import STARTERS
from market_assets.config.starters import (
    Wishes,
    apart,
    check_wishes,
    made_of,
    part_of,
    split_timeframes,
    starters_of,
)
from market_assets.errors import StarterError
from market_assets.market.timeframes import Timeframe

TODAY = date(2026, 12, 1)


def test_each_source_has_its_own_name_for_what_it_begins_with():
    names = {
        name: dict(part_of(STARTERS[name], Wishes(), TODAY).symbols)
        for name in ("binance", "bitfinex", "kraken", "oanda", "databento")
    }

    assert names["binance"] == {"BTCUSDT": "BTCUSDT", "ETHUSDT": "ETHUSDT"}
    assert names["bitfinex"] == {"BTCUSD": "tBTCUSD", "ETHUSD": "tETHUSD"}
    assert names["kraken"] == {"BTCUSD": "XBTUSD", "ETHUSD": "ETHUSD"}
    assert names["oanda"]["EURUSD"] == "EUR_USD"
    assert names["databento"] == {"ES": "ES.v.0", "NQ": "NQ.v.0"}


def test_the_practice_vendor_lacks_some_minutes_of_a_wednesday_that_is_over():
    for today in (TODAY, date(2026, 12, 5), date(2026, 12, 6)):
        (hole,) = part_of(STARTERS["practice"], Wishes(symbols=("ES",)), today).settings["faults"]
        day = date.fromisoformat(hole["start"][:10])

        assert (day.weekday(), hole["symbols"]) == (2, ["ES"])
        assert timedelta(days=3) <= today - day < timedelta(days=10)


def test_a_symbol_may_say_the_sources_name_for_it():
    wishes = Wishes(symbols=("SOLUSD=tSOLUSD", "XRPUSD"))
    symbols = part_of(STARTERS["bitfinex"], wishes, TODAY).symbols

    assert symbols == {"SOLUSD": "tSOLUSD", "XRPUSD": "tXRPUSD"}


def test_the_shortest_timeframe_is_fetched_and_the_others_are_made_of_it():
    fetch, derive = split_timeframes([Timeframe.D1, Timeframe.M5, Timeframe.H1, Timeframe.H1])

    assert (fetch, derive) == (Timeframe.M5, (Timeframe.H1, Timeframe.D1))
    assert made_of(Timeframe.D1, Kind.EQUITY) == (Timeframe.W1,)
    assert made_of(Timeframe.W1, Kind.CRYPTO) == ()
    assert Timeframe.H4 not in made_of(Timeframe.M1, Kind.EQUITY)


def test_profiles_of_one_kind_have_names_of_their_own():
    names = ("binance", "bybit-linear", "oanda")
    parts = apart([part_of(STARTERS[name], Wishes(), TODAY) for name in names])

    assert [part.profile for part in parts] == ["crypto_binance", "crypto_bybit_linear", "forex"]


@pytest.mark.parametrize(
    ("names", "key", "words"),
    [
        ([], "MARKET", "name at least one of binance, "),
        (["binanc"], "MARKET", "did you mean binance?"),
        (["yahoo", "yahoo"], "MARKET", "yahoo is named 2 times"),
    ],
)
def test_a_market_that_is_none_is_refused_with_what_there_is(names, key, words):
    with pytest.raises(StarterError, match=r"^MARKET: ") as fault:
        starters_of(names)

    assert (fault.value.key, words in str(fault.value)) == (key, True)


@pytest.mark.parametrize(
    ("names", "wishes", "key", "words"),
    [
        (["binance", "yahoo"], Wishes(symbols=("A",)), "--symbols", "2 are named"),
        (["binance", "yahoo"], Wishes(calendar="XLON"), "--calendar", "for one market"),
        (["binance", "yahoo"], Wishes(base_url="http://x"), "--base-url", "for one market"),
        (["yahoo"], Wishes(start=date(2030, 1, 1)), "--start", "lies after today, 2026-12-01"),
        (["yahoo"], Wishes(kind=Kind.CRYPTO), "--kind", "leave the option out"),
        (["files"], Wishes(folder=Path()), "--kind", "CRYPTO, EQUITY"),
        (["files"], Wishes(kind=Kind.CRYPTO), "--folder", "say where the files are"),
        (["yahoo"], Wishes(folder=Path()), "--folder", "belongs to the market files"),
        (
            ["files"],
            Wishes(kind=Kind.CRYPTO, folder=Path(), base_url="http://x"),
            "--base-url",
            "no address",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_with_its_option(names, wishes, key, words):
    with pytest.raises(StarterError) as fault:
        check_wishes(starters_of(names), wishes, TODAY)

    assert fault.value.key == key
    assert words in str(fault.value)


@pytest.mark.parametrize(
    ("name", "wishes", "words"),
    [
        ("databento", Wishes(timeframes=(Timeframe.D1,)), "databento has no 1d of its own"),
        ("polygon", Wishes(timeframes=(Timeframe.H1,)), "it has 1m, 5m, 15m, 30m, 1d"),
        ("binance", Wishes(timeframes=(Timeframe.M1, Timeframe.W1)), "add 1d, or leave 1w out"),
        ("binance", Wishes(symbols=("A", "A")), "A is named twice"),
        ("binance", Wishes(symbols=("A=",)), "write NAME, or NAME="),
    ],
)
def test_what_a_source_does_not_have_is_refused(name, wishes, words):
    with pytest.raises(StarterError) as fault:
        part_of(STARTERS[name], wishes, TODAY)

    assert words in str(fault.value)
