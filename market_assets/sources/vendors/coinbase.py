"""Coinbase Exchange candles: `GET /products/{product}/candles`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from market_assets.market.instants import iso_second
from market_assets.market.timeframes import Timeframe, from_micros, to_micros
from market_assets.sources.contract import SourceSettings, Traits
from market_assets.sources.transport.http import RateText, StreamingSettings, WebAddress
from market_assets.sources.transport.rest import PagedSource, candles
from market_assets.sources.vendors.coinbase_stream import CoinbaseStream

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from market_assets.market.timeframes import Window
    from market_assets.sources.streaming import StreamFormat

_PLACES = {"ts": 0, "low": 1, "high": 2, "open": 3, "close": 4, "volume": 5}


class CoinbaseSettings(StreamingSettings):
    """The keys of a `coinbase` source: those of every HTTP source.

    Coinbase's address and limit are the defaults. The vendor allows an address 10 requests per
    second; the default stays below that.
    """

    base_url: WebAddress = "https://api.exchange.coinbase.com"
    rate: RateText | None = "8/s"


class CoinbaseSource(PagedSource):
    """Candles of Coinbase Exchange, without a key.

    A page has 300 bars, the newest first, both ends of a window included; a window of more is
    refused, and rows before its start may come with it. A bar without a trade is left out. There
    are bars of 1m, 5m, 15m, 1h and 1d (and 6h), and no way to ask for the first one.
    """

    Settings: ClassVar[type[SourceSettings]] = CoinbaseSettings
    newest_first = True
    exceeds = True
    holds: ClassVar[Mapping[int, float]] = {429: 2.0}
    traits = Traits(
        timeframes=frozenset(
            {Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.D1}
        ),
        page_size=300,
        emits_empty_bars=False,
        earliest_probe=False,
        kinds=frozenset({"crypto"}),
        venue="coinbase",
    )

    def request(
        self, symbol: str, timeframe: Timeframe, window: Window
    ) -> tuple[str, dict[str, str | int]]:
        """See `PagedSource.request`."""
        # The open of the last bar, not the end of the window: 300 bars lie between 300 opens.
        last = from_micros((to_micros(window.end) - 1) // timeframe.micros * timeframe.micros)
        return f"/products/{quote(symbol, safe='')}/candles", {
            "granularity": timeframe.micros // 1_000_000,
            "start": iso_second(window.start),
            "end": iso_second(max(last, window.start)),
        }

    def stream(self, timeframe: Timeframe) -> StreamFormat:
        """Give the format of its live candles: see `streaming.Streaming`."""
        return CoinbaseStream(timeframe, self.stream_address(CoinbaseStream.address))

    def parse(self, body: bytes) -> pl.DataFrame:
        """See `PagedSource.parse`."""
        return candles(body, lambda answer: answer, _PLACES)
