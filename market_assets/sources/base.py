"""What a source is, and how one is found by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

import polars as pl
from pydantic import BaseModel, ConfigDict

from market_assets.errors import SourceError
from market_assets.market_time.timeframes import TS

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from market_assets.market_time.timeframes import Timeframe, Window

ENTRY_POINTS = "market_assets.sources"

CANDLE_SCHEMA = pl.Schema({"ts": TS, **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64())})
"""The columns of every frame that a source gives; `symbol` (String) may follow where the vendor says whose bar it is."""

KINDS = frozenset({"crypto", "equity", "futures", "forex"})
"""Every kind of profile there is, as a source is told of it."""


@dataclass(frozen=True)
class Traits:
    """What a planner must know of a source before it asks.

    Attributes:
        timeframes: The timeframes that the source has.
        page_size: Bars that one fetch may ask for.
        emits_empty_bars: False where a bar without a trade is left out, so that an answer that covers it is evidence of no trade.
        earliest_probe: True where `earliest` gives the first bar's open with one cheap request. Where it is False, and the source speaks
            for any window, the first bar is searched for with a few pages.
        open_outside_range: True where the open may lie outside high and low (BitMEX: it is the previous close).
        latest_only: How many bars up to the present it serves and no more (Kraken: 720), None where it serves its whole history. The
            oldest of them is nobody's first bar, and of older ones it is not asked.
        kinds: The kinds of profile that it serves, in lower case.
        needs_key: True where it answers nobody without a key.
    """

    timeframes: frozenset[Timeframe]
    page_size: int
    emits_empty_bars: bool
    earliest_probe: bool
    open_outside_range: bool = False
    latest_only: int | None = None
    kinds: frozenset[str] = KINDS
    needs_key: bool = False


@dataclass
class Usage:
    """What a source has cost since it was built.

    Attributes:
        requests: Requests sent, retries among them; for files, reads of a window.
        retries: Requests that had to be sent again.
        waits: Seconds spent waiting for the rate limit, for a Retry-After or between two attempts, summed over all requests.
        bytes: Bytes of the answers' bodies, after decompression.
    """

    requests: int = 0
    retries: int = 0
    waits: float = 0.0
    bytes: int = 0


class SourceSettings(BaseModel):
    """The keys that every source of a universe may have; each source adds its own and refuses all others.

    Attributes:
        type: The entry point's name; without it the source's name in the universe is taken.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: str | None = None


class Source(Protocol):
    """A place that candles come from.

    A source is built as `cls(name, settings, base=..., kind=...)`, with `settings` an instance of `cls.Settings`. It is an async
    context manager: connections are opened and closed inside the running event loop, and it may be entered again later.
    """

    Settings: ClassVar[type[SourceSettings]]
    name: str
    traits: Traits
    usage: Usage
    concurrency: int

    def __init__(self, name: str, settings: SourceSettings, *, base: Path, kind: str) -> None: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def fetch(self, symbol: str, timeframe: Timeframe, start: datetime, end: datetime) -> pl.DataFrame:
        """Ask for the bars that open in the half-open window from `start` to `end`.

        Args:
            symbol: The source's own name for the instrument.
            timeframe: One of `traits.timeframes`.
            start: The first open asked for, aware.
            end: The first open no longer asked for, aware; the window holds at most `traits.page_size` bars.

        Returns:
            A frame of CANDLE_SCHEMA, and `symbol` where the vendor says it. The rows are what the vendor gave: unsorted, doubled,
            nonsensical or outside the window as they may be.

        Raises:
            SourceError: The source has not answered for the window; an empty frame, in contrast, says that it has nothing there.
        """
        ...

    async def earliest(self, symbol: str, timeframe: Timeframe) -> datetime | None:
        """Ask for the open of the first bar there is, None where there is none; only called where `traits.earliest_probe`."""
        ...

    def answers_for(self, symbol: str, timeframe: Timeframe) -> Window | None:
        """Give the stretch that this source can speak for, None for any. Outside it an absent bar is evidence of nothing."""
        ...


class _SourceTypes(Mapping[str, type[Source]]):
    """The installed source types by name. A class is imported when it is asked for, so that a broken one harms nobody else."""

    def __init__(self) -> None:
        self._points: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=ENTRY_POINTS)}

    def __getitem__(self, name: str) -> type[Source]:
        found: type[Source] = self._points[name].load()
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._points))

    def __len__(self) -> int:
        return len(self._points)


@cache
def source_types() -> Mapping[str, type[Source]]:
    """Give the source types that are registered under the entry point group `market_assets.sources`, by name."""
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
        pydantic.ValidationError: The settings are not those of the type; a loaded universe has checked them before.
    """
    wanted = str(settings.get("type") or name)
    types = source_types()
    if wanted not in types:
        near = get_close_matches(wanted, types, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(types)}"
        raise SourceError(f"source {name}: no source type is called {wanted}; {hint}", permanent=True)
    cls = types[wanted]
    return cls(name, cls.Settings.model_validate(settings), base=base, kind=kind)


def epoch_to_us(stamps: pl.Expr) -> pl.Expr:
    """Turn counts since 1970 of unknown unit into TS: seconds, milliseconds, microseconds or nanoseconds, each by its size.

    Vendors change the unit in mid-series (Binance's spot archives are in microseconds since 2025), so each value is judged by
    itself. Right for seconds up to the year 5138 and for finer units from March 1973 on.
    """
    count = stamps.cast(pl.Int64)
    size = count.abs()
    return (
        pl.when(size < 10**11)
        .then(count * 1_000_000)
        .when(size < 10**14)
        .then(count * 1_000)
        .when(size < 10**17)
        .then(count)
        .otherwise(count // 1_000)
        .cast(TS)
    )
