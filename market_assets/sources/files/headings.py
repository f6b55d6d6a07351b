"""Which column of a file is which, by its header, its layout, its settings or its order.

What is in the columns stands in `columns`; the names that vendors give them, in `layouts`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from market_assets.errors import SourceError
from market_assets.sources.files.clocks import clock_of
from market_assets.sources.files.layouts import (
    EXTRA_COLUMNS,
    LAYOUTS,
    PRICES,
    ColumnName,
    LayoutName,
    column_of,
    plain_name,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from market_assets.sources.files.settings import ArchiveSettings

_ORDER: tuple[ColumnName, ...] = ("ts", *PRICES, "volume")
_APART: tuple[ColumnName, ...] = ("date", "time", *PRICES, "volume")
_OPTIONAL = frozenset({"volume", *EXTRA_COLUMNS})

_SYMBOLS = ("symbol", "ticker", "raw symbol", "sym")
"""How columns are called that say whose bars a file has."""


class Headings:
    """Finds the columns of files.

    Args:
        name: The source's, for messages.
        settings: Its settings.
    """

    def __init__(self, name: str, settings: ArchiveSettings) -> None:
        self._name = name
        self._settings = settings

    def is_header(self, cells: Sequence[str]) -> bool:
        """Whether a line has the names of the columns that are looked for."""
        settings = self._settings
        if settings.layout:
            names = LAYOUTS[settings.layout].all_names
            wanted = {column: names[column] for column in PRICES}
            if all(column_of(cells, aliases) is not None for aliases in wanted.values()):
                return True
        # A wrong name of an extra column is told as that.
        given = {
            column: place
            for column, place in settings.columns.items()
            if column not in EXTRA_COLUMNS
        }
        if named := [place for place in given.values() if isinstance(place, str)]:
            return all(part in cells for place in named for part in place.split(" + "))
        if {*PRICES} <= {plain_name(cell) for cell in cells}:
            return True
        # Names that are not ours are an error that says so, and no candles.
        return settings.header and len(cells) > 1 and not any(_is_number(cell) for cell in cells)

    def places(
        self,
        path: Path,
        names: Sequence[str],
        *,
        has_header: bool,
        table: pl.DataFrame | None = None,
    ) -> dict[ColumnName, str | int | None]:
        """What a file calls each of our columns, or where it has it.

        A volume that it does not have is None.

        Raises:
            SourceError: It lacks another column.
        """
        settings = self._settings
        given: dict[ColumnName, str | int] = dict(settings.columns)
        by_name = self._places_without_settings(names, has_header=has_header, table=table)
        places: dict[ColumnName, str | int | None] = {**by_name, **given}
        if "date" in given:
            places.pop("ts", None)
        elif "ts" in given:
            places.pop("date", None)
            places.pop("time", None)
        places.setdefault("volume", None)
        needed: list[ColumnName] = ["date" if "date" in places else "ts", *PRICES]
        needed += ["symbol"] if settings.names_symbols else []
        needed += [
            column
            for column in ("volume", "time", *EXTRA_COLUMNS)
            if places.get(column) is not None
        ]
        for column in needed:
            place = places.setdefault(column, column)
            if name_at(names, place) is None:
                raise SourceError(
                    f"source {self._name}: {path} has no column {place!r} for {column}; "
                    f"it has {some(list(names))}. "
                    "Name the right one under columns, or a layout; "
                    "market-assets inspect FILE guesses them",
                    permanent=True,
                )
        return {
            column: place
            for column, place in places.items()
            if column != "symbol" or settings.names_symbols
        }

    def _places_without_settings(
        self, names: Sequence[str], *, has_header: bool, table: pl.DataFrame | None
    ) -> dict[ColumnName, str | int]:
        """Where columns are by layout, header or order, whatever the settings call them."""
        settings = self._settings
        if has_header and settings.layout:
            return _by_layout(settings.layout, names)
        if not has_header or not settings.header:
            order = _APART if table is not None and not has_header and _is_time(table) else _ORDER
            by_name: dict[ColumnName, str | int] = {
                column: at
                for at, column in enumerate(order)
                if at < len(names) or column != "volume"
            }
            if settings.layout and not has_header:
                by_name |= {
                    column: at
                    for column, at in LAYOUTS[settings.layout].extras.items()
                    if at < len(names)
                }
            if has_header:
                # A header that is there all the same says where the columns are.
                plain = {name.strip().casefold(): name for name in names} | {
                    plain_name(name): name for name in names
                }
                by_name |= {
                    column: plain[column] for column in (*_ORDER, *EXTRA_COLUMNS) if column in plain
                }
            return by_name
        return {
            column: column
            for column in (*_ORDER, *EXTRA_COLUMNS)
            if column not in _OPTIONAL or column in names
        }

    def names_whose(self, names: Sequence[str]) -> str | None:
        """The column that seems to say whose bars a file has; None where the universe names one."""
        return None if self._settings.names_symbols else column_of(names, _SYMBOLS)

    def require_clock(self, headings: Mapping[ColumnName, str | None]) -> None:
        """Refuse times whose header names a clock, as `Time (EET)` does, until one is set."""
        if {"clock", "timezone"} & self._settings.model_fields_set:
            return
        for column in ("ts", "time"):
            name = headings.get(column) or ""
            match = re.search(r"(?i)time.*[(\[]([^()\[\]]+)[)\]]\s*$", name)
            if match and _is_another_clock(match[1]):
                raise ValueError(
                    f"its column {name!r} says on which clock its times are: set timezone: "
                    f"{match[1]}, "
                    "or timezone: UTC where they are UTC all the same"
                )


def _is_another_clock(text: str) -> bool:
    """Whether a text names a clock that does not show UTC."""
    try:
        clock = clock_of(text)
    except ValueError:
        return False
    return not (clock.is_utc or clock.zone in {"GMT", "Etc/UTC", "Etc/GMT", "Zulu"})


def _by_layout(layout: LayoutName, names: Sequence[str]) -> dict[ColumnName, str | int]:
    """What the columns of a file of some layout are called, by its header."""
    aliases = LAYOUTS[layout].all_names
    headings = {column: column_of(names, wanted) for column, wanted in aliases.items()}
    if "quote_volume" in aliases:
        other_names = [name for name in names if name != headings["volume"]]
        headings["quote_volume"] = column_of(other_names, aliases["quote_volume"])
    by_name: dict[ColumnName, str | int] = {
        column: name for column, name in headings.items() if name is not None
    }
    if "time" in by_name and "date" in by_name:
        by_name.pop("ts", None)
    else:
        by_name.pop("date", None)
        by_name.pop("time", None)
    return by_name


def name_at(names: Sequence[str], place: str | int | None) -> str | None:
    """The name of the column that a place means; None where there is none."""
    if isinstance(place, int):
        return names[place] if place < len(names) else None
    if place is None or place in names or all(part in names for part in place.split(" + ")):
        return place
    return None


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True


def _is_time(table: pl.DataFrame) -> bool:
    """Whether a text without a header has times of day in its second column, apart from dates."""
    if table.width <= len(PRICES) + 1:
        return False
    second = table.to_series(1).drop_nulls().head(1)
    return bool(len(second)) and bool(second.str.contains(r"^\s*\d{1,2}:\d\d").item())


def some(names: list[str]) -> str:
    """The names of columns, as many as can be read at a glance."""
    shown = ", ".join(name[:40] for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20:,} more"
