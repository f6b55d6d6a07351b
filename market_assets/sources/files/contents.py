"""What is in a file that is read whole: its rows by symbol, and those that nobody can read.

How its columns are read stands in `columns`, which bars its stamps name in `opens`, and how rows
are kept in `kept`. Where a window of a Parquet file is enough, see `parquet`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import SourceError
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.market.columns import extras_in
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets.sources.files.kept import Held, Keep, Part
from market_assets.sources.files.opens import has_fold, opens_of
from market_assets.sources.files.paths import File, unreadable
from market_assets.sources.files.reach import believable_opens, rows_span
from market_assets.sources.files.reading import BROKEN
from market_assets.sources.files.refused import part_refused, unread_in
from market_assets.sources.files.stamps import NO_TIME, WALLS, read_stamps

with late_imports():
    import pyarrow as pa

if TYPE_CHECKING:
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.files.columns import ColumnReader
    from market_assets.sources.files.parquet import ParquetReader
    from market_assets.sources.files.settings import ArchiveSettings
    from market_assets.sources.files.tables import BadLine

_BLOCK = 50_000
"""Rows of one symbol that are kept, and read, at once."""


@dataclass(frozen=True)
class Briefing:
    """What is known of those who ask.

    Attributes:
        calendar: The market's; None where nobody has told it.
        symbols: All that will be asked for; None where nobody has told them.
    """

    calendar: SessionCalendar | None = None
    symbols: frozenset[str] | None = None


class ContentsReader:
    """Reads whole files.

    Args:
        name: The source's, for messages.
        settings: Its settings.
        columns: Reads its columns.
        parquet: Checks its Parquet files.
    """

    def __init__(
        self, name: str, settings: ArchiveSettings, columns: ColumnReader, parquet: ParquetReader
    ) -> None:
        self._name = name
        self._settings = settings
        self._columns = columns
        self._parquet = parquet
        self._clock = settings.wall_clock

    def read(self, file: File, timeframe: Timeframe, *, briefing: Briefing, keep: Keep) -> Held:
        """What a file has, or why it has nothing.

        Args:
            file: It.
            timeframe: The length of its bars.
            briefing: What is known of those who ask.
            keep: Takes its rows.
        """
        try:
            return self._understood(file, timeframe, briefing, keep)
        except SourceError as error:
            return Held(error=str(error))
        except BROKEN as error:
            return Held(error=str(unreadable(self._name, file.path, error)))

    def _understood(self, file: File, timeframe: Timeframe, briefing: Briefing, keep: Keep) -> Held:
        """Read a file whole: its rows by symbol, and those that nobody can read."""
        rows, bad = self._read_columns(file)
        walls = read_stamps(rows["stamp"], self._settings.format)
        rows = rows.drop("stamp").hstack(walls)
        ordered = (
            rows["symbol"].n_unique() > 1 and timeframe.intraday and has_fold(walls, self._clock)
        )
        groups = rows.partition_by("symbol", maintain_order=True) if ordered else [rows]
        opened = [self._opened(group, timeframe, briefing.calendar) for group in groups]
        rows = pl.concat(opened) if opened else self._opened(rows, timeframe, briefing.calendar)
        good, refused = part_refused(rows, bad, file.path.name, timeframe)
        if good.is_empty() and not refused.is_empty():
            why, example = refused.select("refused", "said").row(0)
            hint = (
                "; say how its times are written under format, or name a layout"
                if why == NO_TIME
                else ""
            )
            raise ValueError(
                f"none of its {len(refused):,} rows can be read: {why}: {example[-100:]}{hint}"
            )
        about = f"source {self._name}: {file.path}"
        held = _by_symbol(good, timeframe, keep, wanted=self._wanted(briefing), about=about)
        _add_refused(held, good, refused)
        held.damaged = {member: line.reason for line, member in bad if not line.number}
        return held

    def _opened(
        self, rows: pl.DataFrame, timeframe: Timeframe, calendar: SessionCalendar | None
    ) -> pl.DataFrame:
        opens, reasons = opens_of(
            rows.select(WALLS.names()),
            timeframe,
            clock=self._clock,
            meaning=self._settings.stamps,
            calendar=calendar,
            clock_is_given=self._settings.names_clock,
        )
        return rows.drop(WALLS.names()).with_columns(ts=opens, refused=reasons)

    def _read_columns(self, file: File) -> tuple[pl.DataFrame, list[tuple[BadLine, str]]]:
        if file.path.suffix.lower() == ".parquet":
            self._parquet.check(file)
        return self._columns.read(file.path)

    def _wanted(self, briefing: Briefing) -> frozenset[str] | None:
        """The symbols whose rows are kept; None for all."""
        return briefing.symbols if self._settings.names_symbols else None


def _by_symbol(
    good: pl.DataFrame,
    timeframe: Timeframe,
    keep: Keep,
    *,
    wanted: frozenset[str] | None,
    about: str,
) -> Held:
    """Keep rows by symbol, only those that somebody will ask for."""
    # The reach of all rows at once, and the rows of a symbol in one piece.
    good = good.sort("symbol", nulls_last=False, maintain_order=True)
    reached = believable_opens(good.lazy(), timeframe, present()).collect()
    stamps = good["ts"].to_physical().to_numpy()
    candles = good.select(*CANDLE_SCHEMA.names(), *extras_in(good.columns)).rechunk().to_arrow()
    (batch,) = candles.to_batches() or [pa.RecordBatch.from_pylist([], candles.schema)]
    runs = good["symbol"].rle().struct.unnest()
    held = Held(symbols=frozenset(runs["value"].drop_nulls()))
    has_members = bool(len(good)) and (good["member"].n_unique() > 1 or bool(good["member"][0]))
    start = 0
    for length, symbol in runs.select("len", "value").iter_rows():
        first, start = start, start + length
        if symbol is None or (wanted is not None and symbol not in wanted):
            continue
        part = held.parts.setdefault(symbol, Part(keep, candles.schema))
        for at in range(first, start, _BLOCK):
            after = min(at + _BLOCK, start)
            place = keep.put(batch.slice(at, after - at))
            opens = stamps[at:after]
            part.blocks.append((*place, int(opens.min()), int(opens.max())))
        if has_members:
            stamp = pl.col("ts").to_physical()
            rows = good.slice(first, length)
            reach = rows.group_by("member").agg(first=stamp.min(), last=stamp.max())
            part.members = {name: (first, last) for name, first, last in reach.iter_rows()}
        try:
            part.span = rows_span(reached.slice(first, length), timeframe, about)
        except SourceError as error:
            part.error = str(error)
    return held


def _add_refused(held: Held, good: pl.DataFrame, refused: pl.DataFrame) -> None:
    """Add the rows that nobody can read to the symbols that are kept."""
    if refused.is_empty():
        return
    ends = good.group_by("symbol", maintain_order=True).agg(pl.last("member", "line"))
    places = {symbol: (member, line) for symbol, member, line in ends.iter_rows()}
    for (symbol,), rows in refused.partition_by("symbol", as_dict=True).items():
        part = held.parts.get(str(symbol))
        if part is None:
            continue
        part.refused = rows.drop("symbol", "member", "line", "after", "before")
        part.unread = unread_in(rows)
        # The last row of a file that was cut off is one of those.
        if (
            part.span is not None
            and max(rows.select("member", "line").rows()) > places[str(symbol)]
        ):
            part.span = *part.span[:2], False
