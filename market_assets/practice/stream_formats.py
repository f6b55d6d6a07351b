"""The streams that the practice vendor speaks: how each vendor is asked, and what it sends.

They write what `sources.vendors` reads, and neither knows the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from market_assets.market.timeframes import Timeframe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class StreamRow(NamedTuple):
    """A bar as it stands; times in milliseconds since 1970, extra columns as Binance has them."""

    ts: int
    ends_at: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: int
    taker_volume: float


class Print(NamedTuple):
    """A trade; its time is in milliseconds since 1970."""

    number: int
    at: int
    price: float
    size: str


class SpokenStream(ABC):
    """One vendor's side of one connection.

    Args:
        is_served: Whether a symbol is there.
        refusal: Says of a symbol whether its subscription is refused now: None where it is not,
            else whether for good.

    Attributes:
        path: Where the vendor is asked.
        asked: The symbols that are subscribed, with the timeframe of each.
        is_flagged: True where a bar's last message says that it is closed.
        is_of_trades: True where there are trades in place of bars.
    """

    path: str
    is_flagged = False
    is_of_trades = False

    def __init__(
        self, is_served: Callable[[str], bool], refusal: Callable[[str], bool | None]
    ) -> None:
        self.asked: dict[str, Timeframe] = {}
        self._is_served = is_served
        self._refusal = refusal

    def greeting(self) -> list[str]:
        """What is sent as soon as a connection is open."""
        return []

    @abstractmethod
    def answer(self, message: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
        """Do what a client asks for, and answer it."""

    @abstractmethod
    def candle(self, symbol: str, timeframe: Timeframe, row: StreamRow, *, closed: bool) -> str:
        """A bar as it stands."""

    # Few vendors have them.
    def trade(self, symbol: str, trade: Print, *, is_last: bool = False) -> str:  # noqa: ARG002
        """A trade; `is_last` of one that was made before the subscription."""
        return ""

    def beats(self, now: int, last: Callable[[str], int]) -> list[str]:  # noqa: ARG002
        """Signs of life at a millisecond; `last` gives the number of a symbol's last trade."""
        return []

    def shutdown(self) -> str | None:
        """The notice that the connection will be closed; None where the vendor has none."""
        return None


class BinanceSpoken(SpokenStream):
    """Binance, combined streams; spot and USD-M futures alike."""

    path = "/stream"
    is_flagged = True

    def answer(self, message: Any) -> Iterator[str]:  # noqa: ANN401
        """See `SpokenStream.answer`. A name that is not there is accepted, and nothing comes."""
        for stream in message["params"]:
            name, _, interval = stream.partition("@kline_")
            if self._refusal(name.upper()) is not None:
                error = {"code": 2, "msg": f"Invalid request: {stream}"}
                yield _text({"error": error, "id": message["id"]})
                return
            if message["method"] == "UNSUBSCRIBE":
                self.asked.pop(name.upper(), None)
            elif self._is_served(name.upper()):
                self.asked[name.upper()] = Timeframe(interval)
        yield _text({"result": None, "id": message["id"]})

    def candle(self, symbol: str, timeframe: Timeframe, row: StreamRow, *, closed: bool) -> str:
        """See `SpokenStream.candle`."""
        bar = {
            "t": row.ts,
            "T": row.ends_at - 1,
            "s": symbol,
            "i": timeframe.value,
            "f": 100,
            "L": 200,
            "o": str(row.open),
            "c": str(row.close),
            "h": str(row.high),
            "l": str(row.low),
            "v": str(row.volume),
            "n": row.trades,
            "x": closed,
            "q": str(row.quote_volume),
            "V": str(row.taker_volume),
            "Q": "0",
            "B": "0",
        }
        event = {"e": "kline", "E": row.ts, "s": symbol, "k": bar}
        return _text({"stream": f"{symbol.lower()}@kline_{timeframe}", "data": event})

    def shutdown(self) -> str:
        """See `SpokenStream.shutdown`."""
        return _text({"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 0}})


class BinanceUsdmSpoken(BinanceSpoken):
    """Binance's USD-M futures."""

    path = "/market/stream"


class BybitSpoken(SpokenStream):
    """Bybit v5, spot."""

    path = "/v5/public/spot"
    is_flagged = True

    def answer(self, message: Any) -> Iterator[str]:  # noqa: ANN401
        """See `SpokenStream.answer`. One topic that is not there fails the whole request."""
        operation = message["op"]
        if operation == "ping":
            yield _text({"success": True, "ret_msg": "pong", "conn_id": "x", "op": "ping"})
            return
        reply = {"op": operation, "req_id": message.get("req_id", ""), "conn_id": "x"}
        topics = {topic: topic.split(".", 2)[1:] for topic in message["args"]}
        for topic, (_, symbol) in topics.items():
            refusal = self._refusal(symbol)
            if refusal is True or not self._is_served(symbol):
                words = f"error:handler not found,topic:{topic}"
                yield _text({"success": False, "ret_msg": words, **reply})
                return
            if refusal is False:
                yield _text({"success": False, "ret_msg": "Too many visits.", **reply})
                return
        for interval, symbol in topics.values():
            if operation == "unsubscribe":
                self.asked.pop(symbol, None)
            else:
                self.asked[symbol] = _BYBIT[interval]
        yield _text({"success": True, "ret_msg": operation, **reply})

    def candle(self, symbol: str, timeframe: Timeframe, row: StreamRow, *, closed: bool) -> str:
        """See `SpokenStream.candle`."""
        interval = next(word for word, length in _BYBIT.items() if length is timeframe)
        bar = {
            "start": row.ts,
            "end": row.ends_at - 1,
            "interval": interval,
            "open": str(row.open),
            "close": str(row.close),
            "high": str(row.high),
            "low": str(row.low),
            "volume": str(row.volume),
            "turnover": str(row.quote_volume),
            "confirm": closed,
            "timestamp": row.ts,
        }
        topic = f"kline.{interval}.{symbol}"
        return _text({"topic": topic, "data": [bar], "ts": row.ts, "type": "snapshot"})


class BitfinexSpoken(SpokenStream):
    """Bitfinex v2, channel `candles`."""

    path = "/ws/2"

    def __init__(
        self, is_served: Callable[[str], bool], refusal: Callable[[str], bool | None]
    ) -> None:
        super().__init__(is_served, refusal)
        self._channels: dict[str, int] = {}
        self._numbers = count(100)

    def greeting(self) -> list[str]:
        """See `SpokenStream.greeting`."""
        return [_text({"event": "info", "version": 2, "serverId": "x", "platform": {"status": 1}})]

    def answer(self, message: Any) -> Iterator[str]:  # noqa: ANN401
        """See `SpokenStream.answer`."""
        if message["event"] == "unsubscribe":
            symbol = next(
                name for name, channel in self._channels.items() if channel == message["chanId"]
            )
            del self.asked[symbol], self._channels[symbol]
            answer = {"event": "unsubscribed", "status": "OK", "chanId": message["chanId"]}
            yield _text(answer)
            return
        _, interval, symbol = message["key"].split(":", 2)
        refusal = self._refusal(symbol)
        if refusal is not None or not self._is_served(symbol):
            code, words = (10305, "subscribe: limit") if refusal is False else (10300, "key: bad")
            error = {"event": "error", "msg": words, "code": code}
            yield _text({"channel": "candles", "key": message["key"], **error})
            return
        self.asked[symbol] = Timeframe(interval.lower())
        number = self._channels[symbol] = next(self._numbers)
        answer = {"event": "subscribed", "channel": "candles", "chanId": number}
        yield _text({**answer, "key": message["key"]})

    def candle(self, symbol: str, timeframe: Timeframe, row: StreamRow, *, closed: bool) -> str:  # noqa: ARG002
        """See `SpokenStream.candle`. A symbol without a channel has none here either."""
        bar = [row.ts, row.open, row.close, row.high, row.low, row.volume]
        return _text([self._channels.get(symbol, 9), bar])

    def beats(self, now: int, last: Callable[[str], int]) -> list[str]:  # noqa: ARG002
        """See `SpokenStream.beats`."""
        return [_text([number, "hb"]) for number in self._channels.values()]

    def shutdown(self) -> str:
        """See `SpokenStream.shutdown`."""
        return _text({"event": "info", "code": 20051, "msg": "Stopping. Please try to reconnect"})


class KrakenSpoken(SpokenStream):
    """Kraken v2, channel `ohlc`. A symbol is what stands on both sides of the stroke."""

    path = "/v2"

    def greeting(self) -> list[str]:
        """See `SpokenStream.greeting`."""
        status = {"system": "online", "api_version": "v2", "connection_id": 1, "version": "2.0.0"}
        return [_text({"channel": "status", "type": "update", "data": [status]})]

    def answer(self, message: Any) -> Iterator[str]:  # noqa: ANN401
        """See `SpokenStream.answer`. There is an answer for each pair."""
        if message["method"] == "ping":
            yield _text({"method": "pong"})
            return
        params = message["params"]
        for pair in params["symbol"]:
            symbol = pair.replace("/", "")
            reply = {"method": message["method"], "success": True}
            if message["method"] == "unsubscribe":
                self.asked.pop(symbol, None)
                yield _text(reply)
                continue
            refusal = self._refusal(symbol)
            if refusal is not None or not self._is_served(symbol):
                words = (
                    "Exceeded msg rate"
                    if refusal is False
                    else f"Currency pair not supported {pair}"
                )
                yield _text({**reply, "success": False, "error": words, "symbol": pair})
                continue
            self.asked[symbol] = _MINUTES[params["interval"]]
            result = {"channel": "ohlc", "interval": params["interval"], "symbol": pair}
            yield _text({**reply, "result": result})

    def candle(self, symbol: str, timeframe: Timeframe, row: StreamRow, *, closed: bool) -> str:  # noqa: ARG002
        """See `SpokenStream.candle`."""
        bar = {
            "symbol": f"{symbol[:-3]}/{symbol[-3:]}",
            "open": row.open,
            "high": row.high,
            "low": row.low,
            "close": row.close,
            "trades": row.trades,
            "volume": row.volume,
            "vwap": round(row.quote_volume / row.volume, 8) if row.volume else row.close,
            "interval_begin": _iso(row.ts),
            "interval": timeframe.micros // 60_000_000,
            "timestamp": _iso(row.ends_at),
        }
        return _text({"channel": "ohlc", "type": "update", "data": [bar]})

    def beats(self, now: int, last: Callable[[str], int]) -> list[str]:  # noqa: ARG002
        """See `SpokenStream.beats`."""
        return [_text({"channel": "heartbeat"})]


class CoinbaseSpoken(SpokenStream):
    """Coinbase Exchange, channels `matches` and `heartbeat`."""

    path = "/coinbase"
    is_of_trades = True

    def answer(self, message: Any) -> Iterator[str]:  # noqa: ANN401
        """See `SpokenStream.answer`. One product that is not there fails the whole request."""
        for product in message["product_ids"]:
            refusal = self._refusal(product)
            if message["type"] == "unsubscribe":
                self.asked.pop(product, None)
            elif refusal is not None or not self._is_served(product):
                reason = "try again later" if refusal is False else "is not a valid product"
                error = {"message": "Failed to subscribe", "reason": f"{product} {reason}"}
                yield _text({"type": "error", **error})
                return
            else:
                self.asked[product] = Timeframe.M1
        channels = [{"name": name, "product_ids": [*self.asked]} for name in message["channels"]]
        yield _text({"type": "subscriptions", "channels": channels})

    def candle(self, symbol: str, timeframe: Timeframe, row: StreamRow, *, closed: bool) -> str:  # noqa: ARG002
        """There are no bars, but for the trade of a stranger."""
        return self.trade(symbol, Print(1, row.ts, row.open, "1"))

    def trade(self, symbol: str, trade: Print, *, is_last: bool = False) -> str:
        """See `SpokenStream.trade`."""
        return _text(
            {
                "type": "last_match" if is_last else "match",
                "trade_id": trade.number,
                "sequence": trade.number * 10,
                "maker_order_id": "x",
                "taker_order_id": "x",
                "time": _iso(trade.at),
                "product_id": symbol,
                "size": trade.size,
                "price": str(trade.price),
                "side": "sell",
            }
        )

    def beats(self, now: int, last: Callable[[str], int]) -> list[str]:
        """See `SpokenStream.beats`."""
        return [
            _text(
                {
                    "type": "heartbeat",
                    "sequence": last(symbol) * 10,
                    "last_trade_id": last(symbol),
                    "product_id": symbol,
                    "time": _iso(now),
                }
            )
            for symbol in self.asked
        ]


SPOKEN: dict[str, type[SpokenStream]] = {
    "binance": BinanceSpoken,
    "binance-usdm": BinanceUsdmSpoken,
    "bybit": BybitSpoken,
    "bitfinex": BitfinexSpoken,
    "kraken": KrakenSpoken,
    "coinbase": CoinbaseSpoken,
}

_MINUTES = {length.micros // 60_000_000: length for length in Timeframe}
_BYBIT = {str(count): length for count, length in _MINUTES.items() if length.intraday} | {
    "D": Timeframe.D1
}


def _text(message: object) -> str:
    return msgspec.json.encode(message).decode()


def _iso(millis: int) -> str:
    instant = datetime.fromtimestamp(millis / 1000, UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{millis % 1000:03d}000Z"
