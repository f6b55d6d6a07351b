"""What the store holds against the calendars, for `status`, for alerts and for a maintainer."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.series import calendar_of
from market_assets.market.timeframes import Window
from market_assets.verdicts.doubt import EXTENDED, doubts
from market_assets.verdicts.evidence import State

if TYPE_CHECKING:
    from market_assets.config.universe import Profile
    from market_assets.market.timeframes import Timeframe
    from market_assets.store import Snapshot
    from market_assets.verdicts.doubt import Doubt

_ANY = timedelta(days=366)

_CLOSED = pl.Schema({"symbol": pl.String(), "session": pl.Date()})


def doubts_of(view: Snapshot, profile: Profile) -> dict[Timeframe, list[Doubt]]:
    """Why the calendar of a profile may be wrong, by fetched timeframe.

    A timeframe without a doubt is left out.
    """
    if not profile.checks.calendar:
        return {}
    longest = EXTENDED if profile.kind.has_extended_hours else _ANY
    kept = pl.col("symbol").is_in(list(profile.symbols))
    refused = view.off_calendar.of(profile.name, longest=longest).filter(kept)
    closed = view.gaps.with_status([State.CLOSED], profile.name).filter(kept)
    if refused.is_empty() and closed.is_empty():
        return {}
    zone = calendar_of(profile).zone
    reasons_by_timeframe = {}
    for timeframe in profile.timeframes.fetch:
        same_timeframe = pl.col("timeframe") == str(timeframe)
        sessions = _sessions(profile, timeframe, closed.filter(same_timeframe))
        extended = profile.kind.has_extended_hours
        if reasons := doubts(
            refused.filter(same_timeframe), sessions, timeframe, zone, extended=extended
        ):
            reasons_by_timeframe[timeframe] = reasons
    return reasons_by_timeframe


def _sessions(profile: Profile, timeframe: Timeframe, closed: pl.DataFrame) -> pl.DataFrame:
    """The sessions that some rows of the gap ledger lie in: symbol, session."""
    if closed.is_empty():
        return _CLOSED.to_frame()
    whole = Window.spanning(closed["first_ts"], closed["last_ts"].dt.offset_by("1us"))
    grid = calendar_of(profile).bars(timeframe, whole).select("ts", "session")
    rows = closed.join_where(
        grid, pl.col("ts") >= pl.col("first_ts"), pl.col("ts") <= pl.col("last_ts")
    )
    return rows.select("symbol", "session").unique().sort("session", "symbol")
