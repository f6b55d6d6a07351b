"""Doubles of the vendors of this package, for the conformance kit."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from market_assets.market.timeframes import Timeframe, Window
from market_assets.practice import formats
from market_assets.sources.testing import Page, Question, Reply, VendorDouble, instant
from market_assets.sources.testing.double import QUICK
from market_assets.sources.transport.keyed import FOREX_DAYS, STOCK_DAYS, UTC_DAYS
from market_assets.sources.vendors.alpaca import AlpacaSource
from market_assets.sources.vendors.binance import BinanceSource
from market_assets.sources.vendors.binance_archive import BinanceArchiveSource
from market_assets.sources.vendors.bitfinex import BitfinexSource
from market_assets.sources.vendors.bybit import BybitSource
from market_assets.sources.vendors.coinbase import CoinbaseSource
from market_assets.sources.vendors.kraken import KrakenSource
from market_assets.sources.vendors.oanda import OandaSource
from market_assets.sources.vendors.polygon import PolygonSource
from market_assets.sources.vendors.practice import PracticeSource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from market_assets.practice.formats import Format
    from market_assets.sources.contract import Source
    from market_assets.sources.testing import Candle, Request

KEY = "kEy-0f-a-Test-4711"
SECRET = "sEcret-0f-a-Test-1147"  # noqa: S105 - it opens nothing
_DAY = timedelta(days=1)


class Spoken(VendorDouble):
    """A vendor whose form the practice vendor speaks too."""

    form: ClassVar[Format]

    def read(self, request: Request) -> Question | Reply:
        form = self.form
        path = (
            re.escape(form.path)
            .replace(r"\{symbol\}", "(?P<symbol>.+)")
            .replace(r"\{interval\}", r"(?P<interval>\w+)")
        )
        match = re.fullmatch(path, request.path)
        if match is None:
            return Reply(404, form.error(0, "no such path"))
        names = {
            what: request.query[name] for what, name in form.names.items() if name in request.query
        }
        words = names | match.groupdict()
        first, last = (
            instant(form.read_time(words[bound])) if bound in words else None
            for bound in ("start", "end")
        )
        if first is not None and form.after:
            first += timedelta(seconds=1)
        ascending = form.oldest_first is not None and form.oldest_first in request.query.items()
        return Question(
            symbol=words["symbol"],
            timeframe=form.timeframes[words["interval"]],
            first=first,
            last=last,
            limit=min(int(words.get("limit", form.limit[0])), form.limit[1]),
            newest=form.newest_first and not ascending,
        )

    def write(self, page: Page) -> Any:
        rows = [self.form.row(_binance_row(candle)) for candle in page.candles]
        symbol = "XXBTZUSD" if self.form is formats.KRAKEN else page.question.symbol
        return self.form.answer(symbol, rows[::-1] if page.question.newest else rows)

    def refuse(self, words: str) -> Reply:
        status = 200 if self.form.unknown is None else self.form.unknown[0]
        return Reply(status, self.form.error(10020, words))

    # The words of a vendor name no symbol.
    def unknown(self, question: Question) -> Reply:  # noqa: ARG002
        if self.form.unknown is None:
            return Reply(body=[])
        status, code, words = self.form.unknown
        return Reply(status, self.form.error(code, words))


def _binance_row(candle: Candle) -> list[Any]:
    return [
        candle.millis,
        *(repr(number) for number in candle.numbers(("open", "high", "low", "close", "volume"))),
        candle.millis + 59_999,
        repr(candle.quote_volume),
        candle.trades,
        repr(candle.taker_buy_volume),
        "0",
        "0",
    ]


class Binance(Spoken):
    source = BinanceSource
    symbol = "BTCUSDT"
    form = formats.BINANCE
    extras = ("quote_volume", "trades", "taker_buy_volume")
    limits = (
        Reply(429, {"code": -1003, "msg": "Too many requests."}),
        Reply(418, {"code": -1003, "msg": "Banned."}, {"Retry-After": "60"}),
        Reply(200, {"code": -1003, "msg": "Too many requests."}),
    )


class BinanceFutures(Binance):
    form = formats.BINANCE_USDM
    settings: ClassVar[Mapping[str, object]] = {"market": "usdm"}


class Practice(Binance):
    source = PracticeSource


class BinanceArchive(Binance):
    """The archives have nothing yet: all comes over REST, in pages of its own."""

    source = BinanceArchiveSource
    now = datetime(2024, 1, 20, tzinfo=UTC)
    counted = False
    page = 1000

    def read(self, request: Request) -> Question | Reply:
        return Reply(404) if request.path.startswith("/data/") else super().read(request)

    def build(self, url: str, base: Path, **settings: object) -> Source:
        live = {**QUICK, "base_url": url, **settings}
        return super().build(url, base, **settings, rest=live)


class Bybit(Spoken):
    source = BybitSource
    symbol = "BTCUSDT"
    form = formats.BYBIT
    extras = ("quote_volume",)
    limits = (
        Reply(403, b"access too frequent"),
        Reply(200, {"retCode": 10006, "retMsg": "Too many visits!", "result": {}}),
    )


class Bitfinex(Spoken):
    source = BitfinexSource
    symbol = "tTESTBTC:TESTUSD"
    form = formats.BITFINEX
    limits = (
        Reply(429, {"error": "ERR_RATE_LIMIT"}),
        Reply(200, ["error", 11010, "ratelimit: error"]),
    )


class Coinbase(Spoken):
    source = CoinbaseSource
    symbol = "BTC-USD"
    form = formats.COINBASE
    widest = 300


class Kraken(Spoken):
    source = KrakenSource
    symbol = "XBTUSD"
    form = formats.KRAKEN
    extras = ("trades", "vwap")
    pages = False
    running = True
    limits = (
        Reply(429, {"error": ["EGeneral:Too many requests"]}),
        Reply(200, {"error": ["EAPI:Rate limit exceeded"]}),
        Reply(200, {"error": ["EGeneral:Temporary lockout"]}),
    )

    def write(self, page: Page) -> Any:
        answer = super().write(page)
        # The practice vendor rounds what it divides.
        for row, candle in zip(answer["result"]["XXBTZUSD"], page.candles, strict=True):
            row[5] = repr(candle.vwap)
        return answer


class Alpaca(VendorDouble):
    source = AlpacaSource
    symbol = "AAPL"
    kind = "equity"
    settings: ClassVar[Mapping[str, object]] = {"key": KEY, "secret": SECRET}
    extras = ("trades", "vwap")
    now = datetime(2024, 6, 1, 12, tzinfo=UTC)
    lengths: ClassVar[Mapping[str, Timeframe]] = {
        "1Min": Timeframe.M1,
        "5Min": Timeframe.M5,
        "15Min": Timeframe.M15,
        "30Min": Timeframe.M30,
        "1Day": Timeframe.D1,
    }

    def read(self, request: Request) -> Question | Reply:
        keys = [request.headers.get(f"apca-api-{name}") for name in ("key-id", "secret-key")]
        if keys != [KEY, SECRET]:
            return Reply(403, {"message": "forbidden."})
        query = request.query
        timeframe = self.lengths[query["timeframe"]]
        first, last = (instant(query[name]) for name in ("start", "end"))
        if timeframe is Timeframe.D1:
            first, last = (_date(first, STOCK_DAYS), _date(last, STOCK_DAYS))
        return Question(
            query["symbols"],
            timeframe,
            first,
            last,
            int(query["limit"]),
            offset=int(query.get("page_token", 0)),
        )

    def write(self, page: Page) -> Any:
        daily = page.question.timeframe is Timeframe.D1
        rows = [
            {
                "t": _stamp(candle, STOCK_DAYS) if daily else candle.iso,
                **_letters(candle),
                "v": candle.volume,
                "n": candle.trades,
                "vw": candle.vwap,
            }
            for candle in page.candles
        ]
        following = None if page.following is None else str(page.following)
        return {"bars": {page.question.symbol: rows} if rows else {}, "next_page_token": following}

    def refuse(self, words: str) -> Reply:
        return Reply(400, {"message": words})


class Oanda(VendorDouble):
    source = OandaSource
    symbol = "EUR_USD"
    kind = "forex"
    settings: ClassVar[Mapping[str, object]] = {"key": KEY}
    running = True
    lengths: ClassVar[Mapping[str, Timeframe]] = {
        "M1": Timeframe.M1,
        "M5": Timeframe.M5,
        "M15": Timeframe.M15,
        "M30": Timeframe.M30,
        "H1": Timeframe.H1,
        "H4": Timeframe.H4,
        "D": Timeframe.D1,
    }

    def first(self, timeframe: Timeframe) -> datetime:
        midnight = super().first(timeframe)
        if timeframe is Timeframe.D1:
            return midnight
        return FOREX_DAYS.first_open(Window(midnight, midnight), timeframe)

    def read(self, request: Request) -> Question | Reply:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return Reply(401, {"errorMessage": "Insufficient authorization."})
        query = request.query
        if int(query["count"]) > 5000:
            return Reply(400, {"errorMessage": "Maximum value for 'count' exceeded"})
        timeframe = self.lengths[query["granularity"]]
        first = instant(query["from"])
        if timeframe is Timeframe.D1:
            first = _date(first, FOREX_DAYS)
        symbol = request.path.removeprefix("/v3/instruments/").removesuffix("/candles")
        return Question(symbol, timeframe, first, limit=int(query["count"]))

    def write(self, page: Page) -> Any:
        daily = page.question.timeframe is Timeframe.D1
        rows = [
            {
                "time": _stamp(candle, FOREX_DAYS) if daily else candle.iso,
                "complete": candle is not page.running,
                "volume": candle.volume,
                "mid": {name: repr(number) for name, number in _letters(candle).items()},
            }
            for candle in page.candles
        ]
        return {"instrument": page.question.symbol, "granularity": "M1", "candles": rows}

    def refuse(self, words: str) -> Reply:
        return Reply(400, {"errorMessage": words})


class Polygon(VendorDouble):
    source = PolygonSource
    symbol = "AAPL"
    kind = "equity"
    settings: ClassVar[Mapping[str, object]] = {"key": KEY, "history_days": None}
    extras = ("trades", "vwap")
    now = datetime(2024, 6, 1, 12, tzinfo=UTC)

    def read(self, request: Request) -> Question | Reply:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return Reply(401, {"status": "ERROR", "error": "Unknown API Key"})
        path = re.fullmatch(r"/v2/aggs/ticker/(.+)/range/(\d+)/(\w+)/(.+)/(.+)", request.path)
        if path is None:
            return Reply(404, {"status": "ERROR", "error": "no such path"})
        symbol, number, unit, *bounds = path.groups()
        timeframe = Timeframe(f"{number}{unit[0]}")
        first, last = (instant(bound) for bound in bounds)
        return Question(
            symbol,
            timeframe,
            first,
            last,
            int(request.query["limit"]),
            offset=int(request.query.get("cursor", 0)),
        )

    def write(self, page: Page) -> Any:
        daily = page.question.timeframe is Timeframe.D1
        days = STOCK_DAYS if self.kind == "equity" else UTC_DAYS
        rows = [
            {
                "t": int(days.opens(candle.ts.date()).timestamp() * 1000)
                if daily
                else candle.millis,
                **_letters(candle),
                "v": candle.volume,
                "n": candle.trades,
                "vw": candle.vwap,
            }
            for candle in page.candles
        ]
        question = page.question
        answer = {
            "status": "OK",
            "ticker": question.symbol,
            "adjusted": False,
            "resultsCount": len(rows),
        }
        if page.following is not None:
            assert question.first
            assert question.last
            span = "/".join(
                str(int(bound.timestamp() * 1000)) for bound in (question.first, question.last)
            )
            answer["next_url"] = (
                f"https://api.elsewhere.example:443:443/v2/aggs/ticker/{question.symbol}"
                f"/range/1/minute/{span}?limit=50000&cursor={page.following}&apiKey=x"
            )
        return answer | ({"results": rows} if rows else {})

    def refuse(self, words: str) -> Reply:
        return Reply(200, {"status": "ERROR", "error": words})


class PolygonCrypto(Polygon):
    symbol = "X:BTCUSD"
    kind = "crypto"


class PolygonForex(Polygon):
    symbol = "C:EURUSD"
    kind = "forex"


def _letters(candle: Candle) -> dict[str, float]:
    return {name[0]: getattr(candle, name) for name in ("open", "high", "low", "close")}


def _date(stamp: datetime, days: Any) -> datetime:
    """The date, at 00:00 UTC, whose bar a stamp of a vendor's days belongs to."""
    local = stamp.astimezone(days.zone).replace(tzinfo=None) - days.start
    return datetime(local.year, local.month, local.day, tzinfo=UTC)


def _stamp(candle: Candle, days: Any) -> str:
    return f"{days.opens(candle.ts.date()):%Y-%m-%dT%H:%M:%SZ}"


DOUBLES: Mapping[str, type[VendorDouble]] = {
    "alpaca": Alpaca,
    "binance": Binance,
    "binance_archive": BinanceArchive,
    "binance-usdm": BinanceFutures,
    "bitfinex": Bitfinex,
    "bybit": Bybit,
    "coinbase": Coinbase,
    "kraken": Kraken,
    "oanda": Oanda,
    "polygon": Polygon,
    "polygon-crypto": PolygonCrypto,
    "polygon-forex": PolygonForex,
    "practice": Practice,
}
