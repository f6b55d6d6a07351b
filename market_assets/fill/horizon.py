"""How far back a vendor serves that refuses what is older: learned from its refusals, from the newest bars back. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market_time.timeframes import TS, from_micros, to_micros

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime, timedelta

    from market_assets.market_time.timeframes import Timeframe


HORIZON_SCHEMA = pl.Schema(
    {
        "source": pl.String(),
        "symbol": pl.String(),
        "timeframe": pl.String(),
        "start_ts": TS,
        "bars": pl.Int64(),
        "words": pl.String(),
        "learned_at": TS,
    }
)
"""Columns of `ops.horizons` without the profile."""


@dataclass(frozen=True)
class Horizon:
    """From when on a source serves a symbol.

    Attributes:
        source: The source's name.
        symbol: The source's own name for the symbol.
        timeframe: The bars' length.
        start: The open of about the oldest bar that it serves.
        learned_at: When that was so.
        words: The refusal of what is older.
    """

    source: str
    symbol: str
    timeframe: Timeframe
    start: datetime
    learned_at: datetime
    words: str

    @property
    def bars(self) -> int:
        """How many bars of its length lie between it and the instant at which it was learned, were the market always open."""
        return max(0, (self.learned_at - self.start) // self.timeframe.duration)

    def __str__(self) -> str:
        return (
            f"source {self.source} serves {self.symbol} {self.timeframe} from about {self.start:%Y-%m-%d %H:%M}Z on and refuses what is "
            f"older ({self.words})"
        )


async def oldest_served(
    is_served: Callable[[datetime], Awaitable[bool]], *, refused: datetime, served: datetime, step: timedelta
) -> datetime:
    """Find by halving from when on a vendor serves.

    Args:
        is_served: Asks for the bars from an instant on.
        refused: An instant from which on it refuses.
        served: A later one from which on it serves.
        step: How near to the true one is near enough; instants are whole multiples of it from `refused` on.

    Returns:
        The oldest instant, by whole steps, from which on it has served.
    """
    origin, length = to_micros(refused), to_micros(refused + step) - to_micros(refused)
    low, high = 0, -(-(to_micros(served) - origin) // length)
    while high - low > 1:
        middle = (low + high) // 2
        if await is_served(from_micros(origin + middle * length)):
            high = middle
        else:
            low = middle
    return from_micros(origin + high * length)
