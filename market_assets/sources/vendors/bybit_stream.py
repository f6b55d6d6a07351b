"""Bybit's live candles: `kline.<interval>.<symbol>`, spot and linear perpetuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from market_assets.market.timeframes import Timeframe
from market_assets.sources.streaming import (
    Beat,
    Closing,
    Event,
    Fault,
    Refused,
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

INTERVALS = {
    Timeframe.M1: "1",
    Timeframe.M5: "5",
    Timeframe.M15: "15",
    Timeframe.M30: "30",
    Timeframe.H1: "60",
    Timeframe.H4: "240",
    Timeframe.D1: "D",
}
"""Bybit's word for each timeframe that it has, over REST and in the stream."""

_UNKNOWN = "handler not found"
_TWICE = "already subscribed"


class BybitStream(StreamFormat):
    """Live candles of Bybit, without a key.

    A bar comes as it stands; `confirm` is true in its last message. One topic that Bybit does not
    know fails the whole request, so there is one request for each symbol, and the topic is its
    number. Bybit wants a ping every 20 seconds, and cuts after 10 minutes of silence.
    """

    address = "wss://stream.bybit.com/v5/public/spot"
    linear = "wss://stream.bybit.com/v5/public/linear"
    """Where perpetuals and futures are streamed that are settled in USDT or USDC."""

    traits: ClassVar[StreamTraits] = StreamTraits(
        timeframes=frozenset(INTERVALS),
        closing=Closing.FLAG,
        emits_empty_bars=True,
        symbols=100,
        connections=1000,
        opening=(500, 300.0),
        messages=10.0,
        ping=20.0,
        holds={403: 600.0},
    )

    def subscribe(self, symbols: Sequence[str]) -> list[str]:
        """See `StreamFormat.subscribe`."""
        return [self._message("subscribe", symbol) for symbol in symbols]

    def unsubscribe(self, symbols: Sequence[str]) -> list[str]:
        """See `StreamFormat.unsubscribe`."""
        return [self._message("unsubscribe", symbol) for symbol in symbols]

    def ping(self) -> str:
        """See `StreamFormat.ping`."""
        return encoded({"op": "ping"})

    def _message(self, operation: str, symbol: str) -> str:
        topic = f"kline.{INTERVALS[self.timeframe]}.{symbol}"
        return encoded({"op": operation, "req_id": topic, "args": [topic]})

    def events(self, message: Any) -> Iterator[Event]:  # noqa: ANN401 - JSON
        """See `StreamFormat.events`."""
        match message:
            case {"topic": str(topic), "data": list(bars)} if topic.startswith("kline."):
                _, interval, symbol = topic.split(".", 2)
                if interval != INTERVALS[self.timeframe]:
                    raise ValueError(f"{topic}, and {self.timeframe} was asked for")
                for bar in bars:
                    yield candle(
                        symbol,
                        from_millis(bar["start"]),
                        (bar["open"], bar["high"], bar["low"], bar["close"], bar["volume"]),
                        closed=bar["confirm"],
                        quote_volume=bar.get("turnover"),
                    )
            case {"op": "ping" | "pong"} | {"op": "unsubscribe", "success": True}:
                yield Beat()
            case {"op": "subscribe", "success": True}:
                yield Subscribed(_symbols(message))
            case {"op": "subscribe", "success": False, "ret_msg": str(words)}:
                if _TWICE in words:
                    yield Subscribed(_symbols(message))
                else:
                    yield Refused(_symbols(message), words, permanent=_UNKNOWN in words)
            case {"success": False, "ret_msg": str(words)}:
                yield Fault(words)
            case _:
                yield unknown(message)


def _symbols(message: dict[str, Any]) -> tuple[str, ...]:
    """Whose subscription is answered: the number of the request, or the topic in the words."""
    topic = message.get("req_id") or message.get("ret_msg", "").rpartition("topic:")[2]
    return (topic.split(".", 2)[2],) if topic.count(".") >= 2 else ()
