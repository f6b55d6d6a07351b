"""What a source is, and how one is found by its name.

Third parties implement what stands here. How a vendor is asked stands in `transport` and `vendors`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, runtime_checkable

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from market_assets.errors import SourceError
from market_assets.market.columns import OHLCV
from market_assets.market.timeframes import TS, to_micros
from market_assets.sources.counting import ANY_STRETCH, Counting

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.market.timeframes import Timeframe, Window

ENTRY_POINTS = "market_assets.sources"

CANDLE_SCHEMA = pl.Schema({"ts": TS, **dict.fromkeys(OHLCV, pl.Float64())})
"""The columns of every frame that a source gives.

Any of `columns.EXTRAS` may follow as numbers, null where a row has none: quote_volume, trades,
taker_buy_volume, vwap.

`refused` and `said` (String) may follow too: of a row that the source could not read, why, and how
it is written. Its ts is only where it stands among the others, and its numbers are null.
"""


class Unread(StrEnum):
    """Why a source could not read a row of its own."""

    UNREADABLE = "a line that cannot be read"
    NO_SUCH_TIME = "a local time that is non-existent"
    TWO_TIMES = "a local time that comes twice"
    NO_SESSION = "a stamp that fits no session"


CONSOLIDATED = "us-consolidated"
"""The venue of candles made of the trades of all US stock exchanges, whoever sells them."""

KINDS = frozenset({"crypto", "equity", "futures", "forex"})
"""Every kind of profile that there is, as a source gets it."""


@dataclass(frozen=True)
class Traits:
    """What a planner must know of a source before it asks.

    Attributes:
        timeframes: The timeframes that the source has.
        page_size: Bars that one fetch may ask for.
        emits_empty_bars: False where a bar without a trade is left out, so that an answer that
            covers it is evidence of no trade.
        earliest_probe: True where `earliest` gives the first bar's open with one cheap request.
            Where it is False, and the source speaks for any window, the first bar is searched for
            with a few pages.
        open_outside_range: True where the open may lie outside high and low (BitMEX: it is the
            previous close).
        latest_only: How many bars up to the present it serves and no more (Kraken: 720), None where
            it serves its whole history. The oldest of them is nobody's first bar, and it is not
            asked for older ones.
        kinds: The kinds of profile that it serves, in lower case.
        needs_key: True where it answers nobody without a key.
        lacks: By kind of profile, in lower case, timeframes that it does not have there, such as
            those whose bars open at other instants than the market's.
        venue: Whose prices it gives, such as "kraken"; None where nobody knows, or the settings
            decide (`venue_of`).
        split_adjusted: True where prices are divided by every split that came after them, so that
            none is as it was traded.
        counting: How the vendor counts what it allows.
        ceiling: The most requests that may be in flight at once, where the settings name no number.
    """

    timeframes: frozenset[Timeframe]
    page_size: int
    emits_empty_bars: bool
    earliest_probe: bool
    open_outside_range: bool = False
    latest_only: int | None = None
    kinds: frozenset[str] = KINDS
    needs_key: bool = False
    lacks: Mapping[str, frozenset[Timeframe]] = field(default_factory=dict, hash=False)
    venue: str | None = None
    split_adjusted: bool = False
    counting: Counting = ANY_STRETCH
    ceiling: int = 8

    def timeframes_for(self, kind: str) -> frozenset[Timeframe]:
        """The timeframes that the source has for a kind of profile, in lower case."""
        return self.timeframes - self.lacks.get(kind, frozenset())


@dataclass
class Usage:
    """What a source has cost since it was built.

    Attributes:
        requests: Requests sent, retries among them; for files, reads of a window.
        retries: Requests that had to be sent again.
        waits: Seconds spent waiting for the rate limit, for a Retry-After or between two attempts,
            summed over all requests.
        bytes: Bytes of the answers' bodies, after decompression.
    """

    requests: int = 0
    retries: int = 0
    waits: float = 0.0
    bytes: int = 0


class SourceSettings(BaseModel):
    """The keys that every source of a universe may have.

    Each source adds its own and refuses all others.

    Attributes:
        type: The entry point's name; without it the source's name in the universe is taken.
        venue: Whose prices it gives, where the type does not know it or is wrong. Prices of two
            venues are not mixed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: str | None = None
    venue: str | None = Field(default=None, min_length=1)


class Source(Protocol):
    """A place that candles come from.

    A source is built as `cls(name, settings, base=..., kind=...)`, with `settings` an instance of
    `cls.Settings`. It is an async context manager: connections are opened and closed inside the
    running event loop, and it may be entered again later.

    A source whose reach has holes has a method `stretches(symbol, timeframe)` beside `answers_for`,
    which gives a list of `sources.files.reach.Stretch`: what each of its files speaks for, and its
    hash. What an unchanged file says counts once, however often it is said.

    `concurrency` is how many of its requests may be in flight now; it may change with the answers.

    A class whose venue depends on its settings or on the kind of profile has a static
    `venue_of(settings, kind)` that says it; for others their traits do. A class whose traits depend
    on its settings may have a static `traits_of(settings)`, so that a universe is refused that asks
    for more. See `venue_of` and `traits_of`.
    """

    Settings: ClassVar[type[SourceSettings]]
    name: str
    traits: Traits
    usage: Usage

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight now."""
        ...

    def __init__(self, name: str, settings: SourceSettings, *, base: Path, kind: str) -> None: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def fetch(
        self, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
    ) -> pl.DataFrame:
        """Ask for the bars that open in the half-open window from `start` to `end`.

        Args:
            symbol: The source's own name for the instrument.
            timeframe: One of `traits.timeframes_for` the kind it was built for.
            start: The first open asked for, aware.
            end: The first open no longer asked for, aware; the window holds at most
                `traits.page_size` bars.

        Returns:
            A frame of CANDLE_SCHEMA, and `symbol` where the vendor says it. The rows are what the
            vendor gave: unsorted, doubled, nonsensical or outside the window as they may be.

        Raises:
            PartialAnswerError: The source has answered for a part of the window.
            SourceError: The source has not answered for the window; an empty frame, in contrast,
                says that it has nothing there.
        """
        ...

    async def earliest(self, symbol: str, timeframe: Timeframe) -> datetime | None:
        """Ask for the open of the first bar there is, None where there is none.

        It is called only where `traits.earliest_probe`.
        """
        ...

    def answers_for(self, symbol: str, timeframe: Timeframe) -> Window | None:
        """Give the stretch that this source can speak for, None for any.

        Outside it an absent bar is evidence of nothing.
        """
        ...


class PartialAnswerError(SourceError):
    """A part of what was asked for cannot be had, and the rest is here.

    So one bad file costs only itself.

    Attributes:
        frame: What could be read, as `Source.fetch` gives it.
        lost: Stretches that this is no answer for, each with the reason.
    """

    def __init__(self, frame: pl.DataFrame, lost: Sequence[tuple[Window, str]]) -> None:
        self.frame = frame
        self.lost = tuple(lost)
        super().__init__("; ".join(dict.fromkeys(reason for _, reason in lost)), permanent=True)


@runtime_checkable
class Briefed(Protocol):
    """A source that makes use of knowing the market it is asked about."""

    def brief(self, calendar: SessionCalendar, symbols: Collection[str]) -> None:
        """Take the market's sessions and the symbols before the first question.

        Args:
            calendar: The sessions.
            symbols: All symbols that will be asked for, in the source's own names.
        """
        ...


@runtime_checkable
class HasReserve(Protocol):
    """A source that has something in reserve for what cannot wait."""

    def use_reserve(self) -> None:
        """Use the reserve of its rate from now on: an update or a repair asks."""
        ...


def use_reserve(source: Source) -> None:
    """Let a source use what it has in reserve, where it has anything."""
    if isinstance(source, HasReserve):
        source.use_reserve()


def brief(source: Source, calendar: SessionCalendar, symbols: Collection[str]) -> None:
    """Brief a source on the market that it will be asked about, where it makes use of that."""
    if isinstance(source, Briefed):
        source.brief(calendar, symbols)


class _SourceTypes(Mapping[str, type[Source]]):
    """The installed source types by name.

    A class is imported when it is asked for, so that a broken one harms nobody else.
    """

    def __init__(self) -> None:
        self._points: dict[str, EntryPoint] = {
            point.name: point for point in entry_points(group=ENTRY_POINTS)
        }

    def __getitem__(self, name: str) -> type[Source]:
        source_type: type[Source] = self._points[name].load()
        return source_type

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._points))

    def __len__(self) -> int:
        return len(self._points)


@cache
def source_types() -> Mapping[str, type[Source]]:
    """Give the source types by name.

    They are registered under the entry point group `market_assets.sources`.
    """
    return _SourceTypes()


def build_source(name: str, settings: Mapping[str, object], *, base: Path, kind: str) -> Source:
    """Build one source of a universe.

    Args:
        name: Its name in the universe; also its type where `settings` names none.
        settings: Its settings, secrets filled in.
        base: The folder that relative paths in the settings start from: the universe file's.
        kind: The kind of the profile it is built for, in lower case ("crypto").

    Raises:
        SourceError: No such type is installed.
        pydantic.ValidationError: The settings are not those of the type; a loaded universe has
            checked them before.
    """
    wanted = str(settings.get("type") or name)
    types = source_types()
    if wanted not in types:
        near = get_close_matches(wanted, types, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(types)}"
        raise SourceError(
            f"source {name}: no source type is called {wanted}; {hint}", permanent=True
        )
    cls = types[wanted]
    return cls(name, cls.Settings.model_validate(settings), base=base, kind=kind)


def venue_of(source_type: type[Source], settings: SourceSettings, kind: str) -> str | None:
    """Say whose prices a source gives, None where nobody knows.

    The venue is what the settings call it, else what the type calls it.

    Args:
        source_type: The source's type.
        settings: Its settings.
        kind: The kind of profile that it is asked for, in lower case.
    """
    if settings.venue is not None:
        return settings.venue
    by_settings = getattr(source_type, "venue_of", None)
    if by_settings is not None:
        venue: str | None = by_settings(settings, kind)
        return venue
    traits = getattr(source_type, "traits", None)
    return traits.venue if isinstance(traits, Traits) else None


def traits_of(source_type: type[Source], settings: SourceSettings) -> Traits | None:
    """Say what a source has, None where that is not known before it is built.

    Args:
        source_type: The source's type.
        settings: Its settings.

    Raises:
        SourceError: With these settings it can give nothing.
    """
    by_settings = getattr(source_type, "traits_of", None)
    traits = getattr(source_type, "traits", None) if by_settings is None else by_settings(settings)
    return traits if isinstance(traits, Traits) else None


_FIRST_MICROS = to_micros(datetime(1, 1, 1, tzinfo=UTC))
_LAST_MICROS = to_micros(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))


def omits_quiet(sources: Mapping[str, Source]) -> bool:
    """Whether any of some sources leaves bars without a trade out."""
    return any(not source.traits.emits_empty_bars for source in sources.values())


def epoch_to_us(stamps: pl.Expr) -> pl.Expr:
    """Turn counts since 1970 of unknown unit into TS.

    A count is of seconds, milliseconds, microseconds or nanoseconds, by its size. Vendors change
    the unit in mid-series (Binance's spot archives are in microseconds since 2025), so each value
    is judged by itself. Right for seconds up to the year 5138 and for finer units from March 1973
    on. What is no time of the years 1 to 9999, or no number of 64 bits, is null.
    """
    count = stamps.cast(pl.Int64, strict=False)
    size = count.abs()
    micros = (
        pl.when(size < 10**11)
        .then(count * 1_000_000)
        .when(size < 10**14)
        .then(count * 1_000)
        .when(size < 10**17)
        .then(count)
        .otherwise(count // 1_000)
    )
    # The smallest number of 64 bits has no absolute value.
    return pl.when(size >= 0, micros.is_between(_FIRST_MICROS, _LAST_MICROS)).then(micros).cast(TS)
