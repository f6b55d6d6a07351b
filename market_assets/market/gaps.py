"""Gap arithmetic, pure: missing bars, their runs, the requests that cover them, and priority."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import Window, micros_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from market_assets.market.timeframes import Timeframe


class Priority(StrEnum):
    """How soon a gap should be repaired, by its age."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


_YOUNGER_THAN = {
    Priority.CRITICAL: timedelta(hours=24),
    Priority.HIGH: timedelta(days=7),
    Priority.MEDIUM: timedelta(days=30),
}


def priority(age: timedelta) -> Priority:
    """The priority of a gap whose last bar closed that long ago: the fresher, the more urgent."""
    return next((rank for rank, limit in _YOUNGER_THAN.items() if age < limit), Priority.LOW)


def missing(expected: pl.Series, present: pl.Series) -> pl.Series:
    """The bar opens that are expected and not present, sorted.

    Args:
        expected: Sorted opens (TS), none twice.
        present: Opens (TS) in any order; those that are not expected do not matter.
    """
    return expected.filter(~expected.is_in(present.implode()))


def left_over(
    start: datetime, end: datetime, cuts: Iterable[tuple[datetime, datetime]]
) -> list[tuple[datetime, datetime]]:
    """What is left of a stretch of time without some parts of it.

    Args:
        start: Where the stretch begins.
        end: Where it ends, the first instant after it.
        cuts: From and to, sorted; they may overlap, and reach further than the stretch.

    Returns:
        From and to of each part, oldest first.
    """
    left = []
    for first, after in cuts:
        if after <= start:
            continue
        if first >= end:
            break
        if start < first:
            left.append((start, first))
        start = max(start, after)
    return [*left, (start, end)] if start < end else left


def runs(expected: pl.Series, absent: pl.Series) -> pl.DataFrame:
    """Group absent bars that are neighbours on the expected grid.

    A gap from Friday's last bar to Monday's first is one run: no bar is expected between them.

    Args:
        expected: Sorted opens (TS), none twice.
        absent: Those of them that are absent, sorted.

    Returns:
        first (TS), last (TS): the opens of the run's first and last bar; bars (Int64): how many it
        has. Sorted.
    """
    grid = pl.DataFrame({"ts": expected}).with_row_index("slot")
    return (
        grid.filter(pl.col("ts").is_in(absent.implode()))
        .with_columns(pl.col("slot").cast(pl.Int64) - pl.int_range(pl.len()))
        .group_by("slot", maintain_order=True)
        .agg(first=pl.col("ts").first(), last=pl.col("ts").last(), bars=pl.len().cast(pl.Int64))
        .drop("slot")
    )


def plan_requests(
    absent: pl.Series, timeframe: Timeframe, page_size: int, *, newest_first: bool = False
) -> list[Window]:
    """The fewest windows, each at most `page_size` bars long, that cover every absent bar.

    The length is measured by the clock. A window starts at the first bar that is not covered yet
    and ends after the last one within a page of it. Starting it any earlier would not reach
    further, so no plan has fewer windows. Nothing is spent on nights, weekends and bars that are
    there, unless they lie between two absent bars of the same page.

    Args:
        absent: Sorted opens (TS) of the bars to ask for, none twice.
        timeframe: Their length.
        page_size: How many bars one request may span.
        newest_first: Begin at the newest bar, so that the first n windows cover the newest bars
            that n windows can.

    Returns:
        Half-open windows, none overlapping another; ascending, or descending from the newest.

    Raises:
        ValueError: A page size below one.
    """
    if page_size < 1:
        raise ValueError(f"a page holds at least one bar, not {page_size}")
    opens = micros_of(absent)
    page = page_size * timeframe.micros
    windows: list[Window] = []
    if newest_first:
        left, newer = len(opens), int(opens[-1]) + timeframe.micros if len(opens) else 0
        while left:
            # A bar that a break has cut is shorter than the others, and the next one opens before
            # its full length.
            end = min(int(opens[left - 1]) + timeframe.micros, newer)
            left = int(opens.searchsorted(end - page))
            newer = int(opens[left])
            windows.append(Window.of_micros(newer, end))
        return windows
    covered = 0
    while covered < len(opens):
        start = int(opens[covered])
        covered = int(opens.searchsorted(start + page))
        windows.append(
            Window.of_micros(start, min(int(opens[covered - 1]) + timeframe.micros, start + page))
        )
    return windows
