"""How the stamps of a file are read: text, numbers, dates and times into walls.

Pure functions on series. Dates that can be read in two ways are refused with `StampError`. Which
clock a wall stands for is in `clocks`, and which bar a stamp names in `opens`.
"""

from __future__ import annotations

import re
from typing import Literal

import polars as pl

from market_assets.market.timeframes import TS
from market_assets.sources.contract import epoch_to_us
from market_assets.sources.files.clocks import Clock, localize, zone_named

Stamps = Literal["open", "close", "session"]

NO_TIME = "no time"

_MINUTE = 60_000_000

_NO_COUNT = 100_000
"""A number that is smaller is no count of seconds, or of what is shorter, since 1970."""


class StampError(ValueError):
    """The stamps of a whole file cannot be read, or fit another setting better; says which."""


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
    columns = {"wall": wall, "offset": offset, "dated": dated, "instant": instant, "eve": eve}
    given = {name: values for name, values in columns.items() if isinstance(values, pl.Series)}
    constants = {name: pl.lit(values) for name, values in columns.items() if name not in given}
    frame = pl.DataFrame(given).with_columns(**constants)
    return frame.select(pl.col(name).cast(dtype) for name, dtype in WALLS.items())


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
    """Read dates and times by the parts that they are written in."""
    parts = _parts_of(texts, order)
    wall = parts.select(_date_of_parts().cast(TS).to_physical() + _time_of_parts()).to_series()
    offset, unknown = _zones(parts["zone"], wall)
    wall = wall.set(unknown, None)
    dated = parts["hour"].is_null() & wall.is_not_null()
    eve = (parts["hour"] == 24).fill_null(value=False)
    return _walls(wall=wall, offset=offset, dated=dated, eve=eve)


def _parts_of(texts: pl.Series, order: str | None) -> pl.DataFrame:
    """The parts of dates and times: year, month, day, hour, minute, second, part, late, zone.

    The part is that of a second, in microseconds; late is `a` or `p` of a clock of twelve hours.
    """
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
    return groups.select(
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


def _date_of_parts() -> pl.Expr:
    is_date = pl.col("month").is_between(1, 12) & pl.col("day").is_between(1, 31)
    text = pl.format(
        "{}-{}-{}",
        "year",
        pl.col("month").cast(pl.String).str.zfill(2),
        pl.col("day").cast(pl.String).str.zfill(2),
    )
    return pl.when(is_date).then(text.str.to_date("%Y-%m-%d", strict=False))


def _time_of_parts() -> pl.Expr:
    """Microseconds since midnight; null where the parts are no time of day."""
    hour = pl.col("hour").fill_null(0)
    hour = (
        pl.when(pl.col("late").is_null())
        .then(hour)
        .when(~hour.is_between(1, 12))
        .then(None)
        .otherwise(hour % 12 + pl.when(pl.col("late") == "p").then(12).otherwise(0))
    )
    is_time = hour.is_between(0, 24) & (pl.col("minute") < 60) & (pl.col("second") < 61)
    seconds = (hour.cast(pl.Int64) * 60 + pl.col("minute")) * 60 + pl.col("second")
    return pl.when(is_time).then(seconds * 1_000_000 + pl.col("part"))


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
        zone = None if hours is not None else zone_named(name)
        if hours is not None:
            offset = offset.set(mask, hours * 60 * _MINUTE)
        elif zone is None:
            unknown = unknown | mask
        else:
            instants, _ = localize(wall.filter(mask), Clock(zone))
            offset = offset.scatter(mask.arg_true(), wall.filter(mask) - instants)
            unknown = unknown | (mask & offset.is_null())
    return offset, unknown
