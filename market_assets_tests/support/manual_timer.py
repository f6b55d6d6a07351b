"""A timer that stands still until a test moves it: no guard depends on how fast a machine is."""

from __future__ import annotations

import asyncio
import heapq
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2025, 3, 3, 12, tzinfo=UTC)
_ROUNDS = 12
"""Turns of the event loop in which what is on its way between two sockets arrives."""

_STEP = timedelta(seconds=1)
_PATIENCE = 20.0


class ManualTimer:
    """See `market.timer.Timer`."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self._set = timedelta()
        self._order = count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now + self._set

    def seconds(self) -> float:
        return (self._now - START).total_seconds()

    def set(self, change: timedelta) -> None:
        """Set the clock forward or back, as somebody sets that of a machine: no time passes."""
        self._set += change

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due = self._now + timedelta(seconds=seconds)
        heapq.heappush(self._sleepers, (due, next(self._order), waking))
        await waking

    async def advance(self, seconds: float) -> None:
        """Let so many seconds pass: whoever sleeps wakes in order, and what is sent arrives."""
        end = self._now + timedelta(seconds=seconds)
        await settle()
        while self._now < end:
            due = self._sleepers[0][0] if self._sleepers else end
            # Not further at once: somebody may be about to sleep.
            self._now = max(self._now, min(due, end, self._now + _STEP))
            while self._sleepers and self._sleepers[0][0] <= self._now:
                waking = heapq.heappop(self._sleepers)[2]
                if not waking.done():
                    waking.set_result(None)
            await settle()


async def settle() -> None:
    """Let what is on its way arrive."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Turn the event loop until something is so, with the clock standing still."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to be so"
        await asyncio.sleep(0)
