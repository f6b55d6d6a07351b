"""Coinbase Exchange's live trades, which minutes are made of: `matches` and `heartbeat`."""

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
    Trade,
    encoded,
    exact,
    micros_of,
    number,
    unknown,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHANNELS = ("matches", "heartbeat")
_REFUSED = "Failed to subscribe"


class CoinbaseStream(StreamFormat):
    """Live trades of Coinbase Exchange, without a key.

    The vendor streams no bars of one minute: the channel `candles` of its other API has 5m alone.
    Trades of this API are those of the REST source, and the numbers of a product's trades have no
    holes: what was missed is seen. Each second a heartbeat names a product's last trade. A minute
    without a trade has no bar, as over REST. One product that is not there fails the whole request,
    so there is one request for each.
    """

    address = "wss://ws-feed.exchange.coinbase.com"
    traits: ClassVar[StreamTraits] = StreamTraits(
        timeframes=frozenset({Timeframe.M1}),
        closing=Closing.TRADES,
        emits_empty_bars=False,
        symbols=100,
        opening=(8, 1.0),
        messages=8.0,
        idle=30.0,
        holds={429: 10.0},
    )

    def subscribe(self, symbols: Sequence[str]) -> list[str]:
        """See `StreamFormat.subscribe`."""
        return [_message("subscribe", symbol) for symbol in symbols]

    def unsubscribe(self, symbols: Sequence[str]) -> list[str]:
        """See `StreamFormat.unsubscribe`."""
        return [_message("unsubscribe", symbol) for symbol in symbols]

    def events(self, message: Any) -> Iterator[Event]:  # noqa: ANN401 - JSON
        """See `StreamFormat.events`."""
        match message:
            case {"type": "match" | "last_match"}:
                yield Trade(
                    _text(message["product_id"]),
                    whole(message["trade_id"]),
                    micros_of(message["time"]),
                    number(message["price"]),
                    exact(message["size"]),
                )
            case {"type": "heartbeat"}:
                yield Beat(
                    _text(message["product_id"]),
                    micros_of(message["time"]),
                    whole(message["last_trade_id"]),
                )
            case {"type": "subscriptions", "channels": list(channels)}:
                yield Subscribed(_in_all(channels))
            case {"type": "error"}:
                yield from _complaint(message)
            case _:
                yield unknown(message)


def _message(kind: str, symbol: str) -> str:
    return encoded({"type": kind, "product_ids": [symbol], "channels": _CHANNELS})


def _in_all(channels: list[dict[str, Any]]) -> tuple[str, ...]:
    """The products that have both channels now: the answer names all subscriptions."""
    products = {channel["name"]: channel.get("product_ids", []) for channel in channels}
    beating = set(products.get("heartbeat", []))
    return tuple(name for name in products.get("matches", []) if name in beating)


def _complaint(message: dict[str, Any]) -> Iterator[Event]:
    """An error: `Failed to subscribe` with the reason "NOPE-USD is not a valid product"."""
    words, reason = str(message["message"]), str(message.get("reason", ""))
    if words != _REFUSED:
        yield Fault(f"{words}: {reason}" if reason else words)
        return
    product, _, rest = reason.partition(" ")
    symbols = (product,) if "-" in product else ()
    yield Refused(symbols, f"{words}: {reason}", permanent="not a valid product" in rest)


def _text(cell: object) -> str:
    if not isinstance(cell, str):
        raise TypeError(f"{cell!r} stands where the name of a product should")
    return cell
