"""Each check of a stream fails a format that does what the check is about, and no other one."""

from __future__ import annotations

import logging
import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest
from msgspec import structs

from market_assets.market.timeframes import Timeframe
from market_assets.sources.streaming import (
    Beat,
    Candle,
    Closing,
    Fault,
    Refused,
    Shutdown,
    StreamFormat,
    StreamTraits,
    Subscribed,
    Trade,
    candle,
    chunks,
    encoded,
    exact,
    from_millis,
    number,
    unknown,
    whole,
)
from market_assets.sources.testing import StreamConformance, StreamDouble
from market_assets.sources.transport.http import HeaderSecret  # noqa: TC001 - pydantic's
from market_assets.sources.transport.settings import StreamingSettings
from market_assets_tests.support.kit_verdicts import KEY, checks_of, words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class ExampleStream(StreamFormat):
    """A format that does all as it should."""

    address = "wss://stream.example.invalid"
    key = ""
    traits: ClassVar[StreamTraits] = StreamTraits(
        timeframes=frozenset({Timeframe.M1, Timeframe.H1}),
        closing=Closing.FLAG,
        emits_empty_bars=True,
        symbols=30,
        messages=5,
        life=timedelta(hours=23),
        ping=20.0,
    )

    def subscribe(self, symbols):
        return [self.message("subscribe", group) for group in chunks(symbols, 10)]

    def unsubscribe(self, symbols):
        return [self.message("unsubscribe", group) for group in chunks(symbols, 10)]

    def ping(self):
        return encoded({"op": "ping", "args": []})

    def message(self, operation, symbols):
        return encoded({"op": operation, "args": [f"{self.timeframe}:{name}" for name in symbols]})

    def events(self, message):
        match message:
            case {"event": "subscribed", "symbols": list(symbols)}:
                yield Subscribed(tuple(symbols))
            case {"event": "refused", "symbol": symbol, "words": words, "final": bool(final)}:
                yield Refused((symbol,), words, permanent=final)
            case {"length": length, "bar": bar}:
                if length != self.timeframe:
                    raise ValueError(f"a bar of {length}")
                yield self.bar(bar)
            case {"trade": [symbol, amount, at, price, size]}:
                yield self.trade(symbol, amount, at, price, size)
            case {"event": "beat" | "pong" | "unsubscribed" | "hello"}:
                yield Beat()
            case {"event": "leaving"}:
                yield Shutdown("leaving")
            case {"event": "error", "words": words}:
                yield Fault(words)
            case _:
                yield unknown(message)

    def bar(self, bar):
        return candle(
            bar["s"],
            from_millis(bar["t"]),
            [bar[name] for name in "ohlcv"],
            closed=bar["x"],
            trades=bar["n"],
        )

    def trade(self, symbol, amount, at, price, size):
        return Trade(symbol, whole(amount), whole(at), number(price), exact(size))


class ExampleSettings(StreamingSettings):
    base_url: str = "https://example.invalid"
    key: HeaderSecret = ""  # type: ignore[assignment]


class ExampleSource:
    """The half of a source that has the stream."""

    Settings: ClassVar[type[StreamingSettings]] = ExampleSettings
    format: ClassVar[type[StreamFormat]] = ExampleStream

    def __init__(self, _name: str, settings: ExampleSettings, **_place: Path | str) -> None:
        self.settings = settings

    def stream(self, timeframe: Timeframe) -> StreamFormat:
        return self.format(timeframe, self.settings.stream_url)


class Example(StreamDouble):
    source = ExampleSource  # type: ignore[assignment]
    symbols = ("BTC/USD", "ETH/USD")
    settings: ClassVar[dict[str, object]] = {"key": KEY}
    extras = ("trades",)
    at_once = 10
    length = 500
    most_symbols = 30
    most_messages = 5
    life = timedelta(hours=24)

    def names(self, message: Any) -> Sequence[str]:
        if message["op"] != "subscribe":
            return []
        return [name.partition(":")[2] for name in message["args"]]

    def accept(self, message: Any) -> Iterable[str]:
        event = {"subscribe": "subscribed", "unsubscribe": "unsubscribed", "ping": "pong"}
        yield encoded({"event": event[message["op"]], "symbols": [*self.names(message)]})

    def refuse(self, message: Any, symbol: str, words: str) -> str:
        raise NotImplementedError

    def answer(self, message: Any) -> Iterable[str]:  # type: ignore[override]
        refused = [name for name in self.names(message) if name in self.refusals]
        for name in refused:
            final = self.refusals[name]
            yield encoded({"event": "refused", "symbol": name, "words": "no", "final": final})
        rest = [arg for arg in message["args"] if arg.partition(":")[2] not in refused]
        yield from self.accept({**message, "args": rest})

    def candle(self, symbol: str, timeframe: Timeframe, candle: Any, *, closed: bool) -> str:
        names = ("open", "high", "low", "close", "volume")
        bar = {name[0]: repr(getattr(candle, name)) for name in names}
        bar |= {"s": symbol, "t": candle.millis, "x": closed, "n": candle.trades}
        return encoded({"length": timeframe.value, "bar": bar})

    def trade(self, trade: Trade) -> str:
        cells = [trade.symbol, trade.number, trade.at, trade.price, f"{trade.size:f}"]
        return encoded({"trade": cells})

    def greeting(self) -> Sequence[str]:
        return [encoded({"event": "hello"})]

    def beats(self) -> Sequence[str]:
        return [encoded({"event": "beat"})]

    def shutdown(self) -> str:
        return encoded({"event": "leaving"})

    def complaint(self, words: str) -> str:
        return encoded({"event": "error", "words": words})


class ExampleOfTrades(ExampleStream):
    traits: ClassVar[StreamTraits] = structs.replace(
        ExampleStream.traits,
        timeframes=frozenset({Timeframe.M1}),
        closing=Closing.TRADES,
        emits_empty_bars=False,
    )


CHECKS = checks_of(StreamConformance)


def verdict_of(check: str, kind: type[StreamFormat], **attributes: Any) -> str | None:
    """What the kit says of a format: the words of its failure, None where it passes or skips."""
    source = type("Altered", (ExampleSource,), {"format": kind, **attributes})
    suite = StreamConformance()
    suite.vendor = type("AlteredDouble", (Example,), {"source": source})
    return words_of(suite, check)


@pytest.mark.parametrize("kind", [ExampleStream, ExampleOfTrades])
@pytest.mark.parametrize("check", CHECKS)
def test_a_format_that_conforms_passes_every_check(check, kind):
    assert verdict_of(check, kind) is None


# What goes wrong ---------------------------------------------------------------------------------


def altered(**traits: object) -> type[StreamFormat]:
    """The format with other traits."""
    return type(
        "Traits", (ExampleStream,), {"traits": structs.replace(ExampleStream.traits, **traits)}
    )


class OneTimeframe(ExampleStream):
    def __init__(self, timeframe, address=None):
        super().__init__(timeframe, address)
        self.timeframe = Timeframe.M1


class AddressOfItsOwn(ExampleStream):
    def url(self, symbols):  # noqa: ARG002
        return "wss://elsewhere.invalid"


class AllAtOnce(ExampleStream):
    def subscribe(self, symbols):
        return [self.message("subscribe", symbols)] if symbols else []


class OneLeftOut(ExampleStream):
    def subscribe(self, symbols):
        return super().subscribe(symbols[1:])


class AskedTwice(ExampleStream):
    def subscribe(self, symbols):
        return super().subscribe(symbols) * 2


class LongMessages(ExampleStream):
    def message(self, operation, symbols):
        return super().message(operation, symbols) + " " * 500


class AsksForNothing(ExampleStream):
    def subscribe(self, symbols):
        return super().subscribe(symbols) or [self.message("subscribe", [])]


class NoPing(ExampleStream):
    def ping(self):
        return "ping"


class PongUnknown(ExampleStream):
    def events(self, message):
        if message == {"event": "pong", "symbols": []}:
            yield unknown(message)
        else:
            yield from super().events(message)


class NamesOfTheVendor(ExampleStream):
    def events(self, message):
        for event in super().events(message):
            if isinstance(event, Subscribed):
                yield Subscribed(tuple(name.lower() for name in event.symbols))
            else:
                yield event


class RefusalUnheard(ExampleStream):
    def events(self, message):
        return (event for event in super().events(message) if not isinstance(event, Refused))


class AllForGood(ExampleStream):
    def events(self, message):
        for event in super().events(message):
            is_refusal = isinstance(event, Refused)
            yield structs.replace(event, permanent=True) if is_refusal else event


class NothingForGood(ExampleStream):
    def events(self, message):
        for event in super().events(message):
            is_refusal = isinstance(event, Refused)
            yield structs.replace(event, permanent=False) if is_refusal else event


class RefusedIsServed(ExampleStream):
    def events(self, message):
        for event in super().events(message):
            yield event
            if isinstance(event, Refused):
                yield Subscribed(event.symbols)


class AsksOnUnsubscribe(ExampleStream):
    def unsubscribe(self, symbols):
        return self.subscribe(symbols)


class BarAltered(ExampleStream):
    """What `change` makes of a bar."""

    change: ClassVar[Any]

    def bar(self, bar):
        return type(self).change(super().bar(bar))


def changed(change: Any) -> type[StreamFormat]:
    return type("Changed", (BarAltered,), {"change": staticmethod(change)})


class Remembers(ExampleStream):
    """Whoever drops what came before drops revisions."""

    def __init__(self, timeframe, address=None):
        super().__init__(timeframe, address)
        self._seen: set[int] = set()

    def bar(self, bar):
        event = super().bar(bar)
        is_known = event.ts in self._seen
        self._seen.add(event.ts)
        return Beat(event.symbol) if is_known else event


class RoundedSizes(ExampleOfTrades):
    def trade(self, symbol, amount, at, price, size):
        trade = super().trade(symbol, amount, at, price, size)
        return structs.replace(trade, size=Decimal(repr(float(size))))


class ZoneOfTheMachine(ExampleStream):
    def bar(self, bar):
        event = super().bar(bar)
        local = datetime.fromtimestamp(event.ts / 1e6)  # noqa: DTZ006
        shift = local.astimezone().utcoffset() or timedelta()
        return structs.replace(event, ts=event.ts + round(shift.total_seconds() * 1e6))


class AnyIsTheFirst(ExampleStream):
    def subscribe(self, symbols):
        self.first = next(iter(symbols), "")
        return super().subscribe(symbols)

    def bar(self, bar):
        return structs.replace(super().bar(bar), symbol=self.first)


class AnyLength(ExampleStream):
    def events(self, message):
        if isinstance(message, dict) and "length" in message:
            message = {**message, "length": self.timeframe.value}
        return super().events(message)


class BeatIsABar(ExampleStream):
    def events(self, message):
        if message == {"event": "beat"}:
            yield Candle("BTC/USD", 0, *(1.0,) * 5, closed=False)
        else:
            yield from super().events(message)


class ShutdownUnknown(ExampleStream):
    def events(self, message):
        yield unknown(message) if message == {"event": "leaving"} else Beat()


class WordsLost(ExampleStream):
    def events(self, message):
        for event in super().events(message):
            yield Fault("an error") if isinstance(event, Fault) else event


class UnknownIsABeat(ExampleStream):
    def events(self, message):
        return (event for event in super().events(message) if not isinstance(event, Fault))


class Raises(ExampleStream):
    def events(self, message):
        if message == {"something": "new"}:
            raise RuntimeError("what is this?")
        return super().events(message)


class EndsTheStream(ExampleStream):
    def events(self, message):
        for event in super().events(message):
            yield structs.replace(event, fatal=True) if isinstance(event, Fault) else event


class MendsFrames(ExampleStream):
    def read(self, frame):
        text = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
        for end in ("", "}", "}}"):
            try:
                msgspec.json.decode(text + end)
            except msgspec.DecodeError:
                continue
            return super().read(text + end)
        return super().read(frame)


class AnyNumber(ExampleStream):
    def bar(self, bar):
        cells = {name: bar[name] if isinstance(bar[name], str) else 0 for name in "ohlcv"}
        return super().bar({**bar, **cells})


class SharedMemory(ExampleStream):
    asked: ClassVar[list[str]] = []

    def subscribe(self, symbols):
        self.asked[:] = symbols
        return super().subscribe(symbols)

    def events(self, message):
        for event in super().events(message):
            yield Subscribed(tuple(self.asked)) if isinstance(event, Subscribed) else event


class KeyInTheAddress(ExampleStream):
    def url(self, symbols):
        return f"{super().url(symbols)}?key={KEY}"


class KeyInTheLog(ExampleStream):
    def subscribe(self, symbols):
        logging.getLogger("example").debug("asking with %s", KEY)
        return super().subscribe(symbols)


class KeyInItsName(ExampleStream):
    def __repr__(self):
        return f"KeyInItsName({KEY})"


CAUGHT = [
    (altered(symbols=0), "the_traits_are_complete", "`symbols` must be above 0"),
    (altered(closing=Closing.TRADES), "the_traits_are_complete", "of trades minutes are made"),
    (OneTimeframe, "each_timeframe_is_streamed_and_no_other", "asked for 1h: 1m"),
    (AddressOfItsOwn, "its_address_is_that_of_the_settings", "it goes to wss://elsewhere"),
    (altered(messages=50), "the_vendors_rules_are_kept", "`messages` of its traits is 50"),
    (altered(symbols=31), "the_vendors_rules_are_kept", "`symbols` of its traits is 31"),
    (altered(life=None), "the_vendors_rules_are_kept", "`life` is None"),
    (AllAtOnce, "every_symbol_is_asked_for_once_within_the_vendors_bounds", "30 symbols in a"),
    (OneLeftOut, "every_symbol_is_asked_for_once_within_the_vendors_bounds", "not asked for"),
    (AskedTwice, "every_symbol_is_asked_for_once_within_the_vendors_bounds", "asked for twice"),
    (LongMessages, "every_symbol_is_asked_for_once_within_the_vendors_bounds", "bytes, and the"),
    (AsksForNothing, "no_symbol_is_no_message", "a message about no symbol"),
    (NoPing, "a_ping_is_answered_by_a_sign_of_life", "a message is no JSON: 'ping'"),
    (PongUnknown, "a_ping_is_answered_by_a_sign_of_life", "the answer to a ping is read as"),
    (NamesOfTheVendor, "an_acceptance_names_the_symbols", r"\['btc/usd', 'eth/usd'\] are read"),
    (RefusalUnheard, "a_refusal_names_the_symbol_and_leaves_the_others_alone", "no refusal names"),
    (RefusedIsServed, "a_refusal_names_the_symbol_and_leaves_the_others_alone", "as served"),
    (NothingForGood, "a_refusal_names_the_symbol_and_leaves_the_others_alone", "is for good"),
    (AllForGood, "a_refusal_that_passes_is_not_for_good", "is not for good"),
    (AsksOnUnsubscribe, "the_end_of_a_subscription_is_no_trouble", "begins one"),
    (
        changed(lambda bar: structs.replace(bar, high=bar.low, low=bar.high)),
        "a_bar_is_read_exactly",
        "high is .* and should be",
    ),
    (
        changed(lambda bar: structs.replace(bar, close=round(bar.close, 8) + 1e-9)),
        "a_bar_is_read_exactly",
        "close is .* and should be",
    ),
    (
        changed(lambda bar: structs.replace(bar, ts=bar.ts // 1000)),
        "a_bar_is_read_exactly",
        "us since 1970, not at",
    ),
    (
        changed(lambda bar: structs.replace(bar, trades=None)),
        "a_bar_is_read_exactly",
        "trades is None",
    ),
    (
        changed(lambda bar: structs.replace(bar, vwap=1.0)),
        "a_bar_is_read_exactly",
        "which the vendor does not give",
    ),
    (
        changed(lambda bar: structs.replace(bar, closed=True)),
        "a_bar_is_closed_where_the_vendor_says_so",
        "counts as closed",
    ),
    (
        changed(lambda bar: structs.replace(bar, closed=False)),
        "a_bar_is_closed_where_the_vendor_says_so",
        "counts as unfinished",
    ),
    (Remembers, "a_bar_that_comes_again_is_read_again", "a bar is read as .*Beat"),
    (RoundedSizes, "a_trade_is_read_exactly", "a trade is read as"),
    (ZoneOfTheMachine, "times_are_utc_whatever_the_zone_of_the_machine", "in America/New_York"),
    (AnyIsTheFirst, "what_nobody_asked_for_keeps_its_name", "taken for BTC/USD's"),
    (AnyLength, "a_bar_of_another_timeframe_is_none_of_ours", "a bar of 1h is taken for one of 1m"),
    (BeatIsABar, "signs_of_life_are_no_candles", "a sign of life is read as"),
    (ShutdownUnknown, "a_notice_of_a_shutdown_is_one", "a notice is read as .*Fault"),
    (WordsLost, "a_complaint_is_a_fault_in_the_vendors_words", "the words .* are lost"),
    (UnknownIsABeat, "what_is_no_frame_of_the_vendor_is_a_fault", "Beat.* came, and Fault should"),
    (Raises, "what_is_no_frame_of_the_vendor_is_a_fault", "RuntimeError came out of `read`"),
    (EndsTheStream, "what_is_no_frame_of_the_vendor_is_a_fault", "ends the stream"),
    (MendsFrames, "a_frame_that_is_cut_off_anywhere_is_never_a_bar", "bytes of a bar are read"),
    (AnyNumber, "an_odd_value_is_never_a_number", "with an odd value at bar.o"),
    (SharedMemory, "each_connection_has_a_format_of_its_own", "BTC/USD is accepted, and"),
    (KeyInTheAddress, "a_secret_is_shown_nowhere", "a secret is seen in the address"),
    (KeyInTheLog, "a_secret_is_shown_nowhere", "a secret is seen in the log"),
    (KeyInItsName, "a_secret_is_shown_nowhere", "a secret is seen in the format"),
]


@pytest.mark.parametrize(
    ("kind", "check", "words"),
    CAUGHT,
    ids=[f"{place}-{kind.__name__}-{check}" for place, (kind, check, _) in enumerate(CAUGHT)],
)
def test_a_fault_is_found_by_its_check(kind, check, words):
    verdict = verdict_of(f"test_{check}", kind)

    assert verdict is not None
    assert re.search(words, verdict)


def test_no_check_is_left_without_a_fault_that_it_finds():
    assert {f"test_{check}" for _, check, _ in CAUGHT} == {*CHECKS}
