"""Binance's public archives, zips of the candles of a month or a day.

Which of them a window needs is decided here, and what comes from the REST API because none has it.
How a zip is downloaded and kept is in `binance_cache`, what is in one in `binance_zip`, and the
REST API in `binance`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path  # noqa: TC003 - a field has it
from typing import TYPE_CHECKING, ClassVar, Self

import polars as pl
from pydantic import ByteSize, Field, PositiveFloat, model_validator

from market_assets.errors import SourceError
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.market.gaps import missing, plan_requests
from market_assets.market.timeframes import TS, Timeframe, Window, midnight
from market_assets.sources.contract import CANDLE_SCHEMA, SourceSettings, Traits
from market_assets.sources.transport.http import HttpClient
from market_assets.sources.transport.settings import (
    CAREFUL,
    HttpSettings,
    RateText,
    WebAddress,
    limit_name,
)
from market_assets.sources.vendors.binance import (
    BinanceSettings,
    BinanceSource,
    Market,
    venue_name,
)
from market_assets.sources.vendors.binance_cache import DamagedError, ZipCache

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from types import TracebackType

_FOLDERS: Mapping[Market, str] = {"spot": "spot", "usdm": "futures/um"}
_DAY = timedelta(days=1)
_PAGE = 7 * 1440
"""A week of minutes.

A page may hold two bars that are missing and all that lies between them, so with a month of them a
repair of this morning would look through the archives of weeks; and pages that share a month unpack
it once all the same.
"""
_LATE = timedelta(hours=6)
"""So long after its end nobody looks for the archive of a day or a month: it is not there yet."""
_ABSENT_DAYS = 3
"""After so many days in a row without an archive the rest of a month is not looked for."""
_UNLISTED = re.compile(r": HTTP 400: -112[12]\b")
"""How Binance refuses a symbol that it does not list, or not any more."""
_INSTEAD = "name `binance` behind this source, so that it is asked for these bars"
_log = logging.getLogger(__name__)


class BinanceArchiveSettings(HttpSettings):
    """The keys of a `binance_archive` source.

    They are those of every HTTP source, which market it is, and where its zips are kept. The vendor
    publishes no limit for its archives.

    Attributes:
        market: spot, or usdm for futures and perpetuals that are settled in USDT or USDC.
        cache: The folder that zips are kept in, relative to the universe file; by default
            `archives` in the home folder. Whatever is deleted there is downloaded again when it is
            needed.
        memory: Bytes of candles that are kept in memory, so that pages that share an archive unpack
            it once. A month of minutes takes two million; with more symbols than it has room for,
            each page unpacks its own.
        rest: The keys of the `binance` source that is asked for what no archive has; its market is
            this one's.
    """

    base_url: WebAddress = "https://data.binance.vision"
    max_body: ByteSize = ByteSize(16 * 1024**2)
    total_timeout: PositiveFloat = 120
    max_elapsed: PositiveFloat = 300
    rate: RateText | None = CAREFUL
    market: Market = "spot"
    cache: Path | None = None
    memory: ByteSize = ByteSize(128 * 1024**2)
    rest: BinanceSettings = Field(default_factory=BinanceSettings)

    @model_validator(mode="before")
    @classmethod
    def _rest_is_of_its_market(cls, given: object) -> object:
        if not (
            isinstance(given, Mapping) and isinstance(rest := given.get("rest") or {}, Mapping)
        ):
            return given
        market = {"market": "usdm"} if given.get("market") == "usdm" else {}
        return {**given, "rest": {**market, **rest}}

    @model_validator(mode="after")
    def _one_market(self) -> Self:
        if self.rest.market != self.market:
            raise ValueError(
                f"rest is asked for {self.rest.market}, the archives for {self.market}: "
                "leave its market out"
            )
        return self


class BinanceArchiveSource:
    """Candles of Binance from its archives as far as they go, and by REST where they do not.

    A month comes from its zip, or where that is not published, from those of its days. What the
    archives do not have of a window is asked for by REST: the newest days, and each hole, since
    archives have been published with days and hours left out that Binance does have. So a bar is
    absent when both lack it. Where REST refuses the symbol, because Binance does not list it any
    more, an archive speaks for itself; such a symbol needs a start and an end in the universe.
    Weeks are asked for by REST alone: in archives they are cut, or left out, where months end.

    An archive that is damaged costs itself: a month comes from the archives of its days then, and a
    day from REST. Only where these do not have it either is it an error.

    A zip is trusted when it has the sha256 in its .CHECKSUM file. It is kept in the cache, and
    every fill asks for the small .CHECKSUM again: an archive that was replaced is downloaded anew.

    Args:
        name: The source's name in the universe.
        settings: Its settings.
        base: The universe file's folder.
        kind: The kind of the profile, in lower case.
        clock: Gives the present instant, which says what can be published.
    """

    Settings: ClassVar[type[SourceSettings]] = BinanceArchiveSettings

    traits = Traits(
        timeframes=frozenset(Timeframe),
        page_size=_PAGE,
        emits_empty_bars=True,
        earliest_probe=True,
        kinds=frozenset({"crypto"}),
    )

    def __init__(
        self,
        name: str,
        settings: BinanceArchiveSettings,
        *,
        base: Path,
        kind: str,
        clock: Callable[[], datetime] = present,
    ) -> None:
        self.name = name
        self._rest = BinanceSource(name, settings.rest, base=base, kind=kind)
        self.usage = self._rest.usage
        self._http = HttpClient(name, settings, self.usage, base=base, ceiling=self.traits.ceiling)
        self._folder = _FOLDERS[settings.market]
        self._cache = (
            base / settings.cache if settings.cache else home() / "archives" / limit_name(settings)
        )
        self._memory = settings.memory
        self._clock = clock
        self._exit = AsyncExitStack()

    @staticmethod
    def venue_of(settings: BinanceArchiveSettings, _kind: str) -> str:
        """Name the market whose prices these are: see `Source`."""
        return venue_name(settings.market)

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight now: see `Source`."""
        return self._http.concurrency

    def use_reserve(self) -> None:
        """Use the reserves of both rates: see `contract.HasReserve`."""
        self._http.limit.urgent = True
        self._rest.use_reserve()

    async def __aenter__(self) -> Self:
        self._zips = ZipCache(self.name, self._http, self._cache, self._memory)
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(self._rest)
            await opened.enter_async_context(self._http)
            self._exit = opened.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zips.close()
        await self._exit.aclose()

    async def fetch(
        self, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
    ) -> pl.DataFrame:
        """Give what the archives have of the window, and what REST has of the rest.

        See `Source.fetch`.
        """
        window = Window(start, end)
        if timeframe is Timeframe.W1 or window.empty:
            return await self._rest.fetch(symbol, timeframe, start, end)
        archives, damaged = await self._archived(symbol, timeframe, window)
        archived = pl.concat(
            [CANDLE_SCHEMA.to_frame(), *(candles for _, candles in archives)], how="diagonal"
        )
        pages = [archived]
        for hole in plan_requests(
            _absent(archived, timeframe, window), timeframe, self._rest.traits.page_size
        ):
            try:
                page = await self._rest.fetch(symbol, timeframe, hole.start, hole.end)
            except SourceError as error:
                # No other refusal, of a wrong address or of the country that is asked from, says
                # anything about the candles.
                if _UNLISTED.search(str(error)) and _covered(hole, [span for span, _ in archives]):
                    continue
                harm = [str(harmed) for span, harmed in damaged if span.intersect(hole)]
                if harm:
                    why = "; ".join([*harm, str(error)])
                    raise SourceError(
                        f"{why}; {_INSTEAD}", retry_after=error.retry_after
                    ) from error
                raise
            pages.append(page.join(archived, on="ts", how="anti"))
        return pl.concat(pages, how="diagonal")

    async def earliest(self, symbol: str, timeframe: Timeframe) -> datetime | None:
        """Give the open of the first bar that REST has.

        None where it refuses, which is no reason to refuse the archives.
        """
        try:
            return await self._rest.earliest(symbol, timeframe)
        except SourceError as error:
            if not error.permanent:
                raise
            _log.warning("%s; its archives are asked all the same", error)
            return None

    # The protocol's arguments.
    def answers_for(self, symbol: str, timeframe: Timeframe) -> Window | None:  # noqa: ARG002
        """Speak for any window: see `Source.answers_for`."""
        return None

    async def _archived(
        self, symbol: str, timeframe: Timeframe, window: Window
    ) -> tuple[list[tuple[Window, pl.DataFrame]], list[tuple[Window, SourceError]]]:
        """The archives that have a part of the window.

        Returns:
            The time that each has, and its candles in the window, sorted; and the time of each that
            is damaged, with the reason.
        """
        archives: list[tuple[Window, pl.DataFrame]] = []
        damaged: list[tuple[Window, SourceError]] = []
        published = self._clock() - _LATE

        async def is_there(span: Window) -> bool:
            if span.end > published:
                return False
            try:
                candles = await self._zips.candles(self._path(symbol, timeframe, span))
            except DamagedError as error:
                damaged.append((span, error))
                return False
            if candles is None:
                return False
            archives.append((span, candles.filter(span.holds(), window.holds())))
            return True

        for month in _months(window):
            if await is_there(month):
                continue
            absent = 0
            for day in _days(month):
                if absent < _ABSENT_DAYS and window.intersect(day):
                    harmed = len(damaged)
                    absent = 0 if await is_there(day) or len(damaged) > harmed else absent + 1
        return archives, damaged

    def _path(self, symbol: str, timeframe: Timeframe, span: Window) -> str:
        """Where the archive of a day or a month is.

        The path is below the vendor's address and below the cache.
        """
        if not re.fullmatch(r"[\w-]+", symbol):
            raise SourceError(
                f"source {self.name}: {symbol!r} is no symbol of Binance, like BTCUSDT",
                permanent=True,
            )
        period, date = (
            ("daily", "%Y-%m-%d") if span.end - span.start == _DAY else ("monthly", "%Y-%m")
        )
        name = f"{symbol}-{timeframe}-{span.start.strftime(date)}.zip"
        return f"data/{self._folder}/{period}/klines/{symbol}/{timeframe}/{name}"


def _absent(archived: pl.DataFrame, timeframe: Timeframe, window: Window) -> pl.Series:
    """The opens in a window that an archive has no bar for; the market never closes."""
    start, end = window.micros
    grid = np.arange(-(-start // timeframe.micros) * timeframe.micros, end, timeframe.micros)
    return missing(pl.Series(grid, dtype=pl.Int64).cast(TS), archived["ts"])


def _covered(window: Window, spans: Sequence[Window]) -> bool:
    """Whether every instant of a window lies in one of some spans, which are sorted."""
    reached = window.start
    for span in spans:
        if span.start <= reached < span.end:
            reached = span.end
    return reached >= window.end


def _months(window: Window) -> Iterator[Window]:
    """The calendar months that a window touches."""
    first = window.start.date().replace(day=1)
    while midnight(first) < window.end:
        after = (first + timedelta(days=32)).replace(day=1)
        yield Window.of_days(first, after)
        first = after


def _days(month: Window) -> Iterator[Window]:
    """The days of a month."""
    for number in range((month.end - month.start).days):
        yield Window(month.start + number * _DAY, month.start + (number + 1) * _DAY)
