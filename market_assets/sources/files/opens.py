"""Which bar each stamp names: the open of a minute, or the day of a session.

Pure. A stamp that fits no session is refused with a reason and never moved. How stamps are read
stands in `stamps`, and what they say on which clock in `clocks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.imports import late_imports
from market_assets.market.timeframes import TS, Timeframe
from market_assets.sources.contract import Unread
from market_assets.sources.files.clocks import Clock, localize, wall_at
from market_assets.sources.files.fit import require_dates, require_fit
from market_assets.sources.files.stamps import NO_TIME, StampError, Stamps

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from market_assets.market.calendars.sessions import SessionCalendar

_DAY = Timeframe.D1.micros
_MINUTE = Timeframe.M1.micros
_SECOND = 1_000_000
_NEAR = 3 * 3_600_000_000
"""Microseconds within which a stamp is taken for the open or the close of a session."""

_NONE = -(2**63)
"""The date of no session."""


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
    instants, reasons = _instants_of(stamps, clock)
    naive = bool(
        (
            stamps["offset"].is_null() & stamps["instant"].is_null() & stamps["wall"].is_not_null()
        ).any()
    )
    if calendar is not None:
        require_fit(
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


def _instants_of(stamps: pl.DataFrame, clock: Clock) -> tuple[pl.Series, pl.Series]:
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
        local = wall_at(instant, clock)
        wall = local.zip_with(elsewhere, wall)
        midnight = (wall % _DAY == 0).fill_null(value=False)
        if calendar is not None and (elsewhere & ~midnight).any():
            exchange_wall = wall_at(instant, Clock(str(calendar.zone)))
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
        timed = ~plain & wall.is_not_null()
        days, gone = _evenings(
            days, instant, wall=wall, timed=timed, meaning=meaning, calendar=calendar
        )
        reasons = reasons.set(gone, Unread.NO_SESSION.value)
    if timeframe is Timeframe.D1:
        days = require_dates(days, meaning, calendar)
    return _bounded(days), reasons


def _evenings(
    days: pl.Series,
    instants: pl.Series,
    *,
    wall: pl.Series,
    timed: pl.Series,
    meaning: Stamps | None,
    calendar: SessionCalendar,
) -> tuple[pl.Series, pl.Series]:
    """The days of stamps with a time of day: those of the session that opens, or closes, then.

    Returns:
        The days, and which stamps are timed and lie near no session.
    """
    spans = calendar.spans(calendar.known)
    sessions = spans.group_by("session", maintain_order=True).agg(
        pl.col("open").first(), pl.col("close").last()
    )
    dates = sessions["session"].cast(TS).to_physical().to_numpy()
    at = instants.fill_null(0).to_numpy()
    opening = _nearest(at, sessions["open"].to_physical().to_numpy(), dates)
    closing = _nearest(at, sessions["close"].to_physical().to_numpy(), dates)
    named = days.fill_null(0).to_numpy()
    if meaning == "open":
        session_days = opening
    elif meaning == "close":
        session_days = closing
    else:
        agree = (opening == named) & ((closing == _NONE) | (closing == named))
        agree |= (closing == named) & (opening == _NONE)
        session_days = np.where(agree, named, _NONE)
    has_time = timed.to_numpy()
    lost = has_time & (session_days == _NONE)
    if lost.any() and lost.sum() * 2 > len(lost):
        raise StampError(
            _how_else(
                wall,
                lost=lost,
                opening=opening,
                closing=closing,
                named=named,
                meaning=meaning,
            )
        )
    result = pl.Series(np.where(has_time, session_days, named), dtype=pl.Int64)
    gone = pl.Series(lost)
    return result.set(gone | wall.is_null(), None), gone


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
    return np.where(np.abs(edges[place] - at) <= _NEAR, dates[place], _NONE)


def _how_else(
    wall: pl.Series,
    *,
    lost: np.ndarray[tuple[int], np.dtype[np.bool_]],
    opening: np.ndarray[tuple[int], np.dtype[np.int64]],
    closing: np.ndarray[tuple[int], np.dtype[np.int64]],
    named: np.ndarray[tuple[int], np.dtype[np.int64]],
    meaning: Stamps | None,
) -> str:
    first = int(np.flatnonzero(lost)[0])
    example = wall.cast(TS)[first]
    ways = []
    for word, dates in (("open", opening), ("close", closing)):
        if dates[first] != _NONE and word != meaning:
            ways.append(f"`stamps: {word}` for the session of {_date(dates[first])}")
    ways.append(f"`stamps: session` for that of {_date(named[first])}")
    return (
        f"its stamps of days, such as {example}, do not say which session they mean: "
        f"set {', or '.join(ways)}; or set the `timezone` in which they are midnight"
    )


def _date(micros: int) -> str:
    return str(pl.Series([micros]).cast(TS).cast(pl.Date).item())
