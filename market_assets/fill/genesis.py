"""Where a series begins, found backwards with few requests at a source that cannot name its first bar. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market_time.timeframes import Timeframe, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from market_assets.market_time.calendars import SessionCalendar

_AROUND = timedelta(days=7)
"""Further than any market stays closed: so long before a series' start there was trading."""


def next_page(pages: int, answers: Mapping[int, object]) -> int | None:
    """Say which page of a series to ask for next, so that its oldest page with a bar is found with few requests.

    From the oldest page known to have a bar the search looks back, from far to near: at the first page of all, then by halving
    distances. Wherever there is a bar it goes on from there. It ends when a whole round from one page has found nothing: that is
    its confirmation, so that a hole is not taken for the beginning. No hole shorter than four pages is, and none that is not
    longer than the run of pages with bars before it. Without such holes it takes at most twice the logarithm of `pages`.

    Args:
        pages: How many pages there are; 0 is the oldest.
        answers: What was found in those that were asked for: true where there is a bar.

    Returns:
        The page to ask for; None when the oldest answer that is true is the result, or when there is none anywhere.
    """
    found = pages
    while True:
        began = found
        for distance in _distances(began):
            page = found - distance
            if page < 0:
                continue
            if page not in answers:
                return page
            if answers[page]:
                found = page
        if found == began:
            return None


def _distances(most: int) -> list[int]:
    """How far back to look from a page that has so many before it, the furthest first."""
    # Three, so that each of the nearest four is looked at.
    halving = {1 << power for power in range(most.bit_length())} | {3, most}
    return sorted((distance for distance in halving if 0 < distance <= most), reverse=True)


def most_requests(pages: int) -> int:
    """After so many requests a search has met more holes than bars, and is given up."""
    return 16 + 4 * pages.bit_length()


def pages_of(calendar: SessionCalendar, timeframe: Timeframe, window: Window, page_size: int) -> list[Window]:
    """Cut a window into stretches of a page's length, and leave out those in which no bar can open.

    No bar is listed for it, because a search looks at few of the pages.

    Args:
        calendar: Says when there is trading.
        timeframe: The length of the bars.
        window: What to cut.
        page_size: How many bars one request may span.

    Returns:
        Half-open windows, ascending, none overlapping another.
    """
    if window.empty:
        return []
    start, end = window.micros
    length = page_size * timeframe.micros
    if timeframe.intraday:
        first, close = (pl.col(name).to_physical() for name in ("open", "close"))
        stretches = calendar.spans(window).select(
            first=first, last=first + (close - first - 1) // timeframe.micros * timeframe.micros
        )
    else:
        opens = pl.col("ts").to_physical()
        stretches = calendar.bars(timeframe, window).select(first=opens, last=opens)
    inside = stretches.select(pl.col("first").clip(lower_bound=start), pl.col("last").clip(upper_bound=end - 1))
    numbers = (
        inside.filter(pl.col("first") <= pl.col("last"))
        .select(number=pl.int_ranges((pl.col("first") - start) // length, (pl.col("last") - start) // length + 1))
        .explode("number")["number"]
        .unique()
        .sort()
    )
    return [Window.of_micros(at := start + number * length, min(at + length, end)) for number in numbers]


def page_before(calendar: SessionCalendar, timeframe: Timeframe, window: Window, page_size: int) -> Window | None:
    """The newest page before a window, within a week: what tells a series that begins in the window from one with a hole.

    None where the calendar does not reach so far back.
    """
    length = min(page_size * timeframe.duration, _AROUND)
    start = window.start - _AROUND // length * length
    if start < calendar.known.start:
        return None
    earlier = pages_of(calendar, timeframe, Window(start, window.start), length // timeframe.duration)
    return earlier[-1] if earlier else None
