"""Each frame of a stream is read for what it says, or is a fault: nothing is dropped or guessed."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

from msgspec import structs

from market_assets.market.timeframes import to_micros
from market_assets.sources.streaming import Candle, Closing, Fault, Refused, Shutdown, Trade
from market_assets.sources.testing.candles import candles_from
from market_assets.sources.testing.checks.stream_trials import StreamTrials, of_kind
from market_assets.sources.testing.checks.surroundings import log_lines, secrets_in, zone_of_machine
from market_assets.sources.testing.double import FIRST
from market_assets.sources.testing.trial import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.streaming import Event
    from market_assets.sources.testing.candles import Candle as TrueCandle

_WORDS = "a complaint of its own"
_ODD: tuple[Any, ...] = (None, {}, [], True, "soon", "NaN", "Infinity")
"""What is no number, no time and no name in any vendor's form."""

_NO_FRAMES = (
    *("", "pong", "null", "17", "[]", "[1, 2]", '"text"', "{", "[" * 10_000),
    '{"something": "new"}',
)


class FrameChecks(StreamTrials):
    """What a format makes of what a vendor sends."""

    # What is sent --------------------------------------------------------------------------------

    def test_a_bar_is_read_exactly(self) -> None:
        """Each number is the double that is nearest to its text, of each timeframe."""
        self.needs_bars()
        for timeframe in sorted(self.traits.timeframes, key=lambda length: length.micros):
            double, stream = self.connected(timeframe)
            for truth in (*candles_from(FIRST, timeframe, 2), self._awkward(timeframe)):
                for symbol in self.vendor.symbols:
                    frame = double.candle(symbol, timeframe, truth, closed=False)
                    self.verify_candle(self.read(stream, frame), symbol, truth, closed=False)

    def test_a_bar_is_closed_where_the_vendor_says_so(self) -> None:
        """And never otherwise: a bar that may be unfinished must not look closed."""
        self.needs_bars()
        double, stream = self.connected()
        is_flagged = self.traits.closing is Closing.FLAG
        for truth in self.candles(2):
            for closed in (False, True):
                frame = double.candle(self.first, self.timeframe, truth, closed=closed)
                events = self.read(stream, frame)
                self.verify_candle(events, self.first, truth, closed=closed and is_flagged)

    def test_a_bar_that_comes_again_is_read_again(self) -> None:
        """Revised after its end, twice, or older than the last one: others judge what it is."""
        self.needs_bars()
        double, stream = self.connected()
        older, newer = self.candles(2)
        revised = replace(older, close=older.high, volume=older.volume + 1)
        is_flagged = self.traits.closing is Closing.FLAG

        for truth in (older, newer, older, revised, revised):
            frame = double.candle(self.first, self.timeframe, truth, closed=True)
            self.verify_candle(self.read(stream, frame), self.first, truth, closed=is_flagged)

    def test_a_trade_is_read_exactly(self) -> None:
        """Its size too, so that a sum is exact."""
        self.needs_trades()
        double, stream = self.connected()
        at = to_micros(FIRST) + 1_234_567
        for number, size in enumerate(("0.00000001", "123456789.123456789012345", "5")):
            truth = Trade(self.first, 10 + number, at + number, 0.1 + number, Decimal(size))
            self.verify_kinds(self.read(stream, double.trade(truth)), Trade)
            verify(
                self.read(stream, double.trade(truth)) == [truth],
                f"a trade is read as {self.read(stream, double.trade(truth))}, and it is {truth}",
            )

    def test_times_are_utc_whatever_the_zone_of_the_machine(self) -> None:
        """A vendor's time never means that of the machine."""
        for zone in ("America/New_York", "Asia/Kolkata"):
            with zone_of_machine(zone):
                double, stream = self.connected()
                truth = self.candles(1)[0]
                for frame in self.data(double, self.first, truth):
                    (event,) = self.read(stream, frame)
                    at = event.at if isinstance(event, Trade) else getattr(event, "ts", None)
                    verify(at == to_micros(truth.ts), f"{truth.ts} is read as {at} in {zone}")

    def test_what_nobody_asked_for_keeps_its_name(self) -> None:
        """So that it is never taken for another symbol's."""
        double, stream = self.connected(symbols=[self.first])
        other = self.vendor.symbols[1]
        for frame in self.data(double, other, self.candles(1)[0]):
            for event in self.read(stream, frame):
                name = event.symbol if isinstance(event, Candle | Trade) else None
                verify(name != self.first, f"what is {other}'s is taken for {self.first}'s")

    def test_a_bar_of_another_timeframe_is_none_of_ours(self) -> None:
        """Where the frame says of which it is."""
        self.needs_bars()
        lengths = sorted(self.traits.timeframes, key=lambda length: length.micros)
        double, stream = self.connected(lengths[0])
        truth = self.candles(1)[0]
        shortest = double.candle(self.first, lengths[0], truth, closed=False)
        for timeframe in lengths[1:]:
            frame = double.candle(self.first, timeframe, truth, closed=False)
            if frame == shortest:
                raise SkipTest("a frame does not say of which timeframe it is")
            events = self.read(stream, frame)
            verify(
                not of_kind(events, Candle),
                f"a bar of {timeframe} is taken for one of {lengths[0]}",
            )

    def test_signs_of_life_are_no_candles(self) -> None:
        """A monitor that counts them sees a dead stream as alive."""
        double, stream = self.vendor(), self.stream
        for frame in double.greeting():
            self.verify_beats(frame, "the greeting", stream)
        self.subscribe(stream, double, self.vendor.symbols)
        for frame in double.beats():
            self.verify_beats(frame, "a sign of life", stream)

    def test_a_notice_of_a_shutdown_is_one(self) -> None:
        """Another connection is opened before this one ends."""
        double, stream = self.connected()
        if not (frame := double.shutdown()):
            raise SkipTest("this vendor gives no notice")
        events = self.read(stream, frame)

        verify([type(event) for event in events] == [Shutdown], f"a notice is read as {events}")

    def test_a_complaint_is_a_fault_in_the_vendors_words(self) -> None:
        """It is counted and told."""
        double, stream = self.connected()
        if not (frame := double.complaint(_WORDS)):
            raise SkipTest("this vendor has no error but to a subscription")
        events = self.read(stream, frame)

        self.verify_kinds(events, Fault, Refused)
        verify(
            any(_WORDS in event.words for event in events if isinstance(event, Fault | Refused)),
            f"the words {_WORDS!r} are lost: {events}",
        )

    # What cannot be read -------------------------------------------------------------------------

    def test_what_is_no_frame_of_the_vendor_is_a_fault(self) -> None:
        """Nothing is dropped in silence, and nothing ends the stream."""
        _, stream = self.connected()
        for frame in (*_NO_FRAMES, b"\xff\xfe"):
            events = self.read(stream, frame)
            shown = frame[:40]
            self.verify_kinds(events, Fault)
            for event in of_kind(events, Fault):
                verify(not event.fatal, f"{shown!r} ends the stream: {event.words}")
                verify(event.words.isprintable(), f"the words of {shown!r} are not printable")

    def test_a_frame_that_is_cut_off_anywhere_is_never_a_bar(self) -> None:
        """A candle may have been in it: REST is asked."""
        double, stream = self.connected()
        for frame in self.data(double, self.first, self.candles(1)[0]):
            for end in range(1, len(frame)):
                events = self.read(stream, frame[:end])
                verify(
                    [isinstance(event, Fault) and event.unreadable for event in events] == [True],
                    f"{end} of {len(frame)} bytes of a bar are read as {events}",
                )

    def test_an_odd_value_is_never_a_number(self) -> None:
        """A bar has the numbers that it was sent with, or it is a fault."""
        double, stream = self.connected()
        truth = self.candles(1)[0]
        for frame in self.data(double, self.first, truth):
            (plain,) = self.read(stream, frame)
            for path, odd in _oddities(json.loads(frame)):
                for event in self.read(stream, json.dumps(odd)):
                    self._verify_same_numbers(event, plain, path)

    def test_a_secret_is_shown_nowhere(self) -> None:
        """Not in the address, nor in what is printed of the format, nor in the log."""
        secrets = self._secrets()
        with log_lines() as lines:
            double, stream = self.connected()
            for frame in (*self.data(double, self.first, self.candles(1)[0]), *_NO_FRAMES):
                self.read(stream, frame)

        places = {
            "the address": stream.url([self.first]),
            "the format": f"{stream!r} {stream}",
            "the log": "\n".join(lines),
        }
        for place, text in places.items():
            verify(not any(secret in text for secret in secrets), f"a secret is seen in {place}")

    def _awkward(self, timeframe: Timeframe) -> TrueCandle:
        """A candle whose numbers other types than a double would not hold."""
        (plain,) = candles_from(FIRST, timeframe, 1)
        return replace(
            plain,
            open=0.1 + 0.2,
            high=100_000_000.01,
            low=1.1e-07,
            close=0.1,
            volume=123456789.12345679,
        )

    def _secrets(self) -> frozenset[str]:
        model = self.vendor.source.Settings.model_validate(dict(self.vendor.settings))
        secrets = secrets_in(model)
        if not secrets:
            raise SkipTest("it has no secret")
        return secrets

    def _verify_same_numbers(self, event: Event, plain: Event, path: str) -> None:
        words = f"with an odd value at {path} it is read as {event}"
        if isinstance(event, Candle) and isinstance(plain, Candle):
            verify(event.ts == plain.ts, words)
            pairs = zip(event.values, plain.values, strict=True)
            verify(all(value in {truth, None} for value, truth in pairs), words)
            verify(None not in event.values[:5], words)
        if isinstance(event, Trade) and isinstance(plain, Trade):
            verify(structs.replace(event, symbol=plain.symbol) == plain, words)


def _oddities(message: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON
    """The message with something odd in the place of each of its leaves, and which place it is."""
    match message:
        case dict():
            for name, part in message.items():
                for path, odd in _oddities(part):
                    yield f"{name}.{path}", {**message, name: odd}
        case list():
            for place, part in enumerate(message):
                for path, odd in _oddities(part):
                    yield f"{place}.{path}", [*message[:place], odd, *message[place + 1 :]]
        case _:
            for odd in _ODD:
                yield f"= {odd!r}", odd
