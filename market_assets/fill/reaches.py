"""How far each source reaches for a symbol, looked up once in a fill.

How a file's reach follows from what is in it: `market_assets/sources/files/reach.py`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from market_assets.errors import SourceError
from market_assets.fill.requests import Question
from market_assets.fill.stumble import naming
from market_assets.fill.terms import first_of
from market_assets.market.timeframes import Window
from market_assets.sources.files.reach import Stretch

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.fill.standing import Standing
    from market_assets.fill.terms import Terms
    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.contract import Source


class Reaches:
    """The stretches of time that sources can speak for.

    Args:
        terms: Those of the fill.
        standing: Who is not asked again: a symbol whose reach cannot be told is not.
    """

    def __init__(self, terms: Terms, standing: Standing) -> None:
        self._terms = terms
        self._standing = standing
        self._looks: dict[tuple[str, str], asyncio.Task[list[Stretch] | None]] = {}

    async def of(self, source: Source, symbol: str) -> list[Stretch] | None:
        """The stretches that a source can speak for, sorted; None for all times.

        Raises:
            SourceError: It cannot be told, now or before.
        """
        question = Question(source, symbol, self._terms.timeframe, "how far it reaches")
        key = question.key
        if (refusal := self._standing.refusal_of(key)) is not None:
            raise refusal
        if key not in self._looks:
            # One look for all pages of a symbol: an archive reads its files for it.
            look = asyncio.to_thread(stretches_of, source, symbol, self._terms)
            self._looks[key] = asyncio.create_task(look)
        try:
            with naming(f"{question}"):
                return await self._looks[key]
        except SourceError as error:
            self._standing.refuse(key, error)
            raise


def stretches_of(source: Source, symbol: str, terms: Terms) -> list[Stretch] | None:
    """The stretches that a source can speak for, sorted; None for all times.

    A source that serves only its latest bars can speak for these.
    """
    by_files: Callable[[str, Timeframe], list[Stretch]] | None = getattr(source, "stretches", None)
    if by_files is not None:
        return by_files(symbol, terms.timeframe)
    window = _window_of(source, symbol, terms)
    return None if window is None else [Stretch(window)]


def _window_of(source: Source, symbol: str, terms: Terms) -> Window | None:
    reach = source.answers_for(symbol, terms.timeframe)
    newest = source.traits.latest_only
    if newest is None:
        return reach

    # In six times as long, weeks apart, any market has had so many bars.
    now = terms.now
    around = timedelta(days=7) + 6 * newest * terms.timeframe.duration
    closed = terms.closed_bars(Window(max(now - around, terms.calendar.known.start), now))

    # The bar that is still open is one of them.
    served = closed.tail(max(0, newest - 1))
    if served.is_empty():
        return Window(now, now)
    latest = Window(first_of(served), now)
    return latest if reach is None else reach.intersect(latest) or Window(now, now)
