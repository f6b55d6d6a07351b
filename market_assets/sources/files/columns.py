"""The columns of a file of candles, brought into the shape of the package's own.

An archive's settings say which column is which. How a text is split into columns stands in
`tables`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import SourceError
from market_assets.sources.files.clocks import clock_of
from market_assets.sources.files.layouts import (
    EXTRA_COLUMNS,
    LAYOUTS,
    ColumnName,
    LayoutName,
    column_of,
    plain_name,
)
from market_assets.sources.files.reading import BROKEN, damaged_in, texts
from market_assets.sources.files.tables import (
    BadLine,
    decimal_of,
    grouping_of,
    numbers_of,
    read_table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from market_assets.sources.files.settings import ArchiveSettings

PRICES: tuple[ColumnName, ...] = ("open", "high", "low", "close")
_ORDER: tuple[ColumnName, ...] = ("ts", *PRICES, "volume")
_APART: tuple[ColumnName, ...] = ("date", "time", *PRICES, "volume")
_OPTIONAL = frozenset({"volume", *EXTRA_COLUMNS})

_FIXED = 100_000_000
"""No usual price is so large a whole number and a multiple of a thousand."""

_NO_PRICE = float(2**63 - 1)
"""What fixed-point prices have where there is none."""

_MILLIONTH = 1e-6

_LEAST_BESIDE = 1e-3
"""Whole numbers beside fractions are fixed-point prices only where they stand for so much."""

_LEAST = 1e-6
"""No price of a file of fixed-point prices is less than so much."""

_SYMBOLS = ("symbol", "ticker", "raw symbol", "sym")
"""How columns are called that say whose bars a file has."""


class ColumnReader:
    """Reads the columns of files.

    Args:
        name: The source's, for messages.
        settings: Its settings.
    """

    def __init__(self, name: str, settings: ArchiveSettings) -> None:
        self._name = name
        self._settings = settings

    def read(self, path: Path) -> tuple[pl.DataFrame, list[tuple[BadLine, str]]]:
        """Read a file's columns.

        Returns:
            stamp (as the file has it), open, high, low, close, volume and extra columns (numbers),
            symbol, line, text (the stamp and prices as they are written), member (of a zip); and
            the lines that are none, each with its member: the line 0 of a member that cannot be
            read at all.
        """
        settings = self._settings
        if path.suffix.lower() == ".parquet":
            names = pl.scan_parquet(path, glob=False).collect_schema().names()
            needed = {
                name_at(names, place)
                for place in self.places(path, names, has_header=True).values()
            }
            needed.add(self.names_whose(names))
            columns = [
                name
                for name in names
                if name
                in {part for heading in needed if heading for part in heading.split(" + ")} | needed
            ]
            table = pl.read_parquet(path, glob=False, columns=columns)
            numbers = pl.int_range(1, len(table) + 1, eager=True)
            return self._ours(path, table, numbers, names, has_header=True, member=""), []
        frames, bad = [], []
        failed: dict[str, str] = {}
        first: Exception | None = None
        try:
            for member, body in texts(path, settings.max_file):
                try:
                    text = read_table(
                        body,
                        is_header=self._is_header,
                        separator=settings.separator,
                        encoding=settings.encoding,
                    )
                    frame = self._ours(
                        path,
                        text.rows,
                        text.numbers,
                        text.rows.columns,
                        has_header=text.has_header,
                        member=member,
                    )
                except (ValueError, SourceError) as error:
                    first = first or error
                    failed[member] = " ".join(str(error).split())[:200]
                    continue
                frames.append(frame)
                bad += [(line, member) for line in text.bad]
        except BROKEN as error:
            first = first or error
            failed |= damaged_in(path, settings.max_file)
            if not frames or not failed:
                raise
        if not frames:
            raise first or ValueError("there is nothing in it")
        bad += [(BadLine(0, "", reason), member) for member, reason in failed.items()]
        return pl.concat(frames, how="diagonal_relaxed"), bad

    def _is_header(self, cells: Sequence[str]) -> bool:
        """Whether a line has the names of the columns that are looked for."""
        settings = self._settings
        if settings.layout:
            names = LAYOUTS[settings.layout].all_names
            wanted = {column: names[column] for column in ("open", "high", "low", "close")}
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

    def _ours(
        self,
        path: Path,
        table: pl.DataFrame,
        numbers: pl.Series,
        names: Sequence[str],
        *,
        has_header: bool,
        member: str,
    ) -> pl.DataFrame:
        """Bring a file's columns into the shape of the package's own."""
        settings = self._settings
        if not has_header and settings.header and settings.layout is None:
            raise SourceError(
                f"source {self._name}: {path} has no column {settings.columns.get('ts', 'ts')!r} "
                "for ts: it has no line of names, and begins with "
                f"{_some([str(cell) for cell in table.row(0)] if len(table) else [])}. "
                "Set header: false, or name a layout",
                permanent=True,
            )
        places = self.places(path, names, has_header=has_header, table=table)
        headings = {column: name_at(names, place) for column, place in places.items()}
        written = {
            column: _sum_of(table, name) for column, name in headings.items() if name is not None
        }
        numbers_of_a_bar = [cells for column in PRICES for cells in written[column]]
        decimal = (
            settings.decimal
            or decimal_of(numbers_of_a_bar)
            or grouping_of(written.get("volume", ()))
        )
        is_decimal = not all(_written_whole(written[column][0]).all() for column in PRICES)
        prices = {
            column: self._price(written[column], decimal, is_decimal=is_decimal)
            for column in PRICES
        }
        self._require_plain({column: written[column][0] for column in PRICES}, prices)
        self._require_clock(headings)
        columns: dict[str, pl.Series] = {"stamp": self._stamp(written)}
        columns.update({str(column): prices[column] for column in PRICES})
        columns["volume"] = self._volume(written.get("volume"), decimal, len(table))
        for column in EXTRA_COLUMNS:
            if column in written:
                columns[column] = self._extra(
                    column, written[column], decimal, is_decimal=is_decimal
                )
        whose = self._whose(table, written)
        symbol = pl.repeat("", len(table), eager=True) if whose is None else whose
        columns["symbol"] = symbol.str.strip_chars()
        columns["line"] = numbers.cast(pl.Int64)
        columns["text"] = columns["stamp"].cast(pl.String)
        columns["member"] = pl.repeat(member, len(table), dtype=pl.String, eager=True)
        return pl.DataFrame(columns)

    def _price(
        self, cells: Sequence[pl.Series], decimal: str | None, *, is_decimal: bool
    ) -> pl.Series:
        """The prices in some cells.

        Args:
            cells: Those of one column.
            decimal: What stands before a fraction.
            is_decimal: Some price of the file has a fraction: 173 beside 172.9 is a price as it
                stands.

        Raises:
            ValueError: They are no whole billionths, as the scale says, but whole numbers.
        """
        column = numbers_of(cells[0], decimal)
        scale = self._settings.price_scale
        if scale is None:
            return column
        column = column.set((column >= _NO_PRICE).fill_null(value=False), None)
        scaled = _scaled(column, scale)
        if scale > _MILLIONTH:
            return scaled
        is_fixed = _written_whole(cells[0])
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

    def names_whose(self, names: Sequence[str]) -> str | None:
        """The column that seems to say whose bars a file has; None where the universe names one."""
        return None if self._settings.names_symbols else column_of(names, _SYMBOLS)

    def _whose(
        self, table: pl.DataFrame, written: Mapping[ColumnName, Sequence[pl.Series]]
    ) -> pl.Series | None:
        """Whose each row is; None where the file is of one symbol.

        A file of one symbol whose own column names several at the same time is one of several.
        """
        if self._settings.names_symbols:
            return written["symbol"][0].cast(pl.String)
        name = self.names_whose(table.columns)
        symbols = None if name is None else table[name].cast(pl.String)
        if symbols is None or symbols.n_unique() == 1:
            return None
        stamps = self._stamp(written).cast(pl.String)
        together = pl.DataFrame({"stamp": stamps, "symbol": symbols}).drop_nulls().unique()
        # Else it was renamed, or is a series of contracts.
        return symbols if together["stamp"].is_duplicated().any() else None

    def _volume(
        self, cells: Sequence[pl.Series] | None, decimal: str | None, rows: int
    ) -> pl.Series:
        if cells is None:
            return pl.repeat(None, rows, dtype=pl.Float64, eager=True)
        whole = numbers_of(cells[0], decimal)
        for more in cells[1:]:
            whole = whole + numbers_of(more, decimal)
        none = self._settings.null_volume
        return whole if none is None else whole.set((whole == none).fill_null(value=False), None)

    def _extra(
        self,
        column: ColumnName,
        cells: Sequence[pl.Series],
        decimal: str | None,
        *,
        is_decimal: bool,
    ) -> pl.Series:
        if column != "vwap":
            return self._volume(cells, decimal, len(cells[0]))
        # As a price; but where a volume may be none, so may this.
        none = self._settings.null_volume
        price = self._price(cells, decimal, is_decimal=is_decimal)
        if none is None:
            return price
        return price.set((numbers_of(cells[0], decimal) == none).fill_null(value=False), None)

    def _stamp(self, written: Mapping[ColumnName, Sequence[pl.Series]]) -> pl.Series:
        if "date" not in written:
            return written["ts"][0]
        date, time = (written[part][0] if part in written else None for part in ("date", "time"))
        if date is None or time is None:
            return written["date"][0]
        day = date.cast(pl.String).str.strip_chars()
        hour = time.cast(pl.String).str.strip_chars()
        # Times as numbers have lost the zeros before them.
        digits = hour.str.contains(r"^\d{1,6}$").fill_null(value=False)
        width = 6 if hour.filter(digits).str.len_chars().max() not in {3, 4} else 4
        hour = hour.str.zfill(width).zip_with(digits, hour)
        return day + " " + hour.fill_null("")

    def _require_clock(self, headings: Mapping[ColumnName, str | None]) -> None:
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

    def _require_plain(
        self, written: Mapping[ColumnName, pl.Series], prices: Mapping[ColumnName, pl.Series]
    ) -> None:
        """Refuse prices that look like whole billionths, unless the settings say what they are."""
        if self._settings.price_scale is not None:
            return
        for name, column in prices.items():
            numbers = column.drop_nulls()
            numbers = numbers.filter((numbers != _NO_PRICE) & numbers.is_finite())
            if numbers.is_empty() or ((numbers < _FIXED) | (numbers % 1000 != 0)).any():
                return
            if not _written_whole(written[name]).all():
                return
        raise ValueError(
            f"its prices, such as {whole(prices['close'].drop_nulls()[0])}, "
            "look like fixed-point numbers: set price_scale (1e-9 for whole billionths), "
            "or price_scale: 1 where they are prices as they stand"
        )

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
        by_name: dict[ColumnName, str | int] = {}
        if has_header and settings.layout:
            by_name = _by_layout(settings.layout, names)
        elif not has_header or not settings.header:
            order = _APART if table is not None and not has_header and _is_time(table) else _ORDER
            by_name = {
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
        else:
            by_name = {
                column: column
                for column in (*_ORDER, *EXTRA_COLUMNS)
                if column not in _OPTIONAL or column in names
            }
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
                    f"it has {_some(list(names))}. "
                    "Name the right one under columns, or a layout; "
                    "market-assets inspect FILE guesses them",
                    permanent=True,
                )
        return {
            column: place
            for column, place in places.items()
            if column != "symbol" or settings.names_symbols
        }


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


def _some(names: list[str]) -> str:
    """The names of columns, as many as can be read at a glance."""
    shown = ", ".join(name[:40] for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20:,} more"


def name_at(names: Sequence[str], place: str | int | None) -> str | None:
    """The name of the column that a place means; None where there is none."""
    if isinstance(place, int):
        return names[place] if place < len(names) else None
    if place is None or place in names or all(part in names for part in place.split(" + ")):
        return place
    return None


def _sum_of(table: pl.DataFrame, name: str) -> list[pl.Series]:
    parts = [name] if name in table.columns else name.split(" + ")
    return [
        table[part].cast(pl.String)
        if isinstance(table.schema[part], pl.Categorical | pl.Enum)
        else table[part]
        for part in parts
    ]


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


def _scaled(prices: pl.Series, scale: float) -> pl.Series:
    """Prices times a scale, each the nearest double: a division by 10, not a product with 0.1."""
    counts = prices.fill_null(float("nan")).to_numpy()
    parts = 1 / scale
    scaled = counts / round(parts) if scale < 1 and _is_whole(parts) else counts * scale
    return pl.Series(prices.name, scaled).set(prices.is_null(), None)


def _is_whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-6 * abs(number)


def _written_whole(cells: pl.Series) -> pl.Series:
    """Which cells are written as whole numbers."""
    if cells.dtype == pl.String:
        return cells.str.contains(r"^\s*[+-]?\d+\s*$").fill_null(value=True)
    return pl.repeat(cells.dtype.is_integer(), len(cells), dtype=pl.Boolean, eager=True)


def whole(number: object) -> int:
    """A number of polars, of whatever type, as an integer."""
    return int(number)  # type: ignore[call-overload,no-any-return]
