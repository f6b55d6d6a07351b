"""From when on each source serves a symbol, learned in a fill from what it refuses.

What a horizon is, and how it is searched for: `market_assets/sources/transport/horizon.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from market_assets.errors import SourceError
from market_assets.fill.requests import AnotherWindowError, Question
from market_assets.fill.standing import TRIPPED_AFTER
from market_assets.fill.terms import first_of
from market_assets.market.calendars.bounds import CLOSURE
from market_assets.market.timeframes import Window
from market_assets.sources.transport.horizon import PROBED_BARS, Horizon, served_since, words_of

if TYPE_CHECKING:
    from datetime import datetime

    from market_assets.fill.requests import Reply, Requests
    from market_assets.fill.standing import Key, Standing
    from market_assets.fill.terms import Terms

log = logging.getLogger("market_assets.fill")

_MARGIN = 10
"""How many bars are left out where a vendor's oldest bar has moved on since it was learned."""


class BeyondError(SourceError):
    """The window asked for is older than what the source serves."""


class Horizons:
    """Fetches what sources serve of a window, and learns from when on they serve.

    Args:
        terms: Those of the fill.
        requests: Sends the requests.
        standing: Where a refusal that is no matter of age is counted.
    """

    def __init__(self, terms: Terms, requests: Requests, standing: Standing) -> None:
        self._terms = terms
        self._requests = requests
        self._standing = standing
        self._horizons: dict[Key, asyncio.Task[Horizon | None]] = {}
        self._oldest_served: dict[Key, datetime] = {}
        self._relearned: dict[Key, int] = defaultdict(int)

    def learned(self) -> list[Horizon]:
        """What was learned of since when sources serve."""
        tasks = [
            task
            for task in self._horizons.values()
            if task.done() and not task.cancelled() and not task.exception()
        ]
        return [horizon for task in tasks if (horizon := task.result()) is not None]

    async def of(self, key: Key) -> Horizon | None:
        """Since when a source serves a symbol, as far as it has been learned.

        A task that is learning it is waited for.
        """
        return await self._horizons[key] if key in self._horizons else None

    async def fetch(self, question: Question, window: Window) -> Reply:
        """Fetch a page, or the part of it that the vendor serves.

        Where the vendor refuses what is old, it is learned since when it serves.

        Raises:
            SourceError: There is no answer. A refusal of the window alone costs this page, several
                in a row the symbol.
        """
        key = question.key
        is_new = key not in self._horizons
        horizon = await self.of(key)
        served = window if horizon is None else horizon.part_of(window)
        try:
            if served is None:
                raise BeyondError(str(horizon))
            frame, lost = await self._requests.fetch(
                question, served, unless=lambda: is_new and key in self._horizons
            )
        except AnotherWindowError:
            return await self.fetch(question, window)
        except SourceError as error:
            is_final = self._standing.refusal_of(key) is not None
            if not error.permanent or isinstance(error, BeyondError) or is_final:
                raise

            learnt = await self._after(error, question, window, horizon, served)
            if learnt is None:
                if self._standing.rebuff(key) >= TRIPPED_AFTER:
                    self._standing.refuse(key, error)
                raise

            served = learnt.part_of(window)
            if served is None:
                raise BeyondError(str(learnt)) from error
            frame, lost = await self._requests.fetch(question, served)

        oldest = self._oldest_served.get(key)
        self._oldest_served[key] = served.start if oldest is None else min(oldest, served.start)
        return frame, lost

    async def _after(
        self,
        error: SourceError,
        question: Question,
        window: Window,
        horizon: Horizon | None,
        served: Window | None,
    ) -> Horizon | None:
        """The horizon after a refusal: while a fill goes on it may have moved.

        None where the refusal is no matter of age.
        """
        key = question.key
        if horizon is None or served is None or self._relearned[key] >= TRIPPED_AFTER:
            return await self._learn(question, window, error)

        self._relearned[key] += 1
        later = Horizon(
            horizon.source,
            question.symbol,
            self._terms.timeframe,
            served.start + _MARGIN * self._terms.timeframe.duration,
            self._terms.now,
            horizon.words,
        )
        self._horizons[key] = asyncio.create_task(_given(later))
        return later

    async def _learn(
        self, question: Question, window: Window, error: SourceError
    ) -> Horizon | None:
        """Learn since when a source serves a symbol after it refused a window.

        None where the refusal is no matter of age. It is learned once for all pages of the symbol.
        """
        key = question.key
        if key not in self._horizons:
            self._horizons[key] = asyncio.create_task(self._search(question, window, error))
        return await self._horizons[key]

    async def _search(
        self, question: Question, window: Window, error: SourceError
    ) -> Horizon | None:
        terms, source, symbol = self._terms, question.source, question.symbol
        bar = terms.timeframe.duration
        most = min(PROBED_BARS, source.traits.page_size)

        newest = terms.closed_bars(Window(terms.now - CLOSURE - most * bar, terms.now))
        if newest.is_empty() or (last := first_of(newest.tail(1))) <= window.start:
            return None
        older = self._oldest_served.get(question.key)
        if older is not None and older < window.start:
            return None

        async def is_served(start: datetime) -> bool:
            few = Window(start, min(start + most * bar, max(terms.now, start + bar)))
            try:
                await self._requests.fetch(Question(source, symbol, terms.timeframe), few)
            except SourceError as refusal:
                if not refusal.permanent:
                    raise
                if start == last:
                    self._standing.rebuff(question.key)
                return False
            return True

        try:
            start = await served_since(
                is_served, source, terms.timeframe, refused=window.start, newest=last
            )
        except SourceError as failure:
            log.warning(
                "%s: how far back it serves %s was not learned: %s", source.name, symbol, failure
            )
            return None
        if start is None:
            return None

        horizon = Horizon(source.name, symbol, terms.timeframe, start, terms.now, words_of(error))
        log.info("%s", horizon)
        return horizon


async def _given(horizon: Horizon) -> Horizon:
    return horizon
