"""What the stamps of a file mean: their wall clock, its zone, and the bar that they name.

Pure functions on series. Where a stamp can be read in more than one way, it is refused and never
moved: a file as a whole with `StampError`, a single row with a reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import polars as pl

from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.sources.contract import Unread, epoch_to_us

if TYPE_CHECKING:
    from market_assets.market.calendars.sessions import SessionCalendar

Stamps = Literal["open", "close", "session"]

NO_TIME = "no time"

_DAY = 86_400_000_000
_MINUTE = 60_000_000
_SECOND = 1_000_000
_NEAR = 3 * 3_600_000_000
"""Microseconds within which a stamp is taken for the open or the close of a session."""

_NO_COUNT = 100_000
"""A number that is smaller is no count of seconds, or of what is shorter, since 1970."""

_ENOUGH = 5
"""How many dates there must be before they are said to fit another reading better."""


class StampError(ValueError):
    """The stamps of a whole file cannot be read, or fit another setting better; says which."""


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


_BROKERS = Clock("America/New_York", timedelta(hours=7))
"""The clock of most brokers of currencies, on which a week has five days.

It shows midnight when New York shows 17:00.
"""

_FEW_OUTSIDE = 0.005
"""A share of bars in weekends that may be a slip."""

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
    zone = _zone_named(text)
    if zone is not None:
        return Clock(zone)
    if fixed := _OFFSET.fullmatch(text):
        return Clock("UTC", _shift(text, fixed[1], fixed[2], fixed[3]))
    shifted = _SHIFTED.fullmatch(text)
    zone = _zone_named(shifted[1]) if shifted else None
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


def _zone_named(text: str) -> str | None:
    text = text.strip()
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        zones = _cities().get(text.replace("_", " ").casefold(), set())
        return next(iter(zones)) if len(zones) == 1 else None
    return text or None


# Text and numbers into walls ------------------------------------------------------------------

WALLS = pl.Schema(
    {
        "wall": pl.Int64(),
        "offset": pl.Int64(),
        "dated": pl.Boolean(),
        "instant": pl.Int64(),
        "eve": pl.Boolean(),
    }
)
"""A stamp: what a wall clock showed (microseconds since 1970 on that clock), how far that clock is
ahead of UTC where the stamp says it, whether the stamp is a date without a time, the instant
(microseconds since 1970, UTC) where the stamp is a count of such, and whether a midnight is written
24:00, as the end of the date before."""

_NUMBER = r"^[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?$"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ABBREVIATED = {
    "utc": 0,
    "gmt": 0,
    "z": 0,
    "est": -5,
    "edt": -4,
    "cdt": -5,
    "mst": -7,
    "mdt": -6,
    "pst": -8,
    "pdt": -7,
    "cet": 1,
    "cest": 2,
    "eet": 2,
    "eest": 3,
    "jst": 9,
    "hkt": 8,
    "msk": 3,
}
_DATE = (
    r"(?:[A-Za-z]{3,9},?\s+)?"
    r"(?:(?<y>\d{4})[-/.](?<m>\d{1,2})[-/.](?<d>\d{1,2})"
    r"|(?<a>\d{1,2})[-/](?<b>\d{1,2})[-/](?<yy>\d{4})"
    r"|(?<pa>\d{1,2})\.(?<pb>\d{1,2})\.(?<py>\d{4})"
    r"|(?<c>\d{8})"
    r"|(?<nd>\d{1,2})[-\s/.]?(?<nm>[A-Za-z]{3,9})[-\s,/.]*(?<ny>\d{4})"
    r"|(?<um>[A-Za-z]{3,9})[-\s](?<ud>\d{1,2}),?[-\s](?<uy>\d{4})"
    r"|(?<ym>\d{4})[-\s/](?<mm>[A-Za-z]{3,9})[-\s/](?<dm>\d{1,2}))"
)
_TIME = (
    r"(?:(?:T|[\s,;_-]+)(?<h>\d{1,2})(?::?(?<mi>\d{2})(?::?(?<s>\d{2})(?:[.,:](?<f>\d{1,9}))?)?)?"
    r"(?:[\s-]*(?<ap>[AaPp])\.?[Mm]\b\.?)?)?"
)
_ZONE = (
    r"\s*(?<z>(?:UTC|GMT)?\s*[+-]\d{1,2}(?::?\d{2})?|[A-Za-z]+/[A-Za-z_/+-]+|[A-Za-z]{1,4})?"
    r"\s*(?:\[[A-Za-z_/+-]+\]|\([A-Za-z ]+\))?\s*"
)
_STAMP = f"^\\s*{_DATE}{_TIME}{_ZONE}$"
_SIMPLE = re.compile(r"%([dmY])[-/.]%([dmY])[-/.]%([dmY])")
_WITH_TIME = re.compile(r"%[HIkTRsXc]")


def read_stamps(stamps: pl.Series, format_: str | None = None) -> pl.DataFrame:
    """Read a column of stamps, whatever its type.

    Args:
        stamps: Text, numbers, dates or times, with a zone or without.
        format_: How text is written, as chrono's strftime has it. One of a date alone, such as
            `%m/%d/%Y`, says the order of the date's parts, whatever time stands behind it.

    Returns:
        A frame of WALLS with one row per stamp; what is no time is all null.

    Raises:
        StampError: The dates can be read two ways, and nothing says which.
    """
    dtype = stamps.dtype
    if dtype == pl.Date:
        return _walls(wall=stamps.cast(TS).to_physical(), dated=True)
    if isinstance(dtype, pl.Datetime):
        return _typed(stamps.cast(pl.Datetime("us", dtype.time_zone)), dtype.time_zone)
    if isinstance(dtype, pl.Categorical | pl.Enum) or (dtype.is_numeric() and format_ is not None):
        # A float that stands for a whole number is written as one.
        whole = stamps.cast(pl.Int64, strict=False) if dtype.is_float() else stamps
        stamps = whole.cast(pl.String)
    if stamps.dtype != pl.String:
        return _counted(stamps) if stamps.dtype.is_numeric() else _nothing(len(stamps))
    order = _SIMPLE.fullmatch(format_) if format_ else None
    if format_ is not None and order is None:
        return _formatted(stamps, format_)
    return _written(stamps, "".join(order.groups()) if order else None)


def _walls(
    *,
    wall: pl.Series,
    offset: pl.Series | int | None = None,
    dated: pl.Series | bool = False,
    instant: pl.Series | None = None,
    eve: pl.Series | bool = False,
) -> pl.DataFrame:
    def column(values: pl.Series | int | bool | None) -> pl.Series:  # noqa: FBT001 - a value
        return values if isinstance(values, pl.Series) else pl.repeat(values, len(wall), eager=True)

    columns = {
        "wall": wall,
        "offset": column(offset),
        "dated": column(dated),
        "instant": column(instant),
        "eve": column(eve),
    }
    return pl.DataFrame(columns).cast(WALLS)


def _nothing(rows: int) -> pl.DataFrame:
    return _walls(wall=pl.repeat(None, rows, dtype=pl.Int64, eager=True))


def _typed(stamps: pl.Series, zone: str | None) -> pl.DataFrame:
    """Times of a typed column: one of UTC counts instants, another's zone is the stamps' own."""
    if zone is None:
        return _walls(wall=stamps.to_physical())
    instants = stamps.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_physical()
    if zone == "UTC":
        return _walls(wall=instants, instant=instants)
    wall = stamps.dt.replace_time_zone(None).to_physical()
    return _walls(wall=wall, offset=wall - instants)


def _counted(counts: pl.Series) -> pl.DataFrame:
    """Numbers: dates written without signs (20240311), or counts since 1970."""
    finite = counts
    if counts.dtype.is_float():
        finite = counts.fill_nan(None)
        finite = finite.set(finite.is_infinite(), None)
    whole = finite.cast(pl.Int64, strict=False)
    fits = whole.drop_nulls()
    if len(fits):
        text = whole.cast(pl.String)
        is_date = _compact(text, fits)
        if is_date:
            return _written(text, None)
    # Places in a list, days since 1900 and zeros: no candle is of the first day of 1970.
    whole = whole.set((whole.abs() < _NO_COUNT).fill_null(value=False), None)
    instants = pl.select(epoch_to_us(pl.lit(whole))).to_series().to_physical()
    if finite.dtype.is_float():
        # Seconds may have a fraction; finer counts have none that matters.
        parts = ((finite - whole.cast(pl.Float64)) * 1_000_000).round().cast(pl.Int64, strict=False)
        seconds = whole.abs() < 10**11
        instants = instants + parts.set(~seconds.fill_null(value=False), 0)
    return _walls(wall=instants, instant=instants)


def _compact(texts: pl.Series, counts: pl.Series) -> bool:
    """Whether all of some whole numbers are dates without signs, with or without a time behind."""
    low, high = int(counts.min()), int(counts.max())  # type: ignore[arg-type]  # whole numbers
    if len(str(low)) != len(str(high)) or len(str(low)) not in {8, 12, 14, 17}:
        return False
    if not (int(str(low)[:4]) >= 1800 and int(str(high)[:4]) <= 2100):
        return False
    day = r"\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    time = r"(?:[01]\d|2[0-4])[0-5]\d(?:[0-5]\d(?:\d{3})?)?"
    pattern = f"^{day}(?:{time})?$"
    return bool(texts.drop_nulls().str.contains(pattern).all())


def _formatted(stamps: pl.Series, format_: str) -> pl.DataFrame:
    texts = stamps.str.strip_chars()
    hour, minute = re.search(r"%[HIk]", format_), re.search(r"%[MTRXc]", format_)
    if hour and not minute:
        # An hour alone is no time to the library.
        texts, format_ = texts + " 00", f"{format_} %M"
    parsed = texts.str.to_datetime(format_, time_unit="us", strict=False)
    if isinstance(parsed.dtype, pl.Datetime) and parsed.dtype.time_zone is not None:
        instants = parsed.dt.replace_time_zone(None).to_physical()
        offset = _offsets(stamps.str.extract(r"(Z|[+-]\d{2}:?\d{2})\s*$"))
        return _walls(wall=instants + offset.fill_null(0), offset=offset.fill_null(0))
    return _walls(wall=parsed.to_physical(), dated=not _WITH_TIME.search(format_))


_FAST = (
    (r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", "%Y-%m-%d %H:%M:%S"),
    (r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$", "%Y-%m-%dT%H:%M:%S"),
    (r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d+$", None),
    (r"^\d{4}-\d\d-\d\d \d\d:\d\d$", "%Y-%m-%d %H:%M"),
    (r"^\d{4}\.\d\d\.\d\d \d\d:\d\d$", "%Y.%m.%d %H:%M"),
    (r"^\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d$", "%Y.%m.%d %H:%M:%S"),
    (r"^\d{8} \d{6}$", "%Y%m%d %H%M%S"),
)
"""Shapes of text that say all, and that the library reads ten times as fast as a pattern does."""


def _written(texts: pl.Series, order: str | None) -> pl.DataFrame:
    first = texts.drop_nulls().head(1)
    if first.is_empty():
        return _nothing(len(texts))
    for shape, format_ in _FAST:
        if first.str.contains(shape).item():
            given = (
                format_
                or (first.str.contains("T").item() and "%Y-%m-%dT%H:%M:%S%.f")
                or "%Y-%m-%d %H:%M:%S%.f"
            )
            quick = texts.str.to_datetime(given, time_unit="us", strict=False)
            left = quick.is_null() & texts.is_not_null()
            if not left.any():
                return _walls(wall=quick.to_physical())
            fast = _walls(wall=quick.to_physical())
            return _merged(fast, left, _shaped(texts.filter(left), order))
    return _shaped(texts, order)


def _merged(whole: pl.DataFrame, mask: pl.Series, part: pl.DataFrame) -> pl.DataFrame:
    at = mask.arg_true()
    return whole.select(
        whole[name].scatter(at, part[name]) if len(part) else whole[name] for name in WALLS.names()
    )


def _shaped(texts: pl.Series, order: str | None) -> pl.DataFrame:
    """Read text by its shape: numbers as counts, dates by their parts."""
    texts = texts.str.strip_chars()
    is_number = texts.str.contains(_NUMBER).fill_null(value=False)
    whole = _nothing(len(texts))
    if is_number.any():
        numbers = texts.filter(is_number)
        as_whole = numbers.cast(pl.Int64, strict=False)
        counts = _compact_or_counted(numbers, as_whole)
        whole = _merged(whole, is_number, counts)
    if not is_number.all():
        rest = ~is_number
        whole = _merged(whole, rest, _parted(texts.filter(rest), order))
    return whole


def _compact_or_counted(numbers: pl.Series, whole: pl.Series) -> pl.DataFrame:
    dates = whole.drop_nulls()
    if len(dates) and _compact(numbers.filter(whole.is_not_null()), dates):
        spaced = numbers.str.replace(r"^(\d{8})(\d{6})(\d{3})$", "${1} ${2}.${3}")
        spaced = spaced.str.replace(r"^(\d{8})(\d{4,6})$", "${1} ${2}")
        return _parted(spaced, None)
    if whole.null_count() == 0:
        return _counted(whole)
    exact = _counted(whole)
    broken = whole.is_null()
    return _merged(exact, broken, _counted(numbers.filter(broken).cast(pl.Float64, strict=False)))


def _parted(texts: pl.Series, order: str | None) -> pl.DataFrame:
    groups = texts.str.extract_groups(_STAMP).struct.unnest()

    def whole(name: str) -> pl.Expr:
        return pl.col(name).replace("", None).cast(pl.Int32, strict=False)

    def month(name: str) -> pl.Expr:
        short = pl.col(name).str.to_lowercase().str.slice(0, 3)
        return short.replace_strict(_MONTHS, range(1, 13), default=None, return_dtype=pl.Int32)

    day_first = _day_first(groups, order)
    day, named_month = ("a", "b") if day_first else ("b", "a")
    # Wherever dates are written with points, the day stands first.
    point_day, point_month = ("pa", "pb") if order is None or day_first else ("pb", "pa")
    compact = pl.col("c")
    parts = groups.select(
        year=pl.coalesce(
            *map(whole, ("y", "yy", "py", "ny", "uy", "ym")),
            compact.str.slice(0, 4).cast(pl.Int32),
        ),
        month=pl.coalesce(
            whole("m"),
            whole(named_month),
            whole(point_month),
            month("nm"),
            month("um"),
            month("mm"),
            compact.str.slice(4, 2).cast(pl.Int32),
        ),
        day=pl.coalesce(
            *map(whole, ("d", day, point_day, "nd", "ud", "dm")),
            compact.str.slice(6, 2).cast(pl.Int32),
        ),
        hour=whole("h"),
        minute=whole("mi").fill_null(0),
        second=whole("s").fill_null(0),
        part=pl.col("f").str.pad_end(9, "0").str.slice(0, 6).cast(pl.Int64).fill_null(0),
        late=pl.col("ap").str.to_lowercase(),
        zone=pl.col("z").str.strip_chars().replace("", None),
    )
    hour = pl.col("hour").fill_null(0)
    hour = (
        pl.when(pl.col("late").is_null())
        .then(hour)
        .when(~hour.is_between(1, 12))
        .then(None)
        .otherwise(hour % 12 + pl.when(pl.col("late") == "p").then(12).otherwise(0))
    )
    is_date = pl.col("month").is_between(1, 12) & pl.col("day").is_between(1, 31)
    is_time = hour.is_between(0, 24) & (pl.col("minute") < 60) & (pl.col("second") < 61)
    built = parts.with_columns(
        date=pl.when(is_date).then(
            pl.format(
                "{}-{}-{}",
                "year",
                pl.col("month").cast(pl.String).str.zfill(2),
                pl.col("day").cast(pl.String).str.zfill(2),
            ).str.to_date("%Y-%m-%d", strict=False)
        ),
        clock=pl.when(is_time).then(
            ((hour.cast(pl.Int64) * 60 + pl.col("minute")) * 60 + pl.col("second")) * 1_000_000
            + pl.col("part")
        ),
    )
    wall = built.select(pl.col("date").cast(TS).to_physical() + pl.col("clock")).to_series()
    offset, unknown = _zones(built["zone"], wall)
    wall = wall.set(unknown, None)
    eve = (built["hour"] == 24).fill_null(value=False)
    return _walls(
        wall=wall, offset=offset, dated=built["hour"].is_null() & wall.is_not_null(), eve=eve
    )


def _day_first(groups: pl.DataFrame, order: str | None) -> bool:
    """Whether the day stands before the month in dates that begin with neither year nor name.

    Raises:
        StampError: The dates can be read two ways, and nothing says which.
    """
    pairs = groups.select(
        a=pl.col("a").cast(pl.Int32), b=pl.col("b").cast(pl.Int32), y="yy"
    ).drop_nulls()
    if order is not None:
        return order.index("d") < order.index("m")
    if pairs.is_empty() or (pairs["a"] == pairs["b"]).all():
        return True
    day_first, month_first = (pairs["a"] > 12).any(), (pairs["b"] > 12).any()
    if day_first != month_first:
        return bool(day_first)
    a, b, year = pairs.filter(pl.col("a") != pl.col("b")).row(0)
    which = "and the file has both orders" if day_first else "and nothing in the file says which"
    raise StampError(
        f"its dates, such as {a:02}/{b:02}/{year}, can be read two ways, {which}: "
        "set format to %d/%m/%Y where the day stands first, to %m/%d/%Y where the month does"
    )


def _offsets(zones: pl.Series) -> pl.Series:
    """How far zones are ahead of UTC, in microseconds; null where a zone is written otherwise.

    They are written as `Z`, `+09:00`, `GMT+0100` or `+09`.
    """
    bare = zones.str.replace(r"(?i)^(?:UTC|GMT)\s*", "")
    parts = bare.to_frame("z").select(
        sign=pl.when(pl.col("z").str.starts_with("-")).then(-1).otherwise(1),
        hours=pl.col("z").str.extract(r"^[+-](\d{1,2})").cast(pl.Int64),
        minutes=pl.col("z").str.extract(r"^[+-]\d{2}:?(\d{2})$").cast(pl.Int64).fill_null(0),
    )
    offset = parts.select(
        pl.col("sign") * (pl.col("hours") * 60 + pl.col("minutes")) * _MINUTE
    ).to_series()
    return offset.set(
        (zones.str.to_uppercase().is_in(["Z", "UTC", "GMT"])).fill_null(value=False), 0
    )


def _zones(zones: pl.Series, wall: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The offsets of zones that stand behind times, and where one is known to nobody."""
    offset = _offsets(zones)
    unknown = pl.repeat(False, len(zones), eager=True)  # noqa: FBT003 - what is repeated
    named = zones.filter(zones.is_not_null() & offset.is_null()).unique()
    for name in named:
        mask = (zones == name).fill_null(value=False)
        hours = _ABBREVIATED.get(name.casefold())
        zone = None if hours is not None else _zone_named(name)
        if hours is not None:
            offset = offset.set(mask, hours * 60 * _MINUTE)
        elif zone is None:
            unknown = unknown | mask
        else:
            instants, _ = localize(wall.filter(mask), Clock(zone))
            offset = offset.scatter(mask.arg_true(), wall.filter(mask) - instants)
            unknown = unknown | (mask & offset.is_null())
    return offset, unknown


# Walls into instants --------------------------------------------------------------------------


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


# Walls into opens -----------------------------------------------------------------------------


def opens_of(
    stamps: pl.DataFrame,
    timeframe: Timeframe,
    *,
    clock: Clock,
    meaning: Stamps | None,
    calendar: SessionCalendar | None,
    clock_is_given: bool = True,
) -> tuple[pl.Series, pl.Series]:
    """Say which bar each stamp names.

    Args:
        stamps: A frame of WALLS, in the order of the file, of one symbol.
        timeframe: The length of the bars.
        clock: The clock of stamps that do not say theirs.
        meaning: What the stamps mean; None where nobody has said it.
        calendar: The market's, where it is known: it shows a stamp that fits no session.
        clock_is_given: Somebody has said which clock it is.

    Returns:
        The opens (TS), null where there is none, and the reasons why.

    Raises:
        StampError: The stamps as a whole fit another reading, which it names.
    """
    if not timeframe.intraday:
        return _days_of(stamps, timeframe, clock, meaning, calendar)
    instants, reasons = instants_of(stamps, clock)
    naive = bool(
        (
            stamps["offset"].is_null() & stamps["instant"].is_null() & stamps["wall"].is_not_null()
        ).any()
    )
    if calendar is not None:
        _require_fit(
            stamps["wall"],
            instants,
            timeframe,
            meaning,
            calendar,
            zone=naive and not clock_is_given,
        )
    opens = _after_last_second(instants) - timeframe.micros if meaning == "close" else instants
    return _bounded(opens), reasons


def _after_last_second(closes: pl.Series) -> pl.Series:
    """The minutes that closes in the last second before them mean, such as 09:30:59.999."""
    left = _MINUTE - closes % _MINUTE
    return (closes + left).zip_with((left <= _SECOND).fill_null(value=False), closes)


def instants_of(stamps: pl.DataFrame, clock: Clock) -> tuple[pl.Series, pl.Series]:
    """The instants of stamps (microseconds since 1970, UTC), null where there is none, and why."""
    wall, offset, counted = stamps["wall"], stamps["offset"], stamps["instant"]
    naive = offset.is_null() & counted.is_null()
    if naive.all():
        instants, reasons = localize(wall, clock)
    else:
        instants = counted.zip_with(counted.is_not_null(), wall - offset)
        reasons = pl.repeat(None, len(wall), dtype=pl.String, eager=True)
        if (naive & wall.is_not_null()).any():
            part, why = localize(wall.filter(naive), clock)
            instants = instants.scatter(naive.arg_true(), part)
            reasons = reasons.scatter(naive.arg_true(), why)
    return instants, reasons.set(wall.is_null(), NO_TIME)


def has_fold(stamps: pl.DataFrame, clock: Clock) -> bool:
    """Whether a stamp lies in an hour that its clock shows twice.

    There the order of rows matters.
    """
    naive = stamps.filter(pl.col("offset").is_null() & pl.col("instant").is_null())[
        "wall"
    ].drop_nulls()
    if clock.zone == "UTC" or naive.is_empty():
        return False
    times = (naive - clock.micros).cast(TS)
    early, late = (
        times.dt.replace_time_zone(clock.zone, ambiguous=side, non_existent="null")
        for side in ("earliest", "latest")
    )
    return bool((early != late).any())


def _bounded(micros: pl.Series) -> pl.Series:
    return micros.cast(pl.Int64).cast(TS)


def _floor(walls: pl.Series) -> pl.Series:
    return walls // _DAY * _DAY


def _days_of(
    stamps: pl.DataFrame,
    timeframe: Timeframe,
    clock: Clock,
    meaning: Stamps | None,
    calendar: SessionCalendar | None,
) -> tuple[pl.Series, pl.Series]:
    """The days that stamps of days and weeks name: a stamp's own zone says which date it is."""
    wall, offset, counted, dated = (stamps[name] for name in ("wall", "offset", "instant", "dated"))
    dated = dated.fill_null(value=False)
    universal = counted.is_not_null() | (offset == 0).fill_null(value=False)
    instant = counted.zip_with(counted.is_not_null(), wall - offset)
    reasons = pl.repeat(None, len(wall), dtype=pl.String, eager=True).set(wall.is_null(), NO_TIME)

    # A count since 1970 has a date only on some clock: on UTC at its midnight, else on that of the
    # settings.
    midnight = (wall % _DAY == 0).fill_null(value=False)
    elsewhere = universal & ~midnight
    if elsewhere.any():
        local = _shown(instant, clock)
        wall = local.zip_with(elsewhere, wall)
        midnight = (wall % _DAY == 0).fill_null(value=False)
        if calendar is not None and (elsewhere & ~midnight).any():
            exchange_wall = _shown(instant, Clock(str(calendar.zone)))
            fits = elsewhere & ~midnight & (exchange_wall % _DAY == 0).fill_null(value=False)
            wall = exchange_wall.zip_with(fits, wall)
            midnight = midnight | fits
    days = _floor(wall)
    if meaning == "close":
        # A close at midnight ends the day before; a date without a time is its own.
        days = days.zip_with(dated, _floor(wall - 1))
    elif meaning != "open":
        # 24:00 is an end, of the date that stands before it.
        days = _floor(wall - 1).zip_with(stamps["eve"].fill_null(value=False), days)
    plain = midnight | dated
    if calendar is None or meaning == "session":
        return _bounded(days), reasons
    if not plain.all():
        naive = instant.is_null()
        local_instant, _ = localize(wall, clock)
        instant = local_instant.zip_with(naive, instant)
        days, reasons = _evenings(
            days, instant, plain, meaning=meaning, calendar=calendar, reasons=reasons, wall=wall
        )
    if timeframe is Timeframe.D1:
        days = _require_dates(days, meaning, calendar)
    return _bounded(days), reasons


def _shown(instants: pl.Series, clock: Clock) -> pl.Series:
    """What a clock shows at some instants."""
    times = instants.cast(TS).dt.replace_time_zone("UTC").dt.convert_time_zone(clock.zone)
    return times.dt.replace_time_zone(None).to_physical() + clock.micros


def _evenings(
    days: pl.Series,
    instants: pl.Series,
    plain: pl.Series,
    *,
    meaning: Stamps | None,
    calendar: SessionCalendar,
    reasons: pl.Series,
    wall: pl.Series,
) -> tuple[pl.Series, pl.Series]:
    """The days of stamps with a time of day: those of the session that opens, or closes, then."""
    spans = calendar.spans(calendar.known)
    sessions = spans.group_by("session", maintain_order=True).agg(
        pl.col("open").first(), pl.col("close").last()
    )
    dates = sessions["session"].cast(TS).to_physical().to_numpy()
    at = instants.fill_null(0).to_numpy()
    opening = _nearest(at, sessions["open"].to_physical().to_numpy(), dates)
    closing = _nearest(at, sessions["close"].to_physical().to_numpy(), dates)
    named = days.fill_null(0).to_numpy()
    none = np.iinfo(np.int64).min
    if meaning == "open":
        session_days = opening
    elif meaning == "close":
        session_days = closing
    else:
        agree = (opening == named) & ((closing == none) | (closing == named))
        agree |= (closing == named) & (opening == none)
        session_days = np.where(agree, named, none)
    timed = (~plain & wall.is_not_null()).to_numpy()
    lost = timed & (session_days == none)
    if lost.any() and lost.sum() * 2 > len(lost):
        raise StampError(
            _how_else(
                wall,
                lost=lost,
                opening=opening,
                closing=closing,
                named=named,
                none=none,
                meaning=meaning,
            )
        )
    result = pl.Series(np.where(timed, session_days, named), dtype=pl.Int64)
    gone = pl.Series(lost)
    return result.set(gone | wall.is_null(), None), reasons.set(gone, Unread.NO_SESSION.value)


def _nearest(
    at: np.ndarray[tuple[int], np.dtype[np.int64]],
    edges: np.ndarray[tuple[int], np.dtype[np.int64]],
    dates: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The dates of the sessions whose edge lies nearest to some instants.

    The smallest number where no edge is near.
    """
    after = np.clip(np.searchsorted(edges, at), 1, len(edges) - 1)
    before = after - 1
    place = np.where(np.abs(edges[after] - at) < np.abs(edges[before] - at), after, before)
    none = np.iinfo(np.int64).min
    return np.where(np.abs(edges[place] - at) <= _NEAR, dates[place], none)


def _how_else(
    wall: pl.Series,
    *,
    lost: np.ndarray[tuple[int], np.dtype[np.bool_]],
    opening: np.ndarray[tuple[int], np.dtype[np.int64]],
    closing: np.ndarray[tuple[int], np.dtype[np.int64]],
    named: np.ndarray[tuple[int], np.dtype[np.int64]],
    none: int,
    meaning: Stamps | None,
) -> str:
    first = int(np.flatnonzero(lost)[0])
    example = wall.cast(TS)[first]
    ways = []
    for word, dates in (("open", opening), ("close", closing)):
        if dates[first] != none and word != meaning:
            ways.append(f"`stamps: {word}` for the session of {_date(dates[first])}")
    ways.append(f"`stamps: session` for that of {_date(named[first])}")
    return (
        f"its stamps of days, such as {example}, do not say which session they mean: "
        f"set {', or '.join(ways)}; or set the `timezone` in which they are midnight"
    )


def _date(micros: int) -> str:
    return str(pl.Series([micros]).cast(TS).cast(pl.Date).item())


def _require_dates(days: pl.Series, meaning: Stamps | None, calendar: SessionCalendar) -> pl.Series:
    """See whether dates fit the sessions as they are, or a day later or earlier."""
    dates = days.drop_nulls().unique()
    start, end = calendar.known.micros
    dates = dates.filter((dates > start + _DAY) & (dates < end - _DAY))
    if len(dates) < _ENOUGH:
        return days
    sessions = calendar.bars(Timeframe.D1, calendar.known)["ts"].to_physical().implode()
    fit = {
        step: int((dates + step * _DAY).is_in(sessions).sum()) / len(dates) for step in (-1, 0, 1)
    }
    best = max((1, -1), key=lambda step: fit[step])
    if fit[best] < fit[0] + 0.1 or fit[best] < 0.9:
        return days
    word = "open" if best == 1 else "close"
    if meaning == word:
        return days + best * _DAY
    side = "before" if best == 1 else "after"
    raise StampError(
        f"its dates fit the sessions of {calendar.name} better as the day {side}: "
        f"{fit[best]:.0%} against {fit[0]:.0%}; "
        f"set `stamps: {word}`, or `stamps: session` to take them as they stand"
    )


def _require_fit(
    wall: pl.Series,
    instants: pl.Series,
    timeframe: Timeframe,
    meaning: Stamps | None,
    calendar: SessionCalendar,
    *,
    zone: bool,
) -> None:
    """See whether stamps below a day fit the sessions better in another way.

    That is as closes, or on the exchange's own clock.
    """
    times = instants.drop_nulls()
    start, end = calendar.known.micros
    times = times.filter((times > start + _DAY) & (times < end - 2 * _DAY))
    if len(times) < _ENOUGH or (meaning is not None and not zone):
        return
    low, high = int(times.min()), int(times.max())  # type: ignore[arg-type]  # whole numbers
    window = Window.of_micros(max(start, low - _DAY), min(end, high + _DAY))
    spans = calendar.spans(window)
    edges = [spans[side].to_physical().to_numpy() for side in ("open", "close")]
    at = times.to_numpy()
    if zone:
        _require_zone(wall, at, edges, calendar)
    if meaning is not None:
        return
    opens = np.isin(at, edges[0]).sum()
    closes = (np.isin(at, edges[1]) & ~np.isin(at, edges[0])).sum()
    place = np.searchsorted(edges[0], at, side="right") - 1
    inside = (place >= 0) & (at <= edges[1][np.clip(place, 0, None)])
    touched, rows = np.unique(place[inside], return_counts=True)
    length = (edges[1] - edges[0])[touched] // timeframe.micros
    full = (rows >= length / 2).sum()
    if not opens and full and closes >= 0.8 * full and inside.mean() > 0.99:
        raise StampError(
            "its bars run from the bar after each session's open to the session's close: "
            "they bear the time they end at. "
            "Set `stamps: close`, or `stamps: open` where that is not so"
        )


def _require_zone(
    wall: pl.Series,
    at: np.ndarray[tuple[int], np.dtype[np.int64]],
    edges: list[np.ndarray[tuple[int], np.dtype[np.int64]]],
    calendar: SessionCalendar,
) -> None:
    name = str(calendar.zone)
    exchange_times, _ = localize(wall.drop_nulls(), Clock(name))

    def share(instants: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
        place = np.searchsorted(edges[0], instants, side="right") - 1
        inside = (place >= 0) & (instants <= edges[1][np.clip(place, 0, None)])
        return float(inside.mean()) if len(instants) else 0.0

    as_read, local = share(at), share(exchange_times.drop_nulls().to_numpy())
    if local > 0.98 and as_read < 0.8:
        raise StampError(
            f"its times fit the sessions of {calendar.name} "
            f"as times of {name} ({local:.0%} lie in them), not as UTC ({as_read:.0%}): "
            f"set `timezone: {name}`, or `timezone: UTC` where they are UTC all the same"
        )
    opens, closes = _weeks(edges)
    brokers, _ = localize(wall.drop_nulls(), _BROKERS)
    broker_times = brokers.drop_nulls().to_numpy()
    outside = _outside(at, opens, closes)
    # Around the clock only the ends of weeks tell one clock from another.
    if (
        outside > _FEW_OUTSIDE * len(at)
        and not _outside(broker_times, opens, closes)
        and np.isin(broker_times, opens).any()
        and not np.isin(at, opens).any()
    ):
        raise StampError(
            f"its times fit the weeks of {calendar.name} on the clock of most brokers, "
            f"{_BROKERS}: as UTC {outside:,} of "
            f"{len(at):,} lie in a weekend, and no week begins with a bar. Set `clock: "
            '"New York + 7h"`, or '
            "`timezone: UTC` where they are UTC all the same"
        )


def _weeks(
    edges: list[np.ndarray[tuple[int], np.dtype[np.int64]]],
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """The opens and closes of sessions, those without a day between them as one."""
    opens, closes = edges
    parted = opens[1:] - closes[:-1] >= _DAY
    return np.concatenate((opens[:1], opens[1:][parted])), np.concatenate(
        (closes[:-1][parted], closes[-1:])
    )


def _outside(
    at: np.ndarray[tuple[int], np.dtype[np.int64]],
    opens: np.ndarray[tuple[int], np.dtype[np.int64]],
    closes: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> int:
    """How many instants lie in none of some spans, but between them."""
    place = np.searchsorted(opens, at, side="right") - 1
    has_span = place >= 0
    return int((at[has_span] >= closes[place[has_span]]).sum()) + int((~has_span).sum())
