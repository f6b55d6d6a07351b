"""The hours that exchange_calendars and pandas_market_calendars keep, as schedules.

Importing this module imports both libraries and pandas; `sessions.py` does so when the first
calendar needs them.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import exchange_calendars
import pandas as pd
import pandas_market_calendars
import polars as pl
from exchange_calendars import ExchangeCalendar
from exchange_calendars.exchange_calendar import GLOBAL_DEFAULT_END

from market_assets.errors import CalendarError
from market_assets.market.calendars import cme
from market_assets.market.calendars.changes import changed
from market_assets.market.calendars.corrections import CORRECTIONS
from market_assets.market.calendars.forex import ForexCalendar
from market_assets.market.calendars.halts import halts_of
from market_assets.market.calendars.schedules import FIRST_DAY, Schedule
from market_assets.market.timeframes import TS, Window

FOREX_NAMES = frozenset({"FOREX", "FX", "Forex"})
"""Names of a currency calendar in pandas_market_calendars that trades on Saturday night.

The calendar of `forex.py` takes its place.
"""

_MEANT = {"NYMEX": "CMEGlobex_EnergyAndMetals", "COMEX": "CMEGlobex_EnergyAndMetals"}
"""The calendars that are meant by two names: what trades there is energy and metals.

exchange_calendars has one calendar for all of the CME under these names, without its daily halt.
"""


@cache
def names() -> frozenset[str]:
    """Every name and alias that `schedule` takes."""
    return (
        FOREX_NAMES
        | _exchange_calendar_names()
        | frozenset(pandas_market_calendars.get_calendar_names())
    )


def last_day() -> date:
    """The last day that the libraries look at: a year after the one on which they were loaded."""
    return GLOBAL_DEFAULT_END.date()  # type: ignore[no-any-return]


def schedule(name: str) -> Schedule:
    """The hours of a calendar of `names()`.

    Of a name that both libraries have, the hours are exchange_calendars'. Both know the exchanges'
    opens, closes and breaks, and exchange_calendars checks each of its calendars against a file of
    answers; pandas_market_calendars alone has the CME groups with their daily halt.

    Raises:
        CalendarError: The library cannot build the calendar on the pandas that is installed.
    """
    name = _MEANT.get(name, name)
    try:
        if name in FOREX_NAMES:
            return _of_exchange_calendar(ForexCalendar(start=pd.Timestamp(FIRST_DAY)))
        if name in _exchange_calendar_names():
            return _of_exchange_calendar(_exchange_calendar(name))
        return _of_market_calendar(name)
    except (NotImplementedError, ValueError) as error:
        # On pandas 3.1, exchange_calendars 4.13 cannot do XTAE, nor the Orthodox Easter of ASEX,
        # XBEL, XBSE and XCYS.
        raise CalendarError(
            f"calendar {name!r} cannot be built by exchange_calendars "
            f"{exchange_calendars.__version__} on pandas {pd.__version__} ({error}): "
            "install another release of pandas, or choose another calendar"
        ) from error


@cache
def _exchange_calendar_names() -> frozenset[str]:
    return frozenset(exchange_calendars.get_calendar_names(include_aliases=True))


def _exchange_calendar(name: str) -> ExchangeCalendar:
    # Without a start the library begins twenty years before today, and a profile would lose its
    # oldest session every day.
    try:
        return exchange_calendars.get_calendar(name, start=FIRST_DAY)
    except ValueError:
        # A calendar that begins later refuses the day; only its class knows its own first one.
        first = type(exchange_calendars.get_calendar(name)).bound_min()
        return exchange_calendars.get_calendar(name, start=first)


def _of_market_calendar(name: str) -> Schedule:
    calendar = pandas_market_calendars.get_calendar(name)
    sessions = _sessions(
        calendar.schedule(FIRST_DAY, GLOBAL_DEFAULT_END), "market_open", "market_close"
    )
    zone = ZoneInfo(str(calendar.tz))
    rules = cme.RULES.get(calendar.name)
    spans = _without_breaks(sessions) if rules is None else cme.spans(sessions, rules, zone)
    return _schedule(calendar.name, zone, spans, FIRST_DAY, GLOBAL_DEFAULT_END.date())


def _of_exchange_calendar(calendar: ExchangeCalendar) -> Schedule:
    sessions = _sessions(calendar.schedule, "open", "close")
    bound = calendar.bound_min()
    first = FIRST_DAY if bound is None else max(FIRST_DAY, bound.date())
    zone = ZoneInfo(str(calendar.tz))
    return _schedule(
        calendar.name, zone, _without_breaks(sessions), first, calendar.default_end().date()
    )


def _schedule(name: str, zone: ZoneInfo, spans: pl.DataFrame, first: date, last: date) -> Schedule:
    """A schedule whose sessions are those labelled `first` to `last`, both included.

    It is known from Monday to Monday: only then is every week bar whole, and no session is missing
    that opens on the evening before the day it is named after.
    """
    known_window = Window.of_days(
        first + timedelta(days=-first.weekday() % 7), last - timedelta(days=last.weekday())
    )
    corrections = CORRECTIONS.get(name, ())
    # A newer release may have closed a day that is shortened here.
    corrected = changed(name, spans, corrections, zone, strict=False)
    return Schedule(zone, corrected, known_window, halts_of(name), corrections, spans, name)


def _sessions(hours: pd.DataFrame, opens: str, closes: str) -> pl.DataFrame:
    """A library's table of sessions as a frame.

    Returns:
        session (Date), open, break_start, break_end, close (TS); no break is null.
    """

    def column(name: str) -> pl.Series:
        if name not in hours:
            return pl.Series([None], dtype=TS).new_from_index(0, len(hours))
        return pl.Series(_micros(hours[name])).cast(TS)

    return pl.DataFrame(
        {
            "session": pl.Series(_micros(hours.index)).cast(TS).cast(pl.Date),
            "open": column(opens),
            "break_start": column("break_start"),
            "break_end": column("break_end"),
            "close": column(closes),
        }
    )


def _micros(instants: pd.Series | pd.Index) -> list[int | None]:
    """Microseconds since 1970 of pandas instants, whatever unit and zone they are in."""
    index = pd.DatetimeIndex(instants).as_unit("us")
    return [
        None if absent else micros
        for micros, absent in zip(index.asi8.tolist(), index.isna(), strict=True)
    ]


def _without_breaks(sessions: pl.DataFrame) -> pl.DataFrame:
    """The stretches before and after the break of each session; a break without length is none."""
    paused = pl.col("break_start") < pl.col("break_end")
    before = pl.when(paused).then("break_start").otherwise("close").alias("close")
    after = sessions.filter(paused).select("session", pl.col("break_end").alias("open"), "close")
    spans = pl.concat([sessions.select("session", "open", before), after])
    return spans.filter(pl.col("open") < pl.col("close")).sort("open")
