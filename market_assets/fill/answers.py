"""What sources were asked for and what they answered, and what it comes to as frames."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import SourceError
from market_assets.market.columns import EXTRA_SCHEMA, NOTHING_DROPPED, extras_in
from market_assets.market.gaps import left_over
from market_assets.market.timeframes import TS, Window, from_micros, micros_of
from market_assets.verdicts.clean import CANDLE, REJECT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from market_assets.config.universe import SourceSymbol


NO_CANDLES = pl.DataFrame(
    schema={
        "symbol": pl.String,
        "ts": TS,
        **dict.fromkeys(CANDLE[1:], pl.Float64),
        "source": pl.String,
    }
)


@dataclass(frozen=True)
class Page:
    """One stretch of one symbol to ask for.

    Attributes:
        symbol: The symbol as the universe calls it.
        sources: The sources to ask, in order of preference.
        window: What to ask for.
        wanted: ts of the bars that are absent and not explained, sorted.
        bars: ts of every closed bar of the calendar in the window, sorted.
        unfinished: Opens of bars in the window that have not closed yet.
        apart: Why other sources of the symbol are not asked; empty where all are.
    """

    symbol: str
    sources: Sequence[SourceSymbol]
    window: Window
    wanted: pl.Series
    bars: pl.DataFrame
    unfinished: pl.Series
    apart: str = ""


@dataclass
class Answer:
    """The answers of the sources to one page.

    Attributes:
        page: What was asked.
        candles: Pairs of a source's name and its candles that may be stored: ts, open, high, low,
            close, volume, any extra columns.
        dropped: ts, column of the values of extra columns that cannot be, a frame an answer.
        rejects: Rows that may not (REJECT_SCHEMA), a frame an answer.
        refused_by: The sources that gave these.
        coverage: symbol, source, start_ts, end_ts, bars, omits_quiet: one row per source that
            answered.
        errors: A sentence for each source that did not.
        failed: One of these may answer the same question another time.
        late: A source did not answer, or was not asked, because the time was spent.
        unasked: No source was asked, because the time was spent.
        spared: A silence at the page's edge, which may be longer than it looks, was taken for a
            quiet one, and further sources were not asked.
        spoken: What the answers speak for: one window per answer, and whether its source leaves
            quiet bars out.
        files: Parts of these for which files speak, each with the hash of the file.
        around: From the first row to the last of files that lack bars there, each with its hash.
        fresh: Parts of these for which somebody speaks who may say otherwise the next time.
        limits: A sentence for each source that serves no bars as old as some of the page's.
        lost: Parts of a window for which an answer is none, each with the reason.
        is_stream: The rows are a stream's: nobody was asked, and nothing is said of what is absent.
    """

    page: Page
    candles: list[tuple[str, pl.DataFrame]] = field(default_factory=list)
    dropped: list[pl.DataFrame] = field(default_factory=list)
    rejects: list[pl.DataFrame] = field(default_factory=list)
    refused_by: list[str] = field(default_factory=list)
    coverage: list[tuple[str, str, datetime, datetime, int, bool]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    failed: bool = False
    late: bool = False
    unasked: bool = False
    spared: bool = False
    spoken: list[tuple[Window, bool]] = field(default_factory=list)
    files: list[tuple[Window, str]] = field(default_factory=list)
    around: list[tuple[Window, str]] = field(default_factory=list)
    fresh: list[Window] = field(default_factory=list)
    limits: set[str] = field(default_factory=set)
    lost: list[tuple[Window, str]] = field(default_factory=list)
    is_stream: bool = False

    def speak(
        self, spans: Sequence[Window], *, omits_quiet: bool, lost: Sequence[tuple[Window, str]] = ()
    ) -> None:
        """Add that a source has answered for some stretches, but not for some parts of these."""
        self.lost += [
            (cut, reason)
            for part, reason in lost
            for span in spans
            if (cut := part.intersect(span)) is not None
        ]
        self.spoken += [(rest, omits_quiet) for rest in left_of(spans, lost)]

    def errors_in(self, window: Window) -> list[str]:
        """Why sources did not answer for a window, or for a part of it."""
        lost = [reason for part, reason in self.lost if part.intersect(window)]
        return [*self.errors, *dict.fromkeys(lost)]

    def note(self, error: SourceError) -> None:
        """Add why a source did not answer."""
        self.errors.append(str(error))
        self.late |= isinstance(error, LateError)
        if isinstance(error, UnaskedError):
            self.unasked = not self.spoken and not self.failed
        else:
            self.failed |= not error.permanent
            self.unasked = False

    @property
    def newest(self) -> datetime | None:
        """The open of the newest bar that may be stored; None without one."""
        opens = [micros_of(rows["ts"]) for _, rows in self.candles]
        return max((from_micros(int(column.max())) for column in opens), default=None)

    @property
    def conclusive(self) -> bool:
        """Every source that can speak for the page has answered."""
        return bool(self.spoken) and not self.errors and not self.spared

    def parts(self) -> Iterator[tuple[Window, bool | None, str]]:
        """The page's window in parts, each with what is said of it.

        The second value is None where no answer speaks for the part, else whether the last one that
        does leaves quiet bars out. The third is the hashes of the files where only files speak for
        it, separated by a blank.
        """
        page = self.page.window
        windows = [window for window, _ in [*self.spoken, *self.files, *self.lost]]
        bounds = {
            edge
            for window in windows
            for edge in (window.start, window.end)
            if page.start <= edge <= page.end
        }
        for start, end in pairwise(sorted({page.start, page.end, *bounds})):
            flags = [quiet for window, quiet in self.spoken if window.start <= start < window.end]
            is_fresh = any(window.start <= start < window.end for window in self.fresh)
            hashes = {digest for window, digest in self.files if window.start <= start < window.end}
            yield (
                Window(start, end),
                flags[-1] if flags else None,
                "" if is_fresh else " ".join(sorted(hashes)),
            )

    def reason(self, *, spoken: bool, part: Window | None = None) -> str:
        """Why bars are absent from a part of the page, in the sources' words.

        `spoken` says whether the answers speak for that part.
        """
        lost = [] if spoken or part is None else self.errors_in(part)
        return "; ".join(
            [*(lost or self._reasons(spoken=spoken)), *filter(None, [self.page.apart])]
        )

    def _reasons(self, *, spoken: bool) -> list[str]:
        if self.errors:
            return self.errors
        names = dict.fromkeys(source for _, source, *_ in self.coverage)
        if not (names and spoken):
            return ["no source reaches this far", *sorted(self.limits)]
        refused = (
            [f"{sum(map(len, self.rejects)):,} of the rows were refused"] if self.rejects else []
        )
        return [f"{' and '.join(names)} answered without it", *refused]


@dataclass(frozen=True)
class StreamedBars:
    """Closed bars that streams gave, without a fault: of many symbols at once.

    Attributes:
        candles: The columns of NO_CANDLES and any extra columns; unique by symbol and ts.
        dropped: ts, column of the values of extra columns that cannot be, and are null.
    """

    candles: pl.DataFrame = field(default_factory=lambda: NO_CANDLES)
    dropped: pl.DataFrame = field(default_factory=lambda: NOTHING_DROPPED)

    @property
    def newest(self) -> datetime | None:
        """The open of the newest one; None without one."""
        opens = micros_of(self.candles["ts"])
        return from_micros(int(opens.max())) if opens.size else None


class LateError(SourceError):
    """The time budget was spent before an answer came."""


class UnaskedError(LateError):
    """The time budget was spent before a request was sent."""


def left_of(windows: Sequence[Window], lost: Sequence[tuple[Window, str]]) -> list[Window]:
    """What is left of some windows without the parts that were lost."""
    cuts = sorted((part.start, part.end) for part, _ in lost)
    return [
        Window(*part) for window in windows for part in left_over(window.start, window.end, cuts)
    ]


def candles_of(answers: Sequence[Answer]) -> pl.DataFrame:
    """The candles of some answers.

    Returns:
        symbol, ts, open, high, low, close, volume, source, and the extra columns that any of them
        has.
    """
    frames: dict[tuple[str, str], list[pl.DataFrame]] = defaultdict(list)
    for answer in answers:
        for source, candles in answer.candles:
            frames[answer.page.symbol, source].append(candles)
    named = []
    for (symbol, source), parts in frames.items():
        candles = pl.concat(parts, how="diagonal")
        extras = extras_in(candles.columns)
        named.append(
            candles.with_columns(symbol=pl.lit(symbol), source=pl.lit(source))
            .select(*NO_CANDLES.columns, *extras)
            .cast(
                pl.Schema(
                    [*NO_CANDLES.schema.items(), *((name, EXTRA_SCHEMA[name]) for name in extras)]
                )
            )
        )
    return pl.concat([NO_CANDLES, *named], how="diagonal")


def dropped_of(answers: Sequence[Answer], window: Window) -> pl.DataFrame:
    """The values of extra columns in a window that cannot be, and became null: ts, column."""
    frames = [frame.filter(window.holds()) for answer in answers for frame in answer.dropped]
    return pl.concat([NOTHING_DROPPED, *frames])


def rejects_of(answers: Sequence[Answer]) -> pl.DataFrame:
    """The rejected rows of some answers.

    Returns:
        The columns of REJECT_SCHEMA; `asked`, the time in the page that is nearest to theirs; and
        `source`.
    """
    frames = [REJECT_SCHEMA.to_frame().with_columns(asked="ts", source="symbol")]
    for answer in answers:
        first, after = (pl.lit(bound).cast(TS) for bound in answer.page.window.micros)
        asked = pl.col("ts").fill_null(first).clip(first, after - pl.duration(microseconds=1))
        frames += [
            rows.with_columns(asked=asked, source=pl.lit(source))
            for rows, source in zip(answer.rejects, answer.refused_by, strict=True)
        ]
    return pl.concat(frames)
