"""How far back a vendor serves that refuses what is older. Pure.

It is learned from the refusals, from the newest bars back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import SourceError
from market_assets.market.instants import to_minute
from market_assets.market.timeframes import TS, Window, from_micros, to_micros

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.contract import Source

PROBED_BARS = 10
"""How many bars are asked for to learn from when on a vendor serves."""

_PRECISION = 100
"""The horizon is learned to this part of a page."""

_A_YEAR = timedelta(days=365)
_MANY_BARS = 3_000


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
        """How many of its bars lie between its start and the instant at which it was learned.

        They are counted as if the market were always open.
        """
        return max(0, (self.learned_at - self.start) // self.timeframe.duration)

    def part_of(self, window: Window) -> Window | None:
        """The part of a window that the source serves; None where that is nothing."""
        return window.intersect(Window(min(self.start, window.end), window.end))

    def __str__(self) -> str:
        return (
            f"source {self.source} serves {self.symbol} {self.timeframe} "
            f"from about {to_minute(self.start)} on "
            f"and refuses what is older ({self.words})"
        )


async def oldest_served(
    is_served: Callable[[datetime], Awaitable[bool]],
    *,
    refused: datetime,
    served: datetime,
    step: timedelta,
) -> datetime:
    """Find by halving from when on a vendor serves.

    Args:
        is_served: Asks for the bars from an instant on.
        refused: An instant from which on it refuses.
        served: A later one from which on it serves.
        step: How near to the true one is near enough; instants are whole multiples of it from
            `refused` on.

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


def words_of(error: SourceError) -> str:
    """A refusal without what was asked for, because that differs from page to page."""
    _, _, words = str(error).rpartition(" UTC: ")
    return words


async def served_since(
    is_served: Callable[[datetime], Awaitable[bool]],
    source: Source,
    timeframe: Timeframe,
    *,
    refused: datetime,
    newest: datetime,
) -> datetime | None:
    """Learn from when on a source serves that has refused a window.

    Args:
        is_served: Asks for a few bars from an instant on.
        source: Whose pages are how long.
        timeframe: The bars' length.
        refused: Where the refused window began.
        newest: The open of the newest closed bar.

    Returns:
        The oldest instant from which on it has served; None where the refusal was no matter of age.

    Raises:
        SourceError: The source fails meanwhile.
    """
    page, bar = source.traits.page_size, timeframe.duration
    if newest <= refused or not await is_served(newest):
        return None
    if await is_served(refused - page * bar):
        # What is older is served: this one window is odd.
        return None
    return await oldest_served(
        is_served, refused=refused, served=newest, step=bar * max(1, page // _PRECISION)
    )


async def probed_horizon(
    source: Source, symbol: str, timeframe: Timeframe, *, newest: datetime, now: datetime
) -> Horizon | None:
    """Learn whether a source refuses what is old, with one request where it does not.

    Args:
        source: Entered.
        symbol: The source's own name for the instrument.
        timeframe: One of its timeframes.
        newest: The open of a bar that it has.
        now: The present instant.

    Returns:
        The horizon; None where the source serves what is old, or refuses for another reason.

    Raises:
        SourceError: The source fails meanwhile.
    """
    refusals: list[SourceError] = []

    async def is_served(start: datetime) -> bool:
        window = Window(
            start,
            max(start + timeframe.duration, min(start + PROBED_BARS * timeframe.duration, now)),
        )
        try:
            await source.fetch(symbol, timeframe, window.start, window.end)
        except SourceError as refusal:
            if not refusal.permanent:
                raise
            refusals.append(refusal)
            return False
        return True

    long_ago = newest - max(_A_YEAR, _MANY_BARS * timeframe.duration)
    if await is_served(long_ago):
        return None
    start = await served_since(is_served, source, timeframe, refused=long_ago, newest=newest)
    return (
        None
        if start is None
        else Horizon(source.name, symbol, timeframe, start, now, words_of(refusals[0]))
    )
