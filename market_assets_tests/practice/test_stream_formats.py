"""The streams that the practice vendor speaks: how each vendor is asked, and what it answers."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from market_assets.market.timeframes import Timeframe
from market_assets.practice.book import Market
from market_assets.practice.simulate import Instrument
from market_assets.practice.stream_formats import SPOKEN
from market_assets.practice.streams import StreamVendor
from market_assets.sources.streaming import Subscribed
from market_assets_tests.support.manual_timer import ManualTimer
from market_assets_tests.support.stream_ground import FORMATS, SYMBOLS


@pytest.mark.parametrize("name", SPOKEN)
def test_a_subscription_is_answered_as_the_vendor_does(name):
    symbol = SYMBOLS[name][0]

    async def ask():
        market = Market(symbols={symbol: Instrument()})
        async with StreamVendor(market, ManualTimer()) as vendor:
            stream = FORMATS[name](Timeframe.M1)
            async with connect(vendor.url(name)) as socket:
                for message in stream.subscribe([symbol]):
                    await socket.send(message)
                while True:
                    events = stream.read(await socket.recv())
                    if Subscribed((symbol,)) in events:
                        return vendor.asked

    (asked,) = asyncio.run(ask())
    assert asked == json.loads(FORMATS[name](Timeframe.M1).subscribe([symbol])[0])
