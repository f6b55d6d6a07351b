"""The sources of one page, in their order: each is asked for what those before it failed to give.

How a request is sent, and how rows are read, are elsewhere in this folder.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from market_assets.errors import SourceError
from market_assets.fill.answers import Answer, Page, left_of
from market_assets.fill.horizons import BeyondError, Horizons
from market_assets.fill.intake import Delivery, take, unexplained
from market_assets.fill.requests import Question
from market_assets.fill.stumble import naming
from market_assets.market.gaps import plan_requests
from market_assets.market.timeframes import Window, micros_of
from market_assets.sources.files.reach import Stretch, merged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from market_assets.config.universe import SourceSymbol
    from market_assets.fill.reaches import Reaches
    from market_assets.fill.terms import Terms
    from market_assets.sources.contract import Source


@dataclass(frozen=True)
class _Turn:
    """A source's turn at a page."""

    source: Source
    reference: SourceSymbol
    reach: Sequence[Stretch] | None
    rank: int
    is_fallback: bool


class Fallback:
    """Asks the sources of pages.

    Args:
        sources: The profile's sources by name.
        terms: Those of the fill.
        horizons: Fetches what a source serves.
        reaches: Which times a source can speak for.
    """

    def __init__(
        self, sources: Mapping[str, Source], terms: Terms, horizons: Horizons, reaches: Reaches
    ) -> None:
        self._sources = sources
        self._terms = terms
        self._horizons = horizons
        self._reaches = reaches

    async def ask(self, page: Page, rank: int) -> Answer:
        """Ask the sources of a page until nothing of it is absent and unexplained.

        Args:
            page: What is asked for.
            rank: Its place among the pages that wait for a source.
        """
        answer, remaining = Answer(page), page.wanted
        for number, reference in enumerate(page.sources):
            source = self._sources[reference.source]
            try:
                reach = await self._reaches.of(source, reference.symbol)
            except SourceError as error:
                answer.note(error)
                continue

            turn = _Turn(source, reference, reach, rank, is_fallback=number > 0)
            remaining = await self._ask_source(answer, turn, remaining)
            if number + 1 < len(page.sources):
                remaining = unexplained(answer, remaining, self._terms.quiet_bars)
            if remaining.is_empty():
                break
        return answer

    async def _ask_source(self, answer: Answer, turn: _Turn, remaining: pl.Series) -> pl.Series:
        """Ask a source for what is absent, and return what is still so."""
        timeframe, traits = self._terms.timeframe, turn.source.traits
        windows = (
            plan_requests(remaining, timeframe, traits.page_size)
            if turn.is_fallback
            else [answer.page.window]
        )
        for window in windows:
            spans = [window] if turn.reach is None else merged(turn.reach, window)
            if not spans:
                continue
            try:
                delivery, spans, lost = await self._fetch(answer, turn, spans)
                question = Question(
                    turn.source, turn.reference.symbol, timeframe, f"{delivery.window}"
                )
                with naming(f"{question}"):
                    remaining = take(
                        answer, delivery, self._terms, remaining, fallback=turn.is_fallback
                    )
                await _testify(answer, turn.reach, delivery.spans, remaining)
            except BeyondError as error:
                answer.limits.add(str(error))
                continue
            except SourceError as error:
                answer.note(error)
                break
            answer.speak(spans, omits_quiet=not traits.emits_empty_bars, lost=lost)
        return remaining

    async def _fetch(
        self, answer: Answer, turn: _Turn, spans: list[Window]
    ) -> tuple[Delivery, list[Window], Sequence[tuple[Window, str]]]:
        """What a source gives for some stretches, those that it serves, and what is lost of it."""
        source, symbol = turn.source, turn.reference.symbol
        window = Window(spans[0].start, spans[-1].end)
        question = Question(source, symbol, self._terms.timeframe, rank=turn.rank)
        rows, lost = await self._horizons.fetch(question, window)

        horizon = await self._horizons.of(question.key)
        if horizon is not None:
            answer.limits |= {str(horizon)} if window.start < horizon.start else set()
            spans = [part for span in spans if (part := horizon.part_of(span)) is not None]
            window = Window(spans[0].start, window.end)
        delivery = Delivery(source.traits, turn.reference, window, left_of(spans, lost), rows)
        return delivery, spans, lost


async def _testify(
    answer: Answer,
    reach: Sequence[Stretch] | None,
    spans: Sequence[Window],
    absent: pl.Series,
) -> None:
    """Record which source lacks bars: files by their hashes.

    A hash is computed only where it matters.
    """
    files = [stretch for stretch in reach or () if stretch.witness is not None]
    if not files:
        answer.fresh += spans
        return
    opens = micros_of(absent)
    for stretch in files:
        for span in spans:
            window = stretch.window.intersect(span)
            if window is None or stretch.witness is None:
                continue
            first, after = np.searchsorted(opens, window.micros)
            if first < after:
                digest = await asyncio.to_thread(stretch.witness)
                answer.files.append((window, digest))
                answer.around += [] if stretch.rows is None else [(stretch.rows, digest)]
