"""What the sources that want a key have in common.

A plan that does not reach everywhere, days of a zone, answers that name a symbol.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import SecretStr

from market_assets.errors import SourceError
from market_assets.market.calendars.bounds import CLOSURE
from market_assets.market.clock import present
from market_assets.market.timeframes import (
    EPOCH,
    TS,
    Timeframe,
    Window,
    from_micros,
    midnight,
    to_micros,
)
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets.sources.transport.http import HttpSettings
from market_assets.sources.transport.rest import PagedSource
from market_assets.words import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date
    from pathlib import Path

S = TypeVar("S", bound=HttpSettings)

Request = tuple[str, dict[str, str | int]]
"""Path and query."""

_MOST_PAGES = 100
_LONGEST_CURSOR = 4000  # a URL has no room for more
_DAY = timedelta(days=1)
_NEW_YORK = ZoneInfo("America/New_York")


@dataclass(frozen=True)
class Days:
    """How a vendor cuts its daily bars, and which instant it stamps them with.

    Attributes:
        zone: Whose clock it goes by.
        start: Where the bar of a date opens, counted from the date's midnight on that clock.
        close: Where its session is over.
    """

    zone: ZoneInfo
    start: timedelta
    close: timedelta

    def opens(self, day: date) -> datetime:
        """The instant, in UTC, that stamps the bar of a date."""
        # The clock's hands are moved, not the instant: such a day can have 23 hours.
        return (datetime.combine(day, time(), self.zone) + self.start).astimezone(UTC)

    def dates(self, stamps: pl.Series) -> pl.Series:
        """Turn stamps (TS) into what the package's 1d bars bear: the date at 00:00.

        An odd time of day stays as odd.
        """
        local = (
            stamps.dt.replace_time_zone("UTC")
            .dt.convert_time_zone(self.zone.key)
            .dt.replace_time_zone(None)
        )
        return (local - self.start).cast(TS)

    def first_open(self, window: Window, timeframe: Timeframe) -> datetime:
        """The first instant of a window at which a bar of less than a day can open.

        A start that lies inside a bar would be rounded down to its open by the vendors.
        """
        start, _ = window.micros
        # Clocks change while the market is closed: the next date's open is on the same grid.
        phase = to_micros(self.opens(window.start.date() + _DAY)) % timeframe.micros
        return from_micros(-((phase - start) // timeframe.micros) * timeframe.micros + phase)

    def over(self, now: datetime) -> date:
        """The last date whose session is over."""
        return (now.astimezone(self.zone).replace(tzinfo=None) - self.close).date()


STOCK_DAYS = Days(_NEW_YORK, start=timedelta(), close=timedelta(hours=16))
"""Stamped with midnight in New York, over when the exchanges close."""

FOREX_DAYS = Days(_NEW_YORK, start=-timedelta(hours=7), close=timedelta(hours=17))
"""From 17:00 to 17:00 in New York, stamped with their open, which lies on the date before."""

UTC_DAYS = Days(ZoneInfo("UTC"), start=timedelta(), close=_DAY)


def dates_in(window: Window) -> tuple[date, date]:
    """The first and the last date whose 00:00 UTC lies in a window.

    The last lies before the first where there is none.
    """
    first, after = (-(-bound // Timeframe.D1.micros) for bound in window.micros)
    return (EPOCH + first * _DAY).date(), (EPOCH + (after - 1) * _DAY).date()


@dataclass(frozen=True)
class Answer:
    """What one answer of a vendor says.

    Attributes:
        candles: Frame of CANDLE_SCHEMA; ts as the vendor stamps it, in UTC.
        symbols: Whose bars they are, as far as the vendor says it.
        cursor: What to ask with for the rest, None where the vendor names no rest.
    """

    candles: pl.DataFrame
    symbols: frozenset[str] = frozenset()
    cursor: str | None = None


def text_of(value: object) -> str | None:
    """A text that an answer holds; None where it holds none, or something else."""
    return value if isinstance(value, str) and value else None


@dataclass(frozen=True)
class Plan:
    """What a key and its plan are to a vendor.

    Attributes:
        headers: What shows the vendor who asks.
        days: How it cuts its daily bars.
        delay: For how long the plan holds a bar back.
        history: How far back the plan reaches; None where it holds nothing back.
    """

    headers: Mapping[str, SecretStr]
    days: Days
    delay: timedelta = timedelta()
    history: timedelta | None = None


def bearer(key: SecretStr) -> dict[str, SecretStr]:
    """The header of a vendor that wants the key as a bearer token."""
    return {"Authorization": SecretStr(f"Bearer {key.get_secret_value()}")}


class KeyedSource(PagedSource, Generic[S]):
    """A source that sends a key with each request, and whose plan may hold back bars.

    The plan may hold back the newest bars and the oldest. Where the vendor says that there is more,
    the rest is asked for with its cursor; what is missing in spite of that, as `PagedSource` does.

    Attributes:
        withheld: Words in the refusal of what the plan holds back; no other window, and no other
            day, is refused for it.

    Args:
        name: The source's name in the universe.
        settings: Its settings; secrets in them are shown nowhere.
        base: The universe file's folder.
        kind: The kind of the profile, in lower case.
        clock: Gives the present instant.
    """

    withheld: ClassVar[str] = ""

    def __init__(
        self,
        name: str,
        settings: S,
        *,
        base: Path,
        kind: str,
        clock: Callable[[], datetime] = present,
    ) -> None:
        plan = self.plan(settings, kind)
        signed = settings.model_copy(update={"headers": {**settings.headers, **plan.headers}})
        super().__init__(name, signed, base=base, kind=kind)
        self._settings = settings
        self._kind = kind
        self._days = plan.days
        self._delay = plan.delay
        self._history = plan.history
        self._clock = clock

    @abstractmethod
    def plan(self, settings: S, kind: str) -> Plan:
        """Say what the settings' key and plan are to the vendor, for a kind of profile."""

    @abstractmethod
    def read(self, body: bytes) -> Answer:
        """Understand an answer.

        Raises:
            SourceError: It holds no rows: an error in words, HTML, JSON that was cut off.
        """

    @abstractmethod
    def following(self, request: Request, cursor: str) -> Request:
        """Give the request for the rest of what a request was answered with in part."""

    def parse(self, body: bytes) -> pl.DataFrame:
        """See `PagedSource.parse`."""
        return self.read(body).candles

    async def page(self, symbol: str, timeframe: Timeframe, window: Window) -> pl.DataFrame:
        """See `PagedSource.page`."""
        daily = timeframe is Timeframe.D1
        first = midnight(dates_in(window)[0]) if daily else self._days.first_open(window, timeframe)
        if first >= window.end:
            return CANDLE_SCHEMA.to_frame()
        about = f"{symbol} {timeframe} {window}"
        request = self.request(symbol, timeframe, window)
        answer = await self.ask(symbol, request, about)
        parts, last = [answer.candles], _last(answer.candles)
        while answer.cursor is not None:
            if len(parts) == _MOST_PAGES or len(answer.cursor) > _LONGEST_CURSOR:
                strange = (
                    f"one more is named, after {len(parts)} pages, "
                    f"with {len(answer.cursor):,} letters"
                )
                raise SourceError(f"source {self.name}: {about}: the pages do not end: {strange}")
            request = self.following(request, answer.cursor)
            answer = await self.ask(symbol, request, about)
            parts.append(answer.candles)
            if len(answer.candles) and _last(answer.candles) <= last:
                raise SourceError(
                    f"source {self.name}: {about}: the pages do not move forward: "
                    f"page {len(parts)} ends no later than the one before"
                )
            last = max(last, _last(answer.candles))
        page = pl.concat(parts, how="diagonal")
        return page.with_columns(ts=self._days.dates(page["ts"])) if daily else page

    async def ask(self, symbol: str, request: Request, about: str) -> Answer:
        """Send one request.

        Raises:
            SourceError: There is no answer, or it is about another symbol.
        """
        path, params = request
        try:
            answer = await self._http.get(path, params, about=about, parse=self.read)
        except SourceError as error:
            if self.withheld and self.withheld in str(error):
                advice = (
                    "tell the source's settings what the plan has (`delay` and the like), "
                    "so that it is not asked for more"
                )
                raise SourceError(f"{error}; {advice}") from error
            if not error.of_machine and re.search(r": HTTP 40[13]\b", str(error)):
                raise SourceError(
                    f"{error}; see whether the source's key is right and allows this",
                    permanent=True,
                ) from error
            raise
        if strange := answer.symbols - {symbol}:
            raise SourceError(
                f"source {self.name}: {about}: "
                f"the answer is about {self._http.blot(listed(sorted(strange)))}; "
                "see how the vendor writes the symbol"
            )
        return answer

    async def first(self, symbol: str, request: Request, timeframe: Timeframe) -> datetime | None:
        """The open of the oldest bar in the answer to one request for a first bar.

        None where there is none, and where it lies so near to the beginning of what the plan
        reaches that it is nobody's first bar.
        """
        answer = await self.ask(symbol, request, f"{symbol} {timeframe} first bar")
        stamps = answer.candles["ts"].drop_nulls()
        if stamps.is_empty():
            return None
        if timeframe is Timeframe.D1:
            stamps = self._days.dates(stamps)
        oldest = int(stamps.to_physical().to_numpy().min())
        stamp = from_micros(oldest // timeframe.micros * timeframe.micros)
        return None if self._since is not None and stamp < self._since + CLOSURE else stamp

    # The protocol's arguments.
    def answers_for(self, symbol: str, timeframe: Timeframe) -> Window | None:  # noqa: ARG002
        """Speak for what the plan reaches: see `Source.answers_for`."""
        if not self._delay and self._history is None:
            return None
        latest_instant = self._clock() - self._delay
        if timeframe is Timeframe.D1:
            end = midnight(self._days.over(latest_instant) + _DAY)
        else:
            # A bar that closes later is unfinished for a vendor who is late.
            end = from_micros(to_micros(latest_instant) // timeframe.micros * timeframe.micros)
        return Window(min(self._since or EPOCH, end), end)

    @property
    def _since(self) -> datetime | None:
        return (
            None
            if self._history is None
            else midnight((self._clock() - self._history).date() + _DAY)
        )


def _last(candles: pl.DataFrame) -> int:
    stamps = candles["ts"].drop_nulls().to_physical().to_numpy()
    return int(stamps.max()) if len(stamps) else -(2**63)
