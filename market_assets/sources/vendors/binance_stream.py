"""Binance's live candles: `<symbol>@kline_<interval>`, spot and USD-M futures."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import structs

from market_assets.market.timeframes import Timeframe
from market_assets.sources.streaming import (
    Beat,
    Closing,
    Event,
    Fault,
    Refused,
    Shutdown,
    StreamFormat,
    StreamTraits,
    Subscribed,
    candle,
    chunks,
    encoded,
    from_millis,
    unknown,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_AT_ONCE = 50
"""Streams in one message: some vendors' servers cut messages of more than 4 KB."""

_DAY = timedelta(hours=24)

_INVALID = frozenset({2, 3})
"""Binance's codes for a request that it cannot read."""


class BinanceStream(StreamFormat):
    """Live candles of Binance's spot market, without a key.

    About every two seconds a bar comes as it stands; `x` is true in its last message. A name that
    Binance does not know is accepted, and no candle ever comes. The address serves market data
    only, as that of the REST source. A message more than 5 in a second, pongs among them, ends the
    connection.
    """

    address = "wss://data-stream.binance.vision/stream"
    traits: ClassVar[StreamTraits] = StreamTraits(
        timeframes=frozenset(Timeframe),
        closing=Closing.FLAG,
        emits_empty_bars=True,
        symbols=1000,
        opening=(300, 300.0),
        messages=3.0,
        life=_DAY,
        holds={418: 300.0, 429: 60.0},
    )

    def __init__(self, timeframe: Timeframe, address: str | None = None) -> None:
        super().__init__(timeframe, address)
        self._numbers = count(1)
        self._asked: dict[object, tuple[str, ...]] = {}

    def subscribe(self, symbols: Sequence[str]) -> list[str]:
        """See `StreamFormat.subscribe`."""
        return [self._message("SUBSCRIBE", group) for group in chunks(symbols, _AT_ONCE)]

    def unsubscribe(self, symbols: Sequence[str]) -> list[str]:
        """See `StreamFormat.unsubscribe`."""
        return [self._message("UNSUBSCRIBE", group) for group in chunks(symbols, _AT_ONCE)]

    def _message(self, method: str, symbols: Sequence[str]) -> str:
        number = next(self._numbers)
        if method == "SUBSCRIBE":
            self._asked[number] = tuple(symbols)
        streams = [f"{symbol.lower()}@kline_{self.timeframe}" for symbol in symbols]
        return encoded({"method": method, "params": streams, "id": number})

    def events(self, message: Any) -> Iterator[Event]:  # noqa: ANN401 - JSON
        """See `StreamFormat.events`."""
        match message:
            case {"stream": str(), "data": event}:
                yield from self._event(event)
            case {"e": str()}:
                yield from self._event(message)
            case {"error": {"code": code, "msg": words}, "id": number} | {
                "code": code,
                "msg": words,
                "id": number,
            }:
                symbols = self._asked.pop(number, ())
                yield Refused(symbols, f"{code} {words}", permanent=code in _INVALID)
            case {"error": {"code": code, "msg": words}} | {"code": code, "msg": words}:
                yield Fault(f"{code} {words}")
            case {"result": None, "id": number}:
                symbols = self._asked.pop(number, ())
                yield Subscribed(symbols) if symbols else Beat()
            case _:
                yield unknown(message)

    def _event(self, event: Any) -> Iterator[Event]:  # noqa: ANN401 - JSON
        match event["e"]:
            case "kline":
                bar = event["k"]
                if bar["i"] != self.timeframe:
                    raise ValueError(f"a candle of {bar['i']}, and {self.timeframe} was asked for")
                yield candle(
                    bar["s"],
                    from_millis(bar["t"]),
                    (bar["o"], bar["h"], bar["l"], bar["c"], bar["v"]),
                    closed=bar["x"],
                    quote_volume=bar.get("q"),
                    trades=bar.get("n"),
                    taker_buy_volume=bar.get("V"),
                )
            case "serverShutdown":
                yield Shutdown("serverShutdown")
            case _:
                yield unknown(event)


class BinanceUsdmStream(BinanceStream):
    """Live candles of Binance's USD-M futures, without a key.

    The messages are those of spot. The address without `/market` has delivered no candles since
    2026-04-23. A message more than 10 in a second ends the connection.
    """

    address = "wss://fstream.binance.com/market/stream"
    traits: ClassVar[StreamTraits] = structs.replace(
        BinanceStream.traits, symbols=200, messages=5.0
    )
