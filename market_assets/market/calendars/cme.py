"""What CME Group announced about Globex hours and pandas_market_calendars 5.5 does not have.

The library knows the days, and on which of them trading stops early. It has one daily close for all
years, 16:00 Chicago, and no pause in the afternoon; and it lacks the days of mourning and storms,
and takes every Good Friday from 2023 for one with a short session. All times here are Chicago's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import TS

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_REGULAR_CLOSE = time(16)
"""The library's close of a day on which nothing stops early."""


@dataclass(frozen=True)
class Stretch:
    """An unbroken stretch of the ordinary trading day, in the sessions of some years.

    Attributes:
        first: The first session that has it.
        last: The last one, included.
        opens: From midnight of the session's date; negative on the day before.
        closes: Likewise.
        follows_session: The stretch is held only if the day before was a full session too (not on a
            Sunday or after a holiday).
    """

    first: date
    last: date
    opens: timedelta
    closes: timedelta
    follows_session: bool = False


@dataclass(frozen=True)
class Rules:
    """What differs from the library for one group of products.

    Attributes:
        hours: The stretches of ordinary days, together covering every session.
        closes: Sessions that ended early, and when; None for a day without a session.
    """

    hours: tuple[Stretch, ...]
    closes: dict[date, time | None]


_EVENING = timedelta(hours=-7)
_PAUSE_START = timedelta(hours=15, minutes=15)
_PAUSE_END = timedelta(hours=15, minutes=30)
_FOUR = timedelta(hours=16)
_QUARTER_PAST_FOUR = timedelta(hours=16, minutes=15)

_GOOD_FRIDAYS_WITHOUT_PAYROLLS: dict[date, time | None] = {
    # Equity and currency futures trade for some hours on a Good Friday only if the employment
    # report is published that morning, as on 2023-04-07 and 2026-04-03. On these it was not (or is
    # not due), and Globex is closed.
    date(2024, 3, 29): None,
    date(2025, 4, 18): None,
    date(2027, 3, 26): None,
}

_EQUITY_HOURS = (
    # As announced for 2003-09-29: the trade date began at 15:30 of the day before, rested from
    # 16:30 to 17:00 and ended at 15:15. Before that date, an hour or so is uncertain: Globex opened
    # at 15:45 and rested from 22:00 to 23:00; Sundays opened at 17:30 until about 2004.
    Stretch(
        date.min,
        date(2012, 11, 16),
        timedelta(hours=-8.5),
        timedelta(hours=-7.5),
        follows_session=True,
    ),
    Stretch(date.min, date(2012, 11, 16), _EVENING, _PAUSE_START),
    # From 2012-11-19 the stretch after the pause belongs to the day that is ending (the real ES of
    # 2013 shows it).
    Stretch(date(2012, 11, 17), date(2021, 6, 27), _EVENING, _PAUSE_START),
    Stretch(date(2012, 11, 17), date(2015, 9, 20), _PAUSE_END, _QUARTER_PAST_FOUR),
    # From 2015-09-21 the day ends at 16:00.
    Stretch(date(2015, 9, 21), date(2021, 6, 27), _PAUSE_END, _FOUR),
    # From 2021-06-28 there is no pause.
    Stretch(date(2021, 6, 28), date.max, _EVENING, _FOUR),
)

_EQUITY_CLOSES: dict[date, time | None] = {
    date(2001, 9, 11): time(9, 15),  # all markets suspended; equity products until 17 September
    date(2001, 9, 12): None,
    date(2001, 9, 13): None,
    date(2001, 9, 14): None,
    date(2004, 6, 11): time(8),  # day of mourning for President Reagan
    date(2007, 1, 2): None,  # for President Ford
    date(2012, 10, 29): time(8, 15),  # Hurricane Sandy; reopened at 17:00
    date(2012, 10, 30): time(8, 15),
    date(2018, 12, 5): time(8, 30),  # for President Bush
    date(2025, 1, 9): time(8, 30),  # for President Carter
    **_GOOD_FRIDAYS_WITHOUT_PAYROLLS,
}

RULES = {
    "CME Globex Equities": Rules(_EQUITY_HOURS, _EQUITY_CLOSES),
    "CMEGlobex_FX": Rules(
        (Stretch(date.min, date.max, _EVENING, _FOUR),), _GOOD_FRIDAYS_WITHOUT_PAYROLLS
    ),
    "CMEGlobex_EnergyAndMetals": Rules(
        (
            # Metals and energy ended at 16:15 as well (the real GC of 2013 shows it) until the
            # change of 2015-09-21.
            Stretch(date.min, date(2015, 9, 20), _EVENING, _QUARTER_PAST_FOUR),
            Stretch(date(2015, 9, 21), date.max, _EVENING, _FOUR),
        ),
        {},
    ),
}
"""By the name that the library's calendar gives itself."""


def spans(sessions: pl.DataFrame, rules: Rules, zone: ZoneInfo) -> pl.DataFrame:
    """The stretches of trading in the library's sessions, with the rules applied.

    Args:
        sessions: session (Date), close (TS), as the library has them.
        rules: What differs for this group of products.
        zone: The exchange's own zone.

    Returns:
        session (Date), open (TS), close (TS), sorted.
    """
    closed = [day for day, close in rules.closes.items() if close is None]
    early = {
        day: _since_midnight(close) for day, close in rules.closes.items() if close is not None
    }
    library_close = _wall(pl.col("close"), zone) - pl.col("session").cast(TS)
    days = (
        sessions.select(
            "session",
            stops=pl.when(library_close != _since_midnight(_REGULAR_CLOSE)).then(library_close),
        )
        .with_columns(
            pl.col("session")
            .replace_strict(early, default=pl.col("stops"), return_dtype=pl.Duration("us"))
            .alias("stops")
        )
        .filter(~pl.col("session").is_in(closed))
        .with_columns(
            follows=(pl.col("session").diff() == timedelta(days=1))
            & pl.col("stops").shift().is_null(),
        )
    )
    stretches = [
        days.filter(
            pl.col("session").is_between(stretch.first, stretch.last),
            pl.col("follows") if stretch.follows_session else True,
        ).select(
            "session",
            open=_instant(pl.col("session").cast(TS) + stretch.opens, zone),
            close=_instant(
                pl.col("session").cast(TS) + pl.min_horizontal("stops", pl.lit(stretch.closes)),
                zone,
            ),
        )
        for stretch in rules.hours
    ]
    return pl.concat(stretches).filter(pl.col("open") < pl.col("close")).sort("open")


def _since_midnight(wall: time) -> timedelta:
    return timedelta(hours=wall.hour, minutes=wall.minute)


def _wall(instant: pl.Expr, zone: ZoneInfo) -> pl.Expr:
    """What a clock on the wall of the exchange shows at a UTC instant."""
    return (
        instant.dt.replace_time_zone("UTC")
        .dt.convert_time_zone(zone.key)
        .dt.replace_time_zone(None)
    )


def _instant(wall: pl.Expr, zone: ZoneInfo) -> pl.Expr:
    """The UTC instant at which a clock on the wall of the exchange shows that time."""
    return (
        wall.dt.replace_time_zone(zone.key).dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    )
