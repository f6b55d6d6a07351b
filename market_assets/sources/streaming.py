"""What a stream of live candles is: a trait of a source, beside what it is asked for over REST.

A vendor's stream says where it is, how symbols are asked for and what its frames mean. It is pure:
connections, waits and guards stand in `market_assets.stream`, and no vendor has its own.

A stream proves that a bar is there. That a bar is absent only an answer over REST can say.

A third party adds a stream in about thirty lines: a class like this one, and a method `stream` of
its source that gives it. `sources.testing.StreamConformance` checks it.

```python
class TickerStream(StreamFormat):
    address = "wss://stream.example.com/v1"
    traits = StreamTraits(
        timeframes=frozenset({Timeframe.M1}),
        closing=Closing.FLAG,
        emits_empty_bars=True,
        symbols=200,
        messages=5,
        life=timedelta(hours=24),
    )

    def subscribe(self, symbols):
        return [encoded({"op": "subscribe", "args": [f"candle1m:{name}" for name in symbols]})]

    def unsubscribe(self, symbols):
        return [encoded({"op": "unsubscribe", "args": [f"candle1m:{name}" for name in symbols]})]

    def events(self, message):
        match message:
            case {"event": "subscribed", "symbol": symbol}:
                yield Subscribed((symbol,))
            case {"event": "error", "symbol": symbol, "message": words}:
                yield Refused((symbol,), words, permanent=True)
            case {"symbol": symbol, "t": opened, "o": o, "h": h, "l": low, "c": c, "v": v, "x": x}:
                yield candle(symbol, from_millis(opened), (o, h, low, c, v), closed=x)
            case {"event": "heartbeat"}:
                yield Beat()
            case _:
                yield unknown(message)
```
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import msgspec

from market_assets.errors import SourceError, printable
from market_assets.market.timeframes import Timeframe, to_micros

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_EXCERPT = 200
"""Letters of a frame that are shown."""

_LAST_MICROS = to_micros(datetime(9999, 12, 31, tzinfo=UTC))

_NOT_AS_EXPECTED = (
    *(LookupError, TypeError, ValueError, AttributeError, ArithmeticError),
    *(RecursionError, msgspec.MsgspecError),
)


# What a planner must know ------------------------------------------------------------------------


class Closing(StrEnum):
    """How a vendor says that a bar is closed."""

    FLAG = "flag"
    """The bar's last message says so."""

    NEXT = "next"
    """It does not say so: a bar is closed when a newer one has opened."""

    TRADES = "trades"
    """It has no bars, and they are made of its trades."""


class StreamTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What a vendor allows and promises of its stream.

    Attributes:
        timeframes: The timeframes that are streamed.
        closing: How it says that a bar is closed.
        emits_empty_bars: True where a bar without a trade comes too, so that a symbol without
            candles is one that is not served.
        symbols: How many symbols one connection may carry.
        connections: How many connections an address may hold at once; None is unlimited.
        opening: How many connections an address may open, and in how many seconds.
        messages: How many messages a client may send per second and connection.
        life: After so long the vendor cuts a connection; None is never.
        ping: Seconds between two of the messages that `StreamFormat.ping` gives; None where the
            pings of the protocol are enough.
        idle: Seconds without any frame after which a connection is dead.
        holds: By HTTP status of a refused connection, the seconds to leave the vendor alone for.
            A status that is named here is never final.
    """

    timeframes: frozenset[Timeframe]
    closing: Closing
    emits_empty_bars: bool
    symbols: int
    connections: int | None = None
    opening: tuple[int, float] = (5, 1.0)
    messages: float = 5.0
    life: timedelta | None = None
    ping: float | None = None
    idle: float = 60.0
    holds: Mapping[int, float] = MappingProxyType({})


# What a frame says -------------------------------------------------------------------------------


class Candle(msgspec.Struct, frozen=True, gc=False):
    """A bar as it stands.

    Attributes:
        symbol: The source's own name for the instrument.
        ts: The bar's open in microseconds since 1970, UTC.
        open: The first price.
        high: The highest price.
        low: The lowest price.
        close: The last price.
        volume: As the source counts it.
        closed: True where the vendor says that the bar is closed; always False where it never says
            so.
        quote_volume: See `market.columns.EXTRAS`; None where the vendor does not say it.
        trades: Likewise.
        taker_buy_volume: Likewise.
        vwap: Likewise.
    """

    symbol: str
    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed: bool
    quote_volume: float | None = None
    trades: int | None = None
    taker_buy_volume: float | None = None
    vwap: float | None = None

    @property
    def values(self) -> tuple[float | int | None, ...]:
        """All that may be revised: prices, volume and the extra columns."""
        return (
            *(self.open, self.high, self.low, self.close, self.volume),
            *(self.quote_volume, self.trades, self.taker_buy_volume, self.vwap),
        )


class Trade(msgspec.Struct, frozen=True, gc=False):
    """A trade of a vendor that streams no bars.

    Attributes:
        symbol: The source's own name for the instrument.
        number: Its number; the next trade of the symbol has the next number.
        at: When it was made, in microseconds since 1970, UTC.
        price: The price.
        size: How much, as the vendor writes it, so that a sum is exact.
    """

    symbol: str
    number: int
    at: int
    price: float
    size: Decimal


class Beat(msgspec.Struct, frozen=True, gc=False):
    """A sign of life, which is no candle.

    Attributes:
        symbol: Whose; None where it is of the whole connection.
        at: The vendor's time, in microseconds since 1970, UTC; None where it does not say it.
        last_trade: The number of the symbol's last trade; None where it does not say it.
    """

    symbol: str | None = None
    at: int | None = None
    last_trade: int | None = None


class Subscribed(msgspec.Struct, frozen=True, gc=False):
    """The vendor accepts the subscription of these symbols."""

    symbols: tuple[str, ...]


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The vendor refuses the subscription of these symbols.

    Attributes:
        symbols: Whose; empty where the vendor does not say it.
        words: The vendor's words.
        permanent: True where asking again cannot help.
    """

    symbols: tuple[str, ...]
    words: str
    permanent: bool


class Shutdown(msgspec.Struct, frozen=True, gc=False):
    """The vendor is about to end the connection: it wants another to be opened at once."""

    words: str


class Fault(msgspec.Struct, frozen=True, gc=False):
    """A frame that cannot be read, or one in which the vendor complains.

    Attributes:
        words: What is wrong.
        fatal: True where going on is no use.
        unreadable: True where a candle may have been in it.
    """

    words: str
    fatal: bool = False
    unreadable: bool = False


Event = Candle | Trade | Beat | Subscribed | Refused | Shutdown | Fault


# The contract ------------------------------------------------------------------------------------


class StreamFormat(ABC):
    """How one vendor streams. An instance speaks for one connection and remembers what it asked.

    Args:
        timeframe: The timeframe of the candles.
        address: Where the stream is, in place of the vendor's own address.

    Attributes:
        address: Where the stream is.
        traits: What the vendor allows and promises.
        timeframe: The timeframe of the candles.

    Raises:
        SourceError: The timeframe is not streamed.
    """

    address: str
    traits: ClassVar[StreamTraits]

    def __init__(self, timeframe: Timeframe, address: str | None = None) -> None:
        if timeframe not in self.traits.timeframes:
            streamed = ", ".join(sorted(self.traits.timeframes))
            raise SourceError(
                f"{type(self).__name__}: {timeframe} is not streamed; there is {streamed}",
                permanent=True,
            )
        self.timeframe = timeframe
        self.address = address or self.address

    # Few vendors want to know the symbols in the address.
    def url(self, symbols: Sequence[str]) -> str:  # noqa: ARG002
        """Give the address to connect to for these symbols."""
        return self.address

    @abstractmethod
    def subscribe(self, symbols: Sequence[str]) -> list[str]:
        """Give the messages that ask for these symbols."""

    @abstractmethod
    def unsubscribe(self, symbols: Sequence[str]) -> list[str]:
        """Give the messages that end the subscription of these symbols."""

    def ping(self) -> str:
        """Give the message that is sent every `traits.ping` seconds."""
        return ""

    @abstractmethod
    def events(self, message: Any) -> Iterable[Event]:  # noqa: ANN401 - JSON
        """Say what a decoded message means, in the order in which it says it.

        What it raises of LookupError, TypeError, ValueError, AttributeError and ArithmeticError
        means that the message is not what it should be.
        """

    def read(self, frame: str | bytes) -> list[Event]:
        """Say what a frame means.

        Nothing is dropped: a frame that cannot be read is a Fault, and what it said before the part
        that cannot be read stays. A frame that says nothing is a Beat.
        """
        events: list[Event] = []
        try:
            events.extend(self.events(msgspec.json.decode(frame)))
        except _NOT_AS_EXPECTED as error:
            events.append(_unreadable(frame, error))
        return events or [Beat()]


@runtime_checkable
class Streaming(Protocol):
    """A source that has a stream too."""

    def stream(self, timeframe: Timeframe) -> StreamFormat:
        """Give a format for one more connection.

        Raises:
            SourceError: The timeframe is not streamed.
        """
        ...


def has_stream(source_type: type) -> bool:
    """Whether the sources of a type have a stream of candles too."""
    return callable(getattr(source_type, "stream", None))


# What formats are written with -------------------------------------------------------------------


def candle(
    symbol: str,
    ts: int,
    numbers: Sequence[Any],
    *,
    closed: bool,
    **extras: Any,  # noqa: ANN401 - JSON
) -> Candle:
    """Make a Candle of cells as JSON has them: numbers, or numbers as text.

    Args:
        symbol: The source's own name for the instrument.
        ts: The bar's open in microseconds since 1970.
        numbers: Open, high, low, close and volume.
        closed: See `Candle`.
        extras: Numbers by the name of an extra column, or None.

    Raises:
        ValueError: A cell is no finite number, there are not five of them, or the open is not in
            the years 1970 to 9999.
        TypeError: A cell is neither number nor text.
    """
    if not isinstance(symbol, str) or not isinstance(closed, bool):
        raise TypeError("the symbol is no text, or the mark of a closed bar is no boolean")
    opened = whole(ts)
    if not 0 <= opened < _LAST_MICROS:
        raise ValueError(f"{ts} is no time of a bar")
    counts = {name: number(cell) for name, cell in extras.items() if cell is not None}
    trades = counts.pop("trades", None)
    first, high, low, last, volume = map(number, numbers)
    return Candle(
        symbol,
        opened,
        first,
        high,
        low,
        last,
        volume,
        closed,
        trades=None if trades is None else int(trades),
        **counts,
    )


def number(cell: Any) -> float:  # noqa: ANN401 - JSON
    """Give a finite number that stands in JSON as a number or as text.

    Raises:
        ValueError: The text is no number, or it is not finite.
        TypeError: It is neither number nor text.
    """
    if isinstance(cell, bool):
        raise TypeError("a boolean stands where a number should")
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(f"{cell} is no finite number")
    return value


def exact(cell: Any) -> Decimal:  # noqa: ANN401 - JSON
    """Give a finite number that stands in JSON as text, or as a whole number, to its last digit.

    Raises:
        ValueError: The text is no number, or it is not finite.
        TypeError: It is neither text nor a whole number.
    """
    if isinstance(cell, bool) or not isinstance(cell, int | str):
        raise TypeError(f"{cell!r} stands where an exact number should")
    try:
        value = Decimal(cell)
    except ArithmeticError:
        raise ValueError(f"{cell!r} is no number") from None
    if not value.is_finite():
        raise ValueError(f"{cell!r} is no finite number")
    return value


def whole(cell: Any) -> int:  # noqa: ANN401 - JSON
    """Give a whole number that stands in JSON as a number or as text.

    Raises:
        ValueError: The text is no whole number.
        TypeError: It is neither a whole number nor text.
    """
    if isinstance(cell, bool) or not isinstance(cell, int | str):
        raise TypeError(f"{cell!r} stands where a whole number should")
    return int(cell)


def from_millis(cell: Any) -> int:  # noqa: ANN401 - JSON
    """Microseconds since 1970 of a count of milliseconds, as JSON has it.

    Raises:
        ValueError: The text is no whole number.
        TypeError: It is neither a whole number nor text.
    """
    return whole(cell) * 1000


def micros_of(text: str) -> int:
    """Microseconds since 1970 of a time such as 2024-01-31T23:59:00.123456789Z.

    Raises:
        ValueError: The text is no time, or has no zone.
    """
    return to_micros(datetime.fromisoformat(text))


def encoded(message: object) -> str:
    """A message as JSON."""
    return msgspec.json.encode(message).decode()


def unknown(message: object) -> Fault:
    """The fault of a message whose kind is not known."""
    return Fault(f"a message of an unknown kind: {_shown(encoded(message))}")


def chunks(symbols: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Give the symbols in groups of at most `size`."""
    return (symbols[at : at + size] for at in range(0, len(symbols), size))


def _unreadable(frame: str | bytes, error: Exception) -> Fault:
    text = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
    reason = printable(str(error)[:_EXCERPT]) or type(error).__name__
    words = f"a frame that cannot be read ({reason}): {_shown(text)}"
    return Fault(words, unreadable=bool(text.strip()))


def _shown(text: str) -> str:
    return printable(text[:_EXCERPT]) or "an empty one"
