"""The hours of a market before any bar is computed from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl

from market_assets.market.timeframes import TS, Window

if TYPE_CHECKING:
    from market_assets.market.calendars.changes import Change

FIRST_DAY = date(1970, 1, 5)
"""The first day that calendars know, a Monday.

It is later for the few that exchange_calendars itself begins later.
"""

_LAST_DAY_OF_ALWAYS = date(2100, 1, 4)


@dataclass(frozen=True)
class Schedule:
    """The hours of one market.

    Attributes:
        zone: The exchange's own time zone.
        spans: session (Date), open (TS), close (TS): unbroken stretches of trading, sorted, none
            overlapping another.
        known: The stretch for which the spans are complete, from a Monday to a Monday.
        halts: Stretches in which the whole market stood still although its session was on.
        changes: What of this differs from the libraries, and why.
        uncorrected: The spans without these changes; None where there are none.
        calendar: The name that its library gives the calendar; empty where it is of none.
    """

    zone: ZoneInfo
    spans: pl.DataFrame
    known: Window
    halts: tuple[Window, ...] = ()
    changes: tuple[Change, ...] = ()
    uncorrected: pl.DataFrame | None = None
    calendar: str = ""


def always_open() -> Schedule:
    """Every instant; each UTC day is a session."""
    days = pl.date_range(FIRST_DAY, _LAST_DAY_OF_ALWAYS, closed="left", eager=True)
    midnights = days.cast(TS)
    spans = pl.DataFrame(
        {"session": days, "open": midnights, "close": midnights.dt.offset_by("1d")}
    )
    return Schedule(ZoneInfo("UTC"), spans, Window.of_days(FIRST_DAY, _LAST_DAY_OF_ALWAYS))
