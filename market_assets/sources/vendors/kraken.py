"""Kraken spot candles: `GET /0/public/OHLC`, the latest 720 of each timeframe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import SourceSettings, Traits
from market_assets.sources.transport.http import RateText, StreamingSettings, WebAddress
from market_assets.sources.transport.rest import PagedSource, candles, refusal, seconds
from market_assets.sources.vendors.kraken_stream import KrakenStream

if TYPE_CHECKING:
    import polars as pl

    from market_assets.market.timeframes import Window
    from market_assets.sources.streaming import StreamFormat

_LATEST = 720
_PLACES = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 6, "trades": 7, "vwap": 5}
_CURABLE = {
    "EService:": None,
    "EGeneral:Internal error": None,
    "EAPI:Rate limit exceeded": 60.0,
    "EGeneral:Too many requests": 60.0,
    "EGeneral:Temporary lockout": 900.0,
}
"""How the errors begin that another attempt may cure, and the seconds to wait before it."""


class KrakenSettings(StreamingSettings):
    """The keys of a `kraken` source: those of every HTTP source.

    Kraken's address and limit are the defaults. The vendor allows an address about one public
    request per second.
    """

    base_url: WebAddress = "https://api.kraken.com"
    rate: RateText | None = "1/s"


class KrakenSource(PagedSource):
    """Candles of Kraken's spot market, without a key.

    An answer has all bars since a time, but none older than the latest 720; the last one has not
    closed yet, and is there whatever was asked for. A bar without a trade is flat. The documents do
    not say on which day a week opens: weeks are made of days.
    """

    Settings: ClassVar[type[SourceSettings]] = KrakenSettings
    exceeds = True
    traits = Traits(
        timeframes=frozenset(Timeframe) - {Timeframe.W1},
        page_size=_LATEST,
        emits_empty_bars=True,
        earliest_probe=False,
        latest_only=_LATEST,
        kinds=frozenset({"crypto"}),
        venue="kraken",
    )

    def request(
        self, symbol: str, timeframe: Timeframe, window: Window
    ) -> tuple[str, dict[str, str | int]]:
        """See `PagedSource.request`."""
        return "/0/public/OHLC", {
            "pair": symbol,
            "interval": timeframe.micros // 60_000_000,
            "since": seconds(window.start) - 1,  # what opens at that second may be left out
        }

    def stream(self, timeframe: Timeframe) -> StreamFormat:
        """Give the format of its live candles: see `streaming.Streaming`."""
        return KrakenStream(timeframe, self.stream_address(KrakenStream.address))

    def parse(self, body: bytes) -> pl.DataFrame:
        """See `PagedSource.parse`."""
        return candles(body, _rows, _PLACES)


def _rows(answer: Any) -> Any:  # noqa: ANN401 - JSON
    if errors := [text for text in answer["error"] if not text.startswith("W")]:
        cure = next((start for start in _CURABLE if errors[0].startswith(start)), None)
        raise refusal(
            ", ".join(errors), permanent=cure is None, retry_after=_CURABLE[cure] if cure else None
        )
    # The pair stands there under Kraken's own name for it, beside `last`.
    return next((rows for name, rows in answer["result"].items() if name != "last"), None)
