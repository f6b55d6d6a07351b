"""Numbers as vendors write them: grouped thousands, decimal commas, units, currencies.

Pure functions on columns of text. How a text is split into columns stands in `tables`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

_GROUPED = r"^[+-]?\d{1,3}(?:(?:[,'\u00a0\u202f ]\d{3})+|(?:,\d{2})+,\d{3})(?:\.\d+)?$"

_UNIT = r"(?i)(\d)\s?(K|M|B|T|Mio|Mrd)\.?\s*$"

_UNITS = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12, "mio": 1e6, "mrd": 1e9}
"""How thousands, millions and more are written behind a number."""

_GROUPED_COMMA = r"^[+-]?\d{1,3}(?:[.'\u00a0\u202f ]\d{3})+,\d+$"

_COMMA = r"^[+-]?\d*,\d+$"

_WITH_COMMA = r"^\s*[+-]?(?:\d{1,3}(?:[.'\u00a0\u202f ]\d{3})+|\d*)(?:,\d+)?(?:[eE][+-]?\d+)?\s*$"

_WITH_POINT = r"^[+-]?(?:\d+|\d{1,3}(?:,\d{2,3})+)\.\d+$|^[+-]?\d{1,3}(?:,\d{3}){2,}$"

_FRACTION = r"^\s*[+-]?\d+\.\d+\s*$"

_ONE_GROUP = r"^[+-]?\d{1,3},\d{3}$"


def numbers_of(cells: pl.Series, decimal: str | None = None) -> pl.Series:
    """Read text as numbers: with blanks around, thousands parted, or a comma before the fraction.

    Args:
        cells: Text, or numbers already.
        decimal: What stands before a fraction, "." or ","; None to find it where there is no doubt.

    Returns:
        Float64; null where a cell is no number, or could be two (`1,234` beside no other).
    """
    if cells.dtype != pl.String:
        return cells.cast(pl.Float64, strict=False)
    quick = cells.cast(pl.Float64, strict=False)
    if decimal != "," and quick.null_count() == cells.null_count():
        return quick
    left = quick.is_null() & cells.is_not_null()
    if cells.str.contains(_UNIT).any():
        unit = cells.str.extract(_UNIT, 2).str.to_lowercase().str.slice(0, 3)
        factor = unit.replace_strict(_UNITS, default=1.0, return_dtype=pl.Float64)
        return (numbers_of(cells.str.replace(_UNIT, "${1}"), decimal) * factor).round(3)
    if decimal == ",":
        text = cells.str.strip_chars()
        bare = text.str.replace_all(r"[.'\u00a0\u202f ]", "").str.replace(",", ".", literal=True)
        fits = text.str.contains(_WITH_COMMA).fill_null(value=False)
        return bare.cast(pl.Float64, strict=False).set(~fits, None)
    return quick.scatter(left.arg_true(), _odd_numbers(cells, quick, left, decimal))


def _odd_numbers(
    cells: pl.Series, quick: pl.Series, left: pl.Series, decimal: str | None
) -> pl.Series:
    """Numbers that are written with groups, a decimal comma or a currency.

    Args:
        cells: All cells: what stands in others may say what a comma means.
        quick: Those that are numbers as they stand.
        left: Which cells are to be read.
        decimal: What stands before a fraction, where it is known.
    """
    odd = (
        cells.filter(left)
        .str.strip_chars()
        .str.replace(r"^([+-]?)[$\u20ac\u00a3\u00a5]\s*", "${1}")
    )
    grouped = odd.str.contains(_GROUPED)
    comma = odd.str.contains(_COMMA) & ~grouped
    read = odd.cast(pl.Float64, strict=False)
    points = cells.str.contains(".", literal=True).fill_null(value=False)
    has_point = bool(
        (points & quick.is_not_null()).any() or (grouped & odd.str.contains(r"[.]")).any()
    )
    several = odd.str.count_matches(r"[,' \u00a0\u202f]") > 1
    # One group alone may be a fraction: 1,234 is 1234, or 1.234 where a comma stands before a
    # fraction.
    sure = grouped & (
        several | odd.str.contains(r"[.' \u00a0\u202f]") | has_point | (decimal == ".")
    )
    without = odd.str.replace_all(r"[,' \u00a0\u202f]", "").cast(pl.Float64, strict=False)
    read = without.zip_with(sure, read)
    if decimal is None and comma.any() and not has_point and not sure.any():
        fraction = odd.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
        read = fraction.zip_with(comma | (grouped & ~several), read)
    swapped = odd.str.contains(_GROUPED_COMMA)
    if decimal is None and swapped.any():
        pointless = odd.str.replace_all(r"[.' \u00a0\u202f]", "").str.replace(
            ",", ".", literal=True
        )
        read = pointless.cast(pl.Float64, strict=False).zip_with(swapped, read)
    return read


def decimal_of(columns: Sequence[pl.Series]) -> str | None:
    """What stands before a fraction in some columns of text, where their cells say it.

    None where they do not.
    """
    given = [cells for cells in columns if cells.dtype == pl.String]
    if not given:
        return None
    if not pl.concat(given).str.contains(",", literal=True).any():
        # Nearly every file: a look at each cell's shape would take longer than to read it.
        first = (cells.head(1).str.contains(_FRACTION).any() for cells in given)
        return "." if any(first) or pl.concat(given).str.contains(_FRACTION).any() else None
    texts = [cells.drop_nulls().str.strip_chars() for cells in given]
    if any(cells.str.contains(_GROUPED_COMMA).any() for cells in texts):
        return ","
    comma = any(
        (cells.str.contains(_COMMA) & ~cells.str.contains(_ONE_GROUP)).any() for cells in texts
    )
    point = any(cells.str.contains(_WITH_POINT).any() for cells in texts)
    if comma and not point:
        return ","
    return "." if point and not comma else None


def grouping_of(columns: Sequence[pl.Series]) -> str | None:
    """The decimal sign, where the other sign parts thousands twice in a cell; else None."""
    texts = [cells.drop_nulls().str.strip_chars() for cells in columns if cells.dtype == pl.String]
    for sign, decimal in ((",", "."), (r"\.", ",")):
        if any(cells.str.contains(rf"^\d{{1,3}}(?:{sign}\d{{3}}){{2,}}$").any() for cells in texts):
            return decimal
    return None


def whole(number: object) -> int:
    """A number of polars, of whatever type, as an integer."""
    return int(number)  # type: ignore[call-overload,no-any-return]
