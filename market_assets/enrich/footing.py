"""Bars of returns and features on one footing, with the factors back to each bar's own.

The footing is that of a symbol's first day: what was traded from an ex-date on is multiplied with
the inverse of that day's factor. What is a ratio of prices does not depend on it; what is a price
is divided by the factor of its own bar. So an action takes part in the values of its ex-date and of
later bars alone, and one that comes later changes nothing, not even a rounding.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

import polars as pl

from market_assets.config.research import Basis
from market_assets.enrich.actions.adjust import adjusted_weeks, ex_days, multiplied
from market_assets.market.columns import OHLCV
from market_assets.market.timeframes import Timeframe, Window, midnight
from market_assets.sources.actions import ActionKind
from market_assets.verdicts.evidence import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.store import Snapshot

_WEEK = timedelta(days=7)


def on_one_footing(view: Snapshot, scope: Scope, bars: pl.DataFrame, basis: Basis) -> pl.DataFrame:
    """Bring the prices of some bars on one footing.

    Args:
        view: The store, with the profile's actions and raw daily candles.
        scope: Whose bars.
        bars: What `Grid.bars` gives.
        basis: On which prices.

    Returns:
        The bars in their order, with price_factor and volume_factor (Float64), by which they were
        multiplied, and severed (Boolean):
        nothing can be measured over the night before the bar, because a dividend of it has no close
        to be a share of.
    """
    profile, timeframe = scope.profile, scope.timeframe
    unchanged = bars.with_columns(price_factor=1.0, volume_factor=1.0, severed=pl.lit(value=False))
    if basis is Basis.RAW or not view.catalog.has(profile.name, "corporate_actions"):
        return unchanged
    stored = bars.filter(pl.col("state") == State.STORED)
    actions = _actions_until(view, profile, stored)
    if actions.is_empty():
        return unchanged

    symbols = actions["symbol"].unique().to_list()
    bars_with_actions = stored.filter(pl.col("symbol").is_in(symbols))
    first, last = (
        cast("date", edge)
        for edge in (bars_with_actions["session"].min(), bars_with_actions["session"].max())
    )
    if timeframe is Timeframe.W1:
        last += _WEEK
    closes = _days(
        view, profile, symbols, Window(midnight(profile.start), midnight(last) + timedelta(days=1))
    )
    candles = (
        closes.filter(pl.col("session") >= first)
        if timeframe is Timeframe.W1
        else bars_with_actions
    )
    made = _footed(candles, actions, closes, basis)
    return _replaced(bars, _weeks(made) if timeframe is Timeframe.W1 else made)


def _actions_until(view: Snapshot, profile: Profile, stored: pl.DataFrame) -> pl.DataFrame:
    """The actions with an ex-date up to the last session of some bars.

    Those before the first session are among them.
    """
    spans = stored.group_by("symbol").agg(last=pl.max("session"))
    return (
        view.actions.of(profile.name)
        .filter(pl.col("replaced_at").is_null())
        .join(spans, on="symbol")
        .filter(pl.col("ex_date") <= pl.col("last") + _WEEK)
        .drop("last")
    )


def _days(view: Snapshot, profile: Profile, symbols: Sequence[str], window: Window) -> pl.DataFrame:
    """Raw daily candles, with their session."""
    days = view.candles.of(profile.candles(Timeframe.D1), symbols, window).unique(
        ["symbol", "ts"], keep="last"
    )
    return days.with_columns(session=pl.col("ts").dt.date()).sort("symbol", "ts")


def _footed(
    candles: pl.DataFrame, actions: pl.DataFrame, closes: pl.DataFrame, basis: Basis
) -> pl.DataFrame:
    """Candles multiplied with their factors, and severed; sorted by symbol and ts.

    They keep the columns of their factors.
    """
    days = _since_the_first_day(ex_days(actions, closes), closes, candles)
    is_total = basis is Basis.TOTAL_RETURN
    kept = pl.lit(1.0) if is_total else pl.col("kept").fill_null(1.0)
    days = days.with_columns(
        price_factor=(pl.col("ratio") / kept).cum_prod().over("symbol"),
        volume_factor=1 / pl.col("ratio").cum_prod().over("symbol"),
    )
    placed = _with_factors(candles, days)
    if is_total:
        paid = _paid(actions, days, placed)
        close = pl.col("close") * pl.col("price_factor")
        grown = ((close + pl.col("paid")) / close).fill_null(1.0).fill_nan(1.0)
        placed = placed.join(paid, on=["symbol", "ts"], how="left", maintain_order="left")
        factor = pl.col("price_factor") * grown.cum_prod().over("symbol")
        return multiplied(
            placed.with_columns(price_factor=factor, severed=pl.lit(value=False))
        ).drop("paid")

    unknown = days.filter(pl.col("kept").is_null()).select("symbol", session="ex_date")
    severed = (
        _first_bars_from(unknown, placed)
        .select("symbol", "ts", severed=pl.lit(value=True))
        .unique()
    )
    placed = placed.join(severed, on=["symbol", "ts"], how="left", maintain_order="left")
    return multiplied(placed.with_columns(pl.col("severed").fill_null(value=False)))


def _since_the_first_day(
    days: pl.DataFrame, closes: pl.DataFrame, candles: pl.DataFrame
) -> pl.DataFrame:
    """Those ex-dates before which a symbol has traded."""
    begins = pl.concat([closes.select("symbol", "session"), candles.select("symbol", "session")])
    first = begins.group_by("symbol").agg(first=pl.min("session"))
    return (
        days.join(first, on="symbol", maintain_order="left")
        .filter(pl.col("ex_date") > pl.col("first"))
        .drop("first")
    )


def _with_factors(rows: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """Rows with the factors of their session, which are 1.0 before the first ex-date.

    They are sorted by symbol and ts, or by symbol and session where they have no ts.
    """
    names = ("price_factor", "volume_factor")
    placed = rows.sort("session").join_asof(
        days.sort("ex_date").select("symbol", "ex_date", *names),
        left_on="session",
        right_on="ex_date",
        by="symbol",
        strategy="backward",
        check_sortedness=False,
    )
    order = ["symbol", "ts"] if "ts" in rows.columns else ["symbol", "session"]
    return placed.with_columns(pl.col(names).fill_null(1.0)).drop("ex_date").sort(order)


def _paid(actions: pl.DataFrame, days: pl.DataFrame, placed: pl.DataFrame) -> pl.DataFrame:
    """What was paid, on the one footing, at the first bar from its ex-date on: symbol, ts, paid."""
    dividends = actions.filter(pl.col("kind") == ActionKind.DIVIDEND).select(
        "symbol", "amount", session="ex_date"
    )
    amounts = _with_factors(dividends, days).select(
        "symbol", "session", paid=pl.col("amount") * pl.col("price_factor")
    )
    return _first_bars_from(amounts, placed).group_by("symbol", "ts").agg(pl.sum("paid"))


def _first_bars_from(dates: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """Some dates (symbol, session and more) with the `ts` of the first bar on or after each.

    Dates up to the first bar of their symbol are left out, and those after the last.
    """
    first = bars.group_by("symbol").agg(first=pl.min("session"))
    opening = bars.select("symbol", "ts", at="session").sort("at", "ts")
    return (
        dates.join(first, on="symbol")
        .filter(pl.col("session") > pl.col("first"))
        .sort("session")
        .join_asof(
            opening.unique(["symbol", "at"], keep="first", maintain_order=True),
            left_on="session",
            right_on="at",
            by="symbol",
            strategy="forward",
            check_sortedness=False,
        )
        .drop_nulls("ts")
        .drop("first", "at")
    )


def _weeks(days: pl.DataFrame) -> pl.DataFrame:
    """Weeks of days on one footing, each with the factors of its last day.

    In a raw week with a split in it the prices stand on two footings.
    """
    factors = days.group_by("symbol", ts=pl.col("ts").dt.truncate("1w")).agg(
        pl.col("price_factor", "volume_factor").sort_by("session").last(), pl.any("severed")
    )
    return adjusted_weeks(days).join(factors, on=["symbol", "ts"])


def _replaced(bars: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """The bars with the prices of the footed ones in place of their own."""
    names = [*OHLCV]
    factors = ["price_factor", "volume_factor"]
    replacements = made.select(
        "symbol",
        "ts",
        "severed",
        *(pl.col(name).alias(f"new_{name}") for name in names),
        *factors,
        made=True,
    )
    joined = bars.join(replacements, on=["symbol", "ts"], how="left", maintain_order="left")
    is_replaced = pl.col("made").fill_null(value=False) & (pl.col("state") == State.STORED)
    return joined.with_columns(
        *(pl.when(is_replaced).then(f"new_{name}").otherwise(name).alias(name) for name in names),
        *(pl.when(is_replaced).then(name).otherwise(1.0).alias(name) for name in factors),
        severed=is_replaced & pl.col("severed"),
    ).select(*bars.columns, *factors, pl.col("severed").fill_null(value=False))
