"""Many symbols on few connections."""

from __future__ import annotations

import msgspec
import pytest

from market_assets.sources.vendors.binance_stream import BinanceStream, BinanceUsdmStream
from market_assets.sources.vendors.bitfinex_stream import BitfinexStream
from market_assets.stream.subscriptions import Gate, shares_of


def names(count):
    return [f"S{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("kind", "count", "sizes"),
    [
        (BinanceStream, 200, [200]),
        (BinanceStream, 1001, [501, 500]),
        (BinanceUsdmStream, 500, [167, 167, 166]),
        (BitfinexStream, 41, [14, 14, 13]),
        (BitfinexStream, 0, []),
    ],
)
def test_symbols_are_parted_evenly_among_as_few_connections_as_may_be(kind, count, sizes):
    shares, rest = shares_of(names(count), kind.traits)

    assert [len(share) for share in shares] == sizes
    assert sorted(symbol for share in shares for symbol in share) == sorted(names(count))
    assert rest == ()


def test_what_is_too_much_for_the_vendor_is_left_over():
    traits = msgspec.structs.replace(BitfinexStream.traits, connections=20)

    shares, rest = shares_of(names(450), traits)

    assert [len(share) for share in shares] == [20] * 20
    assert rest == tuple(names(450)[400:])


def test_a_symbol_that_is_named_twice_is_asked_for_once():
    assert shares_of(["A", "B", "A"], BinanceStream.traits) == ([("A", "B")], ())


def test_no_more_connections_are_opened_than_the_vendor_allows_within_a_time():
    gate = Gate(2, 60)

    assert gate.wait(0) == 0
    assert gate.wait(10) == 0
    assert gate.wait(20) == 40
    assert gate.wait(60) == 0
    assert gate.wait(61) == 9
