"""Where a series begins, for sources that cannot name its first bar. Pure.

The search goes backwards, with few requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from market_assets.market.calendars.bounds import CLOSURE
from market_assets.market.timeframes import Timeframe, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from market_assets.market.calendars.sessions import SessionCalendar

_AT_LEAST = 4


def with_what_was_before(calendar: SessionCalendar, timeframe: Timeframe, window: Window) -> Window:
    """A series' window and some bars before it.

    They distinguish a series that begins in the window from one with a hole there.
    """
    start = window.start - max(CLOSURE, _AT_LEAST * timeframe.duration)
    return Window(min(max(start, calendar.known.start), window.start), window.end)


MOST_LOOKS = 40
"""Requests that one search may cost. A search that is not sure by then has found nothing."""

_LOOKS = (3, 2)
"""How often a page must have answered without a bar before it counts as empty, as far as the
requests go: some vendors have an empty answer where they are only busy."""

_FOR_THE_REST = 8
"""Requests that are kept back at each length of bars.

They are for the shorter bars, and for pages that are looked at again.
"""

_SAMPLES = 12


class Look(NamedTuple):
    """Which page to ask for next, or that there is no more to ask."""

    page: int | None
    is_sure: bool


def next_look(pages: int, looks: Mapping[int, Sequence[bool]], left: int) -> Look:
    """Say which page of a series to ask for next, so that its very first bar is found.

    A series may have several lives with holes between them. Where there are few pages each is asked
    for, the oldest first, until one has a bar. Where there are many, the oldest that can be found
    by halving is taken, and some pages before it are looked at, evenly spread. In the end every
    page before the oldest with a bar must have answered without one, and more than once.

    Args:
        pages: How many pages there are; 0 is the oldest.
        looks: What was found at each look, true where there was a bar, by page.
        left: How many more requests there may be.

    Returns:
        The page to ask for, or None: then `is_sure` says whether the oldest page with a bar is the
        first of all. Where no page has one, nothing is sure.
    """
    answers = {page: any(results) for page, results in looks.items()}
    oldest_page = min((page for page, has in answers.items() if has), default=None)
    spare = left - _FOR_THE_REST
    if oldest_page == 0:
        return Look(None, is_sure=True)
    unasked = [
        page for page in range(pages if oldest_page is None else oldest_page) if page not in answers
    ]
    if not unasked:
        return (
            Look(None, is_sure=False)
            if oldest_page is None
            else _confirmation(oldest_page, looks, left)
        )
    if len(unasked) <= spare:
        return Look(unasked[0], is_sure=False)
    if spare <= 0:
        return Look(None, is_sure=False)
    page = next_page(pages, answers)
    if page is None and oldest_page is not None:
        page = next((at for at in _spread(oldest_page) if at not in answers), None)
    return Look(page, is_sure=False)


def _confirmation(oldest_page: int, looks: Mapping[int, Sequence[bool]], left: int) -> Look:
    """Which of the pages before the oldest with a bar to ask for again."""
    for wanted in _LOOKS:
        missing = {
            page: wanted - len(looks[page])
            for page in range(oldest_page)
            if len(looks[page]) < wanted
        }
        if not missing:
            return Look(None, is_sure=True)
        if sum(missing.values()) <= left:
            # One page after the other: a vendor that fails at intervals may fail at the same page
            # of each round.
            return Look(min(missing), is_sure=False)
    return Look(None, is_sure=False)


def _spread(pages: int) -> Iterable[int]:
    """Some of the pages, each far from those before it."""
    turns = (int(f"{number:04b}"[::-1], 2) for number in range(1, _SAMPLES + 1))
    return [pages * turn // 16 for turn in turns]


def top_lengths(timeframe: Timeframe, timeframes: Iterable[Timeframe]) -> list[Timeframe]:
    """The lengths of bars in which a whole history is searched, the longest first.

    Where a vendor has nothing of the longest, which happens to weeks, its days are looked at, then
    the bars themselves.
    """
    longer = sorted(
        (length for length in timeframes if length.micros > timeframe.micros),
        key=lambda length: length.micros,
    )
    return [*longer[-1:], *(length for length in longer[:-1] if length is Timeframe.D1), timeframe]


def length_within(
    timeframe: Timeframe,
    timeframes: Iterable[Timeframe],
    calendar: SessionCalendar,
    span: Window,
    page_size: int,
) -> Timeframe:
    """The shortest bars, no shorter than the timeframe, that fit a span into one page.

    Where none does, the longest bars.
    """
    lengths = sorted(
        {timeframe, *(length for length in timeframes if length.micros > timeframe.micros)},
        key=lambda length: length.micros,
    )
    fitting = (
        length for length in lengths if len(calendar.bars_touching(length, span)) <= page_size
    )
    return next(fitting, lengths[-1])


def next_page(pages: int, answers: Mapping[int, object]) -> int | None:
    """Say which page to ask for next, so that the oldest page with a bar is found soon.

    From the oldest page known to have a bar the search looks back, from far to near: at the first
    page of all, then by halving distances. Wherever there is a bar it goes on from there. It ends
    when a whole round from one page has found nothing: that is its confirmation, so that a hole is
    not taken for the beginning. No hole shorter than four pages is, and none that is not longer
    than the run of pages with bars before it. Without such holes it takes at most twice the
    logarithm of `pages`.

    Args:
        pages: How many pages there are; 0 is the oldest.
        answers: What was found in those that were asked for: true where there is a bar.

    Returns:
        The page to ask for; None when the oldest answer that is true is the result, or when there
        is none anywhere.
    """
    oldest_page = pages
    while True:
        began = oldest_page
        for distance in _distances(began):
            page = oldest_page - distance
            if page < 0:
                continue
            if page not in answers:
                return page
            if answers[page]:
                oldest_page = page
        if oldest_page == began:
            return None


def _distances(most: int) -> list[int]:
    """How far back to look from a page that has so many before it, the furthest first."""
    # Three, so that each of the nearest four is looked at.
    halving = {1 << power for power in range(most.bit_length())} | {3, most}
    return sorted((distance for distance in halving if 0 < distance <= most), reverse=True)


def pages_of(
    calendar: SessionCalendar, timeframe: Timeframe, window: Window, page_size: int
) -> list[Window]:
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
    inside = stretches.select(
        pl.col("first").clip(lower_bound=start), pl.col("last").clip(upper_bound=end - 1)
    )
    numbers = (
        inside.filter(pl.col("first") <= pl.col("last"))
        .select(
            number=pl.int_ranges(
                (pl.col("first") - start) // length, (pl.col("last") - start) // length + 1
            )
        )
        .explode("number")["number"]
        .unique()
        .sort()
    )
    return [
        Window.of_micros(at := start + number * length, min(at + length, end)) for number in numbers
    ]
