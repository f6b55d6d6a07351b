"""The columns of a file of candles, brought into the shape of the package's own.

Which column is which stands in `headings`, how a text is split into columns in `tables`, and what a
price is in `prices`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import SourceError
from market_assets.sources.files.headings import Headings, name_at, some
from market_assets.sources.files.layouts import EXTRA_COLUMNS, PRICES, ColumnName
from market_assets.sources.files.numbers import decimal_of, grouping_of, numbers_of
from market_assets.sources.files.prices import price_of, require_plain, volume_of, written_whole
from market_assets.sources.files.reading import BROKEN, damaged_in, texts
from market_assets.sources.files.tables import BadLine, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from market_assets.sources.files.settings import ArchiveSettings


class ColumnReader:
    """Reads the columns of files.

    Args:
        name: The source's, for messages.
        settings: Its settings.
    """

    def __init__(self, name: str, settings: ArchiveSettings) -> None:
        self.headings = Headings(name, settings)
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
        if path.suffix.lower() == ".parquet":
            return self._read_parquet(path), []
        return self._read_texts(path)

    def _read_parquet(self, path: Path) -> pl.DataFrame:
        names = pl.scan_parquet(path, glob=False).collect_schema().names()
        needed = {
            name_at(names, place)
            for place in self.headings.places(path, names, has_header=True).values()
        }
        needed.add(self.headings.names_whose(names))
        columns = [
            name
            for name in names
            if name
            in {part for heading in needed if heading for part in heading.split(" + ")} | needed
        ]
        table = pl.read_parquet(path, glob=False, columns=columns)
        numbers = pl.int_range(1, len(table) + 1, eager=True)
        return self._ours(path, table, numbers, names, has_header=True, member="")

    def _read_texts(self, path: Path) -> tuple[pl.DataFrame, list[tuple[BadLine, str]]]:
        frames, bad = [], []
        failed: dict[str, str] = {}
        first: Exception | None = None
        try:
            for member, body in texts(path, self._settings.max_file):
                try:
                    text = read_table(
                        body,
                        is_header=self.headings.is_header,
                        separator=self._settings.separator,
                        encoding=self._settings.encoding,
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
            failed |= damaged_in(path, self._settings.max_file)
            if not frames or not failed:
                raise
        if not frames:
            raise first or ValueError("there is nothing in it")
        bad += [(BadLine(0, "", reason), member) for member, reason in failed.items()]
        return pl.concat(frames, how="diagonal_relaxed"), bad

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
        headings = self._headings_of(path, table, names, has_header=has_header)
        written = {
            column: _sum_of(table, name) for column, name in headings.items() if name is not None
        }
        numbers_of_a_bar = [cells for column in PRICES for cells in written[column]]
        decimal = (
            settings.decimal
            or decimal_of(numbers_of_a_bar)
            or grouping_of(written.get("volume", ()))
        )
        # Only a scale makes a difference of it.
        is_decimal = settings.price_scale is not None and not all(
            written_whole(written[column][0]).all() for column in PRICES
        )
        prices = {
            column: self._price(written[column], decimal, is_decimal=is_decimal)
            for column in PRICES
        }
        if settings.price_scale is None:
            require_plain({column: written[column][0] for column in PRICES}, prices)
        self.headings.require_clock(headings)
        columns: dict[str, pl.Series] = {"stamp": self._stamp(written)}
        columns.update({str(column): prices[column] for column in PRICES})
        columns["volume"] = (
            self._volume(written["volume"], decimal)
            if "volume" in written
            else pl.repeat(None, len(table), dtype=pl.Float64, eager=True)
        )
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

    def _headings_of(
        self, path: Path, table: pl.DataFrame, names: Sequence[str], *, has_header: bool
    ) -> dict[ColumnName, str | None]:
        """What the columns of a file are called; None for a volume that it does not have."""
        settings = self._settings
        if not has_header and settings.header and settings.layout is None:
            raise SourceError(
                f"source {self._name}: {path} has no column {settings.columns.get('ts', 'ts')!r} "
                "for ts: it has no line of names, and begins with "
                f"{some([str(cell) for cell in table.row(0)] if len(table) else [])}. "
                "Set header: false, or name a layout",
                permanent=True,
            )
        places = self.headings.places(path, names, has_header=has_header, table=table)
        return {column: name_at(names, place) for column, place in places.items()}

    def _price(
        self, cells: Sequence[pl.Series], decimal: str | None, *, is_decimal: bool
    ) -> pl.Series:
        scale = self._settings.price_scale
        return price_of(cells, decimal, is_decimal=is_decimal, scale=scale)

    def _volume(self, cells: Sequence[pl.Series], decimal: str | None) -> pl.Series:
        return volume_of(cells, decimal, none=self._settings.null_volume)

    def _extra(
        self,
        column: ColumnName,
        cells: Sequence[pl.Series],
        decimal: str | None,
        *,
        is_decimal: bool,
    ) -> pl.Series:
        if column != "vwap":
            return self._volume(cells, decimal)
        # As a price; but where a volume may be none, so may this.
        none = self._settings.null_volume
        price = self._price(cells, decimal, is_decimal=is_decimal)
        if none is None:
            return price
        return price.set((numbers_of(cells[0], decimal) == none).fill_null(value=False), None)

    def _whose(
        self, table: pl.DataFrame, written: Mapping[ColumnName, Sequence[pl.Series]]
    ) -> pl.Series | None:
        """Whose each row is; None where the file is of one symbol.

        A file of one symbol whose own column names several at the same time is one of several.
        """
        if self._settings.names_symbols:
            return written["symbol"][0].cast(pl.String)
        name = self.headings.names_whose(table.columns)
        symbols = None if name is None else table[name].cast(pl.String)
        if symbols is None or symbols.n_unique() == 1:
            return None
        stamps = self._stamp(written).cast(pl.String)
        together = pl.DataFrame({"stamp": stamps, "symbol": symbols}).drop_nulls().unique()
        # Else it was renamed, or is a series of contracts.
        return symbols if together["stamp"].is_duplicated().any() else None

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


def _sum_of(table: pl.DataFrame, name: str) -> list[pl.Series]:
    parts = [name] if name in table.columns else name.split(" + ")
    return [
        table[part].cast(pl.String)
        if isinstance(table.schema[part], pl.Categorical | pl.Enum)
        else table[part]
        for part in parts
    ]
