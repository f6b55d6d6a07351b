"""The columns of candles: the name, the type, the unit and the meaning of each. Pure.

How the extra columns roll up to longer bars is here too.

An extra column is one that some vendors give beside open, high, low, close and volume. It is null
where nobody has given it, and it never decides whether a bar is a bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import polars as pl

from market_assets.imports import late_imports

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

PRICES = ("open", "high", "low", "close")
OHLCV = (*PRICES, "volume")
"""What every candle has beside its symbol and its time, in the order of every table."""

Roll = Literal["sum", "mean"]


@dataclass(frozen=True)
class Column:
    """A column of a table of candles.

    Attributes:
        name: Its name in frames, in the store and in files.
        sql: Its type in the store.
        words: What it holds.
        required: Whether it is never null.
    """

    name: str
    sql: str
    words: str
    required: bool = True

    @property
    def kind(self) -> str:
        """Its type as the Dagster UI shows it."""
        return {"VARCHAR": "string"}.get(self.sql, self.sql.lower())


@dataclass(frozen=True)
class Extra(Column):
    """A column that some vendors give and others do not.

    Attributes:
        unit: What it counts: money of the quote currency, units of the volume, trades, or a price.
        roll: sum, or mean: the mean weighted by volume.
        dtype: Its type in frames.
    """

    required: bool = False
    unit: Literal["money", "volume", "trades", "price"] = "money"
    roll: Roll = "sum"
    dtype: pl.DataType = pl.Float64()  # noqa: RUF009 - it has no state

    @property
    def factor(self) -> str | None:
        """What it is multiplied with over a split; None for what a split leaves as it was.

        A split changes neither what was paid nor how often there was a trade.
        """
        return {"price": "price_factor", "volume": "volume_factor"}.get(self.unit)


EXTRAS = (
    Extra(
        "quote_volume",
        "DOUBLE",
        "What was paid for the volume, in the quote currency; null where the source does not say "
        "it",
    ),
    Extra(
        "trades",
        "BIGINT",
        "How many trades there were; null where the source does not say it",
        unit="trades",
        dtype=pl.Int64(),
    ),
    Extra(
        "taker_buy_volume",
        "DOUBLE",
        "The part of the volume in which the buyer was the taker; "
        "null where the source does not say it",
        unit="volume",
    ),
    Extra(
        "vwap",
        "DOUBLE",
        "The mean price weighted by volume; null where the source does not say it",
        unit="price",
        roll="mean",
    ),
)
"""Every extra column, in the order in which tables have them: behind all others."""

EXTRA_NAMES = tuple(extra.name for extra in EXTRAS)
EXTRA_SCHEMA = pl.Schema({extra.name: extra.dtype for extra in EXTRAS})

FETCHED = (
    Column("symbol", "VARCHAR", "The symbol as the universe calls it"),
    Column(
        "ts", "TIMESTAMP", "The bar's open, UTC; of a day its session's date, of a week its Monday"
    ),
    Column("open", "DOUBLE", "First price"),
    Column("high", "DOUBLE", "Highest price"),
    Column("low", "DOUBLE", "Lowest price"),
    Column("close", "DOUBLE", "Last price"),
    Column(
        "volume",
        "DOUBLE",
        "As the source counts it; null where the market has none",
        required=False,
    ),
    Column("source", "VARCHAR", "Where the row came from"),
)
"""The columns of every table of candles."""

DERIVED = (
    *FETCHED,
    Column("bars", "INTEGER", "How many bars of its input it is made of"),
    Column("bars_expected", "INTEGER", "How many it would be made of if none were absent"),
)
"""The columns of candles that are made of shorter ones."""

VWAP_TOLERANCE = 1e-4
"""A vwap may lie outside of low and high by this share of the price.

Vendors round it, some to four decimals.
"""

_ROUNDING = 1e-9
_WHOLE = 2.0**53


def extras_in(names: Collection[str]) -> list[str]:
    """The extra columns among some, in our order."""
    return [name for name in EXTRA_NAMES if name in names]


# What may be kept --------------------------------------------------------------------------------


def sound(candles: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Make null what an extra column cannot hold, and give the others their types.

    That is a negative or infinite number and NaN, a part of a trade, more bought by takers than was
    traded, and a vwap outside of low and high by more than VWAP_TOLERANCE. Where nothing was traded
    no price has a weight: a vwap of such a bar is null, whatever the vendor writes there, and that
    is no fault.

    Args:
        candles: ts, high, low, volume, any extra columns as numbers, and any other columns.

    Returns:
        The candles; and ts, column of each value that is null now and was a number or NaN, without
        those of a vwap without a volume.
    """
    names = extras_in(candles.columns)
    if not names:
        return candles, NOTHING_DROPPED
    faults = []
    for name in names:
        given = column = candles[name]
        values = column.cast(pl.Float64, strict=False).to_numpy()
        bad = _faults(name, values, candles)
        if name == "vwap":
            unweighted = candles["volume"].to_numpy() == 0
            column = column.set(pl.Series(unweighted), None) if unweighted.any() else column
            bad &= ~unweighted
        if bad.sum() > column.null_count():
            bad &= ~column.is_null().to_numpy()
            column = column.set(pl.Series(bad), None)
            faults.append(candles.select("ts", column=pl.lit(name)).filter(pl.Series(bad)))
        if column is not given or column.dtype != EXTRA_SCHEMA[name]:
            # A query would take longer than all else on a page's few rows.
            candles = candles.clone().replace_column(
                candles.get_column_index(name), column.cast(EXTRA_SCHEMA[name], strict=False)
            )
    return candles, pl.concat([NOTHING_DROPPED, *faults]) if faults else NOTHING_DROPPED


def _faults(name: str, values: NDArray[np.float64], candles: pl.DataFrame) -> NDArray[np.bool_]:
    """Which values cannot be. A null is NaN here, and counts as one of them."""
    bad: NDArray[np.bool_] = ~((values >= 0) & (values < np.inf))
    with np.errstate(invalid="ignore"):
        if name == "trades":
            bad |= (values != np.floor(values)) | (values >= _WHOLE)
        elif name == "taker_buy_volume":
            bad |= values > candles["volume"].to_numpy() * (1 + _ROUNDING)
        elif name == "vwap":
            low, high = candles["low"].to_numpy(), candles["high"].to_numpy()
            bad = ~np.isfinite(values)
            bad |= (values < low - VWAP_TOLERANCE * np.abs(low)) | (
                values > high + VWAP_TOLERANCE * np.abs(high)
            )
    return bad


NOTHING_DROPPED = pl.DataFrame(schema={"ts": pl.Datetime("us"), "column": pl.String})
"""No value of an extra column was dropped."""


# How they roll up --------------------------------------------------------------------------------


def rolled(names: Collection[str], *, is_raw: bool = True) -> dict[str, pl.Expr]:
    """The extra columns of a longer bar, as aggregations over the shorter ones with their volume.

    A part of a sum is no sum: where a bar with a volume lacks a value, or has no volume that is
    known, the longer bar has none either. A bar in which nothing was traded adds nothing. A vwap is
    the quote volume by the volume, where all of both is known, else the mean of the shorter ones'
    weighted by volume; see `only_possible`.

    Args:
        names: The extra columns that the shorter bars have.
        is_raw: Whether prices stand as they were traded; adjusted ones have nothing to do with a
            quote volume.

    Returns:
        By name; with a quote volume also `vwap` and, for `only_possible`, `vwap_of_bars`.
    """
    volume = pl.col("volume")
    empty = (volume == 0).fill_null(value=False)
    made: dict[str, pl.Expr] = {}
    for extra in EXTRAS:
        if extra.name in names and extra.roll == "sum":
            value = pl.col(extra.name)
            lacking = value.is_null() & ~empty
            made[extra.name] = pl.when(value.is_not_null().any() & ~lacking.any()).then(value.sum())
    is_weighed = volume.is_not_null().all() & (volume.sum() > 0)
    if "quote_volume" in names and is_raw:
        made["vwap"] = pl.when(is_weighed).then(made["quote_volume"] / volume.sum())
    if "vwap" in names:
        mean = pl.col("vwap")
        lacking = mean.is_null() & ~empty
        weighted = pl.when(is_weighed & ~lacking.any()).then((mean * volume).sum() / volume.sum())
        made["vwap_of_bars" if "vwap" in made else "vwap"] = weighted
    return made


def only_possible(bars: pl.DataFrame) -> pl.DataFrame:
    """Bars that `rolled` has made, with the first vwap that can be.

    A vwap can be where it lies within low and high, but for rounding. A quote volume by a volume in
    contracts is no price, for instance.
    """
    if "vwap" not in bars.columns:
        return bars
    margin = VWAP_TOLERANCE * pl.col("high").abs()
    candidates = [pl.col(name) for name in ("vwap", "vwap_of_bars") if name in bars.columns]
    inside = [
        pl.when(candidate.is_between(pl.col("low") - margin, pl.col("high") + margin)).then(
            candidate
        )
        for candidate in candidates
    ]
    return bars.with_columns(vwap=pl.coalesce(inside)).drop("vwap_of_bars", strict=False)
