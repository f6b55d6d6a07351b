"""One bar of the calendar, and which of them an instant belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from market_assets.market.timeframes import Timeframe, Window
from market_assets.store.database import aware

if TYPE_CHECKING:
    from market_assets.market.calendars.sessions import SessionCalendar


@dataclass(frozen=True)
class Bar:
    """One bar of the calendar.

    `ts` is what it is stored by: of a day its session's date, of a week its Monday.
    """

    ts: datetime
    opens_at: datetime
    closes_at: datetime


def bar_holding(calendar: SessionCalendar, timeframe: Timeframe, ts: datetime) -> Bar | None:
    """The bar that is stored by that time, else the one that is open then."""
    bars = calendar.bars(timeframe, window_at(ts))
    if bars.is_empty():
        bars = calendar.bars_touching(timeframe, window_at(ts))
    if bars.is_empty():
        return None
    return Bar(*(aware(instant) for instant in bars.select("ts", "opens_at", "closes_at").row(0)))


def window_at(ts: datetime) -> Window:
    """The window that holds an instant and no other."""
    return Window(ts, ts + timedelta(microseconds=1))
