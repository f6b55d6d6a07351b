"""Candles of Polygon, now Massive, never adjusted for splits.

`GET /v2/aggs/ticker/{symbol}/range/...`
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, quote

from pydantic import Field, NonNegativeFloat, PositiveInt

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.actions import tidy
from market_assets.sources.contract import CONSOLIDATED, SourceSettings, Traits
from market_assets.sources.transport.http import HeaderSecret, HttpSettings, RateText, WebAddress
from market_assets.sources.transport.keyed import (
    STOCK_DAYS,
    UTC_DAYS,
    Answer,
    KeyedSource,
    Plan,
    Request,
    bearer,
    dates_in,
    text_of,
)
from market_assets.sources.transport.rest import candles, millis, refusal
from market_assets.sources.vendors.polygon_actions import actions_of

if TYPE_CHECKING:
    import polars as pl

_LIMIT = 50_000
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
_SPANS = {
    Timeframe.M1: (1, "minute"),
    Timeframe.M5: (5, "minute"),
    Timeframe.M15: (15, "minute"),
    Timeframe.M30: (30, "minute"),
    Timeframe.H1: (1, "hour"),
    Timeframe.D1: (1, "day"),
}
_LATE = timedelta(minutes=15)
"""How late data come that the vendor calls delayed."""

_OLDEST = date(2003, 9, 10)
"""The vendor's stocks begin here, its other markets later."""


class PolygonSettings(HttpSettings):
    """The keys of a `polygon` source: those of every HTTP source, the key, and its plan.

    The defaults are the free plan's.

    Attributes:
        key: The API key.
        delay: Seconds after a bar's close until the plan gives it: 86400 at the end of the day, 900
            where it is delayed, 0 in real time. Younger bars are not asked for; where `update:
            {settle: ...}` is shorter, they are shown as missing for as long.
        history_days: How far back the plan reaches; null for the whole history. It is not asked for
            older bars, and its first bar there is no instrument's first.
    """

    base_url: WebAddress = "https://api.polygon.io"
    rate: RateText | None = "5/m"
    hold: NonNegativeFloat = 60
    key: HeaderSecret = Field(min_length=1)
    delay: NonNegativeFloat = 86_400
    history_days: PositiveInt | None = 730


class PolygonSource(KeyedSource[PolygonSettings]):
    """Candles of stocks, crypto and currencies.

    An answer is made of at most 50,000 minutes (or days, for 1d). A minute without a trade is left
    out; what is traded before and after the hours of the market is given too, and not kept. There
    is no 1h of a stock, as the vendor's opens at the full hour and not with the session at 9:30; no
    1d of a currency, as the vendor's is UTC's day and the market's begins at 17:00 in New York; no
    4h, and no 1w, as its weeks begin on Sunday. A currency is written `C:EURUSD`, a crypto
    `X:BTCUSD`; a currency's volume counts quotes.
    """

    Settings: ClassVar[type[SourceSettings]] = PolygonSettings
    withheld = "plan doesn't include this data timeframe"
    traits = Traits(
        timeframes=frozenset(_SPANS),
        page_size=_LIMIT,
        emits_empty_bars=False,
        earliest_probe=True,
        kinds=frozenset({"equity", "crypto", "forex"}),
        needs_key=True,
        lacks={"equity": frozenset({Timeframe.H1}), "forex": frozenset({Timeframe.D1})},
    )

    @staticmethod
    def venue_of(_settings: PolygonSettings, kind: str) -> str:
        """Name whose prices these are: see `Source`.

        They are the consolidated tape's, and of currencies and crypto Polygon's own mixture.
        """
        return CONSOLIDATED if kind == "equity" else "polygon"

    def plan(self, settings: PolygonSettings, kind: str) -> Plan:
        """See `KeyedSource.plan`."""
        days = settings.history_days
        return Plan(
            headers=bearer(settings.key),
            days=STOCK_DAYS if kind == "equity" else UTC_DAYS,
            delay=timedelta(seconds=settings.delay),
            history=None if days is None else timedelta(days=days),
        )

    def request(self, symbol: str, timeframe: Timeframe, window: Window) -> Request:
        """See `PagedSource.request`."""
        if timeframe is Timeframe.D1:
            first, last = dates_in(window)
            return _aggs(symbol, timeframe, f"{first}", f"{last}")
        return _aggs(
            symbol,
            timeframe,
            f"{millis(self._days.first_open(window, timeframe))}",
            f"{millis(window.end) - 1}",
        )

    # The cursor says it all.
    def following(self, request: Request, cursor: str) -> Request:  # noqa: ARG002
        """See `KeyedSource.following`.

        It is the next page's path and query, but asked of our own address, and raw.
        """
        # The key goes with every request: whatever host is named there, it is sent to our own.
        match = re.fullmatch(
            r"https?://[^/?#\s]+(/v2/aggs/[\x21-\x7e]+?)(?:\?([\x21-\x7e]*))?", cursor
        )
        if match is None:
            raise SourceError(
                f"source {self.name}: the next page is said to be elsewhere: "
                f"{self._http.blot(cursor.partition('?')[0])[:100]!r}"
            )
        query = {name: text for name, text in parse_qsl(match[2] or "") if name != "apiKey"}
        return match[1], {**query, "adjusted": "false"}

    def read(self, body: bytes) -> Answer:
        """See `KeyedSource.read`."""
        return read_aggs(body, raw=self._kind == "equity", late=self._delay >= _LATE)

    async def actions(self, symbol: str, start: date, end: date) -> pl.DataFrame:
        """Give splits, dividends, changes of the ticker and delistings.

        See `ActionSource.actions`.
        """
        rows = await actions_of(self._http, symbol, start, end)
        return tidy(rows, start, end, about=f"source {self.name}: {symbol} actions {start}..{end}")

    async def earliest(self, symbol: str, timeframe: Timeframe) -> datetime | None:
        """Give the open of the first bar that the plan reaches: see `Source.earliest`."""
        since = _OLDEST if self._since is None else self._since.date()
        # Of a longer bar, one minute would be no more than a part, which is left out.
        unit = timeframe if timeframe is Timeframe.D1 else Timeframe.M1
        request = _aggs(
            symbol,
            unit,
            f"{since}",
            f"{(self._clock() - self._delay).astimezone(UTC):%Y-%m-%d}",
            limit=1,
        )
        return await self.first(symbol, request, timeframe)


def _aggs(
    symbol: str, timeframe: Timeframe, start: str, end: str, *, limit: int = _LIMIT
) -> Request:
    number, unit = _SPANS[timeframe]
    path = f"/v2/aggs/ticker/{quote(symbol, safe=':')}/range/{number}/{unit}/{start}/{end}"
    return path, {"adjusted": "false", "sort": "asc", "limit": limit}


def read_aggs(body: bytes, *, raw: bool, late: bool = True) -> Answer:
    """Understand an answer of the vendor's aggregates.

    Args:
        body: JSON.
        raw: Prices that are adjusted for splits are refused.
        late: False where the newest bars are asked for: data that come late would be taken for
            evidence that nothing was traded.

    Raises:
        SourceError: It holds no bars: an error in words, HTML, JSON that was cut off.
    """
    document: dict[str, Any] = {}

    def rows(answer: Any) -> Any:  # noqa: ANN401 - JSON
        document.update(answer)
        if answer["status"] not in {"OK", "DELAYED"}:
            words = answer.get("error") or answer.get("message")
            raise refusal(f"{answer['status']} {words}", permanent=True)
        if answer["status"] == "DELAYED" and not late:
            raise SourceError(
                "the plan's data come late: give the source a `delay` of 900 or more",
                permanent=True,
            )
        results = answer.get("results") or []
        if raw and results and answer.get("adjusted"):
            raise SourceError(
                "the prices are adjusted for splits, although raw ones were asked for",
                permanent=True,
            )
        if not results and answer.get("resultsCount"):
            raise SourceError(
                f"the answer has none of the {answer['resultsCount']} bars that it speaks of"
            )
        return results

    frame = candles(body, rows, _PLACES)
    symbol = text_of(document.get("ticker"))
    return Answer(frame, frozenset({symbol} if symbol else ()), text_of(document.get("next_url")))
