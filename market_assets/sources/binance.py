"""Binance spot candles: `GET /api/v3/klines`, or any server that speaks its format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import polars as pl

from market_assets.market_time.timeframes import TS, Timeframe
from market_assets.sources.base import CANDLE_SCHEMA, SourceSettings, Traits, epoch_to_us
from market_assets.sources.http import HttpSettings, RateText, WebAddress
from market_assets.sources.rest import PagedSource, candles, first_open, millis, refusal

if TYPE_CHECKING:
    from datetime import datetime

    from market_assets.market_time.timeframes import Window

_KLINES = "/api/v3/klines"
_PAGE = 1000
_PLACES = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}
_RAW_SCHEMA = pl.Schema({**CANDLE_SCHEMA, "ts": pl.Int64()})
_TIME = epoch_to_us(pl.col("ts"))
_CURABLE = frozenset({-1000, -1001, -1003, -1006, -1007, -1008, -1015, -1016})
"""Binance's error codes that another attempt may cure: overload, time-outs, too many requests, a service shut for a while."""


class BinanceSettings(HttpSettings):
    """The keys of a `binance` source: those of every HTTP source, with Binance's address and limit as defaults.

    The vendor allows a weight of 6000 a minute and address, and a page weighs 2: 3000 pages. The default stays 100 below that,
    because the vendor counts in minutes of its own clock and other programs may share the address.
    """

    base_url: WebAddress = "https://data-api.binance.vision"
    rate: RateText | None = "2900/m"


class _Kline(msgspec.Struct, array_like=True, gc=False):
    """The first six of a row's twelve elements; msgspec skips the others."""

    ts: int
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None


_decode = msgspec.json.Decoder(list[_Kline], strict=False).decode


class BinanceSource(PagedSource):
    """Candles of Binance spot, without a key.

    A page has 1000 bars. Binance gives a flat bar for a minute without a trade, so a bar that is missing is an outage; its week
    opens on Monday, as ours does.
    """

    Settings: ClassVar[type[SourceSettings]] = BinanceSettings

    traits = Traits(
        timeframes=frozenset(Timeframe),
        page_size=_PAGE,
        emits_empty_bars=True,
        earliest_probe=True,
        kinds=frozenset({"crypto"}),
    )

    async def earliest(self, symbol: str, timeframe: Timeframe) -> datetime | None:
        """Give the open of the first bar that Binance has: see `Source.earliest`."""
        params: dict[str, str | int] = {"symbol": symbol, "interval": timeframe, "startTime": 0, "limit": 1}
        page = await self._http.get(_KLINES, params, about=f"{symbol} {timeframe} first bar", parse=self.parse)
        return first_open(page)

    def request(self, symbol: str, timeframe: Timeframe, window: Window) -> tuple[str, dict[str, str | int]]:
        """See `PagedSource.request`."""
        return _KLINES, {
            "symbol": symbol,
            "interval": timeframe,
            "startTime": millis(window.start),
            "endTime": millis(window.end) - 1,  # inclusive
            "limit": _PAGE,
        }

    def parse(self, body: bytes) -> pl.DataFrame:
        """See `PagedSource.parse`."""
        return parse_klines(body)


def parse_klines(body: bytes) -> pl.DataFrame:
    """Turn the body of an answer into a frame of CANDLE_SCHEMA, each number the double nearest to its decimal text.

    Raises:
        SourceError: The body is no list of rows: an error in words (permanent by its code), HTML, JSON that was cut off.
    """
    try:
        rows = _decode(body)
    except (msgspec.MsgspecError, RecursionError):
        # An odd cell, an odd row, or an error in words: read slowly, to say what it is.
        return candles(body, _rows, _PLACES)
    columns = {
        "ts": [row.ts for row in rows],
        "open": [row.open for row in rows],
        "high": [row.high for row in rows],
        "low": [row.low for row in rows],
        "close": [row.close for row in rows],
        "volume": [row.volume for row in rows],
    }
    page = pl.DataFrame(columns, schema=_RAW_SCHEMA)
    stamps = page["ts"].to_numpy()
    if len(stamps) and stamps.min() >= 10**11 and stamps.max() < 10**14:
        # Milliseconds, as always over REST: the product is a third of a page's time cheaper than a query.
        return page.replace_column(0, pl.Series("ts", stamps * 1000).cast(TS))
    return page.with_columns(_TIME)


def _rows(answer: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(answer, dict):
        raise refusal(f"{answer['code']} {answer.get('msg', '')}", permanent=answer["code"] not in _CURABLE)
    return answer
