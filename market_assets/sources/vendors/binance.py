"""Binance's candles, spot and USD-M futures, or those of any server that speaks their format.

`GET /api/v3/klines` and `GET /fapi/v1/klines`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import msgspec
import polars as pl
from pydantic import model_validator

from market_assets.market.timeframes import TS, Timeframe
from market_assets.sources.contract import CANDLE_SCHEMA, SourceSettings, Traits, epoch_to_us
from market_assets.sources.counting import Counting
from market_assets.sources.transport.http import (
    HttpSettings,
    RateText,
    StreamingSettings,
    WebAddress,
)
from market_assets.sources.transport.rest import (
    PagedSource,
    bounded,
    candles,
    first_open,
    millis,
    refusal,
)
from market_assets.sources.vendors.binance_stream import BinanceStream, BinanceUsdmStream

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from market_assets.market.timeframes import Window
    from market_assets.sources.streaming import StreamFormat

Market = Literal["spot", "usdm"]
"""Spot, or futures and perpetuals that are settled in USDT or USDC."""

_PLACES = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}
EXTRA_PLACES = {"quote_volume": 7, "trades": 8, "taker_buy_volume": 9}
"""Where the extra columns stand in a row."""

_RAW_SCHEMA = pl.Schema(
    {**CANDLE_SCHEMA, "ts": pl.Int64(), **dict.fromkeys(EXTRA_PLACES, pl.Float64())}
)
_TIME = epoch_to_us(pl.col("ts"))
_CURABLE = frozenset({-1000, -1001, -1003, -1006, -1007, -1008, -1015, -1016})
"""Binance's error codes that another attempt may cure.

Overload, time-outs, too many requests, a service shut for a while.
"""


@dataclass(frozen=True)
class _Venue:
    """What differs between Binance's markets.

    Attributes:
        name: Whose prices these are.
        base_url: Where it is.
        path: Where its candles are asked for.
        rate: What the vendor allows, in its weights.
        counting: How it counts them.
        pages: What pages of up to so many rows weigh, the smallest first. The last is the cheapest
            per row; larger ones, which the vendor would give, cost more than they hold.
        stream: The format of its live candles.
    """

    name: str
    base_url: str
    path: str
    rate: str
    counting: Counting
    pages: tuple[tuple[int, int], ...]
    stream: type[BinanceStream]

    @property
    def page(self) -> int:
        """Rows in the largest page."""
        return self.pages[-1][0]

    def limit(self, bars: int) -> int:
        """The `limit` to ask for a window of so many bars with."""
        return next((rows for rows, _ in self.pages if bars <= rows), self.page)

    def weight(self, limit: int) -> int:
        """What the vendor charges for a page of a `limit`."""
        return next(weight for rows, weight in self.pages if limit <= rows)


_BY_MINUTES = Counting(clock=60, header="x-mbx-used-weight-1m")

_VENUES: Mapping[Market, _Venue] = {
    "spot": _Venue(
        "binance",
        "https://data-api.binance.vision",
        "/api/v3/klines",
        "6000/m",
        replace(_BY_MINUTES, requests=(61_000, 300)),
        ((1000, 2),),
        BinanceStream,
    ),
    "usdm": _Venue(
        "binance-usdm",
        "https://fapi.binance.com",
        "/fapi/v1/klines",
        "2400/m",
        _BY_MINUTES,
        ((99, 1), (499, 2)),
        BinanceUsdmStream,
    ),
}


def venue_name(market: Market) -> str:
    """Say whose prices a market's are: see `Traits.venue`."""
    return _VENUES[market].name


class BinanceSettings(StreamingSettings):
    """The keys of a `binance` source: those of every HTTP source, and which market it is.

    Address and limit follow from the market. The limit is counted in the vendor's weights: the
    vendor allows an address 6000 in each minute of its clock for spot and 2400 for futures; a page
    weighs 2. Each answer says how much the minute has used so far: where other programs share the
    address, that is believed.

    Attributes:
        market: spot, or usdm for futures and perpetuals that are settled in USDT or USDC.
    """

    base_url: WebAddress = _VENUES["spot"].base_url
    rate: RateText | None = _VENUES["spot"].rate
    market: Market = "spot"

    @model_validator(mode="before")
    @classmethod
    def _as_its_market_has_it(cls, given: object) -> object:
        if not (isinstance(given, Mapping) and given.get("market") == "usdm"):
            return given
        venue = _VENUES["usdm"]
        return {"base_url": venue.base_url, "rate": venue.rate, **given}

    def usual_url(self) -> str:
        """See `StreamingSettings.usual_url`."""
        return _VENUES[self.market].base_url

    @model_validator(mode="after")
    def _a_page_is_allowed(self) -> Self:
        weight = _VENUES[self.market].pages[-1][1]
        if self.rate and int(self.rate.split("/")[0]) < weight:
            raise ValueError(
                f"rate counts Binance's weights, and a page weighs {weight}: "
                f"{self.rate} allows none"
            )
        return self


class _Kline(msgspec.Struct, array_like=True, gc=False):
    """The first ten of a row's twelve elements; msgspec skips the others."""

    ts: int
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    closes_at: msgspec.Raw = msgspec.Raw()
    quote_volume: float | None = None
    trades: float | None = None
    taker_buy_volume: float | None = None


_decode = msgspec.json.Decoder(list[_Kline], strict=False).decode


class BinanceSource(PagedSource):
    """Candles of Binance, without a key.

    A page has 1000 bars, of futures 499: the cheapest for each bar. Binance gives a flat bar for a
    minute without a trade, so a bar that is missing is an outage; its week opens on Monday, as ours
    does.
    """

    Settings: ClassVar[type[SourceSettings]] = BinanceSettings

    traits = Traits(
        timeframes=frozenset(Timeframe),
        page_size=_VENUES["spot"].page,
        emits_empty_bars=True,
        earliest_probe=True,
        kinds=frozenset({"crypto"}),
        counting=_VENUES["spot"].counting,
        ceiling=64,
    )

    def __init__(self, name: str, settings: HttpSettings, *, base: Path, kind: str) -> None:
        self._venue = _VENUES[settings.market if isinstance(settings, BinanceSettings) else "spot"]
        self.traits = replace(
            self.traits, page_size=self._venue.page, counting=self._venue.counting
        )
        super().__init__(name, settings, base=base, kind=kind)

    @staticmethod
    def venue_of(settings: SourceSettings, _kind: str) -> str | None:
        """Name the market whose prices these are: see `Source`.

        A source that only speaks like Binance has other prices.
        """
        return venue_name(settings.market) if isinstance(settings, BinanceSettings) else None

    async def earliest(self, symbol: str, timeframe: Timeframe) -> datetime | None:
        """Give the open of the first bar that Binance has: see `Source.earliest`."""
        params: dict[str, str | int] = {
            "symbol": symbol,
            "interval": timeframe,
            "startTime": 0,
            "limit": 1,
        }
        about, weight = f"{symbol} {timeframe} first bar", self.weight(params)
        page = await self._http.get(
            self._venue.path, params, about=about, parse=self.parse, weight=weight
        )
        return first_open(page)

    def request(
        self, symbol: str, timeframe: Timeframe, window: Window
    ) -> tuple[str, dict[str, str | int]]:
        """See `PagedSource.request`."""
        start, end = window.micros
        return self._venue.path, {
            "symbol": symbol,
            "interval": timeframe,
            "startTime": millis(window.start),
            "endTime": millis(window.end) - 1,  # inclusive
            "limit": self._venue.limit(-((start - end) // timeframe.micros)),
        }

    def weight(self, params: Mapping[str, str | int]) -> int:
        """See `PagedSource.weight`."""
        return self._venue.weight(int(params["limit"]))

    def stream(self, timeframe: Timeframe) -> StreamFormat:
        """Give the format of its live candles: see `streaming.Streaming`."""
        stream = self._venue.stream
        return stream(timeframe, self.stream_address(stream.address))

    def parse(self, body: bytes) -> pl.DataFrame:
        """See `PagedSource.parse`."""
        return parse_klines(body)


def parse_klines(body: bytes) -> pl.DataFrame:
    """Turn the body of an answer into a frame of CANDLE_SCHEMA.

    Each number is the double nearest to its decimal text.

    Raises:
        SourceError: The body is no list of rows: an error in words (permanent by its code), HTML,
            JSON that was cut off.
    """
    try:
        rows = _decode(bounded(body))
    except (msgspec.MsgspecError, RecursionError):
        # An odd cell, an odd row, or an error in words: read slowly, to say what it is.
        return candles(body, _rows, {**_PLACES, **EXTRA_PLACES})
    columns = {
        "ts": [row.ts for row in rows],
        "open": [row.open for row in rows],
        "high": [row.high for row in rows],
        "low": [row.low for row in rows],
        "close": [row.close for row in rows],
        "volume": [row.volume for row in rows],
        "quote_volume": [row.quote_volume for row in rows],
        "trades": [row.trades for row in rows],
        "taker_buy_volume": [row.taker_buy_volume for row in rows],
    }
    page = pl.DataFrame(columns, schema=_RAW_SCHEMA)
    if nothing_of := [name for name in EXTRA_PLACES if page[name].null_count() == len(page)]:
        page = page.drop(nothing_of)
    stamps = page["ts"].to_numpy()
    if len(stamps) and stamps.min() >= 10**11 and stamps.max() < 10**14:
        # Milliseconds, as always over REST: the product saves a third of a page's time against a
        # query.
        return page.replace_column(0, pl.Series("ts", stamps * 1000).cast(TS))
    return page.with_columns(_TIME)


def _rows(answer: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(answer, dict):
        raise refusal(
            f"{answer['code']} {answer.get('msg', '')}", permanent=answer["code"] not in _CURABLE
        )
    return answer
