"""The search for the first bar of one series at one source, by pages.

Which page is asked for next, and in bars of which length: `market_assets/fill/genesis.py`.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import SourceError
from market_assets.fill.answers import Answer, Page
from market_assets.fill.genesis import (
    MOST_LOOKS,
    length_within,
    next_look,
    pages_of,
    top_lengths,
    with_what_was_before,
)
from market_assets.fill.intake import Delivery, take
from market_assets.fill.requests import Question
from market_assets.fill.stumble import naming
from market_assets.fill.terms import first_of
from market_assets.market.timeframes import TS, Window, literal

if TYPE_CHECKING:
    from datetime import datetime

    from market_assets.config.universe import SourceSymbol
    from market_assets.expected.series import Series
    from market_assets.fill.requests import Requests
    from market_assets.fill.standing import Standing
    from market_assets.fill.terms import Terms
    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.contract import Source

_LIES = 3
"""How many empty answers in a row, where there must be a bar, end a search."""

_TICK = timedelta(microseconds=1)


class Search:
    """A search for the first bar of a series at a source, and how many requests it has cost.

    Args:
        source: Who is asked.
        reference: Its name, and its own name for the symbol.
        series: Whose first bar it is.
        terms: Those of the fill.
        requests: Sends the requests.
        standing: Where refusals are counted: several in a row end the questions about a symbol.
    """

    def __init__(
        self,
        source: Source,
        reference: SourceSymbol,
        series: Series,
        *,
        terms: Terms,
        requests: Requests,
        standing: Standing,
    ) -> None:
        self._source = source
        self._reference = reference
        self._series = series
        self._terms = terms
        self._calendar = terms.calendar
        self._requests = requests
        self._standing = standing
        self._cost = 0

    async def first(self) -> datetime | None:
        """Search for the first bar.

        A source's longest bars show the whole history with few requests, also of a symbol that was
        away for years or is seldom traded; shorter ones then show when the first of them began.

        Returns:
            The open of the first bar; None where the source has none, the start of the series where
            it has had bars since.

        Raises:
            SourceError: The source fails, or it is not sure that the oldest bar found is the first.
        """
        start, timeframe = self._series.window.start, self._terms.timeframe
        traits = self._source.traits
        timeframes = traits.timeframes_for(self._terms.kind)

        for length in top_lengths(timeframe, timeframes):
            whole = with_what_was_before(self._calendar, length, self._series.window)
            first = await self._oldest_in(length, whole)
            if first is not None:
                break
        else:
            return None

        while True:
            bar = self._bar_at(length, first)
            if bar.end <= start:
                return start
            if length is timeframe:
                break
            # The bar before may hold what the vendor counts to this one.
            around = Window(
                max(bar.start - length.duration, self._calendar.known.start),
                min(bar.end, self._terms.now),
            )
            shorter = [candidate for candidate in timeframes if candidate.micros < length.micros]
            length = length_within(timeframe, shorter, self._calendar, around, traits.page_size)
            first = await self._certain_in(length, around)

        grid = self._calendar.bars(timeframe, Window(start, max(first, start) + _TICK))
        return start if grid.is_empty() or first <= first_of(grid["ts"]) else first

    def _unsure(self, why: str) -> SourceError:
        """The error where nothing may be recorded."""
        return SourceError(
            f"source {self._source.name}: {self._reference.symbol} {self._series.window}: {why}; "
            "every bar since the start is asked for. "
            "Give the symbol its start in the universe to spare that"
        )

    async def _certain_in(self, length: Timeframe, span: Window) -> datetime:
        """The open of the oldest bar in a span that holds one according to longer bars."""
        touching = self._calendar.bars_touching(length, span)["ts"]
        if not touching.is_empty():
            window = Window(first_of(touching), first_of(touching.tail(1)) + length.duration)
            for _ in range(_LIES):
                first = await self._oldest_in(length, window)
                if first is not None:
                    return first
        raise self._unsure(
            f"its longer bars tell of trading in {span}, and its {length} bars do not"
        )

    async def _oldest_in(self, length: Timeframe, window: Window) -> datetime | None:
        """The open of the oldest bar of a length in a window of any size.

        None where the source has none there.

        Raises:
            SourceError: The source fails, or there may be an older one.
        """
        pages = pages_of(self._calendar, length, window, self._source.traits.page_size)
        looks: dict[int, list[bool]] = defaultdict(list)
        firsts: dict[int, datetime] = {}
        while (look := next_look(len(pages), looks, MOST_LOOKS - self._cost)).page is not None:
            self._cost += 1
            first = await self._oldest(pages[look.page], length)
            looks[look.page].append(first is not None)
            if first is not None:
                firsts[look.page] = first
        if firsts and not look.is_sure:
            raise self._unsure(
                f"its first {length} bar was not found for sure with {self._cost} requests"
            )
        return min(firsts.values(), default=None)

    async def _oldest(self, window: Window, length: Timeframe) -> datetime | None:
        """The open of the first bar that the source has in a window of one page.

        Of the fill's own length, only a bar that could be stored counts. None where there is none.
        """
        if length is self._terms.timeframe:
            return await self._oldest_storable(window)

        rows = await self._fetch(window, length)
        symbol = self._reference.symbol
        with naming(f"{Question(self._source, symbol, self._terms.timeframe, f'{window}')}"):
            rows = rows.filter(window.holds())
            if "symbol" in rows.columns:
                rows = rows.filter(pl.col("symbol").is_null() | (pl.col("symbol") == symbol))
            return None if rows.is_empty() else first_of(rows["ts"].cast(TS).sort())

    async def _oldest_storable(self, window: Window) -> datetime | None:
        bars = self._calendar.bars(self._terms.timeframe, window)
        is_closed = pl.col("closes_at") <= literal(self._terms.now)
        closed, unfinished = bars.filter(is_closed).select("ts"), bars.filter(~is_closed)["ts"]
        if closed.is_empty():
            return None

        page = Page(
            self._series.symbol,
            (self._reference,),
            window,
            wanted=closed["ts"],
            bars=closed,
            unfinished=unfinished,
        )
        answer = Answer(page)
        rows = await self._fetch(window, self._terms.timeframe)
        delivery = Delivery(self._source.traits, self._reference, window, (window,), rows)
        take(answer, delivery, self._terms, closed["ts"], fallback=False)
        return first_of(answer.candles[0][1]["ts"]) if answer.candles else None

    async def _fetch(self, window: Window, length: Timeframe) -> pl.DataFrame:
        """Fetch a page, and count a refusal."""
        question = Question(self._source, self._reference.symbol, length)
        try:
            rows, _ = await self._requests.fetch(question, window)
        except SourceError as error:
            if error.permanent:
                self._standing.rebuff(question.key)
            raise
        return rows

    def _bar_at(self, length: Timeframe, ts: datetime) -> Window:
        """From when to when the bar is open to which the source gave a time."""
        at = Window(ts, ts + _TICK)
        bars = self._calendar.bars(length, at)
        bars = bars if not bars.is_empty() else self._calendar.bars_touching(length, at)
        return (
            Window(ts, ts + length.duration)
            if bars.is_empty()
            else Window.spanning(bars["opens_at"], bars["closes_at"])
        )
