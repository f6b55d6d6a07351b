"""The rows of an answer, oldest first, frame by frame: an answer of any length takes little memory.

A page ends where its `limit` is reached; a cursor says behind which row the next one begins.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import ReadError
from market_assets.market.timeframes import Window, literal, midnight
from market_assets.words import hint, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from market_assets.reports.question import Question
    from market_assets.store import Snapshot

_ROWS = 32_768
"""Rows that are read at once, about: 5 MB as JSON."""

_FEWEST = 4_000
_WIDEST, _NARROWEST = timedelta(days=20_000), timedelta(minutes=1)
_TICK = timedelta(microseconds=1)
_KEPT_LONGER = timedelta(days=8)
"""A bar's `ts` may lie so long before the first day of its profile: a week's Monday."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = datetime(1700, 1, 1, tzinfo=UTC), datetime(2300, 1, 1, tzinfo=UTC)
_LONGEST_CURSOR = 400


@dataclass(frozen=True)
class Cursor:
    """The row behind which a page begins: rows are sorted by ts, then by symbol.

    Attributes:
        ts: The row's ts, aware UTC.
        symbol: The row's symbol.
    """

    ts: datetime
    symbol: str

    @classmethod
    def read(cls, text: str) -> Cursor:
        """The cursor that an answer has written.

        Raises:
            ReadError: It is none.
        """
        try:
            padded = text[:_LONGEST_CURSOR].encode("ascii") + b"=" * (-len(text) % 4)
            packed = base64.b64decode(padded, altchars=b"-_", validate=True)
            micros, _, symbol = packed.decode().partition(" ")
            ts = _EPOCH + timedelta(microseconds=int(micros))
        except (ValueError, OverflowError):
            ts, symbol = _EPOCH, ""
        if not symbol or not _EARLIEST <= ts <= _LATEST:
            raise ReadError(
                f"cursor: {text[:60]!r} is none that an answer has written",
                key="cursor",
                absent=True,
            )
        return cls(ts, symbol)

    def __str__(self) -> str:
        micros = (self.ts - _EPOCH) // _TICK
        packed = f"{micros} {self.symbol}".encode()
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


class Rows:
    """The rows of a question in a window, sorted by ts and symbol.

    Args:
        question: What is asked for.
        view: The store.
        home: The home folder.
        window: Which rows, by their ts.
        columns: Some columns beside symbol and ts; empty for all.
        after: The row behind which they begin.
        limit: How many at most; None for all.
    """

    def __init__(
        self,
        question: Question,
        view: Snapshot,
        home: Path,
        *,
        window: Window,
        columns: Sequence[str] = (),
        after: Cursor | None = None,
        limit: int | None = None,
    ) -> None:
        self._question = question
        self._view = view
        self._home = home
        self._window = window
        self._columns = columns
        self._after = after
        self._limit = limit
        self.next: Cursor | None = None
        """Behind which row there are more, once all frames were taken; None where there are not."""

    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows, in frames of one form: none of them is empty, unless it is the only one.

        Raises:
            ReadError: A column is unknown, or what retention has removed cannot be had.
        """
        window = self._reach()
        left, last = self._limit, self._after
        size = _ROWS if left is None else min(_ROWS, max(_FEWEST, 2 * left))
        span = self._span(size)
        # Where the window is empty, what is read tells the columns.
        frame = self._read(Window(window.start, min(window.end, window.start + span)))
        self._check_columns(frame)
        start, has_rows = window.start + span, False
        while True:
            if left is not None and len(frame) > left:
                self.next = _cursor_at(frame, left - 1) if left else last
                if left:
                    yield self._shaped(frame.head(left))
                return
            if not frame.is_empty():
                last, has_rows = _cursor_at(frame, len(frame) - 1), True
                yield self._shaped(frame)
            if start >= window.end:
                break
            left = None if left is None else left - len(frame)
            span = _fitted(span, len(frame), size)
            frame = self._read(Window(start, min(window.end, start + span)))
            start += span
        if not has_rows:
            yield self._shaped(frame)

    def count(self) -> int:
        """How many rows the store has of it, of all pages."""
        question = self._question
        return self._view.served.size(question.dataset, question.symbols, self._window)

    def _reach(self) -> Window:
        """The part of the window in which there can be rows."""
        question, window = self._question, self._window
        extent = self._view.served.extent(question.dataset)
        start = extent.start if extent else window.end
        end = extent.end if extent else window.start
        if self._view.pruned.archived(question.dataset):
            kept = min(midnight(member.start) for member in question.members) - _KEPT_LONGER
            start, end = min(start, kept), max(end, window.end)
        start = max(start, window.start, self._after.ts if self._after else window.start)
        return Window(start, max(start, min(end, window.end)))

    def _span(self, size: int) -> timedelta:
        """How long a stretch is that has about so many rows, on a market that never closes."""
        question = self._question
        bars = max(1, size // max(1, len(question.symbols)))
        return max(_NARROWEST, min(_WIDEST, bars * question.dataset.timeframe.duration))

    def _read(self, window: Window) -> pl.DataFrame:
        frame = self._question.rows(self._view, window, self._home).sort("ts", "symbol")
        if self._after is None or window.start > self._after.ts:
            return frame
        ts, symbol = literal(self._after.ts), pl.lit(self._after.symbol)
        return frame.filter(
            (pl.col("ts") > ts) | ((pl.col("ts") == ts) & (pl.col("symbol") > symbol))
        )

    def _check_columns(self, frame: pl.DataFrame) -> None:
        names = [name for name in frame.columns if name not in {"symbol", "ts"}]
        unknown = [name for name in self._columns if name not in frame.columns]
        if unknown:
            dataset = self._question.dataset
            raise ReadError(
                f"columns: {dataset.owner}.{dataset.name} has no {unknown[0][:60]!r}"
                f"{hint(unknown[0], names)} It has {listed(names, most=60)}",
                key="columns",
                absent=True,
            )

    def _shaped(self, frame: pl.DataFrame) -> pl.DataFrame:
        if not self._columns:
            return frame
        return frame.select(list(dict.fromkeys(("symbol", "ts", *self._columns))))


def _cursor_at(frame: pl.DataFrame, place: int) -> Cursor:
    row = frame.row(place, named=True)
    return Cursor(row["ts"].replace(tzinfo=UTC), row["symbol"])


def _fitted(span: timedelta, rows: int, size: int) -> timedelta:
    """The length of the next stretch: longer where markets were closed, shorter where it is much.

    It never falls below a minute, and grows at most twofold.
    """
    if rows < size // 2:
        return min(_WIDEST, 2 * span)
    return max(_NARROWEST, span / 2) if rows > 2 * size else span
