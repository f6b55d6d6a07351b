"""The vendors' streams as the conformance kit asks for them: each in the practice vendor's words.

Bounds are those of the vendors' documents, named beside them.
"""

from __future__ import annotations

import json
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from market_assets.practice.stream_formats import SPOKEN, Print, StreamRow
from market_assets.sources.testing import StreamDouble
from market_assets.sources.vendors.binance import BinanceSource
from market_assets.sources.vendors.bitfinex import BitfinexSource
from market_assets.sources.vendors.bybit import BybitSource
from market_assets.sources.vendors.coinbase import CoinbaseSource
from market_assets.sources.vendors.kraken import KrakenSource
from market_assets.sources.vendors.practice import PracticeSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.streaming import Trade
    from market_assets.sources.testing import Candle


class Spoken(StreamDouble):
    """A double that lets the practice vendor speak."""

    spoken: ClassVar[str]
    alias: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """What the vendor's stream calls a symbol that REST calls otherwise."""

    def __init__(self, refusals: Mapping[str, bool] = MappingProxyType({})) -> None:
        super().__init__(refusals)
        named = {self.alias.get(name, name): final for name, final in refusals.items()}
        self._spoken = SPOKEN[self.spoken](lambda _: True, named.get)

    def greeting(self) -> Sequence[str]:
        return self._spoken.greeting()

    def answer(self, message: Any) -> Iterator[str]:
        return self._spoken.answer(message)

    def accept(self, message: Any) -> Iterable[str]:
        return self._spoken.answer(message)

    def refuse(self, message: Any, symbol: str, words: str) -> str:
        raise NotImplementedError

    def candle(self, symbol: str, timeframe: Timeframe, candle: Candle, *, closed: bool) -> str:
        row = StreamRow(
            candle.millis,
            candle.millis + timeframe.micros // 1000,
            *candle.numbers(("open", "high", "low", "close", "volume", "quote_volume")),
            trades=candle.trades,
            taker_volume=candle.taker_buy_volume,
        )
        return self._spoken.candle(self.alias.get(symbol, symbol), timeframe, row, closed=closed)

    def beats(self) -> Sequence[str]:
        return self._spoken.beats(1_700_000_000_000, lambda _: 7)

    def shutdown(self) -> str:
        return self._spoken.shutdown() or ""


class Binance(Spoken):
    """web-socket-streams.md: 1,024 streams and 24 h a connection, 5 messages a second."""

    source = BinanceSource
    spoken = "binance"
    symbols = ("BTCUSDT", "ETHUSDT")
    extras = ("quote_volume", "trades", "taker_buy_volume")
    length = 4096
    most_symbols = 1024
    most_messages = 5
    life = timedelta(hours=24)
    passes = False

    def names(self, message: Any) -> Sequence[str]:
        if message.get("method") != "SUBSCRIBE":
            return []
        return [stream.partition("@")[0].upper() for stream in message["params"]]

    def complaint(self, words: str) -> str:
        return json.dumps({"code": 3, "msg": words})


class BinanceFutures(Binance):
    """USD-M: 200 streams in the URL's form, 10 messages a second."""

    spoken = "binance-usdm"
    settings: ClassVar[Mapping[str, object]] = {"market": "usdm"}
    most_symbols = 200
    most_messages = 10


class Practice(Binance):
    source = PracticeSource


class Bybit(Spoken):
    """v5/ws/connect: 10 args a request on spot."""

    source = BybitSource
    spoken = "bybit"
    symbols = ("BTCUSDT", "ETHUSDT")
    extras = ("quote_volume",)
    at_once = 10
    length = 21_000

    def names(self, message: Any) -> Sequence[str]:
        if message["op"] != "subscribe":
            return []
        return [topic.split(".", 2)[2] for topic in message["args"]]

    def complaint(self, words: str) -> str:
        return json.dumps({"success": False, "ret_msg": words, "op": ""})


class Bitfinex(Spoken):
    """ws-general: 25 channels a connection, 20 connections a minute."""

    source = BitfinexSource
    spoken = "bitfinex"
    symbols = ("tBTCUSD", "tTESTBTC:TESTUSD")
    at_once = 1
    most_symbols = 25

    def names(self, message: Any) -> Sequence[str]:
        return [message["key"].split(":", 2)[2]] if message["event"] == "subscribe" else []

    def complaint(self, words: str) -> str:
        return json.dumps({"event": "error", "msg": words, "code": 10000})


class Kraken(Spoken):
    """websocket-v2: no bounds are documented. XBTUSD is BTC/USD there."""

    source = KrakenSource
    spoken = "kraken"
    symbols = ("XBTUSD", "SOLUSD")
    alias: ClassVar[Mapping[str, str]] = {"XBTUSD": "BTCUSD"}
    extras = ("trades", "vwap")

    def names(self, message: Any) -> Sequence[str]:
        if message["method"] != "subscribe":
            return []
        own = {wire: name for name, wire in self.alias.items()}
        pairs = [pair.replace("/", "") for pair in message["params"]["symbol"]]
        return [own.get(pair, pair) for pair in pairs]

    def candle(self, symbol: str, timeframe: Timeframe, candle: Candle, *, closed: bool) -> str:
        message = json.loads(super().candle(symbol, timeframe, candle, closed=closed))
        message["data"][0]["vwap"] = candle.vwap
        return json.dumps(message)

    def complaint(self, words: str) -> str:
        return json.dumps({"error": words, "success": False})


class Coinbase(Spoken):
    """websocket-feed/rate-limits: 8 connections and 8 messages a second."""

    source = CoinbaseSource
    spoken = "coinbase"
    symbols = ("BTC-USD", "ETH-EUR")
    most_messages = 8

    def names(self, message: Any) -> Sequence[str]:
        return message["product_ids"] if message["type"] == "subscribe" else []

    def trade(self, trade: Trade) -> str:
        printed = Print(trade.number, trade.at // 1000, trade.price, f"{trade.size:f}")
        message = json.loads(self._spoken.trade(trade.symbol, printed))
        message["time"] = f"{message['time'][:-4]}{trade.at % 1000:03d}Z"
        return json.dumps(message)

    def complaint(self, words: str) -> str:
        return json.dumps({"type": "error", "message": words})


STREAM_DOUBLES: dict[str, type[StreamDouble]] = {
    "binance": Binance,
    "binance-usdm": BinanceFutures,
    "bybit": Bybit,
    "bitfinex": Bitfinex,
    "kraken": Kraken,
    "coinbase": Coinbase,
    "practice": Practice,
}
