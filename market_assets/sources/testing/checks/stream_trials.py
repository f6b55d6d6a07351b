"""What the checks of a stream stand on: a format, and the vendor's side of its connection."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from unittest import SkipTest

from market_assets.errors import SourceError
from market_assets.market.columns import EXTRA_NAMES
from market_assets.market.timeframes import Timeframe, to_micros
from market_assets.sources.streaming import Beat, Candle, Closing, Event, Subscribed, Trade
from market_assets.sources.testing.candles import candles_from
from market_assets.sources.testing.double import FIRST
from market_assets.sources.testing.trial import NonconformityError, verify

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from market_assets.sources.streaming import StreamFormat, StreamTraits
    from market_assets.sources.testing.candles import Candle as TrueCandle
    from market_assets.sources.testing.stream_double import StreamDouble

T = TypeVar("T")


class StreamTrials:
    """A format of one source, asked and answered.

    Attributes:
        vendor: The class of the double of the vendor's stream.
    """

    vendor: type[StreamDouble]

    @cached_property
    def timeframe(self) -> Timeframe:
        """The shortest timeframe that is streamed."""
        return min(self.traits.timeframes, key=lambda timeframe: timeframe.micros)

    @cached_property
    def traits(self) -> StreamTraits:
        """What the format allows and promises."""
        for timeframe in Timeframe:
            try:
                return self.vendor().build(timeframe).traits
            except SourceError:
                continue
        raise NonconformityError("no timeframe is streamed")

    @property
    def stream(self) -> StreamFormat:
        """A format for one more connection."""
        return self.vendor().build(self.timeframe)

    @property
    def first(self) -> str:
        """The first of the vendor's symbols."""
        return self.vendor.symbols[0]

    def candles(self, count: int) -> list[TrueCandle]:
        """So many true candles of the shortest timeframe."""
        return candles_from(FIRST, self.timeframe, count)

    def connected(
        self, timeframe: Timeframe | None = None, symbols: Sequence[str] | None = None
    ) -> tuple[StreamDouble, StreamFormat]:
        """A connection on which symbols are served, both of the vendor by default."""
        double = self.vendor()
        stream = double.build(timeframe or self.timeframe)
        for frame in double.greeting():
            self.read(stream, frame)
        self.subscribe(stream, double, symbols or self.vendor.symbols)
        return double, stream

    def subscribe(
        self, stream: StreamFormat, double: StreamDouble, symbols: Sequence[str]
    ) -> list[Event]:
        """Subscribe symbols, and give what the format reads in the answers."""
        return [
            event
            for text in stream.subscribe(symbols)
            for frame in double.answer(decoded(text))
            for event in self.read(stream, frame)
        ]

    def data(self, double: StreamDouble, symbol: str, truth: TrueCandle) -> list[str]:
        """The frame of a bar, or of a trade at its open, as the vendor sends it."""
        if self.traits.closing is not Closing.TRADES:
            return [double.candle(symbol, self.timeframe, truth, closed=False)]
        opened = to_micros(truth.ts)
        return [double.trade(Trade(symbol, 10, opened, truth.open, Decimal("1.5")))]

    def read(self, stream: StreamFormat, frame: str | bytes) -> list[Event]:
        """What a format reads in a frame.

        Raises:
            NonconformityError: It raises, says nothing, or gives what is no Event.
        """
        try:
            events = stream.read(frame)
        except Exception as error:
            raise NonconformityError(
                f"{type(error).__name__} came out of `read`, and no Fault: {frame[:80]!r}"
            ) from error
        verify(events, f"a frame says nothing, not even that it is a sign of life: {frame[:80]!r}")
        odd = [event for event in events if not isinstance(event, Event)]
        verify(not odd, f"{odd} is no Event")
        return events

    def needs_bars(self) -> None:
        """Skip a check of bars where the vendor has none."""
        if self.traits.closing is Closing.TRADES:
            raise SkipTest("the vendor streams no bars")

    def needs_trades(self) -> None:
        """Skip a check of trades where the vendor has bars."""
        if self.traits.closing is not Closing.TRADES:
            raise SkipTest("the vendor streams bars")

    def verify_candle(
        self, events: list[Event], symbol: str, truth: TrueCandle, *, closed: bool
    ) -> None:
        """Hold what was read against the true candle, of which one is to be read."""
        verify(
            len(events) == 1 and isinstance(events[0], Candle),
            f"a bar is read as {events}",
        )
        (candle,) = of_kind(events, Candle)
        verify(candle.symbol == symbol, f"the bar of {symbol} is read as {candle.symbol}'s")
        opened = to_micros(truth.ts)
        verify(candle.ts == opened, f"a bar opens at {opened} us since 1970, not at {candle.ts}")
        names = ("open", "high", "low", "close", "volume", *self.vendor.extras)
        altered = [
            f"{name} is {getattr(candle, name)!r} and should be {getattr(truth, name)!r}"
            for name in names
            if getattr(candle, name) != getattr(truth, name)
        ]
        verify(not altered, f"the bar of {truth.ts}: {'; '.join(altered)}")
        beside = [
            name
            for name in EXTRA_NAMES
            if name not in self.vendor.extras and getattr(candle, name) is not None
        ]
        verify(not beside, f"the bar has {beside}, which the vendor does not give")
        verify(
            candle.closed is closed,
            f"a bar counts as {'closed' if candle.closed else 'unfinished'}, and it is not",
        )

    def verify_beats(self, frame: str, what: str, stream: StreamFormat | None = None) -> None:
        """Only signs of life are read in a frame."""
        events = self.read(stream or self.stream, frame)
        verify(all(isinstance(event, Beat) for event in events), f"{what} is read as {events}")
        names = {event.symbol for event in of_kind(events, Beat)} - {None}
        verify(names <= {*self.vendor.symbols}, f"{what} is of {names}, which nobody asked for")

    def verify_kinds(self, events: Iterable[Event], *kinds: type) -> None:
        """Nothing but these kinds was read."""
        odd = [event for event in events if not isinstance(event, kinds)]
        names = " or ".join(kind.__name__ for kind in kinds)
        verify(not odd, f"{odd} came, and {names} should")


def decoded(text: str) -> Any:  # noqa: ANN401 - JSON
    """A message as JSON has it.

    Raises:
        NonconformityError: It is no JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise NonconformityError(f"a message is no JSON: {text[:80]!r}") from error


def accepted(events: Iterable[Event]) -> set[str]:
    """The symbols whose subscription was accepted."""
    return {name for event in of_kind(events, Subscribed) for name in event.symbols}


def of_kind(events: Iterable[Event], kind: type[T]) -> list[T]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]
