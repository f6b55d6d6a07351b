"""The prices and volumes of a file, out of the cells that they are written in.

Pure functions on columns. Fixed-point prices, which are whole numbers of some scale, are known here
and nowhere else. How a cell becomes a number stands in `numbers`.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import polars as pl

from market_assets.sources.files.numbers import numbers_of, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.sources.files.layouts import ColumnName

_FIXED = 100_000_000
"""No usual price is so large a whole number and a multiple of a thousand."""

_NO_PRICE = float(2**63 - 1)
"""What fixed-point prices have where there is none."""

_MILLIONTH = 1e-6

_LEAST_BESIDE = 1e-3
"""Whole numbers beside fractions are fixed-point prices only where they stand for so much."""

_LEAST = 1e-6
"""No price of a file of fixed-point prices is less than so much."""


def price_of(
    cells: Sequence[pl.Series], decimal: str | None, *, is_decimal: bool, scale: float | None
) -> pl.Series:
    """The prices in some cells.

    Args:
        cells: Those of one column.
        decimal: What stands before a fraction.
        is_decimal: Some price of the file has a fraction: 173 beside 172.9 is a price as it
            stands.
        scale: What one of a whole number is worth; None where prices are numbers as they stand.

    Raises:
        ValueError: They are no whole billionths, as the scale says, but whole numbers.
    """
    column = numbers_of(cells[0], decimal)
    if scale is None:
        return column
    column = column.set((column >= _NO_PRICE).fill_null(value=False), None)
    scaled = _scaled(column, scale)
    if scale > _MILLIONTH:
        return scaled
    is_fixed = written_whole(cells[0])
    if is_decimal:
        return scaled.zip_with(
            is_fixed & (scaled.abs() >= _LEAST_BESIDE).fill_null(value=True), column
        )
    prices = scaled.drop_nulls()
    largest = prices.abs().max()
    # A number, as there are prices.
    if len(prices) and largest < _LEAST and (prices != 0).any():  # type: ignore[operator]
        raise ValueError(
            f"its prices, such as {whole(column.drop_nulls()[0])}, "
            f"are too small for whole numbers of {scale:g}: "
            "set price_scale: 1 where they are prices as they stand"
        )
    return scaled.zip_with(is_fixed, column)


def require_plain(
    written: Mapping[ColumnName, pl.Series], prices: Mapping[ColumnName, pl.Series]
) -> None:
    """Refuse prices that look like whole billionths.

    Args:
        written: The cells of each price.
        prices: The numbers in them.

    Raises:
        ValueError: They do; the text names the setting that says what they are.
    """
    for name, column in prices.items():
        if _is_plain(column):
            return
        numbers = column.drop_nulls()
        numbers = numbers.filter((numbers != _NO_PRICE) & numbers.is_finite())
        if numbers.is_empty() or ((numbers < _FIXED) | (numbers % 1000 != 0)).any():
            return
        if not written_whole(written[name]).all():
            return
    raise ValueError(
        f"its prices, such as {whole(prices['close'].drop_nulls()[0])}, "
        "look like fixed-point numbers: set price_scale (1e-9 for whole billionths), "
        "or price_scale: 1 where they are prices as they stand"
    )


def _is_plain(column: pl.Series) -> bool:
    """Whether the first of some prices is no whole billionths already."""
    first = column[0] if len(column) else None
    if first is None or not isfinite(first) or first == _NO_PRICE:
        return False
    return bool(first < _FIXED or first % 1000 != 0)


def volume_of(cells: Sequence[pl.Series], decimal: str | None, *, none: float | None) -> pl.Series:
    """The volume in some cells.

    Args:
        cells: Those of each column whose sum it is.
        decimal: What stands before a fraction.
        none: The number that stands where a volume is not known.
    """
    whole = numbers_of(cells[0], decimal)
    for more in cells[1:]:
        whole = whole + numbers_of(more, decimal)
    return whole if none is None else whole.set((whole == none).fill_null(value=False), None)


def _scaled(prices: pl.Series, scale: float) -> pl.Series:
    """Prices times a scale, each the nearest double: a division by 10, not a product with 0.1."""
    counts = prices.fill_null(float("nan")).to_numpy()
    parts = 1 / scale
    scaled = counts / round(parts) if scale < 1 and _is_whole(parts) else counts * scale
    return pl.Series(prices.name, scaled).set(prices.is_null(), None)


def _is_whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-6 * abs(number)


def written_whole(cells: pl.Series) -> pl.Series:
    """Which cells are written as whole numbers."""
    if cells.dtype == pl.String:
        return cells.str.contains(r"^\s*[+-]?\d+\s*$").fill_null(value=True)
    return pl.repeat(cells.dtype.is_integer(), len(cells), dtype=pl.Boolean, eager=True)
