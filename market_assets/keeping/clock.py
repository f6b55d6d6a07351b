"""Whether the clock is believed, before anything is removed on its word.

What speaks for a clock is a candle that a source has given lately, or a prune that was lately. A
clock that stands a year ahead has neither: the sources have no candle of the year, and what this
machine stamps by that clock does not count.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from market_assets.errors import ClockError
from market_assets.market.instants import to_minute

if TYPE_CHECKING:
    from datetime import datetime

APART = timedelta(days=3)
"""A clock that is further ahead of all that speaks for it is not believed.

A prune is daily, and nothing is kept for less than seven days.
"""

_AHEAD = timedelta(days=1)
"""A note that is further ahead of the clock was made by another one, that was wrong."""


def check_clock(
    now: datetime, candle: datetime | None, prune: datetime | None, apart: timedelta = APART
) -> None:
    """Make sure that something speaks for the clock.

    Args:
        now: What it shows, aware.
        candle: The open of the newest stored candle; None where there is none.
        prune: When a home was pruned last, or else when its store was written last; None where
            neither ever was.
        apart: How far the clock may be ahead of both.

    Raises:
        ClockError: Nothing does, though there is something that could.
    """
    witnesses = [at for at in (candle, prune) if at is not None and at <= now + _AHEAD]
    if not witnesses or now - max(witnesses) <= apart:
        return
    behind = (now - max(witnesses)).days
    words = "there is no candle"
    if candle is not None:
        words = f"the newest candle is of {to_minute(candle)}"
    raise ClockError(
        f"the clock shows {to_minute(now)}, and all that this home knows is {behind} days older: "
        f"{words}. Nothing was removed. Is the clock wrong? Then set it. If it is right, fill what "
        "is missing (market-assets up does so by itself), or, where nothing new can come, "
        "run market-assets prune --trust-clock."
    )
