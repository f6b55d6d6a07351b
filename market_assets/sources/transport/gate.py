"""Turns at a source: how many requests go at once, and which of those that wait is next."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

FIRST = -1
"""The rank of a question that comes before any page."""


class Gate:
    """Lets a number of requests to a source go at once; the page of the lowest rank is next.

    In the order of arrival one symbol would get all of its pages before another gets its first: a
    page comes here when its source has looked how far it reaches, symbol by symbol.

    Args:
        size: Gives how many may go at once; asked whenever one has gone or comes.

    Attributes:
        busy: How many have their turn.
    """

    def __init__(self, size: Callable[[], int]) -> None:
        self.busy = 0
        self._size = size
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @asynccontextmanager
    async def turn(self, rank: int = FIRST) -> AsyncIterator[None]:
        """Wait for a turn; the lowest rank of those that wait is next."""
        if self.busy < self._size():
            self.busy += 1
        else:
            granted = asyncio.get_running_loop().create_future()
            heappush(self._waiting, (rank, next(self._arrivals), granted))
            try:
                await granted
            except asyncio.CancelledError:
                if not granted.cancelled():
                    self._pass_on()
                raise
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        self.busy -= 1
        while self._waiting and self.busy < self._size():
            *_, granted = heappop(self._waiting)
            if not granted.done():
                granted.set_result(None)
                self.busy += 1
