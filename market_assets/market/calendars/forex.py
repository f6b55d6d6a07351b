"""The hours of spot currencies, as a calendar on exchange_calendars' base.

There is no exchange: hours are those in which banks and brokers quote. The rules below were read
off real EURUSD and GBPUSD candles of OANDA (hours 2012 to 2018, days 2007 to 2018), of FXCM (days
2007 to 2018) and of a third broker (hours over Christmas 2017), and off brokers' published holiday
hours.

- 354 of 365 weekends of OANDA's hours begin after Friday 16:00 and end with Sunday 17:00 New York,
  in summer and winter.
- 25 December and 1 January: no candle between 17:00 on the day before and 17:00 on the day, in any
  year on record from 2010. (OANDA's days of 2007 to 2009 do have a thin bar on Christmas Day;
  FXCM's never have one.) The third broker reopened at 17:00 on 25 December 2017 and 1 January 2018
  on the minute, where OANDA's files begin at 19:00: that is a hole in the files, and so are the
  longer ones of 2012 and of 26 December 2018.
- 24 and 31 December: OANDA stopped at 14:00 from 2012 to 2015 and on 30 December 2016, and at 17:00
  in 2017 and 2018; brokers announced ordinary hours for 2020 and 2023. No rule reaches beyond the
  years seen.
- Christmas or New Year on a Sunday: the session that would have begun that evening was held at the
  turn of 2011, and not at the turn of 2016. For 2022 brokers differ. A session that is held and
  missing here would lose real candles; one that is here and was not held is explained by the
  source's own answer. So only what was seen is closed.
"""

from __future__ import annotations

from datetime import time
from zoneinfo import ZoneInfo

import pandas as pd
from exchange_calendars import ExchangeCalendar
from exchange_calendars.common_holidays import christmas, new_years_day
from exchange_calendars.exchange_calendar import HolidayCalendar

_FIVE_PM = time(17)

_CLOSED_AT_TWO = [
    *(f"{year}-12-{day}" for year in (2012, 2013, 2014, 2015) for day in (24, 31)),
    "2016-12-30",
]

_CLOSED_AFTER_SUNDAY_HOLIDAY = ["2016-12-26", "2017-01-02"]


class ForexCalendar(ExchangeCalendar):  # type: ignore[misc]  # the library ships no types
    """Monday to Friday: the session of a day ends at 17:00 New York time.

    It begins at 17:00 on the day before.
    """

    name = "FOREX"
    tz = ZoneInfo("America/New_York")
    open_times = ((None, _FIVE_PM),)
    close_times = ((None, _FIVE_PM),)
    open_offset = -1

    @property
    def regular_holidays(self) -> HolidayCalendar:
        """Christmas Day and New Year's Day, on the day itself."""
        return HolidayCalendar([christmas(), new_years_day()])

    @property
    def adhoc_holidays(self) -> list[pd.Timestamp]:
        """The Mondays after a holiday on a Sunday that were seen to be closed."""
        return [pd.Timestamp(day) for day in _CLOSED_AFTER_SUNDAY_HOLIDAY]

    @property
    def special_closes_adhoc(self) -> list[tuple[time, pd.DatetimeIndex]]:
        """The days that were seen to end at 14:00 New York time."""
        return [(time(14), pd.DatetimeIndex(_CLOSED_AT_TWO))]
