"""Candles that retention has archived, on the footing of a day: as `adjusted=True` reads them.

The lake has raw prices, and the store adjusts what it has itself. What the lake alone has is
adjusted here, by the same rules, with the daily closes of both.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.enrich.actions.adjust import adjust, adjusted_weeks, adjustments
from market_assets.expected.series import calendar_of
from market_assets.market.columns import OHLCV, extras_in
from market_assets.market.timeframes import Timeframe, Window, midnight
from market_assets.reports.archive import keys_of, with_archived

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from market_assets.config.universe import Profile
    from market_assets.market.datasets import Dataset
    from market_assets.store import Snapshot

_FIRST = datetime(1900, 1, 1, tzinfo=UTC)
_WEEK, _DAY = timedelta(days=7), timedelta(days=1)


def adjusted_candles(
    view: Snapshot,
    profile: Profile,
    timeframe: Timeframe,
    *,
    lake: Path | None,
    symbols: Sequence[str],
    window: Window,
    day: date,
) -> pl.DataFrame:
    """Candles on the footing of a day, in no particular order, also those that are archived.

    Args:
        view: The store; the profile has corporate actions.
        profile: Whose candles.
        timeframe: Which.
        lake: The lake's folder; None where the universe has none.
        symbols: Which symbols.
        window: Which rows, by their `ts`.
        day: As of which day.

    Returns:
        symbol, ts, open, high, low, close, volume and extra columns.

    Raises:
        ReadError: A file of the archive is not there, or cannot be read.
    """
    # Weeks are made of adjusted days.
    is_weekly = timeframe is Timeframe.W1
    base = profile.candles(Timeframe.D1 if is_weekly else timeframe)
    reach = Window(window.start - _WEEK, window.end + _WEEK) if is_weekly else window
    cadence = profile.partitions.of(base.timeframe)
    if not view.pruned.archived(base, *keys_of(reach, cadence)):
        return view.candles.adjusted(profile.candles(timeframe), symbols, window, day)

    names = sorted(set(symbols) & {*view.actions.answers(profile.name)["symbol"]})
    candles = _raw(view, profile, base, lake=lake, symbols=names, window=reach)
    until = Window(_FIRST, midnight(day) + _DAY)
    days = profile.candles(Timeframe.D1)
    closes = _raw(view, profile, days, lake=lake, symbols=names, window=until)
    actions = view.actions.of(profile.name).filter(
        pl.col("replaced_at").is_null(), pl.col("symbol").is_in(names)
    )
    factors = adjustments(actions, closes.select("symbol", "session", "close"), as_of=day)
    made = adjust(candles, factors, as_of=day)
    rows = adjusted_weeks(made) if is_weekly else made.drop("session")
    return rows.filter(window.holds())


def _raw(
    view: Snapshot,
    profile: Profile,
    dataset: Dataset,
    *,
    lake: Path | None,
    symbols: Sequence[str],
    window: Window,
) -> pl.DataFrame:
    """Raw candles of the store and of the lake, with the session that each lies in."""
    rows = with_archived(
        view,
        view.candles.rows(profile.name, dataset.name, symbols, window),
        dataset,
        lake=lake,
        cadence=profile.partitions.of(dataset.timeframe),
        symbols=symbols,
        window=window,
    )
    session = pl.col("ts")
    if dataset.timeframe.intraday:
        zone = calendar_of(profile).zone.key
        session = session.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    columns = ["symbol", "ts", *OHLCV, *extras_in(rows.columns)]
    return rows.select(*columns, session=session.dt.date())
