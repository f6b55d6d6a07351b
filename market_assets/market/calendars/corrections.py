"""Where the calendar libraries are wrong, by date, with the reason.

It corrects exchange_calendars 4.13 and pandas_market_calendars 5.5, read beside the exchanges'
notices and the market-hours table of QuantConnect's LEAN, which is made independently of both
libraries. Where these differ the wider hours stand: a session that is held and missing here loses
real candles, one that is here and was not held is explained by the sources' own answers.

All times are of the exchange's place. What differs on every day of the CME's index futures stands
in `cme.py`.
"""

from __future__ import annotations

from datetime import date, timedelta

from market_assets.market.calendars.changes import Change, closed, held, paused, shortened, wall

_ALWAYS = (date.min, date.max)
_DAY = timedelta(days=1)


def _on(*texts: str) -> list[date]:
    return [date.fromisoformat(text) for text in texts]


def _thanksgiving(year: int) -> date:
    """The fourth Thursday of November."""
    first = date(year, 11, 1)
    return first + timedelta(days=(3 - first.weekday()) % 7 + 21)


# CME Group

_NO_REPORT = "Good Friday without an employment report: Globex is closed"
_REPORT = "Good Friday with the employment report: Globex trades until 10:15"
_INDEPENDENCE_FRIDAY = "Independence Day (observed) on a Friday: the week ends at noon"

_GOOD_FRIDAYS_CLOSED = tuple(
    closed(day, _NO_REPORT) for day in _on("2024-03-29", "2025-04-18", "2027-03-26")
)

_FRIDAY_HOLIDAYS = (
    *(
        shortened(day, _INDEPENDENCE_FRIDAY, closes="12:00")
        for day in _on("2025-07-04", "2026-07-03")
    ),
    shortened(date(2026, 6, 19), "Juneteenth on a Friday: the week ends at noon", closes="12:00"),
    shortened(
        date(2027, 6, 18),
        "Juneteenth (observed) on a Friday: the week ends at noon",
        closes="12:00",
    ),
)
_LATER_SINCE_2025 = (
    *(
        shortened(day, "the day after Thanksgiving: since 2025 the end is at 13:45", closes="13:45")
        for day in _on("2025-11-28", "2026-11-27")
    ),
    *(
        shortened(day, "Christmas Eve: since 2025 the end is at 12:45", closes="12:45")
        for day in _on("2025-12-24", "2026-12-24")
    ),
)

_CME_FX = (
    *(held(day, _REPORT, "17:00-10:15") for day in _on("2010-04-02", "2012-04-06", "2015-04-03")),
    *_FRIDAY_HOLIDAYS,
    *_LATER_SINCE_2025,
)

_CME_CRYPTO = (
    *_GOOD_FRIDAYS_CLOSED,
    *_FRIDAY_HOLIDAYS,
    *_LATER_SINCE_2025,
    shortened(date(2024, 12, 24), "Christmas Eve: the end is at 12:45", closes="12:45"),
)

_CHRISTMAS_EVE = _on(
    "2012-12-24",
    "2013-12-24",
    "2014-12-24",
    "2015-12-24",
    "2018-12-24",
    "2019-12-24",
    "2020-12-24",
    "2024-12-24",
    "2025-12-24",
)

_CME_ENERGY_AND_METALS = (
    Change(
        date(2010, 1, 1),
        date(2014, 5, 25),
        "until the spring of 2014 NYMEX and COMEX halted at 12:15 on holidays",
        closes=wall("12:15"),
        usual_close=wall("12:00"),
    ),
    *(
        shortened(day, "Christmas Eve: NYMEX and COMEX end early", closes="12:45")
        for day in _CHRISTMAS_EVE
    ),
    *(
        shortened(
            day, "Labor Day: since 2022 NYMEX and COMEX halt at 13:30 on holidays", closes="13:30"
        )
        for day in _on("2022-09-05", "2023-09-04", "2024-09-02", "2025-09-01")
    ),
    shortened(date(2025, 7, 4), _INDEPENDENCE_FRIDAY, closes="12:00"),
    shortened(
        date(2025, 11, 28),
        "the day after Thanksgiving: since 2025 the end is at 13:45",
        closes="13:45",
    ),
)


def _grains() -> tuple[Change, ...]:
    """CBOT grains and oilseeds since their hours of 2013-04-08.

    A session runs from 19:00 to 7:45 and from 8:30 on.
    """
    juneteenth = _on(
        "2022-06-20", "2023-06-19", "2024-06-19", "2025-06-19", "2026-06-19", "2027-06-18"
    )
    changes = [closed(day, "Juneteenth: grains and oilseeds are closed") for day in juneteenth]
    for year in range(2013, 2028):
        # Five minutes later since the close of ordinary days moved from 13:15 to 13:20 on
        # 2015-07-06.
        early = "12:00" if year < 2015 else "12:05"
        holiday = _thanksgiving(year)
        changes.append(
            shortened(
                holiday + _DAY,
                "the day after Thanksgiving: no night session, and an early close",
                opens="08:30",
                closes=early,
            )
        )
        eve = date(year, 12, 24)
        if eve.weekday() < 5 and date(year, 12, 25).weekday() < 5:
            changes.append(
                shortened(eve, "Christmas Eve: grains and oilseeds end early", closes=early)
            )
        for month, first, name in (
            (1, 1, "New Year's Day"),
            (7, 4, "Independence Day"),
            (12, 25, "Christmas"),
        ):
            after = _morning_after(date(year, month, first))
            if after is not None and after >= date(2013, 4, 8):
                changes.append(
                    shortened(after, f"the morning after {name}: no night session", opens="08:30")
                )
    return tuple(changes)


def _morning_after(holiday: date) -> date | None:
    """The day after a holiday as it is observed, where no weekend lies between them."""
    observed = holiday + _DAY if holiday.weekday() == 6 else holiday
    return observed + _DAY if observed.weekday() < 4 else None


_GRAINS = _grains()

# Other exchanges of derivatives

_VX = (
    # Until 2018 the day ended at 16:15 with a pause from 15:15 to 15:30; the sources' answers
    # explain what was not held.
    Change(
        date(2014, 6, 23),
        date.max,
        "VX futures trade nearly around the clock since 2014-06-22",
        opens=wall("17:00") - _DAY,
    ),
    Change(
        date(2014, 6, 23),
        date.max,
        "VX futures trade until 16:00 on an ordinary day",
        closes=wall("16:00"),
        usual_close=wall("15:15"),
    ),
)

# The exchange announced 01:10 CET, which is an hour later on the clock in summer. LEAN has 01:10
# all year: the wider hours stand.
_EUREX = (
    Change(
        date(2018, 12, 10),
        date.max,
        "Eurex opens its benchmark futures to Asian hours",
        opens=wall("01:10"),
    ),
)

# Exchanges of stocks

_HONG_KONG = (
    closed(date(2023, 9, 1), "typhoon Saola: the exchange stays closed"),
    held(date(2020, 8, 19), "typhoon Higos: trading begins at 13:30", "13:30-16:00"),
    held(date(2021, 6, 28), "black rainstorm: trading begins at 13:30", "13:30-16:00"),
)

_KOREA = (
    closed(date(2026, 6, 3), "local elections: a public holiday"),
    closed(date(2026, 7, 17), "Constitution Day: a public holiday again"),
    *(
        held(day, "the day of the college entrance test: an hour later", "10:00-16:30")
        for day in _on(
            "2021-11-18",
            "2022-11-17",
            "2023-11-16",
            "2024-11-14",
            "2025-11-13",
            "2026-11-19",
            "2027-11-18",
        )
    ),
)

_MUHURAT = {
    "2013-11-03": "18:15-19:30",
    "2014-10-23": "18:30-19:30",
    "2015-11-11": "17:45-18:45",
    "2016-10-30": "18:30-19:30",
    "2017-10-19": "18:30-19:30",
    "2018-11-07": "17:30-18:30",
    "2019-10-27": "18:15-19:15",
    "2020-11-14": "18:15-19:15",
    "2021-11-04": "18:15-19:15",
    "2022-10-24": "18:15-19:15",
    "2023-11-12": "18:15-19:15",
    "2024-11-01": "18:00-19:00",
    "2025-10-21": "13:45-14:45",
}

_INDIA = (
    *(
        held(date.fromisoformat(day), "Muhurat: the session of Diwali", hours)
        for day, hours in _MUHURAT.items()
    ),
    *(
        held(day, "the budget is presented on a weekend", "09:15-15:30")
        for day in _on("2015-02-28", "2020-02-01", "2025-02-01", "2026-02-01")
    ),
    held(
        date(2024, 3, 2),
        "special session from the site for disasters",
        "09:15-10:00",
        "11:30-12:30",
    ),
    held(
        date(2024, 5, 18),
        "special session from the site for disasters",
        "09:15-10:00",
        "11:45-12:40",
    ),
)

_LUNCH = "a pause at noon"

_MONDAY_TO_THURSDAY, _FRIDAY = range(4), (4,)
_INDONESIA_SHORT = (date(2020, 3, 30), date(2023, 4, 2))
"""The sessions with the shorter hours of the pandemic."""

_INDONESIA = (
    paused(date.min, date(2012, 12, 31), _LUNCH, "12:00-13:30", _MONDAY_TO_THURSDAY),
    paused(date(2013, 1, 1), date(2020, 3, 29), _LUNCH, "12:00-13:30", _MONDAY_TO_THURSDAY),
    paused(
        date.min, date(2020, 3, 29), "a longer pause at noon on Fridays", "11:30-14:00", _FRIDAY
    ),
    paused(*_INDONESIA_SHORT, "a pause at noon, with the hours of the pandemic", "11:30-13:30"),
    paused(date(2023, 4, 3), date.max, _LUNCH, "12:00-13:30", _MONDAY_TO_THURSDAY),
    paused(date(2023, 4, 3), date.max, "a longer pause at noon on Fridays", "11:30-14:00", _FRIDAY),
)

_SINGAPORE = (
    paused(date.min, date(2011, 7, 31), _LUNCH, "12:30-14:00"),
    # From 2011-08-01 to 2017-11-10 the exchange traded without a pause.
    paused(date(2017, 11, 13), date.max, "the pause at noon is back", "12:00-13:00"),
)

_THAILAND = (
    paused(date.min, date(2024, 3, 24), _LUNCH, "12:30-14:30"),
    paused(date(2024, 3, 25), date.max, "a pause at noon, shorter since 2024-03-25", "12:30-14:00"),
)

_PHILIPPINES = (
    # Until the end of 2011, and in the pandemic too, there was a morning alone; the library does
    # not know this.
    paused(date.min, date(2021, 12, 5), _LUNCH, "12:00-13:30"),
    paused(
        date(2021, 12, 6), date.max, "a pause at noon, shorter since the pandemic", "12:00-13:00"
    ),
)

_BOMBAY = (
    *_INDIA,
    held(date(2013, 11, 14), "Muharram was moved to the day after", "09:15-15:30"),
    closed(date(2013, 11, 15), "Muharram"),
)

_NATIONAL = (
    *_INDIA,
    held(
        date(2024, 1, 20),
        "a Saturday with a full session in place of the Monday after",
        "09:15-15:30",
    ),
    closed(date(2013, 11, 15), "Muharram"),
)

CORRECTIONS: dict[str, tuple[Change, ...]] = {
    "CMEGlobex_FX": _CME_FX,
    "CMEGlobex_EnergyAndMetals": _CME_ENERGY_AND_METALS,
    "CME Globex Fixed Income": _GOOD_FRIDAYS_CLOSED,
    "CME Globex Crypto": _CME_CRYPTO,
    "CMEGlobex_GrainsAndOilseeds": _GRAINS,
    "CME_Agriculture": _GRAINS,
    "CFE": _VX,
    "XCBF": _VX,
    "EUREX": _EUREX,
    "XEUR": _EUREX,
    "XHKG": _HONG_KONG,
    "XKRX": _KOREA,
    "XBOM": _BOMBAY,
    "BSE": _BOMBAY,
    "NSE": _NATIONAL,
    "XKLS": (paused(*_ALWAYS, _LUNCH, "12:30-14:30"),),
    "XBKK": _THAILAND,
    "XPHS": _PHILIPPINES,
    "XIDX": _INDONESIA,
    "XSES": _SINGAPORE,
    "XTKS": (
        paused(
            date.min,
            date(2011, 11, 20),
            "the morning ended at 11:00 until 2011-11-18",
            "11:00-12:30",
        ),
    ),
    "XTAI": (closed(date(2024, 10, 31), "typhoon Kong-rey: the exchange stays closed"),),
}
"""By the name that the library's calendar gives itself; an alias has those of its calendar."""
