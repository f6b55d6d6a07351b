"""Candles from local files: Parquet and text, packed or not.

A symbol has one file or many, or a file has many symbols. How a text, its columns and its stamps
are read stands in `tables`, `columns` and `stamps`; what the files speak for, in `reach`.
"""

from __future__ import annotations

import asyncio
import glob
import re
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import polars as pl

from market_assets.errors import SourceError
from market_assets.market.clock import present
from market_assets.market.columns import extras_in
from market_assets.market.instants import bare_minute
from market_assets.market.timeframes import TS, Timeframe, Window, from_micros
from market_assets.sources.contract import (
    CANDLE_SCHEMA,
    PartialAnswerError,
    SourceSettings,
    Traits,
    Unread,
    Usage,
    epoch_to_us,
)
from market_assets.sources.files.columns import PRICES, ColumnReader, name_at, whole
from market_assets.sources.files.kept import Held, Keep, Part, Span
from market_assets.sources.files.layouts import EXTRA_COLUMNS
from market_assets.sources.files.reach import (
    FileSpan,
    Piece,
    Stretch,
    are_odd,
    believable_row,
    left_unknown,
    period_in,
    span_of,
    stretches_of,
)
from market_assets.sources.files.reading import BROKEN, check_parquet, digest_of, look
from market_assets.sources.files.settings import ArchiveSettings
from market_assets.sources.files.stamps import (
    NO_TIME,
    WALLS,
    StampError,
    has_fold,
    opens_of,
    read_stamps,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from types import TracebackType

    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.sources.files.tables import BadLine

__all__ = ["ArchiveSettings", "ArchiveSource"]

_HOUR = Timeframe.H1.micros
_BLOCK = 50_000
"""Rows of one symbol that are kept, and read, at once."""


@dataclass(frozen=True)
class _File:
    """A file as it was when it was looked at; changed, it is another one."""

    path: Path
    changed: int
    size: int

    @classmethod
    def at(cls, path: Path) -> _File:
        stat = look(path)
        return cls(path, stat.st_mtime_ns, stat.st_size)


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
        self._columns = ColumnReader(name, settings)
        self._clock = settings.wall_clock
        self._clock_is_given = bool({"clock", "timezone"} & settings.model_fields_set)
        self._base = base
        self._kind = kind
        self._calendar: SessionCalendar | None = None
        self._wanted: frozenset[str] | None = None
        self._keep = Keep()
        # One file at a time, whole: so much memory is taken once, and a wait for the same file
        # finds it read.
        self._reading = threading.RLock()
        self._table = lru_cache(maxsize=None)(self._hold)
        self._span = lru_cache(maxsize=None)(self._read_span)
        self._checked = lru_cache(maxsize=None)(self._check)
        self._digest = lru_cache(maxsize=None)(self._hash)
        self._is_direct = lru_cache(maxsize=None)(self._can_be_read_in_parts)
        self._count = lru_cache(maxsize=None)(self._count_symbols)

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
        if (calendar, frozenset(symbols)) != (self._calendar, self._wanted):
            self._calendar, self._wanted = calendar, frozenset(symbols)
            self._forget()
            self._span.cache_clear()

    def files_of(self, symbol: str, timeframe: Timeframe) -> list[Path]:
        """Where the files of a symbol are that the path means; empty where there is none."""
        return self._matches(glob.escape(symbol), timeframe)

    def symbols_in(self, path: Path, timeframe: Timeframe) -> list[str]:
        """The symbols that a file of many has, sorted.

        Raises:
            SourceError: It cannot be read.
        """
        with self._reading:
            held = self._table(_File.at(path), timeframe)
        if held.error:
            raise SourceError(held.error, permanent=True)
        return sorted(held.symbols)

    def _forget(self) -> None:
        with self._reading:
            self._table.cache_clear()
            self._keep.close()
            self._keep = Keep()

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
            FileSpan(*span, period=self._period(file, symbol), witness=partial(self._witness, file))
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

    def _witness(self, file: _File) -> str:
        try:
            return self._digest(file)
        except OSError as error:
            raise self._unreadable(file.path, error) from error

    def _hash(self, file: _File) -> str:
        return digest_of(file.path)

    def _fetch(self, symbol: str, timeframe: Timeframe, window: Window) -> pl.DataFrame:
        files, broken = self._files(symbol, timeframe)
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

    def _files(
        self, symbol: str, timeframe: Timeframe
    ) -> tuple[list[tuple[_File, Span | None]], list[tuple[_File, str]]]:
        """Find the symbol's files.

        Returns:
            Each with what it reaches, None where it has no row; and those that cannot be read, each
            with the reason.

        Raises:
            SourceError: There is none, or none can be read.
        """
        paths = self._matches(glob.escape(symbol), timeframe)
        if not paths:
            file_names = [path.name for path in self._matches("*", timeframe)]
            raise self._nothing_found(
                symbol,
                timeframe,
                f"no file matches {self._settings.path} in {self._base}",
                file_names,
            )
        files: list[tuple[_File, Span | None]] = []
        broken: list[tuple[_File, str]] = []
        first: SourceError | None = None
        for path in paths:
            try:
                file = _File.at(path)
                files.append((file, self._span(file, symbol, timeframe)))
            except FileNotFoundError as error:
                if path.is_symlink():
                    first = first or self._unreadable(path, error)
                    broken.append(
                        (
                            _File(path, 0, 0),
                            (
                                f"source {self.name}: {path} is a link to nothing: mend it, "
                                "or remove it"
                            ),
                        )
                    )
                    continue
                raise SourceError(
                    f"source {self.name}: {symbol} {timeframe}: a file has gone meanwhile: {error}"
                ) from error
            except OSError as error:
                first = first or self._unreadable(path, error)
                broken.append((_File(path, 0, 0), str(self._unreadable(path, error))))
            except SourceError as error:
                first = first or error
                broken.append((file, str(error)))
        if first is not None and not any(span for _, span in files):
            raise first
        if self._settings.names_symbols and not any(span for _, span in files):
            symbols = {other for file, _ in files for other in self._table(file, timeframe).symbols}
            raise self._nothing_found(
                symbol,
                timeframe,
                f"no row of {self._settings.path} in {self._base} is of it",
                sorted(symbols),
            )
        return files, broken

    def _matches(self, symbol: str, timeframe: Timeframe) -> list[Path]:
        words = {
            "{profile}": self._kind,
            "{symbol}": symbol,
            "{timeframe}": timeframe.value,
            "{minutes}": str(timeframe.duration // timedelta(minutes=1)),
            "{date}": "*",
        }
        given = re.sub(r"\{\w+\}", lambda match: words[match.group()], self._settings.path)
        pattern = str(Path(glob.escape(str(self._base))) / given)
        # Unlike Path.glob it takes a pattern that climbs or is absolute.
        return [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207

    def _nothing_found(
        self, symbol: str, timeframe: Timeframe, what: str, names: list[str]
    ) -> SourceError:
        near = get_close_matches(symbol, names, n=3, cutoff=0.3)
        hint = (
            f"near it are {', '.join(near)}"
            if near
            else f"{len(names)} others are there, none with a name like it"
        )
        return SourceError(
            f"source {self.name}: {symbol} {timeframe}: {what} (profile is {self._kind}); {hint}. "
            "Correct the path, or the symbol's name at this source",
            permanent=True,
        )

    # Where what cannot be read would have had rows.

    def _losses(
        self,
        symbol: str,
        timeframe: Timeframe,
        files: Sequence[tuple[_File, Span | None]],
        broken: Sequence[tuple[_File, str]],
        window: Window | None = None,
    ) -> list[_Loss]:
        """What broken files, members of zips and lines leave unknown.

        Other rows are no evidence of what is lost. Lines are those of files that reach into the
        window, where there is one.
        """
        sound = [self._piece(file, symbol, span) for file, span in files] if broken else []
        losses = []
        for file, error in broken:
            piece = self._piece(file, symbol, None)
            losses.append(
                _Loss(left_unknown(piece, sound), error, is_dated=piece.period is not None)
            )
        for file, span in files:
            # A zip may have lost what was around its rows; others are opened for what lies within.
            is_near = (
                window is None
                or file.path.suffix.lower() == ".zip"
                or (span is not None and _meet(span, window))
            )
            if span is not None and is_near and not self._is_direct(file, timeframe):
                losses += self._losses_in(file, symbol, timeframe)
        return losses

    def _losses_in(self, file: _File, symbol: str, timeframe: Timeframe) -> list[_Loss]:
        """What members and lines of a file leave unknown."""
        part = self._part(file, symbol, timeframe)
        if part is None:
            return []
        about = f"source {self.name}: {file.path}"
        losses = [
            _Loss(window, f"{about}: a row cannot be read: {label}")
            for window, label in part.unread
        ]
        damaged = self._table(file, timeframe).damaged
        pieces = [
            Piece(name, self._days_in(name.replace(symbol, " ")), span)
            for name, span in sorted(part.members.items())
        ]
        for name, reason in damaged.items():
            period = self._days_in(name.replace(symbol, " "))
            window = left_unknown(Piece(name, period), pieces)
            losses.append(
                _Loss(
                    window,
                    f"{about}: {name} in it cannot be read: {reason}",
                    is_dated=period is not None,
                )
            )
        return losses

    def _piece(self, file: _File, symbol: str, span: Span | None) -> Piece:
        return Piece(str(file.path), self._period(file, symbol), None if span is None else span[:2])

    def _period(self, file: _File, symbol: str) -> Window | None:
        """The days that a file's name says, or else the folders that it lies in.

        None where they say none.
        """
        path = file.path
        within = (
            path.relative_to(self._base).as_posix()
            if path.is_relative_to(self._base)
            else path.name
        )
        periods = (self._days_in(text.replace(symbol, " ")) for text in (path.name, within))
        return next((period for period in periods if period is not None), None)

    def _days_in(self, name: str) -> Window | None:
        return period_in(name, self._clock)

    # A Parquet file of one symbol, read a window at a time.

    def _read_span(self, file: _File, symbol: str, timeframe: Timeframe) -> Span | None:
        direct = self._direct(file, timeframe)
        if direct is None:
            part = self._part(file, symbol, timeframe)
            return None if part is None else part.span
        rows = self._read(file, _measured(direct, timeframe))
        span = self._span_of(file, rows, timeframe)
        if self._calendar is not None:
            self._judged(file, rows["ts"], timeframe, self._calendar)
        return span

    def _span_of(self, file: _File, rows: pl.DataFrame, timeframe: Timeframe) -> Span | None:
        """What rows reach, as `_measured` gives them; None where there are none.

        Raises:
            SourceError: Their times are none.
        """
        stamps = rows["ts"].drop_nulls()
        if are_odd(stamps, timeframe):
            first, last = (bare_minute(from_micros(stamp)) for stamp in _ends(stamps))
            raise SourceError(
                f"source {self.name}: {file.path}: "
                f"{len(stamps):,} rows have times from {first} to {last}Z, "
                f"where there are no {timeframe} bars: they are no counts since 1970. "
                "Say how they are written under `format`, "
                'such as "%Y%m%d" or "%Y%m%d %H%M%S"',
                permanent=True,
            )
        believable = span_of(rows.filter("can_be")["ts"])
        if believable is not None:
            return *believable, bool(rows["can_be"][-1])
        # The times of rows that are all refused say where they belong, so that they are read and
        # counted.
        return None if stamps.is_empty() else (*_ends(stamps), False)

    def _judged(
        self, file: _File, opens: pl.Series, timeframe: Timeframe, calendar: SessionCalendar
    ) -> None:
        """See whether opens that were taken as they stand fit another reading better."""
        if self._settings.stamps is not None:
            return
        none = pl.repeat(None, len(opens), dtype=pl.Int64, eager=True)
        zoned = not self._is_naive(file)
        walls = pl.DataFrame(
            {
                "wall": opens,
                "offset": pl.repeat(0, len(opens), eager=True) if zoned else none,
                # What is repeated.
                "dated": pl.repeat(False, len(opens), eager=True),  # noqa: FBT003
                "instant": opens if zoned else none,
                "eve": pl.repeat(False, len(opens), eager=True),  # noqa: FBT003 - what is repeated
            }
        )
        try:
            opens_of(
                walls.cast(WALLS),
                timeframe,
                clock=self._clock,
                meaning=None,
                calendar=calendar,
                clock_is_given=self._clock_is_given,
            )
        except StampError as error:
            raise self._unreadable(file.path, error) from error

    def _is_naive(self, file: _File) -> bool:
        """Whether the times of a Parquet file say no zone."""
        schema = pl.scan_parquet(file.path, glob=False).collect_schema()
        kind = schema[
            name_at(
                schema.names(),
                self._columns.places(file.path, schema.names(), has_header=True)["ts"],
            )
            or ""
        ]
        return isinstance(kind, pl.Datetime) and kind.time_zone is None

    def _direct(self, file: _File, timeframe: Timeframe) -> pl.LazyFrame | None:
        """A file's candles, unread; None where it has to be read whole."""
        settings = self._settings
        if (
            file.path.suffix.lower() != ".parquet"
            or settings.names_symbols
            or settings.format
            or not timeframe.intraday
        ):
            return None
        if settings.price_scale or settings.null_volume is not None or "date" in settings.columns:
            return None
        try:
            self._checked(file)
            raw = pl.scan_parquet(file.path, glob=False)
            schema = raw.collect_schema()
        except BROKEN as error:
            raise self._unreadable(file.path, error) from error
        places = self._columns.places(file.path, schema.names(), has_header=True)
        names = {column: name_at(schema.names(), place) for column, place in places.items()}
        if "ts" not in names or any(
            name is not None and name not in schema for name in names.values()
        ):
            return None
        ts = names["ts"] or ""
        whose = self._columns.names_whose(schema.names())
        is_plain = all(
            schema[name or ""] == pl.Float64 for column, name in names.items() if column in PRICES
        )
        if not is_plain or (whose is not None and self._count(file, whose) > 1):
            return None
        opens = self._direct_opens(file, raw, ts, schema[ts])
        if opens is None:
            return None
        if settings.stamps == "close":
            opens = opens - timeframe.duration
        volume = names.get("volume")
        number = pl.lit(None) if volume is None else pl.col(volume)
        return raw.select(
            opens.alias("ts"),
            *(pl.col(names[column] or "").alias(column) for column in PRICES),
            number.cast(pl.Float64, strict=False).alias("volume"),
            *(
                pl.col(names[column] or "").cast(pl.Float64, strict=False).alias(column)
                for column in EXTRA_COLUMNS
                if column in names
            ),
        )

    def _can_be_read_in_parts(self, file: _File, timeframe: Timeframe) -> bool:
        return self._direct(file, timeframe) is not None

    def _direct_opens(
        self, file: _File, raw: pl.LazyFrame, ts: str, kind: pl.DataType
    ) -> pl.Expr | None:
        """The instants of a column of stamps whose type says all; None for another one."""
        stamp = pl.col(ts)
        if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
            return stamp.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(TS)
        if isinstance(kind, pl.Datetime):
            return stamp.cast(TS) if self._clock.is_utc else None
        if kind.is_integer() and not self._is_compact(file, raw, ts):
            return epoch_to_us(stamp)
        return None

    def _is_compact(self, file: _File, raw: pl.LazyFrame, ts: str) -> bool:
        """Whether whole numbers may be dates such as 20240311.

        To be sure of it takes a look at all of them.
        """
        first = self._read(file, raw.select(pl.col(ts)).head(1)).to_series()
        text = str(first[0]) if len(first) else ""
        return len(text) in {8, 12, 14} and text[:2] in {"18", "19", "20"}

    def _read(self, file: _File, rows: pl.LazyFrame) -> pl.DataFrame:
        try:
            return rows.collect()
        except BROKEN as error:
            raise self._unreadable(file.path, error) from error

    def _count_symbols(self, file: _File, column: str) -> int:
        """How many symbols a column of a Parquet file names."""
        return whole(
            self._read(
                file, pl.scan_parquet(file.path, glob=False).select(pl.col(column).n_unique())
            ).item()
        )

    def _check(self, file: _File) -> None:
        check_parquet(file.path, most=self._settings.max_file)

    # Any other file, read whole and once.

    def _rows(self, file: _File, symbol: str, timeframe: Timeframe, window: Window) -> pl.DataFrame:
        direct = self._direct(file, timeframe)
        if direct is not None:
            return self._read(file, direct.filter(window.holds()))
        start, end = window.micros
        part = self._part(file, symbol, timeframe)
        if part is None:
            return CANDLE_SCHEMA.to_frame()
        blocks = [
            part.keep.get(place, size)
            for place, size, first, last in part.blocks
            if first < end and last >= start
        ]
        rows = [block.filter(window.holds()) for block in blocks]
        if part.refused is not None:
            rows.append(part.refused.filter(window.holds()))
        return pl.concat(rows, how="diagonal") if rows else CANDLE_SCHEMA.to_frame()

    def _part(self, file: _File, symbol: str, timeframe: Timeframe) -> Part | None:
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

    def _hold(self, file: _File, timeframe: Timeframe) -> Held:
        try:
            return self._understood(file, timeframe)
        except SourceError as error:
            return Held(error=str(error))
        except BROKEN as error:
            return Held(error=str(self._unreadable(file.path, error)))

    def _understood(self, file: _File, timeframe: Timeframe) -> Held:
        """Read a file whole: its rows by symbol, and those that nobody can read."""
        rows, bad = self._read_columns(file)
        walls = read_stamps(rows["stamp"], self._settings.format)
        rows = rows.drop("stamp").hstack(walls)
        ordered = (
            rows["symbol"].n_unique() > 1 and timeframe.intraday and has_fold(walls, self._clock)
        )
        groups = rows.partition_by("symbol", maintain_order=True) if ordered else [rows]
        opened = [self._opened(group, timeframe) for group in groups]
        rows = pl.concat(opened) if opened else self._opened(rows, timeframe)
        good, refused = self._parted(file, rows, bad, timeframe)
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
        held = self._kept(file, good, refused, timeframe)
        held.damaged = {member: line.reason for line, member in bad if not line.number}
        return held

    def _opened(self, rows: pl.DataFrame, timeframe: Timeframe) -> pl.DataFrame:
        opens, reasons = opens_of(
            rows.select(WALLS.names()),
            timeframe,
            clock=self._clock,
            meaning=self._settings.stamps,
            calendar=self._calendar,
            clock_is_given=self._clock_is_given,
        )
        return rows.drop(WALLS.names()).with_columns(ts=opens, refused=reasons)

    def _read_columns(self, file: _File) -> tuple[pl.DataFrame, list[tuple[BadLine, str]]]:
        if file.path.suffix.lower() == ".parquet":
            self._checked(file)
        return self._columns.read(file.path)

    def _parted(
        self,
        file: _File,
        rows: pl.DataFrame,
        bad: Sequence[tuple[BadLine, str]],
        timeframe: Timeframe,
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Part rows into good ones, and those that nobody can read (_NO_REFUSED)."""
        priced = pl.any_horizontal(pl.col(column).is_not_null() for column in PRICES)
        rows = rows.with_columns(priced=priced)
        is_good = pl.col("refused").is_null() & pl.col("ts").is_not_null()
        sound = rows.filter(is_good & pl.col("priced"))["ts"]
        # A line that ends within its time has no prices, and may have any time.
        stray = (
            is_good & ~pl.col("priced") & ~pl.col("ts").is_between(sound.min(), sound.max())
            if len(sound)
            else pl.lit(value=False)
        )
        rows = rows.with_columns(
            refused=pl.when(stray).then(pl.lit(Unread.UNREADABLE.value)).otherwise("refused")
        )
        is_good = pl.col("refused").is_null() & pl.col("ts").is_not_null()
        good = rows.filter(is_good)
        if len(good) == len(rows) and not bad:
            return good, _NO_REFUSED
        times = pl.when(is_good).then(pl.col("ts"))
        near = times.forward_fill().over("symbol"), times.backward_fill().over("symbol")
        anywhere = times.forward_fill(), times.backward_fill()
        edges = pl.min_horizontal(*near), pl.max_horizontal(*near)
        has_both = pl.all_horizontal(neighbour.is_not_null() for neighbour in near)
        placed = rows.with_columns(
            at=pl.coalesce(*near, *anywhere),
            after=pl.when(has_both).then(edges[0] + timeframe.duration),
            before=pl.when(has_both).then(edges[1]),
            whose=pl.coalesce(pl.col("symbol").replace("", None).forward_fill(), pl.lit("")),
        )
        label = pl.format(
            "{}{} line {}: {}",
            pl.lit(file.path.name),
            pl.when(pl.col("member") == "").then(pl.lit("")).otherwise(" " + pl.col("member")),
            "line",
            pl.col("text").fill_null("nothing"),
        )
        refused = placed.filter(~is_good).select(
            symbol=pl.when(pl.col("symbol").is_null()).then("whose").otherwise("symbol"),
            ts="at",
            refused=pl.col("refused").fill_null(NO_TIME),
            said=label,
            member="member",
            line="line",
            # What repeats the names of the columns is no bar.
            after=pl.when(pl.col("priced") | pl.col("text").str.contains(r"\d")).then("after"),
            before="before",
        )
        extra = [
            (
                *_standing(placed, line.number, member),
                Unread.UNREADABLE.value,
                _words_of(file.path.name, member, line),
                member,
                line.number,
                *_around(placed, line, member, timeframe),
            )
            for line, member in bad
        ]
        more = pl.DataFrame(extra, schema=_NO_REFUSED.schema, orient="row")
        return good, pl.concat([refused.cast(_NO_REFUSED.schema), more])

    def _kept(
        self, file: _File, good: pl.DataFrame, refused: pl.DataFrame, timeframe: Timeframe
    ) -> Held:
        """Keep rows by symbol, only those that somebody will ask for."""
        by_symbol = (
            good.partition_by("symbol", as_dict=True, maintain_order=True) if len(good) else {}
        )
        symbols = frozenset(str(symbol) for (symbol,) in by_symbol if symbol is not None)
        keep = self._keep
        held = Held(symbols=symbols)
        places: dict[str, tuple[str, int]] = {}
        for (symbol,), rows in by_symbol.items():
            if symbol is None or (
                self._settings.names_symbols
                and self._wanted is not None
                and symbol not in self._wanted
            ):
                continue
            part = held.parts.setdefault(str(symbol), Part(keep))
            candles = rows.select(*CANDLE_SCHEMA.names(), *extras_in(rows.columns))
            for at in range(0, len(candles), _BLOCK):
                block = candles.slice(at, _BLOCK)
                opens = block["ts"].to_physical()
                part.blocks.append((*keep.put(block), whole(opens.min()), whole(opens.max())))
            places[str(symbol)] = rows.select("member", "line").row(-1)
            if rows["member"].n_unique() > 1 or rows["member"][0]:
                stamp = pl.col("ts").to_physical()
                reach = rows.group_by("member").agg(first=stamp.min(), last=stamp.max())
                part.members = {name: (first, last) for name, first, last in reach.iter_rows()}
            try:
                part.span = self._span_of(
                    file, _measured(candles.lazy(), timeframe).collect(), timeframe
                )
            except SourceError as error:
                part.error = str(error)
        for (symbol,), rows in (
            refused.partition_by("symbol", as_dict=True).items() if len(refused) else ()
        ):
            if str(symbol) in held.parts:
                part = held.parts[str(symbol)]
                part.refused = rows.drop("symbol", "member", "line", "after", "before")
                part.unread = _unread(rows)
                if (
                    part.span is not None
                    and max(rows.select("member", "line").rows()) > places[str(symbol)]
                ):
                    part.span = *part.span[:2], False
        return held

    def _unreadable(self, path: Path, error: BaseException) -> SourceError:
        reason = " ".join(str(error)[:2_000].split())[
            : 500 if isinstance(error, StampError) else 200
        ]
        return SourceError(
            f"source {self.name}: {path} cannot be read: {reason}. "
            "Replace the file, or correct the source's settings",
            permanent=True,
        )


_NO_REFUSED = pl.DataFrame(
    schema={
        "symbol": pl.String,
        "ts": TS,
        "refused": pl.String,
        "said": pl.String,
        "member": pl.String,
        "line": pl.Int64,
        "after": TS,
        "before": TS,
    }
)
"""Rows that nobody can read: whose they are, where they stand, why, how they are written, where in
the file, and the stretch between the rows around them, where these have bars between them."""

_MOST_UNREAD = 100
"""Where rows leave more stretches unknown, all that lies between the first and the last is."""


@dataclass(frozen=True)
class _Loss:
    """A stretch that something leaves unknown which cannot be read.

    Attributes:
        window: The stretch.
        reason: Why, in words.
        is_dated: The name of what cannot be read tells the days, so that it should have had them.
    """

    window: Window
    reason: str
    is_dated: bool = False


def _unread(refused: pl.DataFrame) -> list[tuple[Window, str]]:
    """The stretches that rows (_NO_REFUSED) leave unknown, each with the words of its first row."""
    gaps = refused.filter(pl.col("after") < pl.col("before")).sort("after", "line")
    gaps = gaps.group_by("after", "before", maintain_order=True).agg(pl.first("said"))
    if len(gaps) > _MOST_UNREAD:
        gaps = gaps.select(pl.min("after"), pl.max("before"), pl.first("said"))
    return [
        (Window.spanning(gap["after"], gap["before"]), gap["said"][0])
        for gap in gaps.iter_slices(1)
    ]


def _words_of(name: str, member: str, line: BadLine) -> str:
    """How a line is told that is no row."""
    place = f"{name}{member and ' ' + member}" + (f" line {line.number}" if line.number else "")
    return f"{place}: {line.reason}: {line.text}".rstrip(": ")


def _around(
    rows: pl.DataFrame, line: BadLine, member: str, timeframe: Timeframe
) -> tuple[datetime | None, datetime | None]:
    """The stretch between the rows around a broken line.

    Both ends are None for a header, or for what is no line of rows.
    """
    if not line.number or (line.text and not any(sign.isdigit() for sign in line.text)):
        return None, None
    rows_of_member = rows.filter(
        pl.col("member") == member, pl.col("refused").is_null(), pl.col("ts").is_not_null()
    )
    ends = rows_of_member.filter(pl.col("line") < line.number).tail(1)["ts"].to_list()
    ends += rows_of_member.filter(pl.col("line") > line.number).head(1)["ts"].to_list()
    return (min(ends) + timeframe.duration, max(ends)) if len(ends) == 2 else (None, None)


def _meet(span: Span, window: Window) -> bool:
    start, end = window.micros
    return span[0] < end and span[1] >= start


def _measured(candles: pl.LazyFrame, timeframe: Timeframe) -> pl.LazyFrame:
    """The opens of candles, in microseconds, and whether they can be bars."""
    return candles.select(pl.col("ts").to_physical(), can_be=believable_row(timeframe, present()))


def _ends(stamps: pl.Series) -> tuple[int, int]:
    column = stamps.to_numpy()
    return int(column.min()), int(column.max())


def _standing(rows: pl.DataFrame, number: int, member: str) -> tuple[str, datetime | None]:
    """Whose row a broken line follows, and when that is."""
    rows_of_member = rows.filter(pl.col("member") == member)
    before = (
        (rows_of_member if len(rows_of_member) else rows).filter(pl.col("line") <= number).tail(1)
    )
    near = before if len(before) else rows.head(1)
    if near.is_empty():
        return "", None
    whose, at = near.select("whose", "at").row(0)
    return whose, at
