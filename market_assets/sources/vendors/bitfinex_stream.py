"""Bitfinex's live candles: the channel `candles`, key `trade:<timeframe>:<symbol>`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

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
    encoded,
    from_millis,
    unknown,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAMES = {
    Timeframe.M1: "1m",
    Timeframe.M5: "5m",
    Timeframe.M15: "15m",
    Timeframe.M30: "30m",
    Timeframe.H1: "1h",
    Timeframe.D1: "1D",
}
"""Bitfinex's word for each timeframe that it has, over REST and in the stream."""

_RESTART, _PAUSE, _RESUMED = 20051, 20060, 20061
"""Codes of a message `info`: reconnect; maintenance begins; it is over, subscribe again."""

_FAILED, _TWICE, _UNKNOWN = 10300, 10301, 10001
"""Codes of an error: a subscription failed, it was there already, a symbol is unknown."""


class BitfinexStream(StreamFormat):
    """Live candles of Bitfinex, without a key.

    A channel begins with some hundred bars, the newest first; then a bar comes when it changes. No
    message says that a bar is closed, and old bars repeat. Messages `hb` are no candles. A channel
    has a number, which its acceptance names. Documents and servers differ on how many channels a
    connection may have (25 to 36): 20 are planned.
    """

    address = "wss://api-pub.bitfinex.com/ws/2"
    traits: ClassVar[StreamTraits] = StreamTraits(
        timeframes=frozenset(NAMES),
        closing=Closing.NEXT,
        emits_empty_bars=False,
        symbols=20,
        opening=(20, 60.0),
        messages=5.0,
        holds={429: 60.0},
    )

    def __init__(self, timeframe: Timeframe, address: str | None = None) -> None:
        super().__init__(timeframe, address)
        self._channels: dict[int, str] = {}

    def subscribe(self, symbols: Sequence[str]) -> list[str]:
        """See `StreamFormat.subscribe`."""
        return [
            encoded({"event": "subscribe", "channel": "candles", "key": self._key(symbol)})
            for symbol in symbols
        ]

    def unsubscribe(self, symbols: Sequence[str]) -> list[str]:
        """See `StreamFormat.unsubscribe`."""
        return [
            encoded({"event": "unsubscribe", "chanId": channel})
            for channel, symbol in self._channels.items()
            if symbol in symbols
        ]

    def _key(self, symbol: str) -> str:
        return f"trade:{NAMES[self.timeframe]}:{symbol}"

    def events(self, message: Any) -> Iterator[Event]:  # noqa: ANN401 - JSON
        """See `StreamFormat.events`."""
        match message:
            case [channel, "hb", *_]:
                yield Beat(self._channels.get(channel))
            case [channel, list(body), *_]:
                symbol = self._channels.get(channel, f"channel {channel}")
                yield from self._bars(symbol, body)
            case {"event": "subscribed", "chanId": int(channel), "key": str(key)}:
                self._channels[channel] = symbol = _symbol(key)
                yield Subscribed((symbol,))
            case {"event": "info", "code": int(code)}:
                yield _notice(code, message.get("msg", ""))
            case {"event": "info", "platform": {"status": 0}}:
                yield Fault("the platform is in maintenance")
            case {"event": "unsubscribed", "chanId": channel}:
                self._channels.pop(channel, None)
                yield Beat()
            case {"event": "info" | "pong" | "conf"}:
                yield Beat()
            case {"event": "error", "code": code, "msg": words}:
                key = message.get("key", "")
                symbols = (_symbol(key),) if key else ()
                if code == _TWICE:
                    yield Subscribed(symbols)
                else:
                    is_final = code in {_FAILED, _UNKNOWN}
                    yield Refused(symbols, f"{code} {words}", permanent=is_final)
            case _:
                yield unknown(message)

    def _bars(self, symbol: str, body: list[Any]) -> Iterator[Event]:
        if not body:
            yield Beat(symbol)
            return
        for opened, first, last, high, low, volume, *_ in body if _is_many(body) else [body]:
            numbers = (first, high, low, last, volume)
            yield candle(symbol, from_millis(opened), numbers, closed=False)


def _is_many(body: list[Any]) -> bool:
    return isinstance(body[0], list)


def _symbol(key: str) -> str:
    """The symbol in trade:1m:tTESTBTC:TESTUSD, which may itself hold a colon."""
    return key.split(":", 2)[2]


def _notice(code: int, words: str) -> Event:
    if code in {_RESTART, _RESUMED}:
        return Shutdown(f"{code} {words}")
    return Fault(f"{code} {words}" if code != _PAUSE else f"{code} maintenance: {words}")
