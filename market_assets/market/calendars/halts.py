"""Stretches in which a whole market stood still although its session was on."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from market_assets.market.timeframes import Window

_NEW_YORK = ZoneInfo("America/New_York")

_US_EQUITIES = frozenset({"XNYS", "NYSE", "IEX"})
"""The libraries' names of the stock exchanges that a market-wide circuit breaker stops."""

_STOPPED_TOO = frozenset({"CME Globex Equities", "CME_Equity"})
"""The futures on their indices, which the CME halts with them."""

_CIRCUIT_BREAKERS = tuple(
    Window(start, start + timedelta(minutes=15))
    for start in (
        datetime(2020, 3, 9, 9, 34, 13, tzinfo=_NEW_YORK),
        datetime(2020, 3, 12, 9, 35, 44, tzinfo=_NEW_YORK),
        datetime(2020, 3, 16, 9, 30, 1, tzinfo=_NEW_YORK),
        datetime(2020, 3, 18, 12, 56, 17, tzinfo=_NEW_YORK),
    )
)
"""The level 1 halts of US equities since the breakers were set at 7 % in 2013.

NYSE Rule 7.12: fifteen minutes each.
"""


def halts_of(calendar: str) -> tuple[Window, ...]:
    """The halts of a calendar, by the name that its library gives it."""
    return _CIRCUIT_BREAKERS if calendar in _US_EQUITIES | _STOPPED_TOO else ()
