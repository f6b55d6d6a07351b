"""Kraken's live candles: the channel `ohlc` of its WebSocket API v2."""

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
    chunks,
    encoded,
    micros_of,
    unknown,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_AT_ONCE = 50
_QUOTES = ("USDT", "USDC", "USD", "EUR", "GBP", "JPY", "CAD", "AUD", "CHF", "XBT", "BTC", "ETH")
"""What names of pairs end with; the longer ones first."""

_RENAMED = {"XBT": "BTC", "XDG": "DOGE"}
_LEGACY = 8
"""Letters of a name such as XXBTZUSD, in which X and Z mark crypto and money."""

_SERVED = "not supported"


class KrakenStream(StreamFormat):
    """Live candles of Kraken's spot market, without a key.

    A bar comes with each trade; no message says that it is closed, and a minute without a trade has
    none. The vendor's snapshot is not asked for: its newest bar may be hours old, and older bars
    are asked for over REST. The stream names a pair otherwise than REST: XBTUSD, XXBTZUSD and
    XBT/USD are BTC/USD there.
    """

    address = "wss://ws.kraken.com/v2"
    traits: ClassVar[StreamTraits] = StreamTraits(
        timeframes=frozenset(Timeframe) - {Timeframe.W1},
        closing=Closing.NEXT,
        emits_empty_bars=False,
        symbols=200,
        opening=(100, 600.0),
        messages=5.0,
        holds={429: 600.0},
    )

    def __init__(self, timeframe: Timeframe, address: str | None = None) -> None:
        super().__init__(timeframe, address)
        self._symbols: dict[str, str] = {}

    def subscribe(self, symbols: Sequence[str]) -> list[str]:
        """See `StreamFormat.subscribe`."""
        return [self._message("subscribe", group) for group in chunks(symbols, _AT_ONCE)]

    def unsubscribe(self, symbols: Sequence[str]) -> list[str]:
        """See `StreamFormat.unsubscribe`."""
        return [self._message("unsubscribe", group) for group in chunks(symbols, _AT_ONCE)]

    def _message(self, method: str, symbols: Sequence[str]) -> str:
        names = [pair_name(symbol) for symbol in symbols]
        self._symbols.update(zip(names, symbols, strict=True))
        params = {"channel": "ohlc", "symbol": names, "interval": self._interval}
        if method == "subscribe":
            params["snapshot"] = False
        return encoded({"method": method, "params": params})

    @property
    def _interval(self) -> int:
        return self.timeframe.micros // 60_000_000

    def events(self, message: Any) -> Iterator[Event]:  # noqa: ANN401 - JSON
        """See `StreamFormat.events`."""
        match message:
            case {"channel": "ohlc", "data": list(bars)}:
                for bar in bars:
                    yield self._bar(bar)
            case {"channel": "heartbeat"} | {"method": "pong" | "unsubscribe"}:
                yield Beat()
            case {"channel": "status", "data": [{"system": system}, *_]}:
                is_online = system == "online"
                yield Beat() if is_online else Fault(f"the trading engine is in {system}")
            case {"method": "subscribe", "success": True, "result": {"symbol": name}}:
                yield Subscribed((self._symbol(name),))
            case {"method": "subscribe", "success": False, "error": str(words)}:
                name = message.get("symbol") or message.get("result", {}).get("symbol")
                symbols = (self._symbol(name),) if name else ()
                yield Refused(symbols, words, permanent=_SERVED in words)
            case {"error": str(words)}:
                yield Fault(words)
            case _:
                yield unknown(message)

    def _bar(self, bar: dict[str, Any]) -> Event:
        if bar["interval"] != self._interval:
            raise ValueError(f"a candle of {bar['interval']} minutes, and nobody asked for it")
        return candle(
            self._symbol(bar["symbol"]),
            micros_of(bar["interval_begin"]),
            (bar["open"], bar["high"], bar["low"], bar["close"], bar["volume"]),
            closed=False,
            trades=bar.get("trades"),
            vwap=bar.get("vwap"),
        )

    def _symbol(self, name: str) -> str:
        return self._symbols.get(name, name)


def pair_name(symbol: str) -> str:
    """What the stream calls a pair that REST knows under this name.

    A name that cannot be taken apart stays as it is, and Kraken says that it does not know it.
    """
    base, slash, quote = symbol.partition("/")
    if not slash:
        base, quote = _parted(symbol)
    if not quote:
        return symbol
    return f"{_RENAMED.get(base, base)}/{_RENAMED.get(quote, quote)}"


def _parted(symbol: str) -> tuple[str, str]:
    if len(symbol) == _LEGACY and symbol[0] == "X" and symbol[4] in "XZ":
        return symbol[1:4], symbol[5:]
    quote = next((name for name in _QUOTES if symbol.endswith(name)), "")
    return symbol.removesuffix(quote) if quote else symbol, quote
