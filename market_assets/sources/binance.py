"""Binance spot candles: `GET /api/v3/klines`, or any server that speaks its format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar, Self

import msgspec
import numpy as np
import polars as pl

from market_assets.errors import SourceError
from market_assets.market_time.timeframes import TS, Timeframe, Window, from_micros, to_micros
from market_assets.sources.base import CANDLE_SCHEMA, SourceSettings, Traits, Usage, epoch_to_us
from market_assets.sources.http import HttpClient, HttpSettings, RateText, WebAddress, excerpt

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

_KLINES = "/api/v3/klines"
_PAGE = 1000
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


class BinanceSource:
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
    )

    def __init__(self, name: str, settings: HttpSettings, *, base: Path, kind: str) -> None:  # noqa: ARG002 - one vendor, one kind
        self.name = name
        self.usage = Usage()
        self.concurrency = settings.concurrency
        self._http = HttpClient(name, settings, self.usage, base=base)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def fetch(self, symbol: str, timeframe: Timeframe, start: datetime, end: datetime) -> pl.DataFrame:
        """Give what Binance has for the window: see `Source.fetch`.

        A page shorter than the window is no proof that the rest is absent, so the fetch goes on behind its last row; only an
        empty page is taken as absence.
        """
        pages: list[pl.DataFrame] = []
        at, stop = to_micros(start), to_micros(end)
        while at < stop:
            page = await self._page(symbol, timeframe, at, stop)
            pages.append(page)
            opens = _opens(page)
            inside = opens[opens < stop]
            if not len(inside):
                break
            last = int(inside.max())
            if last < at or len(pages) > self.traits.page_size:
                raise SourceError(
                    f"source {self.name}: {symbol} {timeframe} {Window(start, end)}: the pages do not move forward: asked for bars "
                    f"from {from_micros(at):%Y-%m-%d %H:%M:%S} on, the last one given opens {from_micros(last):%Y-%m-%d %H:%M:%S}"
                )
            if last + timeframe.micros >= stop:
                break
            at = last + 1_000
        return pl.concat(pages) if pages else CANDLE_SCHEMA.to_frame()

    async def earliest(self, symbol: str, timeframe: Timeframe) -> datetime | None:
        """Give the open of the first bar that Binance has: see `Source.earliest`."""
        params: dict[str, str | int] = {"symbol": symbol, "interval": timeframe, "startTime": 0, "limit": 1}
        page = await self._http.get(_KLINES, params, about=f"{symbol} {timeframe} first bar", parse=parse_klines)
        return None if page.is_empty() else from_micros(int(_opens(page).min()))

    def answers_for(self, symbol: str, timeframe: Timeframe) -> None:  # noqa: ARG002 - the protocol's arguments
        """Speak for any window: see `Source.answers_for`."""
        return

    async def _page(self, symbol: str, timeframe: Timeframe, at: int, stop: int) -> pl.DataFrame:
        params: dict[str, str | int] = {
            "symbol": symbol,
            "interval": timeframe,
            "startTime": at // 1_000,
            "endTime": stop // 1_000 - 1,  # inclusive
            "limit": _PAGE,
        }
        about = f"{symbol} {timeframe} {Window.of_micros(at, stop)}"
        return await self._http.get(_KLINES, params, about=about, parse=parse_klines)


def _opens(page: pl.DataFrame) -> NDArray[np.int64]:
    """Give the opens in microseconds; one that is null is numpy's least number, before anything that is asked for."""
    return page["ts"].to_numpy().astype(np.int64)


def parse_klines(body: bytes) -> pl.DataFrame:
    """Turn the body of an answer into a frame of CANDLE_SCHEMA, each number the double nearest to its decimal text.

    Raises:
        SourceError: The body is no list of rows: an error in words (permanent by its code), HTML, JSON that was cut off.
    """
    try:
        rows = _decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return _parse_patiently(body)
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


def _parse_patiently(body: bytes) -> pl.DataFrame:
    """Read what the fast decoder refuses: an odd cell becomes null, an odd row or body is an error that says what it is."""
    try:
        answer = json.loads(body)  # unlike msgspec, it takes a bare NaN
    except (ValueError, RecursionError) as error:
        raise SourceError(f"the answer is not JSON, or was cut off: {excerpt(body)!r}") from error
    if isinstance(answer, dict) and "code" in answer:
        raise SourceError(f"the answer is an error: {excerpt(body)}", permanent=answer["code"] not in _CURABLE)
    if not isinstance(answer, list) or not all(
        isinstance(row, list) and len(row) >= len(_RAW_SCHEMA) for row in answer
    ):
        raise SourceError(f"the answer is not a list of klines: {excerpt(body)!r}")
    rows = [(_whole(row[0]), *map(_number, row[1 : len(_RAW_SCHEMA)])) for row in answer]
    return pl.DataFrame(rows, schema=_RAW_SCHEMA, orient="row").with_columns(_TIME)


def _whole(cell: object) -> int | None:
    return cell if isinstance(cell, int) and abs(cell) < 2**63 else None


def _number(cell: object) -> float | None:
    try:
        return float(cell)  # type: ignore[arg-type]  # what is no number is caught
    except (TypeError, ValueError, OverflowError):
        return None
