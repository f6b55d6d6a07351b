"""Bars of returns and features on one footing, with the factors that lead back to each bar's own.

The footing is that of the last bar that is read. What is a ratio of prices does not depend on it;
what is a price is divided by the factor of its own bar. So an action takes part in the values of
its ex-date and of later bars alone, and one that comes later changes nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

import polars as pl

from market_assets.config.universe import Basis
from market_assets.enrich.actions.adjust import (
    adjusted_weeks,
    adjustments,
    multiplied,
    with_factors,
)
from market_assets.market.timeframes import Timeframe, Window, midnight
from market_assets.sources.actions import ActionKind
from market_assets.verdicts.evidence import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from market_assets.config.universe import Profile
    from market_assets.enrich.features.compute import Feature
    from market_assets.store import Snapshot

_WEEK = timedelta(days=7)


def on_one_footing(
    view: Snapshot, profile: Profile, timeframe: Timeframe, bars: pl.DataFrame, basis: Basis
) -> pl.DataFrame:
    """Bring the prices of some bars on the footing of the newest one.

    Args:
        view: The store, with the profile's actions and raw daily candles.
        profile: Whose bars.
        timeframe: Their timeframe.
        bars: What `Grid.bars` gives.
        basis: On which prices.

    Returns:
        The bars in their order, with price_factor and volume_factor (Float64), by which they were
        multiplied. Prices and factor are null, and the bar broken, where a dividend behind it
        cannot be measured.
    """
    stored = bars.filter(pl.col("state") == State.STORED)
    actions = _actions_within(view, profile, stored) if basis is not Basis.RAW else None
    if actions is None or actions.is_empty():
        return bars.with_columns(price_factor=1.0, volume_factor=1.0)

    symbols = actions["symbol"].unique().to_list()
    first, last = (
        cast("date", edge) for edge in (stored["session"].min(), stored["session"].max())
    )
    if timeframe is Timeframe.W1:
        last += _WEEK
    closes = _days(
        view, profile, symbols, Window(midnight(profile.start), midnight(last) + timedelta(days=1))
    )
    if timeframe is Timeframe.W1:
        made = _weeks(closes.filter(pl.col("session") >= first), actions, closes, basis, last)
    else:
        own = stored.filter(pl.col("symbol").is_in(symbols))
        made = _footed(own, actions, closes, basis, last)
    return _replaced(bars, made)


def on_own_footing(
    features: pl.DataFrame, bars: pl.DataFrame, made: Sequence[Feature]
) -> pl.DataFrame:
    """Features on the footing of their own bar's day.

    Args:
        features: A row a bar, made of bars on one footing.
        bars: The same rows, with price_factor and volume_factor.
        made: The features.
    """
    factors = {"price": bars["price_factor"], "volume": bars["volume_factor"]}
    own = [pl.col(each.name) / factors[each.unit] for each in made if each.unit]
    return features.with_columns(own)


def _actions_within(view: Snapshot, profile: Profile, stored: pl.DataFrame) -> pl.DataFrame | None:
    """The actions with an ex-date after the first and up to the last session of some bars."""
    if stored.is_empty() or not view.has_table(profile.name, "corporate_actions"):
        return None
    spans = stored.group_by("symbol").agg(first=pl.min("session"), last=pl.max("session"))
    return (
        view.actions(profile.name)
        .filter(pl.col("replaced_at").is_null())
        .join(spans, on="symbol")
        .filter(pl.col("ex_date") > pl.col("first"), pl.col("ex_date") <= pl.col("last") + _WEEK)
        .drop("first", "last")
    )


def _days(view: Snapshot, profile: Profile, symbols: Sequence[str], window: Window) -> pl.DataFrame:
    """Raw daily candles, with their session."""
    days = view.candles(profile.name, Timeframe.D1, symbols, window).unique(
        ["symbol", "ts"], keep="last"
    )
    return days.with_columns(session=pl.col("ts").dt.date()).sort("symbol", "ts")


def _footed(
    candles: pl.DataFrame, actions: pl.DataFrame, closes: pl.DataFrame, basis: Basis, as_of: date
) -> pl.DataFrame:
    """Candles multiplied with their factors, which they keep; sorted by symbol and ts."""
    if basis is Basis.ADJUSTED:
        return multiplied(with_factors(candles, adjustments(actions, closes, as_of=as_of))).sort(
            "symbol", "ts"
        )

    splits = actions.filter(pl.col("kind") == ActionKind.SPLIT)
    factors = adjustments(splits, closes, as_of=as_of)
    placed = with_factors(candles, factors).sort("symbol", "ts")
    paid = with_factors(
        actions.filter(pl.col("kind") == ActionKind.DIVIDEND).select(
            "symbol", "amount", session="ex_date"
        ),
        factors,
    ).select("symbol", "session", paid=pl.col("amount") * pl.col("price_factor"))
    # At the first bar that was stored from the ex-date on.
    bars = placed.select("symbol", "ts", bar_session="session").sort("bar_session", "ts")
    placed_payments = (
        paid.sort("session")
        .join_asof(
            bars.unique(["symbol", "bar_session"], keep="first", maintain_order=True),
            left_on="session",
            right_on="bar_session",
            by="symbol",
            strategy="forward",
            check_sortedness=False,
        )
        .group_by("symbol", "ts")
        .agg(pl.sum("paid"))
    )
    close = pl.col("close") * pl.col("price_factor")
    share = (close / (close + pl.col("paid"))).fill_null(1.0)
    later = share.cum_prod(reverse=True).over("symbol").shift(-1).over("symbol").fill_null(1.0)
    placed = placed.join(placed_payments, on=["symbol", "ts"], how="left", maintain_order="left")
    return multiplied(placed.with_columns(price_factor=pl.col("price_factor") * later)).drop("paid")


def _weeks(
    days: pl.DataFrame, actions: pl.DataFrame, closes: pl.DataFrame, basis: Basis, as_of: date
) -> pl.DataFrame:
    """Weeks of days on one footing: in a raw week with a split in it the prices stand on two. Its factors are those of its last day."""
    footed = _footed(days, actions, closes, basis, as_of)
    factors = footed.group_by("symbol", ts=pl.col("ts").dt.truncate("1w")).agg(
        pl.col("price_factor", "volume_factor").sort_by("session").last()
    )
    return adjusted_weeks(footed).join(factors, on=["symbol", "ts"])


def _replaced(bars: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """The bars with the prices of those that were made in the place of their own."""
    names = ["open", "high", "low", "close", "volume"]
    factors = ["price_factor", "volume_factor"]
    found = made.select(
        "symbol", "ts", *(pl.col(name).alias(f"new_{name}") for name in names), *factors, made=True
    )
    joined = bars.join(found, on=["symbol", "ts"], how="left", maintain_order="left")
    own = pl.col("made").fill_null(value=False) & (pl.col("state") == State.STORED)
    unknown = own & pl.col("new_close").is_null()
    return joined.with_columns(
        *(pl.when(own).then(f"new_{name}").otherwise(name).alias(name) for name in names),
        *(pl.when(own).then(name).otherwise(1.0).alias(name) for name in factors),
        broken=pl.col("broken") | unknown,
    ).select(*bars.columns, *factors)
