"""Candles of currencies from OANDA: `GET /v3/instruments/{symbol}/candles` of its v20 interface."""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import Field

from market_assets.market.instants import iso_second
from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.contract import SourceSettings, Traits
from market_assets.sources.transport.http import HeaderSecret, HttpSettings, RateText, WebAddress
from market_assets.sources.transport.keyed import (
    FOREX_DAYS,
    Answer,
    KeyedSource,
    Plan,
    Request,
    bearer,
    dates_in,
    text_of,
)
from market_assets.sources.transport.rest import candles, refusal

_PAGE = 5000
_PLACES = {"ts": "time", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "volume"}
_GRANULARITIES = {
    Timeframe.M1: "M1",
    Timeframe.M5: "M5",
    Timeframe.M15: "M15",
    Timeframe.M30: "M30",
    Timeframe.H1: "H1",
    Timeframe.H4: "H4",
    Timeframe.D1: "D",
}
_PRICES = {"mid": "M", "bid": "B", "ask": "A"}


class OandaSettings(HttpSettings):
    """The keys of an `oanda` source: those of every HTTP source, the token, and the price kept.

    The vendor allows 120 requests per second; the default stays a third below. For a practice
    account the address is https://api-fxpractice.oanda.com.

    Attributes:
        key: The personal access token.
        price: Of which price the candles are: mid, bid or ask.
    """

    base_url: WebAddress = "https://api-fxtrade.oanda.com"
    rate: RateText | None = "80/s"
    key: HeaderSecret = Field(min_length=1)
    price: Literal["mid", "bid", "ask"] = "mid"


class OandaSource(KeyedSource[OandaSettings]):
    """Candles of currencies; the volume counts price changes.

    A page has 5000 candles. A minute without a price change is left out, and so is here a candle
    that the vendor calls incomplete. Days, and with them the bars of 4h, begin at 17:00 in New
    York, as ours do. There is no 1w: weeks are made of days. The documents promise no way to the
    first candle: it is searched for.
    """

    Settings: ClassVar[type[SourceSettings]] = OandaSettings
    # It is asked for so many candles from a start on: an end in the future would be refused, and
    # weekends and quiet minutes take no place.
    exceeds = True
    traits = Traits(
        timeframes=frozenset(_GRANULARITIES),
        page_size=_PAGE,
        emits_empty_bars=False,
        earliest_probe=False,
        kinds=frozenset({"forex"}),
        needs_key=True,
    )

    @staticmethod
    def venue_of(settings: OandaSettings, _kind: str) -> str:
        """Name whose prices these are: see `Source`.

        Bid and ask are no more alike than two venues.
        """
        return "oanda" if settings.price == "mid" else f"oanda-{settings.price}"

    # There is one kind.
    def plan(self, settings: OandaSettings, kind: str) -> Plan:  # noqa: ARG002
        """See `KeyedSource.plan`."""
        return Plan(headers=bearer(settings.key), days=FOREX_DAYS)

    def request(self, symbol: str, timeframe: Timeframe, window: Window) -> Request:
        """See `PagedSource.request`."""
        if timeframe is Timeframe.D1:
            first, last = dates_in(window)
            start, count = self._days.opens(first), (last - first).days + 1
        else:
            start = self._days.first_open(window, timeframe)
            count = -(-(window.end - start) // timeframe.duration)
        return f"/v3/instruments/{quote(symbol, safe='')}/candles", {
            "price": _PRICES[self._settings.price],
            "granularity": _GRANULARITIES[timeframe],
            "from": iso_second(start),
            "count": count,
            "dailyAlignment": 17,
            "alignmentTimezone": "America/New_York",
        }

    # It names no rest.
    def following(self, request: Request, cursor: str) -> Request:  # noqa: ARG002
        """See `KeyedSource.following`."""
        return request

    def read(self, body: bytes) -> Answer:
        """See `KeyedSource.read`."""
        return read_candles(body, self._settings.price)


def read_candles(body: bytes, price: str) -> Answer:
    """Understand an answer of the vendor's candles; those that are not complete are left out.

    Args:
        body: JSON.
        price: mid, bid or ask: what was asked for.

    Raises:
        SourceError: It holds no candles: an error in words, HTML, JSON that was cut off.
    """
    document: dict[str, Any] = {}

    def rows(answer: Any) -> Any:  # noqa: ANN401 - JSON
        document.update(answer)
        if "errorMessage" in answer:
            raise refusal(answer["errorMessage"], permanent=True)
        return [
            {"time": row["time"], "volume": row["volume"], **row[price]}
            for row in answer["candles"]
            if row["complete"]
        ]

    frame = candles(body, rows, _PLACES, iso=True)
    symbol = text_of(document.get("instrument"))
    return Answer(frame, frozenset({symbol} if symbol else ()))
