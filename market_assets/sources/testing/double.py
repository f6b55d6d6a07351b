"""What stands in for a vendor: how it is asked, and how it answers. No server, no candles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from market_assets.market.timeframes import Timeframe, from_micros
from market_assets.sources.testing.server import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from market_assets.sources.contract import Source
    from market_assets.sources.testing.candles import Candle
    from market_assets.sources.testing.server import Request

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
"""A Monday at midnight: bars of every length open then."""

QUICK: Mapping[str, object] = MappingProxyType(
    {
        "rate": None,
        "backoff": 0,
        "retries": 2,
        "timeout": 60,
        "total_timeout": 120,
        "max_elapsed": 240,
        "hold": 0,
    }
)
"""Settings with which a source is quick to give up, and no check depends on a busy machine."""


def instant(value: str | float) -> datetime:
    """Read a time of a request: a count since 1970 (s, ms, us or ns by its size) or ISO 8601.

    Returns:
        Aware, UTC; a text without a zone is UTC's.

    Raises:
        ValueError: It is no time.
    """
    text = str(value)
    if not text.lstrip("-").replace(".", "", 1).isdecimal():
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    count = float(text)
    size = abs(count)
    factor = 1e6 if size < 1e11 else 1e3 if size < 1e14 else 1 if size < 1e17 else 1e-3
    return from_micros(round(count * factor))


def timeframe_of(seconds: str | float) -> Timeframe:
    """The timeframe of so many seconds.

    Raises:
        ValueError: There is none.
    """
    micros = round(float(seconds) * 1_000_000)
    for timeframe in Timeframe:
        if timeframe.micros == micros:
            return timeframe
    raise ValueError(f"no timeframe has {seconds} seconds")


@dataclass(frozen=True)
class Question:
    """Which candles a request asks for.

    Attributes:
        symbol: The vendor's own name for the instrument, as it came.
        timeframe: The candles' length.
        first: The earliest `ts` that may be given; None from the first candle on.
        last: The latest `ts` that may be given, itself included; None up to the newest.
        limit: Rows wanted at most; None where the request does not say it.
        newest: True where an answer that cannot hold all rows lacks its oldest, not its newest.
        offset: Rows that the pages before have given, where the vendor counts pages by a cursor.
    """

    symbol: str
    timeframe: Timeframe
    first: datetime | None = None
    last: datetime | None = None
    limit: int | None = None
    newest: bool = False
    offset: int = 0


@dataclass(frozen=True)
class Page:
    """The rows of one answer.

    Attributes:
        question: What was asked.
        candles: Oldest first; a vendor that begins with its newest turns them round itself.
        following: The `offset` of the next page; None where there is none.
        running: The last of the candles, where it has not closed yet; else None.
    """

    question: Question
    candles: Sequence[Candle]
    following: int | None = None
    running: Candle | None = None


class VendorDouble(ABC):
    """A vendor's form: what its requests mean, and how it writes candles and errors.

    A double has no state: the kit has the candles, counts the rows of a page, and plays the
    troubles.

    Attributes:
        source: The class under test.
        symbol: An instrument, as the vendor writes it.
        kind: The kind of profile that the source is built for, in lower case.
        settings: Its settings beside `base_url`: a key, an account. Every secret among them must
            stay unseen.
        extras: The extra columns that the vendor gives; see `market.columns.EXTRAS`.
        limits: Replies with which the vendor says that there were too many requests.
        page: Rows in an answer at most; None for the source's `traits.page_size`.
        widest: A window of more bars is refused; None where the vendor gives a part of it.
        pages: False where an answer always holds all that was asked for, however long.
        running: True where the running candle comes with every answer that is asked of the newest
            candles, whatever its end.
        says_wait: False where a client library keeps the Retry-After of a 429 to itself.
        counted: False where the source also asks for other things than candles, so that neither its
            requests nor those of a page can be counted.
        whole_volumes: True where the vendor counts volume in whole numbers.
        now: The present instant, for a source that takes a `clock`; None for the machine's clock.
    """

    source: ClassVar[type[Source]]
    symbol: ClassVar[str]
    kind: ClassVar[str] = "crypto"
    settings: ClassVar[Mapping[str, object]] = MappingProxyType({})
    extras: ClassVar[Sequence[str]] = ()
    limits: ClassVar[Sequence[Reply]] = (Reply(429, {"message": "too many requests"}),)
    page: ClassVar[int | None] = None
    widest: ClassVar[int | None] = None
    pages: ClassVar[bool] = True
    running: ClassVar[bool] = False
    says_wait: ClassVar[bool] = True
    counted: ClassVar[bool] = True
    whole_volumes: ClassVar[bool] = False
    now: ClassVar[datetime | None] = None

    @abstractmethod
    def read(self, request: Request) -> Question | Reply:
        """Understand a request; a Reply answers one that is not about candles.

        Raises:
            ValueError: A vendor would not understand it; it is refused with these words.
        """

    @abstractmethod
    def write(self, page: Page) -> Any:  # noqa: ANN401 - JSON
        """Write an answer: what becomes JSON, or bytes."""

    @abstractmethod
    def refuse(self, words: str) -> Reply:
        """Refuse a request in the vendor's form, with these words, such that it can never work."""

    def unknown(self, question: Question) -> Reply:
        """Answer a question about an instrument that the vendor does not have."""
        return self.refuse(f"unknown symbol {question.symbol}")

    def first(self, timeframe: Timeframe) -> datetime:  # noqa: ARG002 - few grids differ
        """The open of the first candle: where bars of that length open at other instants."""
        return FIRST

    def surroundings(self) -> AbstractContextManager[object]:
        """What has to hold while the source is asked, such as where a client library connects."""
        return nullcontext()

    def build(self, url: str, base: Path, **settings: object) -> Source:
        """Build the source so that it asks the double, and is quick to give up.

        Args:
            url: Where the double is.
            base: A folder for its files.
            settings: Beside those of the double.
        """
        keys = {**QUICK, **self.settings, **settings, "base_url": url}
        model = self.source.Settings.model_validate(keys)
        moment = self.now
        clock = {} if moment is None else {"clock": lambda: moment}
        return self.source("mine", model, base=base, kind=self.kind, **clock)
