"""Candles from local files: Parquet and text, packed or not, one file or many a symbol, or many symbols a file."""

from __future__ import annotations

import asyncio
import glob
import re
import threading
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import polars as pl

from market_assets.errors import SourceError
from market_assets.market.clock import present
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
from market_assets.sources.files.reach import (
    FileSpan,
    Stretch,
    are_odd,
    believable_row,
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
    the hours between its first believable row and its last, and has nothing to say of others: see
    `stretches`. Files are looked at again when they change; one that has not changed is one
    witness, however often it is read. What a broken file should have had is missed, and named.

    A file is read once, whatever the number of symbols in it: its rows are kept by symbol until the
    source is closed. A Parquet file of one symbol whose times need no thought is read a window at a
    time instead.
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
        # One file at a time, whole: so much memory is taken once, and who waits for the same file
        # finds it read.
        self._reading = threading.RLock()
        self._table = lru_cache(maxsize=None)(self._hold)
        self._span = lru_cache(maxsize=None)(self._read_span)
        self._checked = lru_cache(maxsize=None)(self._check)
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
        """Give the stretch from the hour of the first row to the end of the hour of the last; empty where there is no row.

        Within it may be files that are absent: see `stretches`.

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
        """Give what each file speaks for, sorted, with its hash as its witness: see `Source.answers_for`.

        Among them is what broken files should have had, so that they are missed there; these bear
        no witness.

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
        outer = Window(
            min(each.window.start for each in stretches), max(each.window.end for each in stretches)
        )
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
            others = [path.name for path in self._matches("*", timeframe)]
            raise self._nothing_found(
                symbol, timeframe, f"no file matches {self._settings.path} in {self._base}", others
            )
        found: list[tuple[_File, Span | None]] = []
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
                symbol,
                timeframe,
                f"no row of {self._settings.path} in {self._base} is of it",
                sorted(symbols),
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
        # Unlike Path.glob it takes a pattern that climbs or is absolute.
        return [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207

    def _nothing_found(
        self, symbol: str, timeframe: Timeframe, what: str, others: list[str]
    ) -> SourceError:
        near = get_close_matches(symbol, others, n=3, cutoff=0.3)
        hint = (
            f"near it are {', '.join(near)}"
            if near
            else f"{len(others)} others are there, none with a name like it"
        )
        return SourceError(
            f"source {self.name}: {symbol} {timeframe}: {what} (profile is {self._kind}); {hint}. "
            "Correct the path, or the symbol's "
            "name at this source",
            permanent=True,
        )

    # Where a file that cannot be read would have had rows.

    def _lost(
        self, broken: _File, symbol: str, files: Sequence[tuple[_File, Span | None]]
    ) -> Window:
        """The stretch that a broken file leaves unknown: the days in its name, or what lies between its neighbours."""
        period = self._period(broken, symbol)
        # Days that others tell as well are not its own.
        if period is not None and all(self._period(file, symbol) != period for file, _ in files):
            return period
        before = [
            span[1] + 1
            for file, span in files
            if span is not None and str(file.path) < str(broken.path)
        ]
        after = [
            span[0]
            for file, span in files
            if span is not None and str(file.path) > str(broken.path)
        ]
        start = max(before, default=_BEGINNING)
        between = Window.of_micros(start, max(start, min(after, default=_END)))
        return (
            between
            if period is None
            else between.intersect(period) or Window(period.start, period.start)
        )

    def _period(self, file: _File, symbol: str) -> Window | None:
        """The days that a file's name tells, or else the folders that it lies in; None where they tell none."""
        path = file.path
        within = (
            path.relative_to(self._base).as_posix()
            if path.is_relative_to(self._base)
            else path.name
        )
        told = (period_in(text.replace(symbol, " "), self._clock) for text in (path.name, within))
        return next((period for period in told if period is not None), None)

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
            first, last = (f"{from_micros(each):%Y-%m-%d %H:%M}" for each in _ends(stamps))
            raise SourceError(
                f"source {self.name}: {file.path}: {len(stamps):,} rows have times from {first} "
                f"to {last}Z, where there are no "
                f"{timeframe} bars: they are no counts since 1970. "
                "Say how they are written under `format`, such as "
                '"%Y%m%d" or "%Y%m%d %H%M%S"',
                permanent=True,
            )
        believable = span_of(rows.filter("can_be")["ts"])
        if believable is not None:
            return *believable, bool(rows["can_be"][-1])
        # Of rows that are all refused the times tell where they belong, so that they are read and
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
            file.path.suffix != ".parquet"
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
        names = {ours: name_at(schema.names(), place) for ours, place in places.items()}
        if "ts" not in names or any(
            name is not None and name not in schema for name in names.values()
        ):
            return None
        ts = names["ts"] or ""
        if any(schema[name or ""] != pl.Float64 for ours, name in names.items() if ours in PRICES):
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
            *(pl.col(names[ours] or "").alias(ours) for ours in PRICES),
            number.cast(pl.Float64, strict=False).alias("volume"),
        )

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
        part = held.parts.get(symbol if self._settings.names_symbols else "")
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
            self._settings.names_symbols and timeframe.intraday and has_fold(walls, self._clock)
        )
        groups = rows.partition_by("symbol", maintain_order=True) if ordered else [rows]
        opened = [self._opened(group, timeframe) for group in groups]
        rows = pl.concat(opened) if opened else self._opened(rows, timeframe)
        good, refused = self._parted(file, rows, bad)
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

    def _read_columns(self, file: _File) -> tuple[pl.DataFrame, list[tuple[BadLine, str]]]:
        if file.path.suffix == ".parquet":
            self._checked(file)
        return self._columns.read(file.path)

    def _parted(
        self, file: _File, rows: pl.DataFrame, bad: Sequence[tuple[BadLine, str]]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Part rows into good ones, and those that nobody can read (_NO_REFUSED)."""
        priced = pl.any_horizontal(pl.col(ours).is_not_null() for ours in PRICES)
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
                f"{file.path.name}{member and ' ' + member} line {line.number}: {line.reason}: "
                f"{line.text}".rstrip(": "),
                member,
                line.number,
            )
            for line, member in bad
        ]
        more = pl.DataFrame(extra, schema=_NO_REFUSED.schema, orient="row")
        return good, pl.concat([refused.cast(_NO_REFUSED.schema), more])

    def _kept(
        self, file: _File, good: pl.DataFrame, refused: pl.DataFrame, timeframe: Timeframe
    ) -> Held:
        """Keep rows by symbol, those alone that somebody will ask for."""
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
            candles = rows.select(CANDLE_SCHEMA.names())
            for at in range(0, len(candles), _BLOCK):
                block = candles.slice(at, _BLOCK)
                opens = block["ts"].to_physical()
                part.blocks.append((*keep.put(block), whole(opens.min()), whole(opens.max())))
            places[str(symbol)] = rows.select("member", "line").row(-1)
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
                part.refused = rows.drop("symbol", "member", "line")
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
            f"source {self.name}: {path} cannot be read: {reason}. Replace the file, "
            "or correct the source's settings",
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


def _measured(candles: pl.LazyFrame, timeframe: Timeframe) -> pl.LazyFrame:
    """Of candles their opens, in microseconds, and whether they can be bars."""
    return candles.select(pl.col("ts").to_physical(), can_be=believable_row(timeframe, present()))


def _ends(stamps: pl.Series) -> tuple[int, int]:
    column = stamps.to_numpy()
    return int(column.min()), int(column.max())


def _standing(rows: pl.DataFrame, number: int, member: str) -> tuple[str, datetime | None]:
    """Whose row a broken line follows, and when that is."""
    own = rows.filter(pl.col("member") == member)
    before = (own if len(own) else rows).filter(pl.col("line") <= number).tail(1)
    near = before if len(before) else rows.head(1)
    if near.is_empty():
        return "", None
    whose, at = near.select("whose", "at").row(0)
    return whose, at
