"""What stands in for a vendor's stream: what it answers, and how it writes what it sends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from market_assets.sources.streaming import Streaming

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta

    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.contract import Source
    from market_assets.sources.streaming import StreamFormat, Trade
    from market_assets.sources.testing.candles import Candle

ADDRESS = "wss://stream.example.invalid/of/the/settings"
"""Where the stream is that the settings of a source under test name."""


class StreamDouble(ABC):
    """A vendor's side of one connection: it reads what a client sends, and writes frames.

    Every text is JSON. Symbols are the source's own names, as a universe writes them, whatever the
    vendor calls them in its stream.

    Args:
        refusals: Of the symbols whose subscription is refused, whether for good.

    Attributes:
        source: The class under test, which has a method `stream`.
        symbols: Two instruments, as a universe writes them.
        kind: The kind of profile that the source is built for, in lower case.
        settings: Its settings: a key, an account. Every secret among them must stay unseen.
        extras: The extra columns that a bar of the stream has; see `market.columns.EXTRAS`.
        at_once: Symbols that the vendor takes in one message at most; None for any number.
        length: Bytes of one message that it takes at most; None for any number.
        most_symbols: Symbols of one connection at most; None for any number.
        most_messages: Messages of a client in a second at most; None for any number.
        life: After so long it cuts a connection; None where it never does.
        passes: False where the vendor never refuses a subscription for a while only.
    """

    source: ClassVar[type[Source]]
    symbols: ClassVar[tuple[str, str]]
    kind: ClassVar[str] = "crypto"
    settings: ClassVar[Mapping[str, object]] = MappingProxyType({})
    extras: ClassVar[Sequence[str]] = ()
    at_once: ClassVar[int | None] = None
    length: ClassVar[int | None] = None
    most_symbols: ClassVar[int | None] = None
    most_messages: ClassVar[float | None] = None
    life: ClassVar[timedelta | None] = None
    passes: ClassVar[bool] = True

    def __init__(self, refusals: Mapping[str, bool] = MappingProxyType({})) -> None:
        self.refusals = refusals

    @abstractmethod
    def names(self, message: Any) -> Sequence[str]:  # noqa: ANN401 - JSON
        """Say which symbols a client's message subscribes; empty for any other message."""

    @abstractmethod
    def accept(self, message: Any) -> Iterable[str]:  # noqa: ANN401 - JSON
        """Answer a message that asks for nothing that is refused, a ping too."""

    @abstractmethod
    def refuse(self, message: Any, symbol: str, words: str) -> str:  # noqa: ANN401 - JSON
        """Refuse a subscription for one of its symbols; `refusals` says whether for good."""

    @abstractmethod
    def candle(self, symbol: str, timeframe: Timeframe, candle: Candle, *, closed: bool) -> str:
        """Write a bar as it stands; a vendor without bars gives an empty text."""

    # Few vendors have them.
    def trade(self, trade: Trade) -> str:  # noqa: ARG002
        """Write a trade; a vendor with bars gives an empty text."""
        return ""

    def greeting(self) -> Sequence[str]:
        """Write what is sent as soon as a connection is open."""
        return ()

    def beats(self) -> Sequence[str]:
        """Write the signs of life that come without an instrument being traded."""
        return ()

    def shutdown(self) -> str:
        """Write the notice that the connection will be closed; empty where there is none."""
        return ""

    def complaint(self, words: str) -> str:  # noqa: ARG002
        """Write an error that answers no subscription; empty where there is none."""
        return ""

    def answer(self, message: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
        """Answer a message of a client: one symbol that is refused fails all of it."""
        refused = [name for name in self.names(message) if name in self.refusals]
        if refused:
            yield self.refuse(message, refused[0], f"no candles of {refused[0]} for you")
        else:
            yield from self.accept(message)

    def build(self, timeframe: Timeframe) -> StreamFormat:
        """Build the format for one more connection, as the platform does it.

        Raises:
            SourceError: The timeframe is not streamed.
            TypeError: The source has no stream.
        """
        keys = dict(self.settings)
        if "stream_url" in self.source.Settings.model_fields:
            keys["stream_url"] = ADDRESS
        with TemporaryDirectory() as folder:
            model = self.source.Settings.model_validate(keys)
            source = self.source("mine", model, base=Path(folder), kind=self.kind)
        if not isinstance(source, Streaming):
            raise TypeError(f"{self.source.__name__} has no method `stream`")
        return source.stream(timeframe)
