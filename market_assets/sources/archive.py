"""Candles from local files: Parquet and text, packed or not, one file or many a symbol, or many symbols a file."""

from __future__ import annotations

import asyncio
import codecs
import glob
import re
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import polars as pl
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from market_assets.errors import SourceError
from market_assets.market_time.clock import present
from market_assets.market_time.timeframes import TS, Timeframe, Window, from_micros
from market_assets.sources.base import (
    CANDLE_SCHEMA,
    PartialAnswerError,
    SourceSettings,
    Traits,
    Unread,
    Usage,
    epoch_to_us,
)
from market_assets.sources.files import BROKEN, MOST, check_parquet, digest_of, look, texts
from market_assets.sources.layouts import LAYOUTS, ColumnName, LayoutName, column_of, layout_named, plain_name
from market_assets.sources.reach import (
    FileSpan,
    Stretch,
    are_odd,
    believable_row,
    period_in,
    span_of,
    stretches_of,
)
from market_assets.sources.stamps import (
    NO_TIME,
    WALLS,
    Clock,
    StampError,
    Stamps,
    clock_of,
    has_fold,
    opens_of,
    read_stamps,
)
from market_assets.sources.tables import BadLine, decimal_of, numbers_of, read_table

if TYPE_CHECKING:
    from types import TracebackType

    from market_assets.market_time.calendars import SessionCalendar

_PLACEHOLDERS = frozenset({"profile", "symbol", "timeframe", "minutes", "date"})
_TEXTS = (".csv", ".txt", ".tsv", ".csv.gz", ".txt.gz", ".tsv.gz", ".zip")
_FORMATS = (".parquet", *_TEXTS)
_ORDER: tuple[ColumnName, ...] = ("ts", "open", "high", "low", "close", "volume")
_APART: tuple[ColumnName, ...] = ("date", "time", "open", "high", "low", "close", "volume")
_PRICES: tuple[ColumnName, ...] = ("open", "high", "low", "close")
_HOUR = Timeframe.H1.micros
_BLOCK = 50_000
"""Rows of one symbol that are kept, and read, at once."""

_IN_MEMORY = 64 * 1024**2
"""Bytes of rows that are kept in memory; more go to a file that nobody sees, and that is gone when the process is."""

_FIXED = 100_000_000
"""No usual price is so large a whole number, and a multiple of a thousand."""

_NO_PRICE = float(2**63 - 1)
"""What fixed-point prices have where there is none."""


def _zone(name: str) -> str:
    clock_of(name)
    return name


def _offset(value: object) -> object:
    """An offset such as +10:30, which YAML takes for a number of sixties where it stands without quotes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{'-' if value < 0 else '+'}{abs(value) // 60:02}:{abs(value) % 60:02}"
    return value


def _path(text: str) -> str:
    unknown = set(re.findall(r"\{(\w*)\}", text)) - _PLACEHOLDERS
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))} cannot stand in braces; {', '.join(sorted(_PLACEHOLDERS))} can")
    if not text.endswith(_FORMATS):
        raise ValueError(f"must end in one of {', '.join(_FORMATS)}")
    return text


def _encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError as error:
        raise ValueError(f"{name!r} is no encoding, like utf-8, utf-16 or cp1252") from error
    return name


def _some(names: list[str]) -> str:
    """The names of columns, as many as can be read at a glance."""
    shown = ", ".join(name[:40] for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20:,} more"


class ArchiveSettings(SourceSettings):
    """The keys of an `archive` source.

    Attributes:
        path: Where the files are, relative to the universe file; `*`, `?` and `**` may stand in it, and `{profile}` (the
            kind in lower case), `{symbol}` (the source's own name), `{timeframe}`, `{minutes}` (its length) and `{date}`
            (any text). Ends in .parquet, .csv, .txt or .tsv, these also with .gz, or .zip.
        layout: Whose files they are: presets for the other keys, each of which may be set otherwise.
        columns: The file's name, or place from 0, of each of our columns; what is not named is called as we call it, or in
            a file without a header stands in the order ts, open, high, low, close, volume. `date` and `time` in place of
            `ts` where they stand apart; `a + b` is the sum of two columns. A `symbol` makes a file of many symbols: only
            the rows with the source's own name are taken. A volume that is neither named nor there is null.
        header: False for text without a line of names; where a file has one all the same, it is left out.
        separator: What stands between two cells; found by itself.
        encoding: How letters are written; found by itself for UTF-8, UTF-16 and Latin-1.
        decimal: What stands before a fraction, `.` or `,`; found by itself where the numbers leave no doubt.
        timezone: The zone of stamps that do not tell theirs. In the hour that a change of clocks repeats, the order of the
            file says which is meant; where it does not, those rows are refused.
        clock: The same for a clock that no zone has: `New York + 7h`, `-03:30`.
        format: The stamps' format, as chrono's strftime has it; that of a date alone, such as `%m/%d/%Y`, says the order
            of its parts. Without it numbers are counts since 1970 (s, ms, us or ns by their size), or dates such as
            20240311, and text is read by its shape; dates that can be read two ways are refused.
        stamps: open, or close where bars bear the time they end at. Of days: open where a stamp is the time at which the
            session opens, close where it closes, session where its date is the session's. Without it stamps are opens
            and dates are dates, and a file that fits another reading better is refused.
        quiet_minutes: omitted where a bar without a trade is left out, so that its absence says that nothing traded.
        price_scale: What prices are multiplied by, 1e-9 for whole billionths. One of a millionth or less goes for whole
            numbers only.
        null_volume: The volume that stands for none, such as -1.
        open_outside_range: An open may lie outside high and low, as where it is the close before.
        max_file: Bytes that a file may have, unpacked. A Parquet file, whose rows are read a window at a
            time, is refused only where it has more rows than its bytes can hold.
        concurrency: Windows read at once.
    """

    path: Annotated[str, AfterValidator(_path)]
    layout: Annotated[LayoutName | None, BeforeValidator(layout_named)] = None
    columns: dict[ColumnName, str | NonNegativeInt] = Field(default_factory=dict)
    header: bool = True
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: Annotated[str, AfterValidator(_encoding)] | None = None
    decimal: Literal[".", ","] | None = None
    timezone: Annotated[str, BeforeValidator(_offset), AfterValidator(_zone)] = "UTC"
    clock: Annotated[str, BeforeValidator(_offset), AfterValidator(_zone)] | None = None
    format: str | None = None
    stamps: Stamps | None = None
    quiet_minutes: Literal["present", "omitted"] = "present"
    price_scale: PositiveFloat | None = None
    null_volume: float | None = None
    open_outside_range: bool = False
    max_file: ByteSize = ByteSize(MOST)
    concurrency: PositiveInt = 4

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: object) -> object:
        layout = LAYOUTS.get(str(layout_named(given.get("layout")))) if isinstance(given, Mapping) else None
        if layout is None or not isinstance(given, Mapping):
            return given
        preset = dict(layout.settings)
        if given.keys() & {"timezone", "clock"}:
            preset = {key: value for key, value in preset.items() if key not in {"timezone", "clock"}}
        return {**preset, **given}

    @model_validator(mode="after")
    def _symbol_is_somewhere(self) -> Self:
        if "{symbol}" not in self.path and not self.names_symbols:
            raise ValueError("path has no {symbol}: name the column that holds it (columns: {symbol: ...})")
        if self.layout is None and not self.header and any(isinstance(place, str) for place in self.columns.values()):
            raise ValueError("columns of a file without a header are given by place, from 0")
        if self.clock is not None and "timezone" in self.model_fields_set:
            raise ValueError("clock and timezone say the same: set one of them")
        if "time" in self.columns and "date" not in self.columns:
            raise ValueError("a column of times needs one of dates: columns: {date: ..., time: ...}")
        return self

    @property
    def names_symbols(self) -> bool:
        """Whether a column of the files says whose bars they are."""
        preset = LAYOUTS[self.layout].names if self.layout else {}
        return "symbol" in self.columns or ("symbol" in preset and "{symbol}" not in self.path)

    @property
    def wall_clock(self) -> Clock:
        """The clock of stamps that do not tell theirs."""
        return clock_of(self.clock or self.timezone)


_Span = tuple[int, int, bool]
"""The first and the last open of a file's believable rows, in microseconds, and whether its last row is one of them."""


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


class _Keep:
    """Rows that were read once, kept out of memory where there are many."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - as long as the source
        self._size = 0
        self._lock = threading.Lock()

    def put(self, rows: pl.DataFrame) -> tuple[int, int]:
        """Keep some rows; give their place and size."""
        packed = BytesIO()
        rows.write_ipc(packed)
        body = packed.getbuffer()
        with self._lock:
            place = self._size
            self._file.seek(place)
            self._file.write(body)
            self._size += len(body)
        return place, len(body)

    def get(self, place: int, size: int) -> pl.DataFrame:
        """The rows that are kept at a place."""
        with self._lock:
            self._file.seek(place)
            body = self._file.read(size)
        return pl.read_ipc(body)

    def close(self) -> None:
        """Forget all."""
        self._file.close()


@dataclass
class _Part:
    """What a file has of one symbol.

    Attributes:
        blocks: Where its rows are kept: place, bytes, and the first and last open of a block.
        span: See `_Span`; None without a row.
        error: Why nobody can believe its rows.
        refused: Rows that cannot be read: ts (where they stand), refused (why), said (how they are written).
        keep: Where the blocks are.
    """

    keep: _Keep
    blocks: list[tuple[int, int, int, int]] = field(default_factory=list)
    span: _Span | None = None
    error: str = ""
    refused: pl.DataFrame | None = None


@dataclass
class _Held:
    """What a file has, or why it has nothing.

    Attributes:
        parts: By symbol; by "" where the file is of one.
        symbols: All symbols in it.
        error: Why it cannot be read.
    """

    parts: dict[str, _Part] = field(default_factory=dict)
    symbols: frozenset[str] = frozenset()
    error: str = ""


class ArchiveSource:
    """Candles of local files.

    A file's first row is no proof of a listing, so there is no `earliest`. Each file answers for the hours between its first believable
    row and its last, and has nothing to say of others: see `stretches`. Files are looked at again when they change; one that has not
    changed is one witness, however often it is read. What a broken file should have had is missed, and named.

    A file is read once, whatever the number of symbols in it: its rows are kept by symbol until the source is closed. A Parquet
    file of one symbol whose times need no thought is read a window at a time instead.
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
        self._clock = settings.wall_clock
        self._clock_is_given = bool({"clock", "timezone"} & settings.model_fields_set)
        self._base = base
        self._kind = kind
        self._calendar: SessionCalendar | None = None
        self._wanted: frozenset[str] | None = None
        self._keep = _Keep()
        # One file at a time, whole: so much memory is taken once, and who waits for the same file finds it read.
        self._reading = threading.RLock()
        self._table = lru_cache(maxsize=None)(self._hold)
        self._span = lru_cache(maxsize=None)(self._read_span)
        self._checked = lru_cache(maxsize=None)(self._check)
        self._digest = lru_cache(maxsize=None)(self._hash)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()

    def brief(self, calendar: SessionCalendar, symbols: Collection[str]) -> None:
        """Hear of the market and of all symbols that will be asked for: see `Briefed`."""
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
            self._keep = _Keep()

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
            SourceError: There is no file for the symbol, or none can be read.
        """
        windows = [stretch.window for stretch in self.stretches(symbol, timeframe)]
        if not windows:
            return Window.of_micros(0, 0)
        return Window(min(window.start for window in windows), max(window.end for window in windows))

    def stretches(self, symbol: str, timeframe: Timeframe) -> list[Stretch]:
        """Give what each file speaks for, sorted, with its hash as its witness: see `Source.answers_for`.

        Among them is what broken files should have had, so that they are missed there; these bear no witness.

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
        if not (stretches and broken):
            return stretches
        outer = Window(min(each.window.start for each in stretches), max(each.window.end for each in stretches))
        for file, _ in broken:
            lost = self._lost(file, symbol, files)
            missed = lost.intersect(outer) if self._period(file, symbol) is None else lost
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
        start, end = window.micros
        files, broken = self._files(symbol, timeframe)
        frames = [
            self._rows(file, symbol, timeframe, window)
            for file, span in files
            if span is not None and span[0] < end and span[1] >= start
        ]
        frame = pl.concat(frames, how="diagonal") if frames else CANDLE_SCHEMA.to_frame()
        self.usage.requests += 1
        self.usage.bytes += int(frame.estimated_size())
        lost = [
            (stretch, error)
            for file, error in broken
            if (stretch := self._lost(file, symbol, files).intersect(window)) is not None
        ]
        if lost:
            raise PartialAnswerError(frame, lost)
        return frame

    def _files(
        self, symbol: str, timeframe: Timeframe
    ) -> tuple[list[tuple[_File, _Span | None]], list[tuple[_File, str]]]:
        """Find the symbol's files.

        Returns:
            Each with what it reaches, None where it has no row; and those that cannot be read, each with the reason.

        Raises:
            SourceError: There is none, or none can be read.
        """
        paths = self._matches(glob.escape(symbol), timeframe)
        if not paths:
            others = [path.name for path in self._matches("*", timeframe)]
            raise self._nothing_found(
                symbol, timeframe, f"no file matches {self._settings.path} in {self._base}", others
            )
        found: list[tuple[_File, _Span | None]] = []
        broken: list[tuple[_File, str]] = []
        first: SourceError | None = None
        for path in paths:
            try:
                file = _File.at(path)
                found.append((file, self._span(file, symbol, timeframe)))
            except FileNotFoundError as error:
                raise SourceError(
                    f"source {self.name}: {symbol} {timeframe}: a file has gone meanwhile: {error}"
                ) from error
            except OSError as error:
                first = first or self._unreadable(path, error)
                broken.append((_File(path, 0, 0), str(self._unreadable(path, error))))
            except SourceError as error:
                first = first or error
                broken.append((file, str(error)))
        if first is not None and not any(span for _, span in found):
            raise first
        if self._settings.names_symbols and not any(span for _, span in found):
            symbols = {other for file, _ in found for other in self._table(file, timeframe).symbols}
            raise self._nothing_found(
                symbol, timeframe, f"no row of {self._settings.path} in {self._base} is of it", sorted(symbols)
            )
        return found, broken

    def _matches(self, symbol: str, timeframe: Timeframe) -> list[Path]:
        words = {
            "{profile}": self._kind,
            "{symbol}": symbol,
            "{timeframe}": timeframe.value,
            "{minutes}": str(timeframe.duration // timedelta(minutes=1)),
            "{date}": "*",
        }
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

    # Where a file that cannot be read would have had rows.

    def _lost(self, broken: _File, symbol: str, files: Sequence[tuple[_File, _Span | None]]) -> Window:
        """The stretch that a broken file leaves unknown: the days in its name, or what lies between its neighbours."""
        period = self._period(broken, symbol)
        # Days that others tell as well are not its own.
        if period is not None and all(self._period(file, symbol) != period for file, _ in files):
            return period
        before = [span[1] + 1 for file, span in files if span is not None and str(file.path) < str(broken.path)]
        after = [span[0] for file, span in files if span is not None and str(file.path) > str(broken.path)]
        start = max(before, default=_BEGINNING)
        between = Window.of_micros(start, max(start, min(after, default=_END)))
        return between if period is None else between.intersect(period) or Window(period.start, period.start)

    def _period(self, file: _File, symbol: str) -> Window | None:
        """The days that a file's name tells, or else the folders that it lies in; None where they tell none."""
        path = file.path
        within = path.relative_to(self._base).as_posix() if path.is_relative_to(self._base) else path.name
        told = (period_in(text.replace(symbol, " "), self._clock) for text in (path.name, within))
        return next((period for period in told if period is not None), None)

    # A Parquet file of one symbol, read a window at a time.

    def _read_span(self, file: _File, symbol: str, timeframe: Timeframe) -> _Span | None:
        direct = self._direct(file, timeframe)
        if direct is None:
            part = self._part(file, symbol, timeframe)
            return None if part is None else part.span
        rows = self._read(file, _measured(direct, timeframe))
        span = self._span_of(file, rows, timeframe)
        if self._calendar is not None:
            self._judged(file, rows["ts"], timeframe, self._calendar)
        return span

    def _span_of(self, file: _File, rows: pl.DataFrame, timeframe: Timeframe) -> _Span | None:
        """What rows reach, as `_measured` gives them; None where there are none.

        Raises:
            SourceError: Their times are none.
        """
        stamps = rows["ts"].drop_nulls()
        if are_odd(stamps, timeframe):
            first, last = (f"{from_micros(each):%Y-%m-%d %H:%M}" for each in _ends(stamps))
            raise SourceError(
                f"source {self.name}: {file.path}: {len(stamps):,} rows have times from {first} to {last}Z, where there are no "
                f"{timeframe} bars: they are no counts since 1970. Say how they are written under `format`, such as "
                '"%Y%m%d" or "%Y%m%d %H%M%S"',
                permanent=True,
            )
        believable = span_of(rows.filter("can_be")["ts"])
        if believable is not None:
            return *believable, bool(rows["can_be"][-1])
        # Of rows that are all refused the times tell where they belong, so that they are read and counted.
        return None if stamps.is_empty() else (*_ends(stamps), False)

    def _judged(self, file: _File, opens: pl.Series, timeframe: Timeframe, calendar: SessionCalendar) -> None:
        """See whether opens that were taken as they stand fit another reading better."""
        if self._settings.stamps is not None:
            return
        none = pl.repeat(None, len(opens), dtype=pl.Int64, eager=True)
        zoned = not self._is_naive(file)
        walls = pl.DataFrame(
            {
                "wall": opens,
                "offset": pl.repeat(0, len(opens), eager=True) if zoned else none,
                "dated": pl.repeat(False, len(opens), eager=True),  # noqa: FBT003 - what is repeated
                "instant": opens if zoned else none,
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
        """Whether the times of a Parquet file tell no zone."""
        schema = pl.scan_parquet(file.path, glob=False).collect_schema()
        kind = schema[_name(schema.names(), self._places(file, schema.names(), has_header=True)["ts"]) or ""]
        return isinstance(kind, pl.Datetime) and kind.time_zone is None

    def _direct(self, file: _File, timeframe: Timeframe) -> pl.LazyFrame | None:
        """A file's candles, unread; None where it has to be read whole."""
        settings = self._settings
        if file.path.suffix != ".parquet" or settings.names_symbols or settings.format or not timeframe.intraday:
            return None
        if settings.price_scale or settings.null_volume is not None or "date" in settings.columns:
            return None
        try:
            self._checked(file)
            raw = pl.scan_parquet(file.path, glob=False)
            schema = raw.collect_schema()
        except BROKEN as error:
            raise self._unreadable(file.path, error) from error
        places = self._places(file, schema.names(), has_header=True)
        names = {ours: _name(schema.names(), place) for ours, place in places.items()}
        if "ts" not in names or any(name is not None and name not in schema for name in names.values()):
            return None
        ts = names["ts"] or ""
        if any(schema[name or ""] != pl.Float64 for ours, name in names.items() if ours in _PRICES):
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
            *(pl.col(names[ours] or "").alias(ours) for ours in _PRICES),
            number.cast(pl.Float64, strict=False).alias("volume"),
        )

    def _direct_opens(self, file: _File, raw: pl.LazyFrame, ts: str, kind: pl.DataType) -> pl.Expr | None:
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
        """Whether whole numbers may be dates such as 20240311, which takes a look at all of them."""
        first = self._read(file, raw.select(pl.col(ts)).head(1)).to_series()
        text = str(first[0]) if len(first) else ""
        return len(text) in {8, 12, 14} and text[:2] in {"18", "19", "20"}

    def _read(self, file: _File, rows: pl.LazyFrame) -> pl.DataFrame:
        try:
            return rows.collect()
        except BROKEN as error:
            raise self._unreadable(file.path, error) from error

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
            part.keep.get(place, size) for place, size, first, last in part.blocks if first < end and last >= start
        ]
        rows = [block.filter(window.holds()) for block in blocks]
        if part.refused is not None:
            rows.append(part.refused.filter(window.holds()))
        return pl.concat(rows, how="diagonal") if rows else CANDLE_SCHEMA.to_frame()

    def _part(self, file: _File, symbol: str, timeframe: Timeframe) -> _Part | None:
        with self._reading:
            held = self._table(file, timeframe)
        if held.error:
            raise SourceError(held.error, permanent=True)
        part = held.parts.get(symbol if self._settings.names_symbols else "")
        if part is not None and part.error:
            raise SourceError(part.error, permanent=True)
        return part

    def _hold(self, file: _File, timeframe: Timeframe) -> _Held:
        try:
            return self._understood(file, timeframe)
        except SourceError as error:
            return _Held(error=str(error))
        except BROKEN as error:
            return _Held(error=str(self._unreadable(file.path, error)))

    def _understood(self, file: _File, timeframe: Timeframe) -> _Held:
        """Read a file whole: its rows by symbol, and those that nobody can read."""
        rows, bad = self._columns(file)
        walls = read_stamps(rows["stamp"], self._settings.format)
        rows = rows.drop("stamp").hstack(walls)
        ordered = self._settings.names_symbols and timeframe.intraday and has_fold(walls, self._clock)
        groups = rows.partition_by("symbol", maintain_order=True) if ordered else [rows]
        opened = [self._opened(group, timeframe) for group in groups]
        rows = pl.concat(opened) if opened else self._opened(rows, timeframe)
        good, refused = self._parted(file, rows, bad)
        if good.is_empty() and not refused.is_empty():
            why, example = refused.select("refused", "said").row(0)
            hint = "; say how its times are written under format, or name a layout" if why == NO_TIME else ""
            raise ValueError(f"none of its {len(refused):,} rows can be read: {why}: {example[-100:]}{hint}")
        return self._kept(file, good, refused, timeframe)

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

    def _columns(self, file: _File) -> tuple[pl.DataFrame, list[tuple[BadLine, str]]]:
        """Read a file's columns.

        Returns:
            stamp (as the file has it), open, high, low, close, volume (numbers), symbol, line, text (the stamp and prices
            as they are written), member (of a zip); and the lines that are none, each with its member.
        """
        settings = self._settings
        path = file.path
        if path.suffix == ".parquet":
            self._checked(file)
            names = pl.scan_parquet(path, glob=False).collect_schema().names()
            needed = {_name(names, place) for place in self._places(file, names, has_header=True).values()}
            columns = [
                name
                for name in names
                if name in {part for each in needed if each for part in each.split(" + ")} | needed
            ]
            table = pl.read_parquet(path, glob=False, columns=columns)
            numbers = pl.int_range(1, len(table) + 1, eager=True)
            return self._ours(file, table, numbers, names, has_header=True, member=""), []
        frames, bad = [], []
        failed: list[ValueError] = []
        several = 0
        for member, body in texts(path, settings.max_file):
            several += 1
            try:
                text = read_table(
                    body, is_header=self._is_header, separator=settings.separator, encoding=settings.encoding
                )
                own = self._ours(
                    file, text.rows, text.numbers, text.rows.columns, has_header=text.has_header, member=member
                )
            except (ValueError, SourceError) as error:
                if path.suffix != ".zip":
                    raise
                failed.append(error if isinstance(error, ValueError) else ValueError(str(error)))
                bad.append((BadLine(0, "", " ".join(str(error).split())[:200]), member))
                continue
            frames.append(own)
            bad += [(line, member) for line in text.bad]
        if not frames:
            raise failed[0] if failed else ValueError("there is nothing in it")
        return pl.concat(frames, how="vertical_relaxed"), bad

    def _is_header(self, cells: Sequence[str]) -> bool:
        """Whether a line has the names of the columns that are looked for."""
        settings = self._settings
        if settings.layout:
            names = LAYOUTS[settings.layout].all_names
            wanted = {ours: names[ours] for ours in ("open", "high", "low", "close")}
            if all(column_of(cells, theirs) is not None for theirs in wanted.values()):
                return True
        if any(isinstance(place, str) for place in settings.columns.values()):
            named = [place for place in settings.columns.values() if isinstance(place, str)]
            return all(part in cells for place in named for part in place.split(" + "))
        if {*_PRICES} <= {plain_name(cell) for cell in cells}:
            return True
        # Names that are not ours are an error that says so, and no candles.
        return settings.header and len(cells) > 1 and not any(_is_number(cell) for cell in cells)

    def _ours(
        self,
        file: _File,
        table: pl.DataFrame,
        numbers: pl.Series,
        names: Sequence[str],
        *,
        has_header: bool,
        member: str,
    ) -> pl.DataFrame:
        """Bring a file's columns into the shape of ours."""
        settings = self._settings
        if not has_header and settings.header and settings.layout is None:
            raise SourceError(
                f"source {self.name}: {file.path} has no column {settings.columns.get('ts', 'ts')!r} for ts: it has no line "
                f"of names, and begins with {_some([str(cell) for cell in table.row(0)] if len(table) else [])}. "
                "Set header: false, or name a layout",
                permanent=True,
            )
        places = self._places(file, names, has_header=has_header, table=table)
        found = {ours: _name(names, place) for ours, place in places.items()}
        written = {ours: _sum_of(table, name) for ours, name in found.items() if name is not None}
        decimal = settings.decimal or decimal_of([cells for ours in _PRICES for cells in written[ours]])
        prices = {ours: self._price(written[ours], decimal) for ours in _PRICES}
        self._require_plain({ours: written[ours][0] for ours in _PRICES}, prices)
        columns: dict[str, pl.Series] = {"stamp": self._stamp(written)}
        columns.update({str(ours): prices[ours] for ours in _PRICES})
        columns["volume"] = self._volume(written.get("volume"), decimal, len(table))
        whose = written.get("symbol") if settings.names_symbols else None
        symbol = pl.repeat("", len(table), eager=True) if whose is None else whose[0].cast(pl.String)
        columns["symbol"] = symbol.str.strip_chars()
        columns["line"] = numbers.cast(pl.Int64)
        columns["text"] = columns["stamp"].cast(pl.String)
        columns["member"] = pl.repeat(member, len(table), dtype=pl.String, eager=True)
        return pl.DataFrame(columns)

    def _price(self, cells: Sequence[pl.Series], decimal: str | None) -> pl.Series:
        column = numbers_of(cells[0], decimal)
        scale = self._settings.price_scale
        if scale is None:
            return column
        column = column.set((column >= _NO_PRICE).fill_null(value=False), None)
        scaled = column * scale if scale >= 1 else column / round(1 / scale) if _is_whole(1 / scale) else column * scale
        if scale > _MILLIONTH:
            return scaled
        return scaled.zip_with(_written_whole(cells[0]), column)

    def _volume(self, cells: Sequence[pl.Series] | None, decimal: str | None, rows: int) -> pl.Series:
        if cells is None:
            return pl.repeat(None, rows, dtype=pl.Float64, eager=True)
        whole = numbers_of(cells[0], decimal)
        for more in cells[1:]:
            whole = whole + numbers_of(more, decimal)
        none = self._settings.null_volume
        return whole if none is None else whole.set((whole == none).fill_null(value=False), None)

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

    def _require_plain(self, written: Mapping[ColumnName, pl.Series], prices: Mapping[ColumnName, pl.Series]) -> None:
        """Refuse prices that look like whole billionths, as long as nobody has said what they are."""
        if self._settings.price_scale is not None:
            return
        for ours, column in prices.items():
            known = column.drop_nulls()
            known = known.filter((known != _NO_PRICE) & known.is_finite())
            if known.is_empty() or ((known < _FIXED) | (known % 1000 != 0)).any():
                return
            if not _written_whole(written[ours]).all():
                return
        raise ValueError(
            f"its prices, such as {_whole(prices['close'].drop_nulls()[0])}, look like fixed-point numbers: set "
            "price_scale (1e-9 for whole billionths), or price_scale: 1 where they are prices as they stand"
        )

    def _places(
        self, file: _File, names: Sequence[str], *, has_header: bool, table: pl.DataFrame | None = None
    ) -> dict[ColumnName, str | int | None]:
        """What a file calls each of our columns, or where it has it; a volume that it does not have is None.

        Raises:
            SourceError: It lacks one.
        """
        settings = self._settings
        given: dict[ColumnName, str | int] = dict(settings.columns)
        by_name: dict[ColumnName, str | int] = {}
        if has_header and settings.layout:
            theirs = LAYOUTS[settings.layout].all_names
            found = {ours: column_of(names, wanted) for ours, wanted in theirs.items()}
            by_name = {ours: name for ours, name in found.items() if name is not None}
            if "time" in by_name and "date" in by_name:
                by_name.pop("ts", None)
            else:
                by_name.pop("date", None)
                by_name.pop("time", None)
        elif not has_header or not settings.header:
            order = _APART if table is not None and not has_header and _is_time(table) else _ORDER
            by_name = {ours: at for at, ours in enumerate(order) if at < len(names) or ours != "volume"}
            if has_header:
                # A header that is there all the same says where the columns are.
                plain = {plain_name(name): name for name in names}
                by_name |= {ours: plain[ours] for ours in _ORDER if ours in plain}
        else:
            by_name = {ours: ours for ours in _ORDER if ours != "volume" or ours in names}
        places: dict[ColumnName, str | int | None] = {**by_name, **given}
        if "date" in given:
            places.pop("ts", None)
        elif "ts" in given:
            places.pop("date", None)
            places.pop("time", None)
        places.setdefault("volume", None)
        needed: list[ColumnName] = ["date" if "date" in places else "ts", *_PRICES]
        needed += ["symbol"] if settings.names_symbols else []
        needed += [ours for ours in ("volume", "time") if places.get(ours) is not None]
        for ours in needed:
            place = places.setdefault(ours, ours)
            if _name(names, place) is None:
                raise SourceError(
                    f"source {self.name}: {file.path} has no column {place!r} for {ours}; it has {_some(list(names))}. Name the right one "
                    "under columns, or a layout; market-assets inspect FILE guesses them",
                    permanent=True,
                )
        return {ours: place for ours, place in places.items() if ours != "symbol" or settings.names_symbols}

    def _parted(
        self, file: _File, rows: pl.DataFrame, bad: Sequence[tuple[BadLine, str]]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Part rows into good ones, and those that nobody can read (_NO_REFUSED)."""
        priced = pl.any_horizontal(pl.col(ours).is_not_null() for ours in _PRICES)
        rows = rows.with_columns(priced=priced)
        is_good = pl.col("refused").is_null() & pl.col("ts").is_not_null()
        sound = rows.filter(is_good & pl.col("priced"))["ts"]
        # A line that ends within its time has no prices, and may have any time.
        stray = (
            is_good & ~pl.col("priced") & ~pl.col("ts").is_between(sound.min(), sound.max())
            if len(sound)
            else pl.lit(value=False)
        )
        rows = rows.with_columns(refused=pl.when(stray).then(pl.lit(Unread.UNREADABLE.value)).otherwise("refused"))
        is_good = pl.col("refused").is_null() & pl.col("ts").is_not_null()
        good = rows.filter(is_good)
        if len(good) == len(rows) and not bad:
            return good, _NO_REFUSED
        known = pl.when(is_good).then(pl.col("ts"))
        near = known.forward_fill().over("symbol"), known.backward_fill().over("symbol")
        anywhere = known.forward_fill(), known.backward_fill()
        placed = rows.with_columns(
            at=pl.coalesce(*near, *anywhere),
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
        )
        extra = [
            (
                *_standing(placed, line.number, member),
                Unread.UNREADABLE.value,
                f"{file.path.name}{member and ' ' + member} line {line.number}: {line.reason}: {line.text}".rstrip(
                    ": "
                ),
                member,
                line.number,
            )
            for line, member in bad
        ]
        more = pl.DataFrame(extra, schema=_NO_REFUSED.schema, orient="row")
        return good, pl.concat([refused.cast(_NO_REFUSED.schema), more])

    def _kept(self, file: _File, good: pl.DataFrame, refused: pl.DataFrame, timeframe: Timeframe) -> _Held:
        """Keep rows by symbol, those alone that somebody will ask for."""
        by_symbol = good.partition_by("symbol", as_dict=True, maintain_order=True) if len(good) else {}
        symbols = frozenset(str(symbol) for (symbol,) in by_symbol if symbol is not None)
        keep = self._keep
        held = _Held(symbols=symbols)
        places: dict[str, tuple[str, int]] = {}
        for (symbol,), rows in by_symbol.items():
            if symbol is None or (
                self._settings.names_symbols and self._wanted is not None and symbol not in self._wanted
            ):
                continue
            part = held.parts.setdefault(str(symbol), _Part(keep))
            candles = rows.select(CANDLE_SCHEMA.names())
            for at in range(0, len(candles), _BLOCK):
                block = candles.slice(at, _BLOCK)
                opens = block["ts"].to_physical()
                part.blocks.append((*keep.put(block), _whole(opens.min()), _whole(opens.max())))
            places[str(symbol)] = rows.select("member", "line").row(-1)
            try:
                part.span = self._span_of(file, _measured(candles.lazy(), timeframe).collect(), timeframe)
            except SourceError as error:
                part.error = str(error)
        for (symbol,), rows in refused.partition_by("symbol", as_dict=True).items() if len(refused) else ():
            if str(symbol) in held.parts:
                part = held.parts[str(symbol)]
                part.refused = rows.drop("symbol", "member", "line")
                if part.span is not None and max(rows.select("member", "line").rows()) > places[str(symbol)]:
                    part.span = *part.span[:2], False
        return held

    def _unreadable(self, path: Path, error: BaseException) -> SourceError:
        reason = " ".join(str(error)[:2_000].split())[: 500 if isinstance(error, StampError) else 200]
        return SourceError(
            f"source {self.name}: {path} cannot be read: {reason}. Replace the file, or correct the source's settings",
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
    }
)
"""Rows that nobody can read: whose they are, where they stand, why, how they are written, and where in the file."""

_BEGINNING = 0
_END = Window.of_days(date(1970, 1, 1), date(2200, 1, 1)).micros[1]
_MILLIONTH = 1e-6


def _measured(candles: pl.LazyFrame, timeframe: Timeframe) -> pl.LazyFrame:
    """Of candles their opens, in microseconds, and whether they can be bars."""
    return candles.select(pl.col("ts").to_physical(), can_be=believable_row(timeframe, present()))


def _ends(stamps: pl.Series) -> tuple[int, int]:
    column = stamps.to_numpy()
    return int(column.min()), int(column.max())


def _name(names: Sequence[str], place: str | int | None) -> str | None:
    """The name of the column that a place means; None where there is none."""
    if isinstance(place, int):
        return names[place] if place < len(names) else None
    if place is None or place in names or all(part in names for part in place.split(" + ")):
        return place
    return None


def _sum_of(table: pl.DataFrame, name: str) -> list[pl.Series]:
    parts = [name] if name in table.columns else name.split(" + ")
    return [
        table[part].cast(pl.String) if isinstance(table.schema[part], pl.Categorical | pl.Enum) else table[part]
        for part in parts
    ]


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True


def _is_time(table: pl.DataFrame) -> bool:
    """Whether the second column of a text without a header has times of day, apart from the dates."""
    if table.width <= len(_PRICES) + 1:
        return False
    second = table.to_series(1).drop_nulls().head(1)
    return bool(len(second)) and bool(second.str.contains(r"^\s*\d{1,2}:\d\d").item())


def _is_whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-6 * abs(number)


def _written_whole(cells: pl.Series) -> pl.Series:
    """Which cells are written as whole numbers."""
    if cells.dtype == pl.String:
        return cells.str.contains(r"^\s*[+-]?\d+\s*$").fill_null(value=True)
    return pl.repeat(cells.dtype.is_integer(), len(cells), dtype=pl.Boolean, eager=True)


def _whole(number: object) -> int:
    return int(number)  # type: ignore[call-overload,no-any-return]  # a number of polars, of whatever type


def _standing(rows: pl.DataFrame, number: int, member: str) -> tuple[str, datetime | None]:
    """Whose row a broken line follows, and when that is."""
    own = rows.filter(pl.col("member") == member)
    before = (own if len(own) else rows).filter(pl.col("line") <= number).tail(1)
    near = before if len(before) else rows.head(1)
    if near.is_empty():
        return "", None
    whose, at = near.select("whose", "at").row(0)
    return whose, at
