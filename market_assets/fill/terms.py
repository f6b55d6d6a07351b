"""What all pages of a fill have in common: which bars there can be, and what a price may be.

Pure. Neither a source nor an answer belongs here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import Timeframe, Window, from_micros, literal, micros_of

if TYPE_CHECKING:
    from datetime import datetime

    from market_assets.config.kinds import PriceRules
    from market_assets.expected.scope import Scope
    from market_assets.market.calendars.sessions import SessionCalendar


@dataclass(frozen=True)
class Terms:
    """The terms on which the pages of a fill are asked for and read.

    Attributes:
        timeframe: The candles' timeframe.
        calendar: Says which bars there can be, for what no plan has listed.
        now: The instant up to which bars have closed.
        rules: What prices and volumes may be.
        jitter: The share of the timeframe within which a time is moved onto the grid.
        quiet_bars: The longest silence that a source which leaves quiet bars out explains by
            itself.
        kind: The kind of the profile, in lower case: which timeframes a source has for it.
    """

    timeframe: Timeframe
    calendar: SessionCalendar
    now: datetime
    rules: PriceRules
    jitter: float
    quiet_bars: int
    kind: str = ""

    def closed_bars(self, window: Window) -> pl.Series:
        """The opens of the bars in a window that have closed, ascending."""
        bars = self.calendar.bars(self.timeframe, window)
        return bars.filter(pl.col("closes_at") <= literal(self.now))["ts"]


def terms_of(scope: Scope) -> Terms:
    """The terms of a fill of a scope's candles."""
    profile = scope.profile
    return Terms(
        scope.timeframe,
        scope.calendar,
        scope.now,
        rules=profile.prices,
        jitter=profile.checks.jitter,
        quiet_bars=profile.evidence.quiet_bars(scope.timeframe),
        kind=profile.kind.value.lower(),
    )


def first_of(opens: pl.Series) -> datetime:
    """The first of some instants, which are not none."""
    return from_micros(int(micros_of(opens)[0]))
