"""Candles of US stocks from Alpaca: `GET /v2/stocks/bars`, as they were traded, unadjusted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat

from market_assets.market.instants import iso_second
from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.contract import CONSOLIDATED, SourceSettings, Traits
from market_assets.sources.transport.http import HeaderSecret, HttpSettings, RateText, WebAddress
from market_assets.sources.transport.keyed import (
    STOCK_DAYS,
    Answer,
    KeyedSource,
    Plan,
    Request,
    dates_in,
    text_of,
)
from market_assets.sources.transport.rest import candles, refusal

_BARS = "/v2/stocks/bars"
_LIMIT = 10_000
_PLACES = {
    "ts": "t",
    "open": "o",
    "high": "h",
    "low": "l",
    "close": "c",
    "volume": "v",
    "trades": "n",
    "vwap": "vw",
}
_NAMES = {
    Timeframe.M1: "1Min",
    Timeframe.M5: "5Min",
    Timeframe.M15: "15Min",
    Timeframe.M30: "30Min",
    Timeframe.D1: "1Day",
}
_OLDEST = datetime(1990, 1, 1, tzinfo=UTC)


class AlpacaSettings(HttpSettings):
    """The keys of an `alpaca` source: those of every HTTP source, and what the plan allows.

    The defaults are the free plan's.

    Attributes:
        key: The API key's id.
        secret: The API key's secret.
        feed: sip for all exchanges, iex for that one alone, with a few percent of the volume.
        delay: Seconds after a bar's close until the plan gives it: a quarter of an hour and some
            for sip without a subscription, else 0. Younger bars are not asked for; where `update:
            {settle: ...}` is shorter, they are shown as missing for as long.
    """

    base_url: WebAddress = "https://data.alpaca.markets"
    rate: RateText | None = "190/m"
    hold: NonNegativeFloat = 60
    key: HeaderSecret = Field(min_length=1)
    secret: HeaderSecret = Field(min_length=1)
    feed: Literal["sip", "iex"] = "sip"
    delay: NonNegativeFloat = 960


class AlpacaSource(KeyedSource[AlpacaSettings]):
    """Candles of US stocks since 2016.

    A page has 10,000 bars. A minute without a trade is left out; what is traded before and after
    the hours of the exchange is given too, and not kept. There is no 1h or 4h, as the vendor's open
    at the full hour and not with the session at 9:30. A company that was renamed has all its bars
    under its present name.
    """

    Settings: ClassVar[type[SourceSettings]] = AlpacaSettings
    withheld = "recent SIP data"
    traits = Traits(
        timeframes=frozenset(_NAMES),
        page_size=_LIMIT,
        emits_empty_bars=False,
        earliest_probe=True,
        kinds=frozenset({"equity"}),
        needs_key=True,
    )

    @staticmethod
    def venue_of(settings: AlpacaSettings, _kind: str) -> str:
        """Name whose prices these are: sip is the consolidated tape. See `Source`."""
        return CONSOLIDATED if settings.feed == "sip" else settings.feed

    # There is one kind.
    def plan(self, settings: AlpacaSettings, kind: str) -> Plan:  # noqa: ARG002
        """See `KeyedSource.plan`."""
        return Plan(
            headers={"APCA-API-KEY-ID": settings.key, "APCA-API-SECRET-KEY": settings.secret},
            days=STOCK_DAYS,
            delay=timedelta(seconds=settings.delay),
        )

    def request(self, symbol: str, timeframe: Timeframe, window: Window) -> Request:
        """See `PagedSource.request`."""
        if timeframe is Timeframe.D1:
            first, last = (self._days.opens(day) for day in dates_in(window))
            return self._bars(symbol, timeframe, first, last)
        # The end is inclusive.
        return self._bars(
            symbol,
            timeframe,
            self._days.first_open(window, timeframe),
            window.end - timedelta(seconds=1),
        )

    def following(self, request: Request, cursor: str) -> Request:
        """See `KeyedSource.following`."""
        path, params = request
        return path, {**params, "page_token": cursor}

    def read(self, body: bytes) -> Answer:
        """See `KeyedSource.read`."""
        return read_bars(body)

    async def earliest(self, symbol: str, timeframe: Timeframe) -> datetime | None:
        """Give the open of the first bar that Alpaca has: see `Source.earliest`."""
        request = self._bars(symbol, timeframe, _OLDEST, self._clock() - self._delay, limit=1)
        return await self.first(symbol, request, timeframe)

    def _bars(
        self,
        symbol: str,
        timeframe: Timeframe,
        first: datetime,
        last: datetime,
        *,
        limit: int = _LIMIT,
    ) -> Request:
        return _BARS, {
            "symbols": symbol,
            "timeframe": _NAMES[timeframe],
            "start": iso_second(first),
            "end": iso_second(last),
            "limit": limit,
            "adjustment": "raw",
            "feed": self._settings.feed,
            "sort": "asc",
        }


def read_bars(body: bytes) -> Answer:
    """Understand an answer of the vendor's bars, of one symbol or of several.

    Raises:
        SourceError: It holds no bars: an error in words, HTML, JSON that was cut off.
    """
    document: dict[str, Any] = {}

    def rows(answer: Any) -> Any:  # noqa: ANN401 - JSON
        document.update(answer)
        if "bars" not in answer and "message" in answer:
            raise refusal(f"{answer.get('code', '')} {answer['message']}", permanent=True)
        return [bar for bars in (answer["bars"] or {}).values() for bar in bars or ()]

    frame = candles(body, rows, _PLACES, iso=True)
    return Answer(
        frame, frozenset(document["bars"] or ()), text_of(document.get("next_page_token"))
    )
