"""Nights over which a share jumped as over a split, although no recorded action says so.

Returns and features must not hide them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.config.kinds import Kind
from market_assets.config.research import Basis
from market_assets.enrich.footing import on_one_footing
from market_assets.enrich.grid import Grid
from market_assets.expected.scope import scope_of
from market_assets.expected.series import calendar_of
from market_assets.market.timeframes import Timeframe, Window
from market_assets.verdicts.jumps import NO_JUMPS, overnight_jumps

if TYPE_CHECKING:
    from datetime import datetime

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.store import Snapshot

_WEEK = timedelta(days=7)
_SHORTEST = timedelta(hours=1)


def jumps_in(view: Snapshot, scope: Scope, bars: pl.DataFrame, *, basis: Basis) -> pl.DataFrame:
    """The jumps over a night that some bars reach over.

    Args:
        view: The store.
        scope: Whose bars.
        bars: What `on_one_footing` gives.
        basis: On which prices.

    Returns:
        A frame like NO_JUMPS, the `ts` those of the bars.
    """
    if (
        scope.timeframe is not Timeframe.W1
        or Timeframe.D1 not in scope.profile.timeframes.kept
        or bars.is_empty()
    ):
        return overnight_jumps(bars)
    # A week opens before the night of its split, and closes after it.
    calendar_days = Window.spanning(bars["ts"], bars["ts"] + _WEEK)
    daily = scope.of(Timeframe.D1)
    days = Grid(view, daily).bars(calendar_days)
    jumps = overnight_jumps(on_one_footing(view, daily, days, basis))
    return jumps.with_columns(pl.col("ts").dt.truncate("1w")).join(
        bars, on=["symbol", "ts"], how="semi"
    )


def watches_jumps(profile: Profile, asked: Basis | None) -> bool:
    """Whether a jump over night may be a split that no source has reported.

    It may not where somebody asks for raw prices, and only shares have splits.
    """
    return profile.kind is Kind.EQUITY and asked is not Basis.RAW


def jumps_of(view: Snapshot, profile: Profile, now: datetime) -> pl.DataFrame:
    """All such nights of a profile that has returns or features: a frame like NO_JUMPS.

    Where it keeps nothing of an hour or longer nothing is looked at, because it would take too
    long.

    Args:
        view: The store.
        profile: The profile.
        now: The present instant.
    """
    frames = profile.timeframes
    made = ((frames.returns, profile.returns), (frames.features, profile.features))
    watched = [
        settings
        for timeframes, settings in made
        if timeframes and watches_jumps(profile, settings.basis)
    ]
    if not watched:
        return NO_JUMPS
    shorter = [length for length in frames.kept if length is not Timeframe.W1]
    timeframe = max(shorter or frames.kept, key=lambda length: length.duration)
    window = profile.window(now).intersect(calendar_of(profile).known)
    if (
        window is None
        or timeframe.duration < _SHORTEST
        or not view.candles.has(profile.candles(timeframe))
    ):
        return NO_JUMPS
    scope = scope_of(profile, timeframe, now)
    basis = profile.basis_of(watched[0])
    bars = on_one_footing(view, scope, Grid(view, scope).bars(window), basis)
    return jumps_in(view, scope, bars, basis=basis)
