"""The practice vendor's streams: who is served, and where a source finds them."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as connect_in_thread

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.practice.book import Market
from market_assets.practice.simulate import Instrument
from market_assets.practice.stream_faults import StreamFault
from market_assets.practice.streams import StreamVendor
from market_assets.sources.contract import build_source
from market_assets.sources.streaming import Streaming, Subscribed
from market_assets_tests.support.manual_timer import ManualTimer

MARKET = Market(symbols={"BTCUSDT": Instrument()}, seed=3)


@pytest.mark.parametrize(
    ("path", "fault", "status"),
    [
        ("/nowhere", None, 404),
        ("/stream", StreamFault(fault="no_connection", status=401), 401),
        ("/stream", StreamFault(fault="no_connection"), 503),
    ],
)
def test_a_connection_is_refused_with_a_status(path, fault, status):
    async def ask():
        async with StreamVendor(MARKET, ManualTimer()) as vendor:
            vendor.set_faults([fault] if fault else [])
            address = vendor.url("binance").removesuffix("/stream")
            async with connect(address + path):
                pass

    with pytest.raises(InvalidStatus) as refused:
        asyncio.run(ask())
    assert refused.value.response.status_code == status


def test_the_practice_source_streams_its_own_market(tmp_path):
    settings = {"symbols": {"BTCUSDT": {}}, "seed": 11}
    source = build_source("practice", settings, base=tmp_path, kind="crypto")

    assert isinstance(source, Streaming)
    stream = source.stream(Timeframe.M1)
    assert stream.address == source.stream(Timeframe.M1).address
    with connect_in_thread(stream.url(["BTCUSDT"])) as socket:
        (message,) = stream.subscribe(["BTCUSDT"])
        socket.send(message)
        events = stream.read(socket.recv(timeout=20))
    assert events == [Subscribed(("BTCUSDT",))]


def test_a_practice_vendor_elsewhere_has_no_stream(tmp_path):
    settings = {"base_url": "http://127.0.0.1:9"}
    source = build_source("practice", settings, base=tmp_path, kind="crypto")

    with pytest.raises(SourceError, match="leave base_url out"):
        source.stream(Timeframe.M1)
