"""The wall clock of a file: its zone, its shift, and the instants that it shows.

Pure. A time that the clock never showed, or showed twice without a sign which one is meant, is no
instant and gets a reason. How a stamp is written stands in `stamps`, which bar it names in `opens`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import polars as pl

from market_assets.imports import late_imports
from market_assets.market.timeframes import TS, Timeframe
from market_assets.sources.contract import Unread

with late_imports():
    import numpy as np

_DAY = Timeframe.D1.micros


@dataclass(frozen=True)
class Clock:
    """A wall clock: that of a zone, shifted by a fixed time.

    Attributes:
        zone: A name of the IANA database.
        shift: How far the clock is ahead of the zone's.
    """

    zone: str = "UTC"
    shift: timedelta = timedelta(0)

    @property
    def micros(self) -> int:
        """The shift in microseconds."""
        return self.shift // timedelta(microseconds=1)

    @property
    def is_utc(self) -> bool:
        """Whether it shows UTC."""
        return self.zone == "UTC" and not self.shift

    def __str__(self) -> str:
        minutes = self.shift // timedelta(minutes=1)
        hours = f"{abs(minutes) // 60}h" + (f"{abs(minutes) % 60}m" if minutes % 60 else "")
        return f"{self.zone} {'-' if minutes < 0 else '+'} {hours}" if minutes else self.zone


_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])\s*(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)

_SHIFTED = re.compile(
    r"(.+?)\s*([+-])\s*(\d{1,2})(?::([0-5]\d)|\s*h(?:\s*(\d{1,2})\s*m?)?)?", re.IGNORECASE
)


def clock_of(text: str) -> Clock:
    """Read a clock.

    Args:
        text: A zone or a city (`America/New_York`, `New York`), a fixed offset (`-03:30`, `UTC+2`),
            or both.

    Raises:
        ValueError: It is none of these.
    """
    text = text.strip()
    zone = zone_named(text)
    if zone is not None:
        return Clock(zone)
    if fixed := _OFFSET.fullmatch(text):
        return Clock("UTC", _shift(text, fixed[1], fixed[2], fixed[3]))
    shifted = _SHIFTED.fullmatch(text)
    zone = zone_named(shifted[1]) if shifted else None
    if shifted is None or zone is None:
        raise ValueError(
            f"{text!r} is no time zone of the IANA database and no clock; "
            "write it like America/New_York, New York + 7h, or +05:30"
        )
    return Clock(zone, _shift(text, shifted[2], shifted[3], shifted[4] or shifted[5]))


def _shift(text: str, sign: str, hours: str, minutes: str | None) -> timedelta:
    length = timedelta(hours=int(hours), minutes=int(minutes or 0))
    if length >= timedelta(days=1):
        raise ValueError(f"{text!r}: no clock is a day ahead or behind")
    return -length if sign == "-" else length


@cache
def _cities() -> dict[str, set[str]]:
    cities: dict[str, set[str]] = {}
    for name in available_timezones():
        area, _, city = name.rpartition("/")
        if area and not area.startswith(("Etc", "posix", "right", "SystemV", "US", "Canada")):
            cities.setdefault(city.replace("_", " ").casefold(), set()).add(name)
    return cities


def zone_named(text: str) -> str | None:
    """The zone of a name of the IANA database, or of a city in one zone; None for another text."""
    text = text.strip()
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        zones = _cities().get(text.replace("_", " ").casefold(), set())
        return next(iter(zones)) if len(zones) == 1 else None
    return text or None


def localize(walls: pl.Series, clock: Clock) -> tuple[pl.Series, pl.Series]:
    """Turn what a wall clock showed into instants.

    In the hour that a change of clocks repeats, the file's own order says which is meant: read
    forwards, the wall clock jumps back just once. Where it does not, nobody knows.

    Args:
        walls: Microseconds since 1970 on that clock, in the order of the file, of one symbol.
        clock: Which clock.

    Returns:
        The instants (microseconds since 1970, UTC), null where there is none, and why.
    """
    reasons = pl.repeat(None, len(walls), dtype=pl.String, eager=True)
    shifted = walls - clock.micros
    if clock.zone == "UTC":
        return shifted, reasons
    times = shifted.cast(TS)
    early, late = (
        times.dt.replace_time_zone(clock.zone, ambiguous=side, non_existent="null")
        .dt.convert_time_zone("UTC")
        .dt.replace_time_zone(None)
        .to_physical()
        for side in ("earliest", "latest")
    )
    reasons = reasons.set(early.is_null() & walls.is_not_null(), Unread.NO_SUCH_TIME.value)
    twice = (early != late).fill_null(value=False)
    if not twice.any():
        return early, reasons
    forwards = _runs_forwards(shifted)
    instants, firsts, seconds = early.to_numpy(writable=True, allow_copy=True), early, late
    unknown = np.zeros(len(walls), dtype=bool)
    second_of = seconds.to_numpy()
    at = twice.arg_true().to_numpy()
    folds = (firsts.gather(at) // _DAY).to_numpy()
    wall = shifted.to_numpy()
    for fold in np.unique(folds):
        rows = at[folds == fold]
        ordered = rows if forwards else rows[::-1]
        back = np.flatnonzero(np.diff(wall[ordered]) <= 0)
        if forwards is None or len(back) != 1:
            unknown[rows] = True
        else:
            later = ordered[back[0] + 1 :]
            instants[later] = second_of[later]
    series = pl.Series(instants, nan_to_null=True).cast(pl.Int64)
    lost = pl.Series(unknown)
    return series.set(lost, None), reasons.set(lost, Unread.TWO_TIMES.value)


def _runs_forwards(walls: pl.Series) -> bool | None:
    """Whether a file's rows run forwards; None where they run neither way."""
    steps = np.sign(np.diff(walls.drop_nulls().to_numpy()))
    steps = steps[steps != 0]
    if not len(steps):
        return None
    share = float((steps > 0).mean())
    # The clock's own jump is a step the other way, and in a short file a large share of them.
    if share > 0.5 and (steps < 0).sum() <= max(1, 0.1 * len(steps)):
        return True
    if share < 0.5 and (steps > 0).sum() <= max(1, 0.1 * len(steps)):
        return False
    return None


def wall_at(instants: pl.Series, clock: Clock) -> pl.Series:
    """What a clock shows at some instants."""
    times = instants.cast(TS).dt.replace_time_zone("UTC").dt.convert_time_zone(clock.zone)
    return times.dt.replace_time_zone(None).to_physical() + clock.micros
