"""A stream is asked within a vendor's bounds, and its answers are understood."""

from __future__ import annotations

from unittest import SkipTest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.sources.streaming import Beat, Closing, Refused, StreamTraits, Subscribed
from market_assets.sources.testing.checks.stream_trials import (
    StreamTrials,
    accepted,
    decoded,
    of_kind,
)
from market_assets.sources.testing.stream_double import ADDRESS
from market_assets.sources.testing.trial import verify


class SubscriptionChecks(StreamTrials):
    """What a format says of itself, what it asks, and what it makes of the answers."""

    # What it says of itself ----------------------------------------------------------------------

    def test_the_traits_are_complete(self) -> None:
        """Connections are planned by them."""
        traits = self.traits

        verify(isinstance(traits, StreamTraits), f"`traits` is {type(traits).__name__}")
        verify(traits.timeframes, "`timeframes` is empty")
        verify(traits.timeframes <= {*Timeframe}, "`timeframes` are members of Timeframe")
        verify(isinstance(traits.closing, Closing), "`closing` is no member of Closing")
        verify(traits.symbols > 0, "`symbols` must be above 0")
        verify(traits.messages > 0, "`messages` must be above 0")
        verify(traits.idle > 0, "`idle` must be above 0")
        most, seconds = traits.opening
        verify(most > 0 and seconds > 0, "`opening` is a count and seconds, both above 0")
        is_of_trades = traits.closing is Closing.TRADES
        verify(
            not (is_of_trades and traits.timeframes != {Timeframe.M1}),
            "of trades minutes are made, and no other bars",
        )
        verify(
            not (is_of_trades and traits.emits_empty_bars),
            "`emits_empty_bars`, and a minute without a trade has none",
        )

    def test_each_timeframe_is_streamed_and_no_other(self) -> None:
        """A timeframe that is not streamed is an error that stays."""
        for timeframe in Timeframe:
            try:
                stream = self.vendor().build(timeframe)
            except SourceError as error:
                verify(timeframe not in self.traits.timeframes, f"{timeframe}: {error}")
                verify(error.permanent, f"{timeframe}: asking again is no use: {error}")
                continue
            verify(timeframe in self.traits.timeframes, f"{timeframe} is not in its traits")
            verify(stream.timeframe is timeframe, f"asked for {timeframe}: {stream.timeframe}")

    def test_its_address_is_that_of_the_settings(self) -> None:
        """Candles of two places are not mixed."""
        url = self.stream.url([*self.vendor.symbols])

        verify(url.startswith(("ws://", "wss://")), f"{url} is no address of a WebSocket")
        if "stream_url" in self.vendor.source.Settings.model_fields:
            verify(url.startswith(ADDRESS), f"`stream_url` is {ADDRESS}, and it goes to {url}")

    def test_the_vendors_rules_are_kept(self) -> None:
        """Whoever sends too much is cut off, or banned."""
        double, traits = self.vendor, self.traits
        bounds = [
            ("symbols", traits.symbols, double.most_symbols),
            ("messages", traits.messages, double.most_messages),
        ]
        for name, planned, most in bounds:
            verify(
                most is None or planned <= most,
                f"`{name}` of its traits is {planned}, and the vendor takes {most}",
            )
        if double.life is not None:
            verify(
                traits.life is not None and traits.life <= double.life,
                f"`life` is {traits.life}, and the vendor cuts after {double.life}",
            )

    # What is asked -------------------------------------------------------------------------------

    def test_every_symbol_is_asked_for_once_within_the_vendors_bounds(self) -> None:
        """As many as one connection carries."""
        double = self.vendor()
        symbols = [f"{self.first}{number}" for number in range(self.traits.symbols - 1)]
        symbols = [self.first, *symbols]

        asked: list[str] = []
        for text in self.stream.subscribe(symbols):
            names = [*double.names(decoded(text))]
            verify(
                double.at_once is None or len(names) <= double.at_once,
                f"{len(names)} symbols in a message, and the vendor takes {double.at_once}",
            )
            verify(
                double.length is None or len(text.encode()) <= double.length,
                f"a message has {len(text.encode())} bytes, and the vendor takes {double.length}",
            )
            asked += names

        missing = [name for name in symbols if name not in set(asked)]
        verify(not missing, f"not asked for: {missing[:3]}")
        verify(len(asked) == len(symbols), "a symbol is asked for twice, or one that nobody wants")

    def test_no_symbol_is_no_message(self) -> None:
        """Nothing is asked where nothing is wanted."""
        texts = [*self.stream.subscribe([]), *self.stream.unsubscribe([])]

        verify(not texts, f"a message about no symbol: {texts[:1]}")

    def test_a_ping_is_answered_by_a_sign_of_life(self) -> None:
        """Where the vendor wants messages from a client."""
        if self.traits.ping is None:
            raise SkipTest("the pings of the protocol are enough")
        verify(self.traits.ping > 0, "`ping` must be above 0")

        for frame in self.vendor().answer(decoded(self.stream.ping())):
            self.verify_beats(frame, "the answer to a ping")

    # What is answered ----------------------------------------------------------------------------

    def test_an_acceptance_names_the_symbols(self) -> None:
        """In the source's own names, all of them."""
        events = self.subscribe(self.stream, self.vendor(), self.vendor.symbols)

        names = accepted(events)
        verify(
            names == {*self.vendor.symbols},
            f"{[*self.vendor.symbols]} are accepted, and {sorted(names)} are read",
        )
        self.verify_kinds(events, Subscribed, Beat)

    def test_a_refusal_names_the_symbol_and_leaves_the_others_alone(self) -> None:
        """For good: the symbol is left to REST."""
        self._verify_refused(permanent=True)

    def test_a_refusal_that_passes_is_not_for_good(self) -> None:
        """Too many requests at once, for instance: it is asked again."""
        if not self.vendor.passes:
            raise SkipTest("what this vendor refuses it refuses for good")
        self._verify_refused(permanent=False)

    def test_the_end_of_a_subscription_is_no_trouble(self) -> None:
        """A silent symbol is asked for anew: its subscription is ended before."""
        double, stream = self.vendor(), self.stream
        self.subscribe(stream, double, self.vendor.symbols)

        for text in stream.unsubscribe([self.first]):
            message = decoded(text)
            verify(not double.names(message), f"what should end a subscription begins one: {text}")
            for frame in double.answer(message):
                self.verify_kinds(self.read(stream, frame), Beat, Subscribed)
        again = accepted(self.subscribe(stream, double, [self.first]))
        verify(self.first in again, "a symbol that was ended is not accepted again")

    # Connections ---------------------------------------------------------------------------------

    def test_each_connection_has_a_format_of_its_own(self) -> None:
        """After a break everything begins anew, and two connections are open at a hand-over."""
        streams = [self.vendor().build(self.timeframe) for _ in range(2)]
        doubles = [self.vendor(), self.vendor()]
        verify(streams[0] is not streams[1], "`stream` gives the same format twice")
        truth = self.candles(1)[0]

        asked = [
            [decoded(text) for text in stream.subscribe([symbol])]
            for stream, symbol in zip(streams, self.vendor.symbols, strict=True)
        ]
        trials = [*zip(streams, doubles, self.vendor.symbols, asked, strict=True)]
        for stream, double, symbol, messages in trials:
            frames = [frame for message in messages for frame in double.answer(message)]
            names = accepted(event for frame in frames for event in self.read(stream, frame))
            verify(names == {symbol}, f"{symbol} is accepted, and {sorted(names)} are read")
        for stream, double, symbol, _ in trials:
            for frame in self.data(double, symbol, truth):
                events = self.read(stream, frame)
                owners = [getattr(event, "symbol", None) for event in events]
                verify(owners == [symbol], f"what is {symbol}'s is read as {events}")

    def _verify_refused(self, *, permanent: bool) -> None:
        other = self.vendor.symbols[1]
        events = self.subscribe(
            self.stream, self.vendor({self.first: permanent}), self.vendor.symbols
        )

        refusals = [event for event in of_kind(events, Refused) if self.first in event.symbols]
        verify(refusals, f"{self.first} is refused, and no refusal names it: {events}")
        for refusal in refusals:
            verify(refusal.words.strip(), "a refusal has no words")
            verify(
                refusal.permanent is permanent,
                f"a refusal {'is' if permanent else 'is not'} for good, and read as {refusal}",
            )
        served = accepted(events)
        verify(self.first not in served, f"{self.first} is refused and counts as served")
        # A vendor may refuse all that stands in one message: each is then asked for alone.
        refused = {name for refusal in refusals for name in refusal.symbols}
        verify(other in served | refused, f"nothing is said of {other}, which was asked for too")
