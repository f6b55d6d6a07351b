"""Candles from local files: Parquet and text, packed or not.

A symbol has one file or many, or a file has many symbols. Which files these are stands in `paths`,
how one is read in `parquet` and `contents`, what they speak for in `reach`, and what is missed
because something cannot be read in `losses`.
"""

from __future__ import annotations

import glob
import threading
from functools import lru_cache, partial
from typing import TYPE_CHECKING, ClassVar, Self

import polars as pl

from market_assets.errors import SourceError
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.contract import (
    CANDLE_SCHEMA,
    PartialAnswerError,
    SourceSettings,
    Traits,
    Usage,
)
from market_assets.sources.files.columns import ColumnReader
from market_assets.sources.files.contents import Briefing, ContentsReader
from market_assets.sources.files.kept import Held, Keep, Part, Span
from market_assets.sources.files.look import Look
from market_assets.sources.files.losses import Loss, losses_in_file, losses_of_files
from market_assets.sources.files.parquet import ParquetReader
from market_assets.sources.files.paths import File, Paths, unreadable
from market_assets.sources.files.reach import (
    FileSpan,
    Piece,
    Stretch,
    believable_opens,
    rows_span,
    stretches_of,
)
from market_assets.sources.files.reading import digest_of
from market_assets.sources.files.settings import ArchiveSettings

with late_imports():
    import asyncio

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from market_assets.market.calendars.sessions import SessionCalendar

__all__ = ["ArchiveSettings", "ArchiveSource"]


class ArchiveSource:
    """Candles of local files.

    A file's first row is no proof of a listing, so there is no `earliest`. Each file answers for
    the hours between its first believable row and its last, and says nothing about others: see
    `stretches`. Files are looked at again when they change; one that has not changed is one
    witness, however often it is read. What a broken file should have had is missed, and named.

    A file is read once, whatever the number of symbols in it: its rows are kept by symbol until the
    source is closed. A Parquet file of one symbol whose times need no thought is read one window at
    a time instead.
    """

    Settings: ClassVar[type[SourceSettings]] = ArchiveSettings

    def __init__(self, name: str, settings: ArchiveSettings, *, base: Path, kind: str) -> None:
        self.name = name
        self.usage = Usage()
        self.concurrency = settings.concurrency
        self.traits = Traits(
            timeframes=frozenset(Timeframe),
            page_size=100_000,
            emits_empty_bars=settings.quiet_minutes == "present",
            earliest_probe=False,
            open_outside_range=settings.open_outside_range,
        )
        self._settings = settings
        self._paths = Paths(name, settings.path, base, kind, settings.wall_clock)
        columns = ColumnReader(name, settings)
        self._parquet = ParquetReader(name, settings, columns.headings)
        self._contents = ContentsReader(name, settings, columns, self._parquet)
        self._briefing = Briefing()
        self._keep = Keep()
        self._looks: dict[tuple[str, Timeframe], Look] = {}
        # One file at a time, whole: so much memory is taken once, and a wait for the same file
        # finds it read.
        self._reading = threading.RLock()
        self._table = lru_cache(maxsize=None)(self._hold)
        self._span = lru_cache(maxsize=None)(self._read_span)
        self._digest = lru_cache(maxsize=None)(self._hash)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._forget()

    def brief(self, calendar: SessionCalendar, symbols: Collection[str]) -> None:
        """Take the market and all symbols that will be asked for: see `Briefed`."""
        briefing = Briefing(calendar, frozenset(symbols))
        if briefing != self._briefing:
            self._briefing = briefing
            self._forget()
            self._span.cache_clear()

    def files_of(self, symbol: str, timeframe: Timeframe) -> list[Path]:
        """Where the files of a symbol are that the path means; empty where there is none."""
        return self._paths.matches(glob.escape(symbol), timeframe)

    def symbols_in(self, path: Path, timeframe: Timeframe) -> list[str]:
        """The symbols that a file of many has, sorted.

        Raises:
            SourceError: It cannot be read.
        """
        with self._reading:
            held = self._table(File.at(path), timeframe)
        if held.error:
            raise SourceError(held.error, permanent=True)
        return sorted(held.symbols)

    def _forget(self) -> None:
        with self._reading:
            self._table.cache_clear()
            self._keep.close()
            self._keep = Keep()
            self._looks.clear()

    async def fetch(
        self, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
    ) -> pl.DataFrame:
        """Give the rows of the window in the order of the files' names: see `Source.fetch`."""
        return await asyncio.to_thread(self._fetch, symbol, timeframe, Window(start, end))

    # The protocol's arguments.
    async def earliest(self, symbol: str, timeframe: Timeframe) -> datetime | None:  # noqa: ARG002
        """Say nothing: see `Source.earliest`."""
        return None

    def answers_for(self, symbol: str, timeframe: Timeframe) -> Window:
        """Give the stretch from the hour of the first row to the end of the hour of the last.

        It is empty where there is no row. Within it may be files that are absent: see `stretches`.

        Raises:
            SourceError: There is no file for the symbol, or none can be read.
        """
        windows = [stretch.window for stretch in self.stretches(symbol, timeframe)]
        if not windows:
            return Window.of_micros(0, 0)
        return Window(
            min(window.start for window in windows), max(window.end for window in windows)
        )

    def stretches(self, symbol: str, timeframe: Timeframe) -> list[Stretch]:
        """Give what each file speaks for, sorted, with its hash as its witness.

        See `Source.answers_for`. Among the stretches is what broken files should have had, so that
        it is missed there; these bear no witness.

        Raises:
            SourceError: There is no file for the symbol, or none can be read.
        """
        files, broken = self._files(symbol, timeframe)
        spans = [
            FileSpan(
                *span,
                period=self._paths.period_of(file.path, symbol),
                witness=partial(self._witness, file),
            )
            for file, span in files
            if span is not None
        ]
        stretches = stretches_of(spans)
        losses = self._losses(symbol, timeframe, files, broken) if stretches else []
        if not losses:
            return stretches
        outer = Window(
            min(stretch.window.start for stretch in stretches),
            max(stretch.window.end for stretch in stretches),
        )
        for loss in losses:
            missed = loss.window if loss.is_dated else loss.window.intersect(outer)
            stretches += [] if missed is None else [Stretch(missed)]
        return sorted(stretches, key=lambda stretch: stretch.window)

    def _witness(self, file: File) -> str:
        try:
            return self._digest(file)
        except OSError as error:
            raise unreadable(self.name, file.path, error) from error

    def _hash(self, file: File) -> str:
        return digest_of(file.path)

    def _fetch(self, symbol: str, timeframe: Timeframe, window: Window) -> pl.DataFrame:
        files, broken = self._near(symbol, timeframe, window)
        frames = [
            self._rows(file, symbol, timeframe, window)
            for file, span in files
            if span is not None and _meet(span, window)
        ]
        frame = pl.concat(frames, how="diagonal") if frames else CANDLE_SCHEMA.to_frame()
        self.usage.requests += 1
        self.usage.bytes += int(frame.estimated_size())
        lost = [
            (stretch, loss.reason)
            for loss in self._losses(symbol, timeframe, files, broken, window)
            if (stretch := loss.window.intersect(window)) is not None
        ]
        if lost:
            raise PartialAnswerError(frame, lost)
        return frame

    def _near(
        self, symbol: str, timeframe: Timeframe, window: Window
    ) -> tuple[list[tuple[File, Span | None]], list[tuple[File, str]]]:
        """Find at least those of the symbol's files that reach into a window: see `_files`.

        Of a thousand files only those that reached into it at the latest look are looked at again,
        unless a folder has changed.
        """
        look = self._looks.get((symbol, timeframe))
        near = None if look is None else look.near(window)
        if near is not None:
            return near, []
        files, broken = self._files(symbol, timeframe)
        if not broken:
            self._looks[symbol, timeframe] = Look.of(files, self._paths.base)
        return files, broken

    def _files(
        self, symbol: str, timeframe: Timeframe
    ) -> tuple[list[tuple[File, Span | None]], list[tuple[File, str]]]:
        """Find the symbol's files.

        Returns:
            Each with what it reaches, None where it has no row; and those that cannot be read, each
            with the reason.

        Raises:
            SourceError: There is none, or none can be read.
        """
        paths = self._paths.matches(glob.escape(symbol), timeframe)
        if not paths:
            file_names = [path.name for path in self._paths.matches("*", timeframe)]
            raise self._paths.nothing_found(
                symbol,
                timeframe,
                f"no file matches {self._settings.path} in {self._paths.base}",
                file_names,
            )
        files: list[tuple[File, Span | None]] = []
        broken: list[tuple[File, str]] = []
        first: SourceError | None = None
        for path in paths:
            try:
                file = File.at(path)
                files.append((file, self._span(file, symbol, timeframe)))
            except FileNotFoundError as error:
                if not path.is_symlink():
                    raise SourceError(
                        f"source {self.name}: {symbol} {timeframe}: "
                        f"a file has gone meanwhile: {error}"
                    ) from error
                first = first or unreadable(self.name, path, error)
                why = f"source {self.name}: {path} is a link to nothing: mend it, or remove it"
                broken.append((File(path, 0, 0), why))
            except OSError as error:
                first = first or unreadable(self.name, path, error)
                broken.append((File(path, 0, 0), str(unreadable(self.name, path, error))))
            except SourceError as error:
                first = first or error
                broken.append((file, str(error)))
        if first is not None and not any(span for _, span in files):
            raise first
        if self._settings.names_symbols and not any(span for _, span in files):
            symbols = {other for file, _ in files for other in self._table(file, timeframe).symbols}
            raise self._paths.nothing_found(
                symbol,
                timeframe,
                f"no row of {self._settings.path} in {self._paths.base} is of it",
                sorted(symbols),
            )
        return files, broken

    def _losses(
        self,
        symbol: str,
        timeframe: Timeframe,
        files: Sequence[tuple[File, Span | None]],
        broken: Sequence[tuple[File, str]],
        window: Window | None = None,
    ) -> list[Loss]:
        """What broken files, members of zips and lines leave unknown.

        Lines are those of files that reach into the window, where there is one.
        """
        sound = [self._piece(file, symbol, span) for file, span in files] if broken else []
        pieces = [(self._piece(file, symbol, None), error) for file, error in broken]
        losses = losses_of_files(pieces, sound)
        for file, span in files:
            # A zip may have lost what was around its rows; others are opened for what lies within.
            is_near = (
                window is None
                or file.path.suffix.lower() == ".zip"
                or (span is not None and _meet(span, window))
            )
            if span is not None and is_near and not self._parquet.can_read(file, timeframe):
                part = self._part(file, symbol, timeframe)
                if part is not None:
                    losses += losses_in_file(
                        part,
                        self._table(file, timeframe).damaged,
                        f"source {self.name}: {file.path}",
                        partial(self._paths.days_in, symbol=symbol),
                    )
        return losses

    def _piece(self, file: File, symbol: str, span: Span | None) -> Piece:
        period = self._paths.period_of(file.path, symbol)
        return Piece(str(file.path), period, None if span is None else span[:2])

    def _read_span(self, file: File, symbol: str, timeframe: Timeframe) -> Span | None:
        direct = self._parquet.candles(file, timeframe)
        if direct is None:
            part = self._part(file, symbol, timeframe)
            return None if part is None else part.span
        rows = self._parquet.read(file, believable_opens(direct, timeframe, present()))
        span = rows_span(rows, timeframe, f"source {self.name}: {file.path}")
        if self._briefing.calendar is not None:
            self._parquet.require_fit(file, rows["ts"], timeframe, self._briefing.calendar)
        return span

    def _rows(self, file: File, symbol: str, timeframe: Timeframe, window: Window) -> pl.DataFrame:
        direct = self._parquet.candles(file, timeframe)
        if direct is not None:
            return self._parquet.read(file, direct.filter(window.holds()))
        start, end = window.micros
        part = self._part(file, symbol, timeframe)
        if part is None:
            return CANDLE_SCHEMA.to_frame()
        rows = []
        for place, size, first, last in part.blocks:
            if first < end and last >= start:
                block = part.keep.get(place, size, part.schema)
                is_inside = start <= first and last < end
                rows.append(block if is_inside else block.filter(window.holds()))
        if part.refused is not None:
            rows.append(part.refused.filter(window.holds()))
        return pl.concat(rows, how="diagonal") if rows else CANDLE_SCHEMA.to_frame()

    def _part(self, file: File, symbol: str, timeframe: Timeframe) -> Part | None:
        with self._reading:
            held = self._table(file, timeframe)
        if held.error:
            raise SourceError(held.error, permanent=True)
        several = held.symbols - {""}
        part = held.parts.get(symbol if several or self._settings.names_symbols else "")
        if several and part is None and not self._settings.names_symbols:
            raise SourceError(
                f"source {self.name}: {file.path} has bars of several symbols at the same times, "
                "such as "
                f"{', '.join(sorted(several)[:3])}, and none of {symbol}. "
                "Name the column that tells them apart "
                "(columns: {symbol: ...}), or write the symbol as the file does",
                permanent=True,
            )
        if part is not None and part.error:
            raise SourceError(part.error, permanent=True)
        return part

    def _hold(self, file: File, timeframe: Timeframe) -> Held:
        return self._contents.read(file, timeframe, briefing=self._briefing, keep=self._keep)


def _meet(span: Span, window: Window) -> bool:
    start, end = window.micros
    return span[0] < end and span[1] >= start
