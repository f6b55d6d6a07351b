"""Candles of any exchange that the library ccxt knows: its `fetch_ohlcv`."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import httpx
import msgspec
import polars as pl
from pydantic import AfterValidator, NonNegativeFloat, PositiveInt

from market_assets.errors import SourceError
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.market.instants import bare_minute
from market_assets.market.timeframes import Timeframe, Window, from_micros, literal, to_micros
from market_assets.sources.contract import SourceSettings, Traits
from market_assets.sources.transport.body import excerpt
from market_assets.sources.transport.http import (
    CAREFUL,
    HeaderSecret,
    RateText,
    WebAddress,
)
from market_assets.sources.transport.library import (
    LibrarySettings,
    LibrarySource,
    seconds_in,
    words,
)
from market_assets.sources.transport.refusals import is_of_a_place
from market_assets.sources.transport.rest import candles, millis

# An optional package, and slow to import.
with late_imports():
    import ccxt
    from ccxt import async_support


# An optional package, and slow to import.

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from types import TracebackType

_PLACES = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}
_PAGE = 200  # where the library does not say how many bars the exchange gives
_FEWEST = 50  # of its newest bars, no exchange gives fewer
_LATEST = {"kraken": 720}
"""Exchanges that give their newest bars alone, and how many."""
_PREVIOUS_CLOSE = frozenset({"bitmex"})
"""Exchanges whose open is the close before, which may lie outside high and low."""


def _exchange(name: str) -> str:
    """Check an exchange by the library's files: to import it takes most of a second."""
    spec = find_spec("ccxt")
    if spec is None or not spec.submodule_search_locations:
        return name  # what is missing is said by LibrarySettings
    files = Path(spec.submodule_search_locations[0], "async_support").glob("[a-z]*.py")
    names = sorted(path.stem for path in files)
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = (
            f"did you mean {near[0]}?"
            if near
            else f"it knows {len(names)}, such as binance and kraken"
        )
        raise ValueError(f"{name!r} is no exchange of ccxt; {hint}")
    return name


class CcxtSettings(LibrarySettings):
    """The keys of a `ccxt` source: those of every HTTP source except `headers`, and the exchange.

    The library keeps to what it knows of the exchange's limits, in each process; `rate` holds for
    all processes together. `rate: null` turns off both.

    Attributes:
        exchange: The library's name for it, such as `kraken` or `okx`.
        base_url: Another host for all of the exchange's addresses.
        key: The API key, where the exchange wants one for candles.
        secret: Its secret.
        quiet_minutes: omitted where the exchange leaves out a bar without a trade, so that its
            absence says that nothing traded.
        latest_only: So many of its newest bars the exchange gives, and no older ones.
        open_outside_range: An open may lie outside high and low, as where it is the close before;
            known of BitMEX.
    """

    library: ClassVar[str] = "ccxt"
    extra: ClassVar[str] = "ccxt"

    exchange: Annotated[str, AfterValidator(_exchange)]
    base_url: WebAddress = ""
    rate: RateText | None = CAREFUL
    hold: NonNegativeFloat = 60
    concurrency: PositiveInt = 4
    key: HeaderSecret | None = None
    secret: HeaderSecret | None = None
    quiet_minutes: Literal["present", "omitted"] = "present"
    latest_only: PositiveInt | None = None
    open_outside_range: bool | None = None

    def whose_limit(self) -> str:
        """Name the exchange, whose address the library knows: see `HttpSettings.whose_limit`."""
        return super().whose_limit() or f"ccxt-{self.exchange}"


class CcxtSource(LibrarySource[CcxtSettings]):
    """Candles of one exchange, by the library's names for its markets or by its own.

    The library's names are `BTC/USDT`, and `BTC/USDT:USDT` for a swap. Each request says since when
    and how many, and nothing is left to the library's own paging. An exchange that gives its newest
    bars whatever it is asked for is an error, not one without a history. Weeks are made of days, as
    no two exchanges agree on when one begins.
    """

    Settings: ClassVar[type[SourceSettings]] = CcxtSettings
    exceeds = True
    traits = Traits(
        timeframes=frozenset(Timeframe) - {Timeframe.W1},
        page_size=_PAGE,
        emits_empty_bars=True,
        earliest_probe=False,
        kinds=frozenset({"crypto"}),
    )
    """What an exchange may have; a source built for one has what that has."""

    def __init__(
        self,
        name: str,
        settings: CcxtSettings,
        *,
        base: Path,
        kind: str,
        clock: Callable[[], datetime] = present,
    ) -> None:
        super().__init__(name, settings, base=base, kind=kind, clock=clock)
        self._client: Any = _built(settings)
        self._loading = asyncio.Lock()
        self.traits = self.traits_of(settings)

    @staticmethod
    def traits_of(settings: CcxtSettings) -> Traits:
        """Say what the exchange has: see `Source`.

        To know it takes the library's import, most of a second.

        Raises:
            SourceError: The exchange gives no candles through the library.
        """
        exchange = _built(settings)
        if not exchange.has.get("fetchOHLCV"):
            raise SourceError(
                f"{settings.exchange} gives no candles through ccxt; choose another", permanent=True
            )
        latest = settings.latest_only or _LATEST.get(settings.exchange)
        outside = settings.open_outside_range
        most = CcxtSource.traits
        return replace(
            most,
            timeframes=frozenset(
                timeframe
                for timeframe in most.timeframes
                if timeframe in (exchange.timeframes or {})
            ),
            page_size=latest or _most_of(exchange),
            emits_empty_bars=settings.quiet_minutes == "present",
            latest_only=latest,
            open_outside_range=settings.exchange in _PREVIOUS_CLOSE if outside is None else outside,
            venue=settings.exchange,
        )

    @staticmethod
    # The arguments that every type is asked with.
    def venue_of(settings: CcxtSettings, kind: str) -> str:  # noqa: ARG004
        """Name the exchange: see `Source`."""
        return settings.exchange

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        # Connections, and what waits for them, belong to the loop that they were made in.
        self._client, self._loading = _built(self._settings), asyncio.Lock()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._client.close()
        finally:
            await super().__aexit__(kind, error, trace)

    def request(
        self, symbol: str, timeframe: Timeframe, window: Window
    ) -> tuple[str, dict[str, str | int]]:
        """See `PagedSource.request`."""
        # A whole page even for one bar: by its end the page shows whether it began where it was
        # asked to.
        return "fetch_ohlcv", {
            "symbol": symbol,
            "timeframe": timeframe.value,
            "since": millis(window.start),
            "limit": self.traits.page_size,
        }

    def parse(self, body: bytes) -> pl.DataFrame:
        """See `PagedSource.parse`."""
        return candles(body, lambda answer: answer, _PLACES)

    async def page(self, symbol: str, timeframe: Timeframe, window: Window) -> pl.DataFrame:
        """See `PagedSource.page`."""
        about = f"source {self.name}: {symbol} {timeframe}"
        if timeframe not in self.traits.timeframes:
            timeframes = ", ".join(
                candidate for candidate in Timeframe if candidate in self.traits.timeframes
            )
            raise SourceError(
                f"{about}: {self._settings.exchange} has {timeframes}; fetch one of these",
                permanent=True,
            )
        page = await super().page(symbol, timeframe, window)
        first = self._newest_since(page, timeframe, window)
        if first is not None:
            # Where it gives a bar of before, it does give what it is asked for, and there is
            # nothing between.
            before = Window(window.start - self.traits.page_size * timeframe.duration, window.start)
            earlier = await super().page(symbol, timeframe, before)
            if earlier.filter(pl.col("ts") < literal(first)).is_empty():
                raise SourceError(
                    f"{about} {window}: the {len(page)} bars given are the newest there are, "
                    f"and begin only at {bare_minute(first)}: "
                    "no evidence that there is nothing before. "
                    "If the exchange gives no more than that, "
                    f"say it: `latest_only: {len(page)}`; "
                    "if the symbol is as young as that, give it a `start`"
                )
        return page

    def _newest_since(
        self, page: pl.DataFrame, timeframe: Timeframe, window: Window
    ) -> datetime | None:
        """The first open of a page that begins too late and ends at the present.

        Such is the page of an exchange that heeds no start. None for any other page.
        """
        opens = page["ts"].drop_nulls().to_physical().to_numpy()
        if self.traits.latest_only is not None or len(opens) < _FEWEST:
            return None
        first, last = int(opens.min()), int(opens.max())
        late = first >= to_micros(window.start) + timeframe.micros
        return (
            from_micros(first)
            if late and last >= to_micros(self._clock()) - 2 * timeframe.micros
            else None
        )

    # There is one thing to ask.
    async def send(self, path: str, params: Mapping[str, str | int]) -> bytes:  # noqa: ARG002
        """See `LibrarySource.send`."""
        client = self._client
        # One at a time: the library lets all wait for the same task, and the first that runs out
        # of time would cancel it for all.
        async with self._loading:
            if not client.markets:
                await client.load_markets()
        return msgspec.json.encode(await client.fetch_ohlcv(**params))

    def explain(self, error: Exception) -> SourceError | None:
        """See `LibrarySource.explain`."""
        if not isinstance(error, ccxt.BaseError):
            return None
        text = f"{type(error).__name__}: {words(error)}"
        if isinstance(error, ccxt.RateLimitExceeded | ccxt.DDoSProtection):
            waits = self._told_to_wait()
            hold = self._settings.hold or None
            return SourceError(text, retry_after=hold if waits is None else waits)
        if isinstance(error, ccxt.ExchangeNotAvailable) and not is_of_a_place(_FORBIDDEN, text):
            waits = self._told_to_wait()
            if waits is not None:
                return SourceError(text, retry_after=waits)
        if _OF_A_PLACE.search(text) or is_of_a_place(_FORBIDDEN, text):
            return SourceError(text, of_machine=True)
        if isinstance(error, ccxt.BadSymbol):
            return SourceError(f"{text}; write it as ccxt does, like BTC/USDT", permanent=True)
        # A bare ExchangeError is an answer that the library does not know.
        return SourceError(
            text,
            permanent=isinstance(error, ccxt.ExchangeError)
            and type(error) is not ccxt.ExchangeError,
        )

    def _told_to_wait(self) -> float | None:
        headers = {
            name.lower(): value
            for name, value in (self._client.last_response_headers or {}).items()
        }
        return seconds_in(headers.get("retry-after"))


_FORBIDDEN = 403
_OF_A_PLACE = re.compile(r" 451\b")
"""The library writes the status behind the address."""


def _built(settings: CcxtSettings) -> Any:  # noqa: ANN401 - a class that is chosen by name
    """The library's client."""
    host = httpx.URL(settings.base_url).host
    keys = {"apiKey": settings.key, "secret": settings.secret}
    client = getattr(async_support, settings.exchange)(
        {
            "enableRateLimit": settings.rate is not None,
            "timeout": int(settings.timeout * 1000),
            "aiohttp_trust_env": host not in {"127.0.0.1", "::1", "localhost"},
            **{
                name: secret.get_secret_value()
                for name, secret in keys.items()
                if secret is not None
            },
        }
    )
    if settings.base_url:
        client.urls["api"] = _moved(client.urls["api"], settings.base_url)
    client.on_rest_response = partial(_readable, client)
    client.parse_ohlcv = partial(_dated, client.parse_ohlcv)
    return client


def _dated(parse: Callable[..., list[Any]], row: Any, *market: Any) -> list[Any]:  # noqa: ANN401
    """Let no row without a time be left out, as the library does: all might be like that."""
    bar = parse(row, *market)
    if not bar or bar[0] is None:
        raise ccxt.BadResponse(
            f"the answer is not a list of candles: {excerpt(str(row).encode())!r}"
        )
    return bar


# Reason, URL, method, headers and body of the answer, those of the request.
def _readable(client: Any, code: int, *details: Any) -> str:  # noqa: ANN401
    """Let no page of HTML, no half of an answer, and nothing without rows pass for an answer.

    The library would make an empty one of it.
    """
    body = str(details[4]).strip()
    if code < httpx.codes.BAD_REQUEST:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ccxt.BadResponse(
                f"the answer is not JSON, or was cut off: {excerpt(body.encode())!r}"
            ) from error
        # What comes once the markets are known are candles: a list, or an object that has one.
        if client.markets and (not isinstance(document, list | dict) or document == {}):
            raise ccxt.BadResponse(
                f"the answer is not a list of candles: {excerpt(body.encode())!r}"
            )
    return body


def _most_of(client: Any) -> int:  # noqa: ANN401 - see `_built`
    """How many bars a page has, as the library's description of the exchange says it."""
    features = client.features or {}
    limit = ((features.get("spot") or {}).get("fetchOHLCV") or {}).get("limit")
    return int(limit or _PAGE)


# Addresses, or parts of the API with theirs, at any depth.
def _moved(addresses: Any, host: str) -> Any:  # noqa: ANN401
    """The same addresses at another host."""
    if isinstance(addresses, dict):
        return {part: _moved(address, host) for part, address in addresses.items()}
    if not isinstance(addresses, str):
        return addresses
    return re.sub(r"^https?://[^/]*", lambda _: host.rstrip("/"), addresses)
