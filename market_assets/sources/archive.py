"""Candles from local files: Parquet, CSV, gzipped CSV and zips of CSVs, one file or many a symbol, or many symbols a file."""

from __future__ import annotations

import asyncio
import glob
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import AfterValidator, ByteSize, Field, NonNegativeInt, PositiveInt, model_validator

from market_assets.errors import SourceError
from market_assets.market_time.clock import present
from market_assets.market_time.timeframes import TS, Timeframe, Window, from_micros
from market_assets.sources.base import CANDLE_SCHEMA, SourceSettings, Traits, Usage, epoch_to_us
from market_assets.sources.files import BROKEN, MOST, check_parquet, digest_of, look, read_csv
from market_assets.sources.reach import FileSpan, Stretch, are_odd, believable_row, period_in, span_of, stretches_of

if TYPE_CHECKING:
    from types import TracebackType

ColumnName = Literal["ts", "open", "high", "low", "close", "volume", "symbol"]

_PLACEHOLDERS = frozenset({"profile", "symbol", "timeframe", "date"})
_FORMATS = (".parquet", ".csv", ".csv.gz", ".zip")
_ORDER = ("ts", "open", "high", "low", "close", "volume")
_HOUR = Timeframe.H1.micros


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone of the IANA database, like America/New_York") from error
    return name


def _path(text: str) -> str:
    unknown = set(re.findall(r"\{(\w*)\}", text)) - _PLACEHOLDERS
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))} cannot stand in braces; {', '.join(sorted(_PLACEHOLDERS))} can")
    if not text.endswith(_FORMATS):
        raise ValueError(f"must end in one of {', '.join(_FORMATS)}")
    return text


def _some(names: list[str]) -> str:
    """The names of columns, as many as can be read at a glance."""
    shown = ", ".join(name[:40] for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20:,} more"


class ArchiveSettings(SourceSettings):
    """The keys of an `archive` source.

    Attributes:
        path: Where the files are, relative to the universe file; `*`, `?` and `**` may stand in it, and `{profile}` (the kind in lower
            case), `{symbol}` (the source's own name), `{timeframe}` and `{date}` (any text). Ends in .parquet, .csv, .csv.gz or .zip.
        columns: The file's name, or place from 0, of each of our columns; what is not named is called as we call it, or in a file
            without a header stands in the order ts, open, high, low, close, volume. A `symbol` makes a file of many symbols: only the
            rows with the source's own name are taken. A volume that is neither named nor there is null.
        header: False for CSVs without a line of names.
        timezone: The zone of stamps that do not tell theirs. In the hour that a change of clocks repeats, a stamp's first occurrence in
            a file is taken for the earlier instant, its second for the later.
        format: The stamps' format, as chrono's strftime has it; without it numbers are counts since 1970 (s, ms, us or ns by their
            size) and text is taken as ISO 8601, or with the day before the month.
        stamps: close where bars bear the time they end at.
        quiet_minutes: omitted where a bar without a trade is left out, so that its absence says that nothing traded.
        max_file: Bytes that a file may have, unpacked. A Parquet file, whose rows are read a window at a
            time, is refused only where it has more rows than its bytes can hold.
        concurrency: Windows read at once.
    """

    path: Annotated[str, AfterValidator(_path)]
    columns: dict[ColumnName, str | NonNegativeInt] = Field(default_factory=dict)
    header: bool = True
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    format: str | None = None
    stamps: Literal["open", "close"] = "open"
    quiet_minutes: Literal["present", "omitted"] = "present"
    max_file: ByteSize = ByteSize(MOST)
    concurrency: PositiveInt = 4

    @model_validator(mode="after")
    def _symbol_is_somewhere(self) -> Self:
        if "{symbol}" not in self.path and "symbol" not in self.columns:
            raise ValueError("path has no {symbol}: name the column that holds it (columns: {symbol: ...})")
        if not self.header and any(isinstance(place, str) for place in self.columns.values()):
            raise ValueError("columns of a file without a header are given by place, from 0")
        return self


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


def _ends(stamps: pl.Series) -> tuple[int, int]:
    column = stamps.to_numpy()
    return int(column.min()), int(column.max())


class ArchiveSource:
    """Candles of local files.

    A file's first row is no proof of a listing, so there is no `earliest`. Each file answers for the hours between its first believable
    row and its last, and has nothing to say of others: see `stretches`. Files are looked at again when they change; one that has not
    changed is one witness, however often it is read.
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
        )
        self._settings = settings
        self._base = base
        self._kind = kind
        # A CSV has to be read whole for any window of it: the latest ones are kept, so that the windows of a symbol read it once.
        self._table = lru_cache(maxsize=4)(self._read_table)
        self._span = lru_cache(maxsize=None)(self._read_span)
        self._checked = lru_cache(maxsize=None)(self._check)
        self._digest = lru_cache(maxsize=None)(self._hash)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.cache_clear()

    async def fetch(self, symbol: str, timeframe: Timeframe, start: datetime, end: datetime) -> pl.DataFrame:
        """Give the rows of the window in the order of the files' names: see `Source.fetch`."""
        return await asyncio.to_thread(self._fetch, symbol, timeframe, Window(start, end))

    async def earliest(self, symbol: str, timeframe: Timeframe) -> datetime | None:  # noqa: ARG002 - the protocol's arguments
        """Say nothing: see `Source.earliest`."""
        return None

    def answers_for(self, symbol: str, timeframe: Timeframe) -> Window:
        """Give the stretch from the hour of the first row to the end of the hour of the last; empty where there is no row.

        Within it may be files that are absent: see `stretches`.

        Raises:
            SourceError: There is no file for the symbol, or one cannot be read.
        """
        windows = [stretch.window for stretch in self.stretches(symbol, timeframe)]
        if not windows:
            return Window.of_micros(0, 0)
        return Window(min(window.start for window in windows), max(window.end for window in windows))

    def stretches(self, symbol: str, timeframe: Timeframe) -> list[Stretch]:
        """Give what each file speaks for, sorted, with its hash as its witness: see `Source.answers_for`.

        Raises:
            SourceError: There is no file for the symbol, one cannot be read, or no row of them has a time that can be.
        """
        zone = ZoneInfo(self._settings.timezone)
        spans = [
            FileSpan(
                *span,
                period=period_in(self._told_by_name(file.path, symbol), zone),
                witness=partial(self._witness, file),
            )
            for file, span in self._files(symbol, timeframe)
            if span is not None
        ]
        return stretches_of(spans)

    def _told_by_name(self, path: Path, symbol: str) -> str:
        """A file's name, with those of the folders that the pattern leaves open, without the symbol, which may hold numbers."""
        told = self._settings.path.count("/") + 1
        return "/".join(path.parts[-told:]).replace(symbol, "")

    def _witness(self, file: _File) -> str:
        try:
            return self._digest(file)
        except OSError as error:
            raise self._unreadable(file.path, error) from error

    def _hash(self, file: _File) -> str:
        return digest_of(file.path)

    def _fetch(self, symbol: str, timeframe: Timeframe, window: Window) -> pl.DataFrame:
        start, end = window.micros
        frames = [
            self._read(file, self._candles(file, symbol, timeframe).filter(window.holds()))
            for file, span in self._files(symbol, timeframe)
            if span is not None and span[0] < end and span[1] >= start
        ]
        frame = pl.concat(frames) if frames else CANDLE_SCHEMA.to_frame()
        self.usage.requests += 1
        self.usage.bytes += int(frame.estimated_size())
        return frame

    def _files(self, symbol: str, timeframe: Timeframe) -> list[tuple[_File, tuple[int, int, bool] | None]]:
        """Find the symbol's files, each with the first and the last open in it (microseconds), None where it has no row.

        With them comes whether its last row can be a bar.
        """
        paths = self._matches(glob.escape(symbol), timeframe)
        if not paths:
            others = [path.name for path in self._matches("*", timeframe)]
            raise self._nothing_found(
                symbol, timeframe, f"no file matches {self._settings.path} in {self._base}", others
            )
        try:
            files = [_File.at(path) for path in paths]
        except FileNotFoundError as error:
            raise SourceError(
                f"source {self.name}: {symbol} {timeframe}: a file has gone meanwhile: {error}"
            ) from error
        except OSError as error:
            unusable = next((path for path in paths if not path.is_file()), paths[0])
            raise self._unreadable(unusable, error) from error
        spans = [self._span(file, symbol, timeframe) for file in files]
        if "symbol" in self._settings.columns and not any(spans):
            others = sorted({other for file in files for other in self._symbols(file)})
            raise self._nothing_found(
                symbol, timeframe, f"no row of {self._settings.path} in {self._base} is of it", others
            )
        return list(zip(files, spans, strict=True))

    def _matches(self, symbol: str, timeframe: Timeframe) -> list[Path]:
        words = {"{profile}": self._kind, "{symbol}": symbol, "{timeframe}": timeframe.value, "{date}": "*"}
        given = re.sub(r"\{\w+\}", lambda found: words[found.group()], self._settings.path)
        pattern = str(Path(glob.escape(str(self._base))) / given)
        return [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - unlike Path.glob it takes a pattern that climbs or is absolute

    def _nothing_found(self, symbol: str, timeframe: Timeframe, what: str, others: list[str]) -> SourceError:
        near = get_close_matches(symbol, others, n=3, cutoff=0.3)
        hint = f"near it are {', '.join(near)}" if near else f"{len(others)} others are there, none with a name like it"
        return SourceError(
            f"source {self.name}: {symbol} {timeframe}: {what} (profile is {self._kind}); {hint}. Correct the path, or the symbol's "
            "name at this source",
            permanent=True,
        )

    def _read_span(self, file: _File, symbol: str, timeframe: Timeframe) -> tuple[int, int, bool] | None:
        can_be = believable_row(timeframe, present())
        rows = self._candles(file, symbol, timeframe).select(pl.col("ts").to_physical(), can_be=can_be)
        found = self._read(file, rows)
        stamps = found["ts"].drop_nulls()
        if are_odd(stamps, timeframe):
            raise self._odd_times(file, timeframe, stamps)
        believable = span_of(found.filter("can_be")["ts"])
        if believable is not None:
            return *believable, bool(found["can_be"][-1])
        # Of rows that are all refused the times tell where they belong, so that they are read and counted.
        return None if stamps.is_empty() else (*_ends(stamps), False)

    def _odd_times(self, file: _File, timeframe: Timeframe, stamps: pl.Series) -> SourceError:
        first, last = (f"{from_micros(each):%Y-%m-%d %H:%M}" for each in _ends(stamps))
        return SourceError(
            f"source {self.name}: {file.path}: {len(stamps):,} rows have times from {first} to {last}Z, where there are no {timeframe} "
            'bars: they are no counts since 1970. Say how they are written under `format`, such as "%Y%m%d" or "%Y%m%d %H%M%S"',
            permanent=True,
        )

    def _read(self, file: _File, rows: pl.LazyFrame) -> pl.DataFrame:
        try:
            return rows.collect()
        except BROKEN as error:
            raise self._unreadable(file.path, error) from error

    def _raw(self, file: _File) -> pl.LazyFrame:
        """Open a file: a Parquet file is read no sooner than it is filtered, unless its stamps are text."""
        try:
            if file.path.suffix == ".parquet":
                self._checked(file)
                rows = pl.scan_parquet(file.path, glob=False)
                schema = rows.collect_schema()
                if schema[self._named(file, schema.names(), "ts")] != pl.String and self._settings.format is None:
                    return rows
            return self._table(file).lazy()
        except BROKEN as error:
            raise self._unreadable(file.path, error) from error

    def _check(self, file: _File) -> None:
        check_parquet(file.path, most=self._settings.max_file)

    def _read_table(self, file: _File) -> pl.DataFrame:
        """Read a file whole, its stamps made numbers or times, all else but a symbol numbers or null."""
        path = file.path
        if path.suffix == ".parquet":
            table = pl.read_parquet(path, glob=False)
        else:
            settings = self._settings
            table = read_csv(path, most=settings.max_file, header=settings.header)
        stamp = self._named(file, table.columns, "ts")
        words = {stamp, self._named(file, table.columns, "symbol")} if "symbol" in self._settings.columns else {stamp}
        return table.with_columns(self._parsed(table[stamp]), pl.exclude(words).cast(pl.Float64, strict=False))

    def _parsed(self, stamps: pl.Series) -> pl.Series:
        if self._settings.format is not None:
            return stamps.cast(pl.String).str.to_datetime(self._settings.format, time_unit="us")
        if stamps.dtype != pl.String:
            return stamps
        if stamps.drop_nulls().head(1).str.contains(r"^-?\d+$").all():
            return stamps.cast(pl.Int64)
        return stamps.str.to_datetime(time_unit="us")

    def _unreadable(self, path: Path, error: BaseException) -> SourceError:
        reason = " ".join(str(error)[:2_000].split())[:200]
        return SourceError(
            f"source {self.name}: {path} cannot be read: {reason}. Replace the file, or correct the source's settings",
            permanent=True,
        )

    def _symbols(self, file: _File) -> list[str]:
        raw = self._raw(file)
        name = self._named(file, raw.collect_schema().names(), "symbol")
        return self._read(file, raw.select(pl.col(name).cast(pl.String).unique().drop_nulls())).to_series().to_list()

    def _candles(self, file: _File, symbol: str, timeframe: Timeframe) -> pl.LazyFrame:
        """Bring a file's columns into the shape of ours; nothing of a Parquet file is read before it is filtered."""
        raw = self._raw(file)
        schema = raw.collect_schema()
        names = schema.names()
        if "symbol" in self._settings.columns:
            raw = raw.filter(pl.col(self._named(file, names, "symbol")).cast(pl.String) == symbol)
        stamp = self._named(file, names, "ts")
        without_volume = "volume" not in self._settings.columns and "volume" not in names and self._settings.header
        numbers = {
            ours: pl.lit(None) if ours == "volume" and without_volume else pl.col(self._named(file, names, ours))
            for ours in ("open", "high", "low", "close", "volume")
        }
        return raw.select(
            self._opens(pl.col(stamp), schema[stamp], timeframe).alias("ts"),
            *(number.cast(pl.Float64, strict=False).alias(ours) for ours, number in numbers.items()),
        )

    def _named(self, file: _File, names: list[str], ours: ColumnName) -> str:
        """Find what the file calls one of our columns."""
        place = self._settings.columns.get(ours, ours if self._settings.header else _ORDER.index(ours))
        if isinstance(place, int) and place < len(names):
            return names[place]
        if place in names:
            return str(place)
        raise SourceError(
            f"source {self.name}: {file.path} has no column {place!r} for {ours}; it has {_some(names)}. Name the right one under "
            "columns",
            permanent=True,
        )

    def _opens(self, stamp: pl.Expr, dtype: pl.DataType, timeframe: Timeframe) -> pl.Expr:
        """Turn a column of stamps into opens in UTC; of a bar of a day or more, the date counts that its stamp has in its zone."""
        zone, closes = self._settings.timezone, self._settings.stamps == "close"
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
            plain = stamp if dtype == TS else stamp.cast(TS)
        elif dtype == pl.Date:
            plain = stamp.cast(TS)
        else:
            utc = (
                epoch_to_us(stamp)
                if dtype.is_numeric()
                else stamp.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
            )
            if timeframe.intraday:
                return utc.cast(TS) - timeframe.duration if closes else utc.cast(TS)
            plain = utc.cast(TS).dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.replace_time_zone(None)
        if not timeframe.intraday:
            # A close at midnight ends the day before.
            return (plain - timedelta(microseconds=1) if closes else plain).dt.truncate("1d")
        if zone != "UTC":
            twice = pl.when(plain.is_first_distinct()).then(pl.lit("earliest")).otherwise(pl.lit("latest"))
            plain = (
                plain.dt.replace_time_zone(zone, ambiguous=twice).dt.convert_time_zone("UTC").dt.replace_time_zone(None)
            )
        return plain - timeframe.duration if closes else plain
