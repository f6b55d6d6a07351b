"""Prices on one footing over splits and dividends, as of any day. Pure.

Actions and raw candles go in, factors and adjusted candles come out. What was traded before an
ex-date is multiplied by that day's factor: 1 / ratio for a split, 1 - amount / close for a
dividend, where the close is the last raw one before the ex-date. Volumes are multiplied by the
ratio. `store.adjusted` has the same as SQL.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.enrich.quiet import is_quiet
from market_assets.market.columns import EXTRAS, PRICES, extras_in, rolled
from market_assets.sources.actions import ActionKind

if TYPE_CHECKING:
    from datetime import date, datetime

STALE = timedelta(days=14)
"""An action later than this after a symbol's last candle is not applied."""


def known_by(actions: pl.DataFrame, instant: datetime) -> pl.DataFrame:
    """The actions as they were recorded at an instant.

    Args:
        actions: Recorded actions, replaced ones too: with recorded_at and replaced_at (TS; null
            while a row holds).
        instant: Aware.
    """
    at = instant.replace(tzinfo=None) - (instant.utcoffset() or timedelta())
    holds = (pl.col("recorded_at") <= at) & (
        pl.col("replaced_at").is_null() | (pl.col("replaced_at") > at)
    )
    return actions.filter(holds)


def adjustments(actions: pl.DataFrame, closes: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """The factors of each stretch between two ex-dates, as of a day.

    Only the actions and the closes up to that day count. The amounts of several dividends of a day
    are added. An amount is per share as traded on its ex-date; the close is brought into these
    shares where a split lies between.

    Args:
        actions: symbol and the columns of ACTION_SCHEMA.
        closes: symbol, session (Date), close: raw daily closes.
        as_of: The day.

    Returns:
        symbol, ex_date, price_factor, volume_factor: the factors by which candles of the sessions
        before ex_date, from the previous one on, are multiplied; sorted. A price factor is null
        where a dividend cannot be measured: no close lies before it, or it is not lower than the
        close. However long a share was suspended, the last close measures what was paid.
    """
    closes = closes.filter(pl.col("session") <= as_of)
    last = closes.group_by("symbol").agg(last=pl.max("session"))
    near = (
        actions.filter(pl.col("ex_date") <= as_of)
        .join(last, on="symbol")
        .filter(pl.col("ex_date") <= pl.col("last") + STALE)
    )
    unknown = pl.col("factor").is_null().cum_sum(reverse=True).over("symbol") > 0
    return (
        ex_days(near, closes)
        .with_columns(factor=pl.col("kept") / pl.col("ratio"))
        .select(
            "symbol",
            "ex_date",
            price_factor=pl.when(~unknown).then(
                pl.col("factor").cum_prod(reverse=True).over("symbol")
            ),
            volume_factor=pl.col("ratio").cum_prod(reverse=True).over("symbol"),
        )
    )


def ex_days(actions: pl.DataFrame, closes: pl.DataFrame) -> pl.DataFrame:
    """What the actions of each ex-date come to by themselves.

    Args:
        actions: symbol and the columns of ACTION_SCHEMA.
        closes: symbol, session (Date), close: raw daily closes.

    Returns:
        symbol, ex_date, ratio (1.0 where no split is), kept: the share of the price that is left
        after the day's dividends, null where these cannot be measured; sorted.
    """
    closes = closes.sort("session")
    split, paid = (pl.col("kind") == kind for kind in (ActionKind.SPLIT, ActionKind.DIVIDEND))
    days = (
        actions.filter(split | paid)
        .group_by("symbol", "ex_date")
        .agg(
            ratio=pl.col("ratio").filter(split).product(),
            amount=pl.col("amount").filter(paid).sum(),
        )
        .sort("ex_date")
        .with_columns(shares=pl.col("ratio").cum_prod().over("symbol"))
    )
    measured = days.join_asof(
        closes.select("symbol", "session", "close"),
        left_on="ex_date",
        right_on="session",
        by="symbol",
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    ).join_asof(
        days.select("symbol", then="ex_date", before="shares"),
        left_on="session",
        right_on="then",
        by="symbol",
        strategy="backward",
        check_sortedness=False,
    )
    # In shares as they were at the close.
    amount = pl.col("amount") * pl.col("shares") / pl.col("before").fill_null(1.0)
    kept = (
        pl.when(pl.col("amount") == 0)
        .then(1.0)
        .when(amount < pl.col("close"))
        .then(1 - amount / pl.col("close"))
    )
    return measured.sort("symbol", "ex_date").select("symbol", "ex_date", "ratio", kept=kept)


def adjust(candles: pl.DataFrame, factors: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """Raw candles on the footing of a day; those of later sessions are left out.

    Args:
        candles: symbol, ts, session (Date), open, high, low, close, volume, any extra columns; of
            days or shorter.
        factors: What `adjustments` gives for that day.
        as_of: The day.

    Returns:
        The candles' columns, sorted by symbol and ts; prices are null where their factor is.
    """
    placed = _with_factors(candles.filter(pl.col("session") <= as_of), factors).sort("symbol", "ts")
    return multiplied(placed).select(candles.columns)


def _with_factors(candles: pl.DataFrame, factors: pl.DataFrame) -> pl.DataFrame:
    """Give candles the factors by which they are multiplied.

    Args:
        candles: symbol, session (Date) and any other columns.
        factors: What `adjustments` gives.

    Returns:
        The candles with price_factor and volume_factor (Float64), 1.0 where no action lies behind;
        sorted by session.
    """
    placed = candles.sort("session").join_asof(
        factors.sort("ex_date"),
        left_on="session",
        right_on="ex_date",
        by="symbol",
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    names = ("price_factor", "volume_factor")
    none_behind = pl.col("ex_date").is_null()
    return placed.with_columns(
        pl.when(none_behind).then(1.0).otherwise(pl.col(name)).alias(name) for name in names
    ).drop("ex_date")


def multiplied(candles: pl.DataFrame) -> pl.DataFrame:
    """Candles with their prices and volumes, extra ones too, multiplied with their factors.

    The factors are those of `with_factors`.
    """
    return candles.with_columns(
        *(pl.col(name) * pl.col("price_factor") for name in PRICES),
        pl.col("volume") * pl.col("volume_factor"),
        *(
            pl.col(extra.name) * pl.col(extra.factor)
            for extra in EXTRAS
            if extra.factor and extra.name in candles.columns
        ),
    )


def adjusted_weeks(days: pl.DataFrame) -> pl.DataFrame:
    """Weeks of adjusted days.

    A raw week with a split in it has prices on two footings, and cannot be adjusted itself.

    Args:
        days: What `adjust` gives of 1d candles.

    Returns:
        symbol, ts (the Monday), open, high, low, close, volume and the days' extra columns, as
        `resample` makes weeks; a week with a day
        whose prices are null has none. A vwap is that of the days alone: what was paid is not
            adjusted.
    """
    is_whole = pl.col("close").null_count() == 0
    traded = ~is_quiet(pl.col("close").shift().over("symbol"))
    last = pl.col("close").last()
    prices = {
        "open": pl.col("open").filter("traded").first(),
        "high": pl.col("high").filter("traded").max(),
        "low": pl.col("low").filter("traded").min(),
        "close": pl.col("close").filter("traded").last(),
    }
    extras = rolled(extras_in(days.columns), is_raw=False)
    return (
        days.sort("symbol", "ts")
        .with_columns(traded=traded)
        .group_by("symbol", pl.col("ts").dt.truncate("1w"), maintain_order=True)
        .agg(
            **{
                name: pl.when(is_whole).then(pl.coalesce(price, last))
                for name, price in prices.items()
            },
            volume=pl.when(pl.col("volume").is_not_null().any()).then(pl.col("volume").sum()),
            **extras,
        )
    )
