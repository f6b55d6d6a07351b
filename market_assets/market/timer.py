"""Waiting in the time that the clock shows, which may run fast."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from market_assets.market.clock import present, speed

if TYPE_CHECKING:
    from datetime import datetime


class Timer(Protocol):
    """A clock that can be waited on. Both of its halves run at the same speed."""

    def now(self) -> datetime:
        """The present instant, aware UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait until so many of the clock's seconds have passed."""
        ...


class PresentTimer:
    """The timer of `clock.present`: a wait is shorter where the environment's clock runs fast."""

    def now(self) -> datetime:
        """See `Timer.now`."""
        return present()

    async def sleep(self, seconds: float) -> None:
        """See `Timer.sleep`."""
        await asyncio.sleep(max(seconds, 0.0) / speed())
