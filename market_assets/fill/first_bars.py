"""The first bar of each series: the oldest that any of its sources names, reaches or shows."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from market_assets.errors import SourceError
from market_assets.fill.requests import Question
from market_assets.fill.search import Search

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from market_assets.config.universe import SourceSymbol
    from market_assets.expected.series import Series
    from market_assets.fill.reaches import Reaches
    from market_assets.fill.requests import Requests
    from market_assets.fill.standing import Standing
    from market_assets.fill.terms import Terms
    from market_assets.sources.contract import Source

log = logging.getLogger("market_assets.fill")


class FirstBars:
    """Asks sources for the first bars of series.

    Args:
        sources: The profile's sources by name.
        terms: Those of the fill.
        requests: Sends the requests.
        standing: Who is not asked again.
        reaches: Which times a source can speak for.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        terms: Terms,
        requests: Requests,
        standing: Standing,
        reaches: Reaches,
    ) -> None:
        self._sources = sources
        self._terms = terms
        self._requests = requests
        self._standing = standing
        self._reaches = reaches

    async def of(self, series: Sequence[Series]) -> dict[str, tuple[datetime, str]]:
        """The open of each symbol's oldest bar, with the source that has it.

        A symbol is left out that no source can name it of, and where a source should be asked
        again.
        """
        results = await asyncio.gather(*(self._first(symbol_series) for symbol_series in series))
        return {
            symbol_series.symbol: result
            for symbol_series, result in zip(series, results, strict=True)
            if result is not None
        }

    async def _first(self, series: Series) -> tuple[datetime, str] | None:
        named: list[tuple[datetime, str]] = []
        reached: list[tuple[datetime, str]] = []
        for reference in series.sources:
            source = self._sources[reference.source]
            if source.traits.latest_only is not None:
                continue
            try:
                if source.traits.earliest_probe:
                    first = await self._probe(source, reference)
                elif (reach := await self._reaches.of(source, reference.symbol)) is not None:
                    reached += [
                        (stretch.window.start, reference.source)
                        for stretch in reach[:1]
                        if not stretch.window.empty
                    ]
                    continue
                else:
                    first = await self._search(source, reference, series)
            except SourceError as error:
                # The fill meets the same error, and reports it for its partitions.
                log.warning(
                    "%s could not name the first bar of %s: %s",
                    source.name,
                    reference.symbol,
                    error,
                )
                if not error.permanent:
                    return None
            else:
                named += [] if first is None else [(first, reference.source)]
        if not named:
            return None

        # A reach, told in whole hours, names no first bar; but where it goes back behind one,
        # that is not the first.
        hour = min(named)[0].replace(minute=0, second=0, microsecond=0)
        return min([*named, *(candidate for candidate in reached if candidate[0] < hour)])

    async def _probe(self, source: Source, reference: SourceSymbol) -> datetime | None:
        timeframe = self._terms.timeframe
        question = Question(source, reference.symbol, timeframe, "first bar", probe=True)
        request = partial(source.earliest, reference.symbol, timeframe)
        return await self._requests.send(question, request)

    async def _search(
        self, source: Source, reference: SourceSymbol, series: Series
    ) -> datetime | None:
        search = Search(
            source,
            reference,
            series,
            terms=self._terms,
            requests=self._requests,
            standing=self._standing,
        )
        return await search.first()
