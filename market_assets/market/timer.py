"""Waiting in the time that the clock shows, which may run fast."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from market_assets.market.clock import elapsed, present, speed

if TYPE_CHECKING:
    from datetime import datetime


class Timer(Protocol):
    """A clock that can be waited on. All of its parts run at the same speed.

    What happens at an instant goes by `now`, and how long ago something was by `seconds`: a clock
    that is set back makes no wait longer.
    """

    def now(self) -> datetime:
        """The present instant, aware UTC."""
        ...

    def seconds(self) -> float:
        """Seconds since some instant, which never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait until so many of the clock's seconds have passed."""
        ...


class PresentTimer:
    """The timer of `clock.present`: a wait is shorter where the environment's clock runs fast."""

    def now(self) -> datetime:
        """See `Timer.now`."""
        return present()

    def seconds(self) -> float:
        """See `Timer.seconds`."""
        return elapsed()

    async def sleep(self, seconds: float) -> None:
        """See `Timer.sleep`."""
        await asyncio.sleep(max(seconds, 0.0) / speed())
