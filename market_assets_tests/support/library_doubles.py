"""Doubles of the vendors that are asked through a client library of theirs."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import pytest
import yfinance
import zstandard
from curl_cffi.requests import Session
from curl_cffi.requests.exceptions import ConnectionError as NoConnectionError
from databento_dbn import Metadata, OHLCVMsg, RType, Schema, SType

from market_assets.market.timeframes import Timeframe
from market_assets.sources.testing import Page, Question, Reply, VendorDouble, instant, timeframe_of
from market_assets.sources.vendors.ccxt import CcxtSource
from market_assets.sources.vendors.databento import DatabentoSource
from market_assets.sources.vendors.yahoo import YahooSource
from market_assets_tests.support.doubles import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from market_assets.sources.testing import Request

_NOW = datetime(2024, 1, 20, 17, tzinfo=UTC)
_OPENING = timedelta(hours=14, minutes=30)
_PRODUCT = {
    "id": "BTC-USD",
    "base_currency": "BTC",
    "quote_currency": "USD",
    "quote_increment": "0.01",
    "base_increment": "0.00000001",
    "display_name": "BTC-USD",
    "min_market_funds": "1",
    "status": "online",
}


class LoopbackSession(Session):  # type: ignore[type-arg]
    """A session that reaches this machine alone: the library asks for cookies elsewhere."""

    def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:
        if urlsplit(url).hostname != "127.0.0.1":
            raise NoConnectionError("not from a test")
        return super().request(method, url, *args, **kwargs)


@contextmanager
def yahoo_on_loopback() -> Iterator[None]:
    """No request of yfinance leaves this machine."""
    with (
        pytest.MonkeyPatch.context() as patch,
        TemporaryDirectory() as cookies,
        LoopbackSession() as session,
    ):
        patch.setenv("no_proxy", "127.0.0.1")
        yfinance.set_tz_cache_location(cookies)
        yfinance.Ticker("NONE", session=session)
        yield


class Yahoo(VendorDouble):
    source = YahooSource
    symbol = "SPY"
    kind = "equity"
    pages = False
    running = True
    says_wait = False
    now = _NOW
    limits = (Reply(429, b"Too Many Requests"),)

    def surroundings(self) -> Any:
        return yahoo_on_loopback()

    def read(self, request: Request) -> Question | Reply:
        if not request.path.startswith("/v8/finance/chart/"):
            return Reply(404)
        query = request.query
        timeframe = Timeframe(query["interval"])
        first = instant(query["period1"])
        last = instant(query["period2"]) - timedelta(microseconds=1)
        if timeframe is Timeframe.D1:
            first, last = first - _OPENING, last - _OPENING
        return Question(request.path.rpartition("/")[2], timeframe, first, last)

    def write(self, page: Page) -> Any:
        timeframe = page.question.timeframe
        shift = _OPENING if timeframe is Timeframe.D1 else timedelta()
        stamps = [int((candle.ts + shift).timestamp()) for candle in page.candles]
        if page.running is not None:
            # The latest trade, with its own time.
            stamps[page.candles.index(page.running)] += 17
        names = ("open", "high", "low", "close", "volume")
        quotes = {name: [getattr(candle, name) for candle in page.candles] for name in names}
        meta = {
            "symbol": page.question.symbol,
            "dataGranularity": timeframe.value,
            "exchangeTimezoneName": "America/New_York",
        }
        result = {"meta": meta, "indicators": {"quote": [quotes if stamps else {}]}}
        times = {"timestamp": stamps} if stamps else {}
        return {"chart": {"result": [result | times], "error": None}}

    def refuse(self, words: str) -> Reply:
        fault = {"code": "Not Found", "description": words}
        return Reply(404, {"chart": {"result": None, "error": fault}})


class Ccxt(VendorDouble):
    """The exchange that the library calls coinbaseexchange."""

    source = CcxtSource
    symbol = "BTC/USD"
    settings: ClassVar[Mapping[str, object]] = {"exchange": "coinbaseexchange"}
    now = datetime(2024, 3, 1, tzinfo=UTC)

    def read(self, request: Request) -> Question | Reply:
        if not request.path.endswith("/candles"):
            return Reply(body=[_PRODUCT] if request.path == "/products" else [])
        query = request.query
        symbol = request.path.split("/")[2].replace("-", "/")
        timeframe = timeframe_of(query["granularity"])
        return Question(symbol, timeframe, instant(query["start"]), instant(query["end"]))

    def write(self, page: Page) -> Any:
        names = ("low", "high", "open", "close", "volume")
        return [[candle.seconds, *candle.numbers(names)] for candle in reversed(page.candles)]

    def refuse(self, words: str) -> Reply:
        return Reply(404, {"message": words})


class Databento(VendorDouble):
    source = DatabentoSource
    symbol = "ESH6"
    kind = "futures"
    settings: ClassVar[Mapping[str, object]] = {"key": f"db-{KEY}", "dataset": "GLBX.MDP3"}
    whole_volumes = True
    limits: ClassVar[Sequence[Reply]] = (Reply(429, {"detail": "too many requests"}),)

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            # The client makes https of every address.
            patch.setattr("databento.historical.client.validate_gateway", lambda url: url)
            yield

    def read(self, request: Request) -> Question | Reply:
        query = request.query
        if request.path == "/v0/metadata.get_dataset_range":
            return Reply(body={"start": "2010-06-06", "end": "2024-02-01T00:00:00.123456789Z"})
        if request.path != "/v0/timeseries.get_range":
            return Reply(404, {"detail": "no such path"})
        last = instant(query["end"]) - timedelta(microseconds=1)
        return Question(query["symbols"], Timeframe.M1, instant(query["start"]), last)

    def write(self, page: Page) -> Any:
        return self._dbn(page)

    def unknown(self, question: Question) -> Reply:
        return Reply(body=self._dbn(Page(question, ()), not_found=[question.symbol]))

    def refuse(self, words: str) -> Reply:
        return Reply(422, {"detail": words})

    def _dbn(self, page: Page, *, not_found: Sequence[str] = ()) -> bytes:
        question = page.question
        head = Metadata(
            dataset="GLBX.MDP3",
            start=0,
            stype_in=SType.RAW_SYMBOL,
            stype_out=SType.INSTRUMENT_ID,
            schema=Schema.OHLCV_1M,
            symbols=[question.symbol],
            not_found=[*not_found],
        )
        rows = [
            OHLCVMsg(
                rtype=RType.OHLCV_1M,
                publisher_id=1,
                instrument_id=7,
                ts_event=candle.millis * 1_000_000,
                **{
                    name: round(getattr(candle, name) * 1e9)
                    for name in ("open", "high", "low", "close")
                },
                volume=round(candle.volume),
            )
            for candle in page.candles
        ]
        return zstandard.compress(head.encode() + b"".join(bytes(row) for row in rows))


LIBRARY_DOUBLES: Mapping[str, type[VendorDouble]] = {
    "ccxt": Ccxt,
    "databento": Databento,
    "yahoo": Yahoo,
}
