"""Bybit candles: `GET /v5/market/kline`, spot and linear perpetuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from market_assets.sources.contract import SourceSettings, Traits
from market_assets.sources.transport.http import RateText, StreamingSettings, WebAddress
from market_assets.sources.transport.rest import PagedSource, candles, millis, refusal
from market_assets.sources.vendors.bybit_stream import INTERVALS, BybitStream

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl

    from market_assets.market.timeframes import Timeframe, Window
    from market_assets.sources.streaming import StreamFormat

_PAGE = 1000
_PLACES = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5, "quote_volume": 6}
_BAN = 600.0
_CURABLE = {10000: None, 10006: 5.0, 10016: None, 10018: _BAN, 10429: 5.0}
"""Bybit's codes that another attempt may cure, and the seconds to wait before it.

They stand for time-outs, its own faults, and too many requests.
"""


class BybitSettings(StreamingSettings):
    """The keys of a `bybit` source: those of every HTTP source, and what is traded.

    The vendor allows an address 600 requests in 5 seconds and bans it for 10 minutes beyond that;
    the default stays a sixth below.

    Attributes:
        category: spot, or linear for perpetuals and futures that are settled in USDT or USDC.
    """

    base_url: WebAddress = "https://api.bybit.com"
    rate: RateText | None = "100/s"
    category: Literal["spot", "linear"] = "spot"


class BybitSource(PagedSource):
    """Candles of Bybit, without a key.

    A page has 1000 bars, the newest first, both ends of a window included. A minute without a trade
    has a flat bar. The documents promise neither a way to the first bar nor the day on which a week
    opens: the first bar is searched for, and weeks are made of days.
    """

    Settings: ClassVar[type[SourceSettings]] = BybitSettings
    newest_first = True
    holds: ClassVar[Mapping[int, float]] = {403: _BAN}
    traits = Traits(
        timeframes=frozenset(INTERVALS),
        page_size=_PAGE,
        emits_empty_bars=True,
        earliest_probe=False,
        kinds=frozenset({"crypto"}),
        ceiling=32,
    )

    @staticmethod
    def venue_of(settings: BybitSettings, _kind: str) -> str:
        """Name the market whose prices these are: see `Source`."""
        return "bybit" if settings.category == "spot" else f"bybit-{settings.category}"

    def __init__(self, name: str, settings: BybitSettings, *, base: Path, kind: str) -> None:
        super().__init__(name, settings, base=base, kind=kind)
        self._category = settings.category

    def request(
        self, symbol: str, timeframe: Timeframe, window: Window
    ) -> tuple[str, dict[str, str | int]]:
        """See `PagedSource.request`."""
        return "/v5/market/kline", {
            "category": self._category,
            "symbol": symbol,
            "interval": INTERVALS[timeframe],
            "start": millis(window.start),
            "end": millis(window.end) - 1,
            "limit": _PAGE,
        }

    def stream(self, timeframe: Timeframe) -> StreamFormat:
        """Give the format of its live candles: see `streaming.Streaming`."""
        address = BybitStream.address if self._category == "spot" else BybitStream.linear
        return BybitStream(timeframe, self.stream_address(address))

    def parse(self, body: bytes) -> pl.DataFrame:
        """See `PagedSource.parse`."""
        return candles(body, _rows, _PLACES)


def _rows(answer: Any) -> Any:  # noqa: ANN401 - JSON
    code = answer["retCode"]
    if code != 0:
        words = f"{code} {answer.get('retMsg')}"
        raise refusal(words, permanent=code not in _CURABLE, retry_after=_CURABLE.get(code))
    return answer["result"]["list"]
