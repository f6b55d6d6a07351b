"""How many bars each series must have by now: what `ops.series` holds."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.scope import scope_of
from market_assets.expected.series import base_of, prepare
from market_assets.market.timeframes import TS, Window, from_micros, literal
from market_assets.store.database import aware, naive

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.expected.series import Series
    from market_assets.market.timeframes import Timeframe
    from market_assets.store import Store

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


def count_profile(store: Store, profile: Profile, now: datetime) -> None:
    """Write to `ops.series` how many bars each series of a profile must have by now."""
    with store.reading(f"counting {profile.name}") as view:
        genesis = {
            timeframe: view.genesis.of(profile.candles(timeframe))
            for timeframe in profile.timeframes.fetch
        }
        judged_times = {
            timeframe: view.partitions.newest_judged_at(profile.candles(timeframe))
            for timeframe in profile.timeframes.kept
        }
    judged = {timeframe: at for timeframe, at in judged_times.items() if at is not None}
    counted = count_series(profile, genesis, now, judged=judged)
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
        until = (
            now
            if judged is None
            else min(now, max(judged.get(timeframe, now), now - lag_of(profile)))
        )
        rows += _rows(scope, until)
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def lag_of(profile: Profile) -> timedelta:
    """How long after its close a bar may take to be stored.

    In that time the bar settles, the next update begins, and a run ends.
    """
    return profile.update.settle + profile.update.every + _A_RUN


def _rows(scope: Scope, until: datetime) -> list[tuple[object, ...]]:
    """A row of _SCHEMA for each series, with its bars that have closed until an instant."""
    counts = dict.fromkeys(scope.symbols, 0)
    firsts: dict[str, datetime] = {}
    lasts: dict[str, datetime] = {}
    start = min(series.window.start for series in scope.series)
    for year in _years(Window(start, max(scope.now, start))):
        if scope.is_derived:
            bars = scope.calendar.bars_touching(scope.timeframe, year)
            # A bar that two years touch is counted in the one in which it opens, and one that was
            # open at the start in the first.
            opens = pl.max_horizontal("opens_at", literal(start))
            bars = bars.filter(opens >= literal(year.start), opens < literal(year.end))
        else:
            bars = scope.grid(year)
        bars = bars.filter(pl.col("closes_at") <= literal(until))
        for series in scope.series:
            called_for = bars.filter(scope.belonging(series))
            counts[series.symbol] += called_for.height
            if not called_for.is_empty():
                firsts.setdefault(series.symbol, aware(called_for["ts"][0]))
                lasts[series.symbol] = aware(called_for["ts"][-1])

    # A derived bar that a series begins in may have a `ts` outside of it.
    reach = scope.timeframe.duration if scope.is_derived else timedelta()

    def first_of(series: Series) -> datetime:
        # What is kept below the floor of what it is made of is called for by nobody.
        if series.floor:
            return firsts.get(series.symbol, series.window.start)
        return series.window.start - reach

    def end_of(series: Series) -> datetime:
        # A newer bar that is stored already would stand for an older one that is missing.
        return lasts.get(series.symbol, first_of(series) - _TICK) + _TICK

    return [
        (
            scope.profile.name,
            series.symbol,
            str(scope.timeframe),
            scope.is_derived,
            counts[series.symbol],
            naive(until),
            naive(first_of(series)),
            naive(end_of(series)),
        )
        for series in scope.series
    ]


def _years(window: Window) -> list[Window]:
    """The window in pieces of about a year, so that counting ten years takes the memory of one."""
    start, end = window.micros
    step = 366 * 86_400_000_000
    return [
        Window(from_micros(at), from_micros(min(at + step, end))) for at in range(start, end, step)
    ]
