"""Candles of stocks and of crypto days from Yahoo, through the library yfinance.

`GET /v8/finance/chart/{symbol}`. No key is needed, but a browser's way of speaking TLS, cookies and
a crumb: these are what the library is for. Its answers are read here, not by its own methods: those
keep answers of the past, so that asking again would confirm nothing, and do not distinguish an
error from an empty answer.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import polars as pl

# Pydantic reads the annotations of YahooSettings at runtime.
from pydantic import NonNegativeFloat, PositiveInt  # noqa: TC002

from market_assets.errors import SourceError
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.columns import OHLCV, PRICES
from market_assets.market.timeframes import (
    EPOCH,
    TS,
    Timeframe,
    Window,
    from_micros,
    midnight,
    to_micros,
)
from market_assets.sources.actions import tidy
from market_assets.sources.contract import CANDLE_SCHEMA, SourceSettings, Traits
from market_assets.sources.transport.body import excerpt
from market_assets.sources.transport.http import RateText, WebAddress  # noqa: TC001
from market_assets.sources.transport.keyed import dates_in
from market_assets.sources.transport.library import (
    LibrarySettings,
    LibrarySource,
    seconds_in,
    words,
)
from market_assets.sources.transport.refusals import is_of_a_place
from market_assets.sources.transport.rest import candles, refusal, seconds
from market_assets.sources.vendors.yahoo_actions import read_actions

with late_imports():
    import yfinance
    from yfinance.data import YfData
    from yfinance.exceptions import YFRateLimitError


# An optional package, which imports pandas.

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from pathlib import Path

_PLACES = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}
_NAMES = {
    Timeframe.M1: frozenset({"1m"}),
    Timeframe.M5: frozenset({"5m"}),
    Timeframe.M15: frozenset({"15m"}),
    Timeframe.H1: frozenset({"1h", "60m"}),
    Timeframe.D1: frozenset({"1d"}),
}
"""What the vendor calls a timeframe in its answers."""
_DAY = timedelta(days=1)
_REACH = {
    Timeframe.M1: 29 * _DAY,
    Timeframe.M5: 59 * _DAY,
    Timeframe.M15: 59 * _DAY,
    Timeframe.H1: 729 * _DAY,
}
"""How far back there are bars of less than a day.

It is a day less than the vendor says, because its clock decides.
"""
_WEEK_OF_MINUTES = 7 * 24 * 60
_NOTHING_THERE = "Data doesn't exist for startDate"
_TOO_MANY = 429
_SITE = "finance.yahoo.com"


class YahooSettings(LibrarySettings):
    """The keys of a `yahoo` source: those of every HTTP source except `headers`.

    Yahoo's address is the default. The vendor publishes no limit, and refuses who asks much for
    many minutes; the default is careful.

    Attributes:
        delay: Seconds by which an exchange's bars come late to Yahoo: 0 for those of the US, 900
            for most others. Younger bars are not asked for.
    """

    library: ClassVar[str] = "yfinance"
    extra: ClassVar[str] = "yahoo"

    base_url: WebAddress = "https://query2.finance.yahoo.com"
    rate: RateText | None = "30/m"
    hold: NonNegativeFloat = 120
    concurrency: PositiveInt = 2
    delay: NonNegativeFloat = 0

    def whose_limit(self) -> str:
        """Name the vendor, whose hosts count together: see `HttpSettings.whose_limit`."""
        host = super().whose_limit()
        return _SITE if host.endswith(f".{_SITE}") else host


class YahooSource(LibrarySource[YahooSettings]):
    """Candles as Yahoo shows them: **adjusted for splits, and not for dividends**.

    Prices are divided, and volumes multiplied, by every split that came after them; no request
    gives what was traded. With the next split the whole history changes: `backfill --refetch` then.
    Prices are doubles made of 32-bit ones (75.0875015258789 for 75.0875).

    Bars of less than a day are given for the last 30 days (1m), 60 days (5m, 15m) or 730 days (1h);
    older ones are not asked for. The hours of a stock open with the session. There is no 30m, for
    which the vendor gives hours, and of futures and currencies nothing, as its days of them are not
    those of their markets. A minute that is absent is no evidence that nothing traded: minutes of
    the most liquid stocks are absent too. Where the vendor has a place but no price, there is no
    row.
    """

    Settings: ClassVar[type[SourceSettings]] = YahooSettings
    traits = Traits(
        timeframes=frozenset(_NAMES),
        page_size=_WEEK_OF_MINUTES,
        emits_empty_bars=True,
        earliest_probe=False,
        kinds=frozenset({"equity", "crypto"}),
        lacks={"crypto": frozenset(_REACH)},
        split_adjusted=True,
    )

    @staticmethod
    # The arguments that every type is asked with.
    def venue_of(settings: YahooSettings, kind: str) -> str:  # noqa: ARG004
        """Name a venue of its own: see `Source`.

        So what is adjusted is not mixed with what was traded.
        """
        return "yahoo-split-adjusted" if kind == "equity" else "yahoo"

    def request(
        self, symbol: str, timeframe: Timeframe, window: Window
    ) -> tuple[str, dict[str, str | int]]:
        """See `PagedSource.request`."""
        first, after = seconds(window.start), -(-to_micros(window.end) // 1_000_000)
        if timeframe is Timeframe.D1:
            # A session opens on the UTC day of its date or, east of Europe, on the one before; the
            # end is exclusive.
            first, after = (
                seconds(midnight(day) + shift * _DAY)
                for day, shift in zip(dates_in(window), (-1, 2), strict=True)
            )
        return f"/v8/finance/chart/{quote(symbol, safe='')}", {
            "period1": first,
            "period2": after,
            "interval": timeframe.value,
            "includePrePost": "false",
        }

    def parse(self, body: bytes) -> pl.DataFrame:
        """See `PagedSource.parse`."""
        return read_chart(body).candles

    async def fetch(
        self, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
    ) -> pl.DataFrame:
        """Give what the vendor has for the window, in one answer: see `Source.fetch`.

        The vendor knows no pages, and refuses what is too long for it.
        """
        window = Window(start, end)
        if window.empty:
            return CANDLE_SCHEMA.to_frame()
        return (await self.page(symbol, timeframe, window)).filter(window.holds())

    async def page(self, symbol: str, timeframe: Timeframe, window: Window) -> pl.DataFrame:
        """See `PagedSource.page`."""
        if timeframe is Timeframe.D1:
            first, last = dates_in(window)
            if first > last:
                return CANDLE_SCHEMA.to_frame()
        path, params = self.request(symbol, timeframe, window)
        about = f"{symbol} {timeframe} {window}"
        chart = await self._http.get(
            path, params, about=about, parse=partial(self._read, symbol, timeframe)
        )
        return chart.days() if timeframe is Timeframe.D1 else chart.closed(timeframe)

    async def actions(self, symbol: str, start: date, end: date) -> pl.DataFrame:
        """Give splits, and dividends as they were paid: see `ActionSource.actions`.

        The vendor announces none.
        """
        params: dict[str, str | int] = {
            "period1": seconds(midnight(start) - _DAY),
            # Up to the present whatever is wanted: dividends are divided by every split since.
            "period2": seconds(self._clock() + _DAY),
            "interval": "1d",
            "events": "div,splits",
        }
        about = f"{symbol} actions {start}..{end}"
        path = f"/v8/finance/chart/{quote(symbol, safe='')}"
        rows = await self._http.get(path, params, about=about, parse=partial(read_actions, symbol))
        return tidy(rows, start, end, about=f"source {self.name}: {about}", divided=True)

    # The protocol's arguments.
    def answers_for(self, symbol: str, timeframe: Timeframe) -> Window | None:  # noqa: ARG002
        """Speak for what the vendor still has: see `Source.answers_for`."""
        latest_instant = self._clock() - timedelta(seconds=self._settings.delay)
        reach = _REACH.get(timeframe)
        if reach is not None:
            end = from_micros(to_micros(latest_instant) // timeframe.micros * timeframe.micros)
            return Window(midnight((end - reach).date() + _DAY), end)
        return None if not self._settings.delay else Window(EPOCH, midnight(latest_instant.date()))

    def _read(self, symbol: str, timeframe: Timeframe, body: bytes) -> Chart:
        chart = read_chart(body)
        if chart.symbol is not None and chart.symbol.casefold() != symbol.casefold():
            raise SourceError(
                f"the answer is about {chart.symbol!r}; see how the vendor writes the symbol"
            )
        if chart.interval is not None and chart.interval not in _NAMES[timeframe]:
            raise SourceError(f"the answer has bars of {chart.interval!r}, not of {timeframe}")
        return chart

    @property
    def _cookies(self) -> Path:
        return home() / "yahoo"

    async def send(self, path: str, params: Mapping[str, str | int]) -> bytes:
        """See `LibrarySource.send`."""
        return await asyncio.to_thread(self._ask, path, dict(params))

    def _ask(self, path: str, params: dict[str, str | int]) -> bytes:
        answer = _library(self._cookies).get(
            f"{self._settings.base_url}{path}", params=params, timeout=self._settings.timeout
        )
        body: bytes = answer.content
        status = answer.status_code
        # With these the vendor says what is wrong with the request, or that there is nothing: the
        # body is read for it.
        if status in {200, 400, 404, 422}:
            return body
        words_said = excerpt(body)
        waits = seconds_in(answer.headers.get("retry-after"))
        if waits is None and status == _TOO_MANY:
            waits = self._settings.hold
        raise SourceError(
            f"HTTP {status}: {words_said}",
            retry_after=waits,
            of_machine=is_of_a_place(status, words_said),
        )

    def explain(self, error: Exception) -> SourceError | None:
        """See `LibrarySource.explain`."""
        if isinstance(error, YFRateLimitError):
            return SourceError(
                "HTTP 429: too many requests; lower the source's rate",
                retry_after=self._settings.hold or None,
            )
        if isinstance(error, OSError):
            return SourceError(f"no answer: {words(error)}")
        return None


@cache
def _library(cookies: Path) -> Any:  # noqa: ANN401 - the library has no types
    """The library's client, one per process as the library wants it.

    Args:
        cookies: The folder of its cookies.
    """
    # What goes wrong is said by the source's errors.
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)
    yfinance.set_tz_cache_location(str(cookies))
    return YfData()


@dataclass(frozen=True)
class Chart:
    """What an answer says.

    Attributes:
        candles: Frame of CANDLE_SCHEMA; ts as the vendor stamps it: the open, or for a running bar
            the present.
        symbol: Whose bars they are, None where it holds none.
        interval: How long they are, in the vendor's words.
        zone: The exchange's time zone.
    """

    candles: pl.DataFrame
    symbol: str | None = None
    interval: str | None = None
    zone: str = "UTC"

    def days(self) -> pl.DataFrame:
        """The bars stamped with their date at 00:00.

        Of two of one date, the first is the running day before its latest trades, and left out.
        """
        local = pl.col("ts").dt.replace_time_zone("UTC").dt.convert_time_zone(self.zone)
        return self.candles.with_columns(local.dt.date().cast(TS).alias("ts")).unique(
            "ts", keep="last", maintain_order=True
        )

    def closed(self, timeframe: Timeframe) -> pl.DataFrame:
        """The bars without what follows the last of them.

        That is the latest trade, stamped with its time, as if it were a bar.
        """
        whole = self.candles.filter(pl.col("ts").to_physical() % Timeframe.M1.micros == 0)
        apart = whole["ts"].tail(2).to_physical().diff().drop_nulls()
        return whole.head(-1) if (apart % timeframe.micros != 0).any() else whole


def read_chart(body: bytes) -> Chart:
    """Understand an answer.

    Raises:
        SourceError: It holds no bars: an error in words, HTML, JSON that was cut off.
    """
    meta: dict[str, Any] = {}

    def rows(answer: Any) -> Any:  # noqa: ANN401 - JSON
        if fault := answer["chart"]["error"]:
            text = str(fault["description"])
            if text.startswith(_NOTHING_THERE):
                return []
            raise refusal(f"{fault['code']}: {text}", permanent=True)
        (result,) = answer["chart"]["result"]
        meta.update(result["meta"])
        times = result.get("timestamp") or []
        given = result["indicators"]["quote"][0] or {}
        columns = [given.get(name) or [None] * len(times) for name in OHLCV]
        return [*zip(times, *columns, strict=True)]

    frame = candles(body, rows, _PLACES).filter(~pl.all_horizontal(pl.col(PRICES).is_null()))
    return Chart(
        frame,
        meta.get("symbol"),
        meta.get("dataGranularity"),
        str(meta.get("exchangeTimezoneName") or "UTC"),
    )
