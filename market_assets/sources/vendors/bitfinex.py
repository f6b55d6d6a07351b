"""Bitfinex candles: `GET /v2/candles/trade:{timeframe}:{symbol}/hist`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from market_assets.errors import SourceError
from market_assets.sources.contract import SourceSettings, Traits
from market_assets.sources.transport.http import (
    HttpSettings,
    RateText,
    StreamingSettings,
    WebAddress,
)
from market_assets.sources.transport.rest import PagedSource, candles, first_open, millis, refusal
from market_assets.sources.vendors.bitfinex_stream import NAMES, BitfinexStream

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    import polars as pl

    from market_assets.market.timeframes import Timeframe, Window
    from market_assets.sources.streaming import StreamFormat

_PAGE = 10_000
_PLACES = {"ts": 0, "open": 1, "close": 2, "high": 3, "low": 4, "volume": 5}
_BLOCK = 60.0
_WRONG, _TOO_MANY = 10020, 11010
"""Bitfinex's codes for a parameter that it does not accept, and for too many requests.

All codes but the first may pass.
"""


class BitfinexSettings(StreamingSettings):
    """The keys of a `bitfinex` source: those of every HTTP source.

    Bitfinex's address and limit are the defaults. The documents name 30 requests per minute and
    address for candles; who sends more is refused for a minute.
    """

    base_url: WebAddress = "https://api-pub.bitfinex.com"
    rate: RateText | None = "30/m"


class BitfinexSource(PagedSource):
    """Candles of Bitfinex, without a key.

    A page has 10000 bars; it is asked for oldest first, both ends of a window included. A bar
    without a trade is left out. There are no 4h bars, and the documents do not say on which day a
    week opens: weeks are made of days. A symbol is written as Bitfinex writes it, such as tBTCUSD.
    One that it does not know has no bars there; a look for the first bar sets it apart from a quiet
    market.
    """

    Settings: ClassVar[type[SourceSettings]] = BitfinexSettings
    holds: ClassVar[Mapping[int, float]] = {429: _BLOCK}
    traits = Traits(
        timeframes=frozenset(NAMES),
        page_size=_PAGE,
        emits_empty_bars=False,
        earliest_probe=True,
        kinds=frozenset({"crypto"}),
        venue="bitfinex",
    )

    def __init__(self, name: str, settings: HttpSettings, *, base: Path, kind: str) -> None:
        super().__init__(name, settings, base=base, kind=kind)
        self._traded: set[str] = set()

    async def fetch(
        self, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
    ) -> pl.DataFrame:
        """Give what Bitfinex has for the window: see `Source.fetch`.

        Raises:
            SourceError: It also has no bar of any other time, so that its empty answer says
                nothing.
        """
        frame = await super().fetch(symbol, timeframe, start, end)
        if start < end and symbol not in self._traded:
            if frame.is_empty() and await self.earliest(symbol, timeframe) is None:
                raise SourceError(
                    f"source {self.name}: {symbol} {timeframe}: there is no bar of any time, "
                    "as for a name that Bitfinex does not know; "
                    f"write it as Bitfinex does, such as tBTCUSD",
                    permanent=True,
                )
            self._traded.add(symbol)
        return frame

    async def earliest(self, symbol: str, timeframe: Timeframe) -> datetime | None:
        """Give the open of the first bar that Bitfinex has: see `Source.earliest`."""
        query: dict[str, str | int] = {"sort": 1, "start": 0, "limit": 1}
        about = f"{symbol} {timeframe} first bar"
        page = await self._http.get(_path(symbol, timeframe), query, about=about, parse=self.parse)
        return first_open(page)

    def request(
        self, symbol: str, timeframe: Timeframe, window: Window
    ) -> tuple[str, dict[str, str | int]]:
        """See `PagedSource.request`."""
        query = {
            "sort": 1,
            "start": millis(window.start),
            "end": millis(window.end) - 1,
            "limit": _PAGE,
        }
        return _path(symbol, timeframe), {**query}

    def stream(self, timeframe: Timeframe) -> StreamFormat:
        """Give the format of its live candles: see `streaming.Streaming`."""
        return BitfinexStream(timeframe, self.stream_address(BitfinexStream.address))

    def parse(self, body: bytes) -> pl.DataFrame:
        """See `PagedSource.parse`."""
        return candles(body, _rows, _PLACES)


def _path(symbol: str, timeframe: Timeframe) -> str:
    return f"/v2/candles/trade:{NAMES[timeframe]}:{quote(symbol, safe=':')}/hist"


def _rows(answer: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(answer, dict) and "error" in answer:
        raise refusal(
            answer["error"], retry_after=_BLOCK if answer["error"] == "ERR_RATE_LIMIT" else None
        )
    if answer[:1] == ["error"]:
        code = answer[1]
        words = " ".join(map(str, answer[1:]))
        raise refusal(
            words, permanent=code == _WRONG, retry_after=_BLOCK if code == _TOO_MANY else None
        )
    return answer
