"""Frames that were recorded of real streams, where the shared folder is: none of them is kept here.

Binance's spot, USD-M, US and TR venues, 2021 to 2023, as bmoscon/cryptofeed has recorded them. Of
the other vendors only frames of their documents exist.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.sources.vendors.binance_stream import BinanceStream, BinanceUsdmStream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORDS = {
    "BINANCE": BinanceStream,
    "BINANCE_US": BinanceStream,
    "BINANCE_TR": BinanceStream,
    "BINANCE_FUTURES": BinanceUsdmStream,
}


def frames(shared: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The frames of candles, each with what it says of its bar."""
    path = shared / "wire" / "binance" / f"ws_recorded_{name}.ws.1.0.txt"
    if not path.exists():
        pytest.skip("the recorded frames are not there")
    for text in re.findall(r"^[\d.]+: (\{.*\})$", path.read_text(), re.MULTILINE):
        message = json.loads(text)
        if message.get("data", {}).get("e") == "kline":
            yield text, message["data"]["k"]


@pytest.mark.parametrize("name", RECORDS)
def test_each_recorded_candle_is_read_to_the_last_bit(shared, name):
    stream = RECORDS[name](Timeframe.M1)
    count = 0
    for text, bar in frames(shared, name):
        (event,) = stream.read(text)
        count += 1

        assert (event.symbol, event.ts, event.closed) == (bar["s"], bar["t"] * 1000, bar["x"])
        cells = [Decimal(bar[cell]) for cell in "ohlcvq"]
        values = [*event.values[:5], event.quote_volume]
        assert values == [float(cell) for cell in cells]
        assert (event.trades, event.taker_buy_volume) == (bar["n"], float(bar["V"]))
    assert count > 0
