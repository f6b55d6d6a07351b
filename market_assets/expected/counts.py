"""How many bars each series must have by now: what `ops.series` holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.called import called_of
from market_assets.expected.scope import scope_of
from market_assets.expected.series import base_of, prepare
from market_assets.market.timeframes import TS
from market_assets.store.database import naive

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.expected.series import Series
    from market_assets.market.timeframes import Timeframe
    from market_assets.store import Snapshot, Store

_A_RUN = timedelta(minutes=1)
_TICK = timedelta(microseconds=1)

_SCHEMA = pl.Schema(
    {
        "profile": pl.String(),
        "symbol": pl.String(),
        "timeframe": pl.String(),
        "derived": pl.Boolean(),
        "expected": pl.Int64(),
        "counted_until": TS,
        "start_ts": TS,
        "end_ts": TS,
    }
)


@dataclass(frozen=True)
class Basis:
    """What the store has that the bars of a profile's series are counted by.

    Attributes:
        genesis: By fetched timeframe and symbol, where it is known.
        judged: By timeframe, until when its newest partition has been judged, where it has one.
    """

    genesis: Mapping[Timeframe, Mapping[str, datetime]]
    judged: Mapping[Timeframe, datetime]

    def count(self, profile: Profile, now: datetime) -> pl.DataFrame:
        """See `count_series`."""
        return count_series(profile, self.genesis, now, judged=self.judged)


def basis_of(view: Snapshot, profile: Profile) -> Basis:
    """By what the series of a profile are counted now."""
    genesis = {
        timeframe: view.genesis.of(profile.candles(timeframe))
        for timeframe in profile.timeframes.fetch
    }
    judged = {
        timeframe: view.partitions.newest_judged_at(profile.candles(timeframe))
        for timeframe in profile.timeframes.kept
    }
    return Basis(genesis, {timeframe: at for timeframe, at in judged.items() if at is not None})


def count_profile(store: Store, profile: Profile, now: datetime) -> None:
    """Write to `ops.series` how many bars each series of a profile must have by now."""
    with store.reading(f"counting {profile.name}") as view:
        basis = basis_of(view, profile)
    # Years of bars are counted while the store is nobody's.
    counted = basis.count(profile, now)
    with store.writing(f"counting {profile.name}") as transaction:
        prepare(transaction, profile)
        transaction.series.put(counted)


def count_series(
    profile: Profile,
    genesis: Mapping[Timeframe, Mapping[str, datetime]],
    now: datetime,
    *,
    judged: Mapping[Timeframe, datetime] | None = None,
) -> pl.DataFrame:
    """How many bars each series of a profile must have by now.

    Args:
        profile: The profile.
        genesis: By fetched timeframe and symbol, where it is known.
        now: The present instant.
        judged: By timeframe, until when its newest partition has been judged. Where it is given, a
            bar that has closed since, so lately that the next update is still to bring it, is not
            called for.

    Returns:
        The frame that `SeriesWriter.put` takes.
    """
    rows: list[tuple[object, ...]] = []
    for timeframe in profile.timeframes.kept:
        base = base_of(profile, timeframe)
        scope = scope_of(profile, timeframe, now).since(genesis.get(base, {}))
        until = now if judged is None else called_until(profile, judged.get(timeframe), now)
        rows += _rows(scope, until)
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def called_until(profile: Profile, judged_at: datetime | None, now: datetime) -> datetime:
    """Until when bars must have closed to be called for.

    Later ones are those that the next update is still to bring.

    Args:
        profile: The profile.
        judged_at: Until when the newest partition of the timeframe has been judged; None before the
            first.
        now: The present instant.
    """
    if judged_at is None:
        return now
    return min(now, max(judged_at, now - lag_of(profile)))


def lag_of(profile: Profile) -> timedelta:
    """How long after its close a bar may take to be stored.

    In that time the bar settles, the next update begins, and a run ends.
    """
    return profile.update.settle + profile.update.every + _A_RUN


def _rows(scope: Scope, until: datetime) -> list[tuple[object, ...]]:
    """A row of _SCHEMA for each series, with its bars that have closed until an instant."""
    stretches = called_of(scope, until).stretches

    # A derived bar that a series begins in may have a `ts` outside of it.
    reach = scope.timeframe.duration if scope.is_derived else timedelta()

    def row(series: Series) -> tuple[object, ...]:
        stretch = stretches.get(series.symbol)
        start = series.window.start - reach
        # What is kept below the floor of what it is made of is called for by nobody.
        if series.floor:
            start = series.window.start if stretch is None else stretch.first
        # A newer bar that is stored already would stand for an older one that is missing.
        last = start - _TICK if stretch is None else stretch.last
        return (
            scope.profile.name,
            series.symbol,
            str(scope.timeframe),
            scope.is_derived,
            0 if stretch is None else stretch.bars,
            naive(until),
            naive(start),
            naive(last + _TICK),
        )

    return [row(series) for series in scope.series]
