"""Whether the stamps of a file fit the sessions of its market better when they are read otherwise.

Pure. Only files as a whole are judged here: one that fits another setting better is refused with
`StampError`, which names that setting. Which bar a single stamp names stands in `opens`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from market_assets.imports import late_imports
from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.files.clocks import Clock, localize
from market_assets.sources.files.stamps import StampError, Stamps

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    import polars as pl

    from market_assets.market.calendars.sessions import SessionCalendar

_DAY = Timeframe.D1.micros

_BROKERS = Clock("America/New_York", timedelta(hours=7))
"""The clock of most brokers of currencies, on which a week has five days.

It shows midnight when New York shows 17:00.
"""

_FEW_OUTSIDE = 0.005
"""A share of bars in weekends that may be a slip."""

_ENOUGH = 5
"""How many dates there must be before they are said to fit another reading better."""


def require_dates(days: pl.Series, meaning: Stamps | None, calendar: SessionCalendar) -> pl.Series:
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


def require_fit(
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
    def share(instants: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
        place = np.searchsorted(edges[0], instants, side="right") - 1
        inside = (place >= 0) & (instants <= edges[1][np.clip(place, 0, None)])
        return float(inside.mean()) if len(instants) else 0.0

    # Another clock is only tried where this one does not fit: it takes as long as to read a file.
    as_read, local = share(at), 0.0
    name = str(calendar.zone)
    if as_read < 0.8:
        exchange_times, _ = localize(wall.drop_nulls(), Clock(name))
        local = share(exchange_times.drop_nulls().to_numpy())
    if local > 0.98:
        raise StampError(
            f"its times fit the sessions of {calendar.name} "
            f"as times of {name} ({local:.0%} lie in them), not as UTC ({as_read:.0%}): "
            f"set `timezone: {name}`, or `timezone: UTC` where they are UTC all the same"
        )
    opens, closes = _weeks(edges)
    outside = _outside(at, opens, closes)
    if outside <= _FEW_OUTSIDE * len(at):
        return
    brokers, _ = localize(wall.drop_nulls(), _BROKERS)
    broker_times = brokers.drop_nulls().to_numpy()
    # Around the clock only the ends of weeks tell one clock from another.
    if (
        not _outside(broker_times, opens, closes)
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
