"""What all sources have in common that give their candles as pages of JSON.

The way from page to page, and from rows to a frame. A vendor's own module is left with what is its
own: its address, how a window is asked for, where the rows stand in an answer, and what an error
looks like that comes with a 200.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec
import polars as pl

from market_assets.errors import SourceError
from market_assets.imports import late_imports
from market_assets.market.columns import extras_in
from market_assets.market.timeframes import TS, Timeframe, Window, from_micros, to_micros
from market_assets.sources.contract import CANDLE_SCHEMA, SourceSettings, Traits, Usage, epoch_to_us
from market_assets.sources.transport.body import excerpt
from market_assets.sources.transport.http import HttpClient, HttpSettings
from market_assets.sources.transport.settings import StreamingSettings

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

_TIMES = 4
_MOST_ROWS = 10_000
"""How many rows may come for one window, besides `_TIMES` times a page's.

Some vendors always give a full page, whatever is asked for.
"""

_MOST_VALUES = 2_000_000
"""Values in one answer: the largest page of all vendors has a fifth of them.

Decoded, each takes some fifty bytes.
"""

_MOST_PAGES = 100
"""Requests for one window, which one page could hold.

A server that gives one row at a time is not followed forever.
"""


class PagedSource(ABC):
    """A source that is asked for a window over HTTP, and gives it in one page or in several.

    A vendor's own class says what its settings and traits are, how a window is asked for
    (`request`) and how an answer is read (`parse`).

    Attributes:
        Settings: The class of its settings, one of HttpSettings'.
        traits: What it has.
        newest_first: True where a page that is cut short lacks its oldest rows, not its newest.
        exceeds: True where the vendor is known to give rows outside the window: they are left out,
            and show that the page reaches the window's end. Elsewhere such a row is a fault, and
            handed on as one.
        holds: See `HttpClient`.
    """

    Settings: ClassVar[type[SourceSettings]]
    traits: Traits
    newest_first: ClassVar[bool] = False
    exceeds: ClassVar[bool] = False
    holds: ClassVar[Mapping[int, float]] = MappingProxyType({})

    def __init__(
        self,
        name: str,
        settings: HttpSettings,
        *,
        base: Path,
        kind: str,  # noqa: ARG002 - few sources differ by kind
    ) -> None:
        self.name = name
        self.usage = Usage()
        self._keys = settings
        self._http = self._http_client(settings, base)

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight now: see `Source`."""
        return self._http.concurrency

    def use_reserve(self) -> None:
        """Use the reserve of the rate: see `contract.HasReserve`."""
        self._http.limit.urgent = True

    def _http_client(self, settings: HttpSettings, base: Path) -> HttpClient:
        """A client that keeps to the traits."""
        return HttpClient(
            self.name,
            settings,
            self.usage,
            base=base,
            holds=self.holds,
            counting=self.traits.counting,
            ceiling=self.traits.ceiling,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    def stream_address(self, usual: str) -> str:
        """Give the address of its stream, where it has one: see `StreamingSettings`.

        Args:
            usual: The vendor's own.

        Raises:
            SourceError: It asks another address over HTTP, and is not told where the stream is.
        """
        settings = self._keys
        if not isinstance(settings, StreamingSettings):
            return usual
        return settings.stream_address(self.name, usual)

    @abstractmethod
    def request(
        self, symbol: str, timeframe: Timeframe, window: Window
    ) -> tuple[str, dict[str, str | int]]:
        """Give path and query that ask for the bars that open in a window of at most a page."""

    @abstractmethod
    def parse(self, body: bytes) -> pl.DataFrame:
        """Turn an answer into a frame of CANDLE_SCHEMA.

        Raises:
            SourceError: It holds no rows: an error in words, HTML, JSON that was cut off.
        """

    async def fetch(
        self, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
    ) -> pl.DataFrame:
        """Give what the vendor has for the window: see `Source.fetch`.

        A page that does not reach the window's end is no proof that the rest is absent, so the
        fetch goes on behind its last row (before its first, where the newest come first); only an
        empty page is taken as absence.
        """
        window = Window(start, end)
        at, stop = window.micros
        pages: list[pl.DataFrame] = []
        rows, most = 0, _MOST_ROWS + _TIMES * self.traits.page_size
        while at < stop:
            rest = Window.of_micros(at, stop)
            if len(pages) == _MOST_PAGES:
                raise SourceError(
                    f"source {self.name}: {symbol} {timeframe} {rest} "
                    f"is still to come after {_MOST_PAGES} pages"
                )
            page = await self.page(symbol, timeframe, rest)
            rows += len(page)
            if rows > most:
                raise SourceError(
                    f"source {self.name}: {symbol} {timeframe} {window}: {rows:,} rows came, "
                    f"and a page has {self.traits.page_size:,}: nobody asked for so many"
                )
            opens = _opens(page)
            # What a further page holds beyond what it was asked for was given by the page before.
            pages.append(page.filter(rest.holds()) if pages or self.exceeds else page)
            inside = opens[(opens >= at) & (opens < stop)]
            if not inside.size:
                if np.any(opens >= stop if self.newest_first else opens < at):
                    raise SourceError(
                        f"source {self.name}: {symbol} {timeframe} {window}: "
                        f"the pages do not move forward: asked for {rest}, "
                        f"the rows given lie {'behind' if self.newest_first else 'before'} it"
                    )
                break
            reached = opens if self.exceeds else inside
            if self.newest_first:
                if int(reached.min()) - timeframe.micros < at:
                    break
                stop = int(inside.min())
            else:
                if int(reached.max()) + timeframe.micros >= stop:
                    break
                at = int(inside.max()) + 1_000_000
        # The others may hold nothing but what was cut.
        pages = [page for page in pages if len(page)]
        return pl.concat(pages, how="diagonal") if pages else CANDLE_SCHEMA.to_frame()

    async def page(self, symbol: str, timeframe: Timeframe, window: Window) -> pl.DataFrame:
        """Ask for a window of at most a page, and give what came of it."""
        path, params = self.request(symbol, timeframe, window)
        about = f"{symbol} {timeframe} {window}"
        return await self._http.get(
            path, params, about=about, parse=self.parse, weight=self.weight(params)
        )

    # Few vendors charge by what is asked for.
    def weight(self, params: Mapping[str, str | int]) -> int:  # noqa: ARG002
        """What the vendor charges for a request with this query, in the units of `rate`."""
        return 1

    # The protocol's arguments.
    async def earliest(self, symbol: str, timeframe: Timeframe) -> datetime | None:  # noqa: ARG002
        """Say nothing: see `Source.earliest`."""
        return None

    # The protocol's arguments.
    def answers_for(self, symbol: str, timeframe: Timeframe) -> Window | None:  # noqa: ARG002
        """Speak for any window: see `Source.answers_for`."""
        return None


def _opens(page: pl.DataFrame) -> NDArray[np.int64]:
    """The opens that a page has, in microseconds."""
    stamps = page["ts"]
    if stamps.null_count():
        stamps = stamps.drop_nulls()
    return stamps.to_numpy().astype(np.int64)


def first_open(page: pl.DataFrame) -> datetime | None:
    """The open of the oldest row of a page, None where it has none."""
    opens = _opens(page)
    return from_micros(int(opens.min())) if opens.size else None


def seconds(instant: datetime) -> int:
    """Whole seconds since 1970, rounded down."""
    return to_micros(instant) // 1_000_000


def millis(instant: datetime) -> int:
    """Whole milliseconds since 1970, rounded down."""
    return to_micros(instant) // 1_000


def refusal(
    words: object, *, permanent: bool = False, retry_after: float | None = None
) -> SourceError:
    """The error to raise where an answer with status 200 holds the vendor's refusal.

    Its words are cut to one line of 200 characters.
    """
    text = f"the answer is an error: {excerpt(str(words).encode())}"
    return SourceError(text, permanent=permanent, retry_after=retry_after)


def candles(
    body: bytes, rows: Callable[[Any], Any], places: Mapping[str, int | str], *, iso: bool = False
) -> pl.DataFrame:
    """Turn the body of an answer into a frame of CANDLE_SCHEMA.

    Each number is the double nearest to its decimal text. A cell that is no number, or no time, is
    null; it does not cost the page.

    Args:
        body: JSON.
        rows: Finds the list of rows in the decoded answer; raises a `refusal` where it is an error
            in words. What else it raises means that the answer is none.
        places: Where each column of CANDLE_SCHEMA, and each extra one that the vendor has, stands
            in a row: the place in a list, or the key in an object. A volume that is not there is
            null; so is what a row lacks of the extra ones.
        iso: True where times are text like 2024-01-31T23:59:00Z, False where they are counts since
            1970 (s, ms, us or ns by their size), as numbers or as text.

    Raises:
        SourceError: The body holds no such rows.
    """
    try:
        bars = rows(_decoded(body))
        extras = extras_in(places)
        columns = {
            name: [row[place] for row in bars]
            for name, place in places.items()
            if name not in extras
        }
        given = {name: _cells(bars, places[name]) for name in extras}
        # A page of nulls is none.
        columns |= {
            name: cells for name, cells in given.items() if any(cell is not None for cell in cells)
        }
    except (LookupError, TypeError, AttributeError, ValueError):
        bars = None
    if not isinstance(bars, list):
        raise SourceError(f"the answer is not a list of candles: {excerpt(body)!r}")
    absent = [None] * len(bars)
    times = columns.pop("ts")
    names = [*CANDLE_SCHEMA.names()[1:], *extras_in(columns)]
    frame = pl.DataFrame(
        {name: _numbers(columns.get(name, absent)) for name in names},
        schema=dict.fromkeys(names, pl.Float64()),
    )
    return frame.insert_column(0, _iso_times(times) if iso else _epoch_times(times))


def _cells(rows: Sequence[Any], place: int | str) -> list[Any]:
    """One cell of each row, None where a row has none."""
    try:
        return [row[place] for row in rows]
    except LookupError:
        return [_cell(row, place) for row in rows]


def _cell(row: Any, place: int | str) -> Any:  # noqa: ANN401 - JSON
    try:
        return row[place]
    except LookupError:
        return None


def bounded(body: bytes) -> bytes:
    """Give a body of JSON back, unless its values would fill the memory.

    Raises:
        SourceError: There are more of them than in any page.
    """
    # Most bodies are shorter than so many values can be.
    if len(body) > _MOST_VALUES and sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise SourceError(
            f"the answer has more than {_MOST_VALUES:,} values, and no page has so many",
            permanent=True,
        )
    return body


def _decoded(body: bytes) -> Any:  # noqa: ANN401 - JSON
    bounded(body)
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        pass
    try:
        return json.loads(body)  # unlike msgspec, it takes a bare NaN
    except (ValueError, RecursionError) as error:
        raise SourceError(f"the answer is not JSON, or was cut off: {excerpt(body)!r}") from error


def _numbers(cells: Sequence[Any]) -> list[float] | list[float | None]:
    try:
        return [*map(float, cells)]
    except (TypeError, ValueError, OverflowError):
        return [_number(cell) for cell in cells]


def _number(cell: Any) -> float | None:  # noqa: ANN401 - JSON
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return None


def _epoch_times(cells: Sequence[Any]) -> pl.Series:
    counts = pl.Series("ts", [_whole(cell) for cell in cells], dtype=pl.Int64)
    return counts.to_frame().select(epoch_to_us(pl.col("ts"))).to_series()


def _whole(cell: Any) -> int | None:  # noqa: ANN401 - JSON
    try:
        count = int(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return count if abs(count) < 2**63 else None


def _iso_times(cells: Sequence[Any]) -> pl.Series:
    texts = pl.Series(
        "ts", [cell if isinstance(cell, str) else None for cell in cells], dtype=pl.String
    )
    return texts.str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False
    ).cast(TS)
