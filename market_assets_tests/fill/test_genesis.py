"""Where a series begins: which page is looked at next, and when it is sure."""

from __future__ import annotations

from datetime import timedelta
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.fill.genesis import (
    MOST_LOOKS,
    next_look,
    next_page,
    pages_of,
    with_what_was_before,
)
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets_tests.support.fill_ground import at

if TYPE_CHECKING:
    from collections.abc import Callable


HOUR = timedelta(hours=1)


def search(pages: int, rows: set[int]) -> tuple[int | None, int]:
    """What a search finds where these pages have bars, and with how many requests."""
    answers: dict[int, bool] = {}
    while (page := next_page(pages, answers)) is not None:
        assert page not in answers
        answers[page] = page in rows
    return min((page for page, has in answers.items() if has), default=None), len(answers)


class TestTheSearch:
    @given(pages=st.integers(1, 20_000), data=st.data())
    def test_without_holes_it_takes_twice_the_logarithm_of_the_history(self, pages, data):
        first = data.draw(st.integers(0, pages - 1))
        found, requests = search(pages, set(range(first, pages)))
        assert found == first
        assert requests <= 2 * pages.bit_length() + 4

    @given(
        runs=st.lists(st.tuples(st.integers(1, 300), st.integers(0, 300)), min_size=1, max_size=30),
        before=st.integers(0, 500),
    )
    def test_no_hole_that_is_short_or_no_longer_than_the_bars_before_it_passes_for_the_beginning(
        self, runs, before
    ):
        lengths = [length for bars, hole in runs for length in (bars, min(hole, max(3, bars)))]
        ends = list(accumulate([before, *lengths]))
        rows = {
            page
            for first, after in zip(ends[::2], ends[1::2], strict=False)
            for page in range(first, after)
        }
        found, requests = search(ends[-1], rows)
        assert found == before
        if len(runs) <= 2:
            assert requests <= 16 + 4 * ends[-1].bit_length()

    @pytest.mark.parametrize("pages", [0, 1, 2, 3, 4, 5, 1000, 5346])
    def test_where_there_is_no_bar_anywhere_it_ends_after_one_round(self, pages):
        found, requests = search(pages, set())
        assert found is None
        assert requests <= pages.bit_length() + 2

    def test_a_symbol_that_was_always_there_costs_one_request_for_each_look_at_the_first_page(
        self,
    ):
        assert next_page(5000, {}) == 0
        assert next_page(5000, {0: True}) is None


class TestTheSearchForTheFirstOfAll:
    def look(self, pages: int, has_bar: Callable[[int, int], bool]) -> tuple[int | None, bool, int]:
        """The page that a search ends at, whether it is sure, and its requests.

        `has_bar` takes a page and the number of the request.
        """
        looks: dict[int, list[bool]] = {}
        requests = 0
        while (look := next_look(pages, looks, MOST_LOOKS - requests)).page is not None:
            requests += 1
            looks.setdefault(look.page, []).append(has_bar(look.page, requests))
        found = min((page for page, answers in looks.items() if any(answers)), default=None)
        return found, look.is_sure, requests

    @given(
        pages=st.integers(1, 12),
        rows=st.sets(st.integers(0, 11), min_size=1),
    )
    def test_of_few_pages_the_first_with_a_bar_is_found_whatever_the_holes(self, pages, rows):
        rows = {page % pages for page in rows}
        assert self.look(pages, lambda page, _: page in rows)[:2] == (min(rows), True)

    @given(
        pages=st.integers(1, 11),
        rows=st.sets(st.integers(0, 10), min_size=1),
        phase=st.integers(0, 4),
    )
    def test_an_empty_answer_in_five_hides_no_page(self, pages, rows, phase):
        rows = {page % pages for page in rows}
        found, is_sure, requests = self.look(
            pages, lambda page, number: page in rows and number % 5 != phase
        )
        # Where the only page with a bar was asked for at the wrong moment, nothing is found, and
        # nothing recorded.
        assert (found, is_sure) in {(min(rows), True), (None, False)}
        assert requests <= MOST_LOOKS

    @given(pages=st.integers(1, 20_000), rows=st.sets(st.integers(0, 19_999)))
    def test_it_never_costs_more_and_what_is_sure_is_so(self, pages, rows):
        rows = {page % pages for page in rows}
        found, is_sure, requests = self.look(pages, lambda page, _: page in rows)
        assert requests <= MOST_LOOKS
        assert not is_sure or found == min(rows)

    def test_of_many_pages_an_earlier_life_is_found_and_is_sure_where_few_are_left_before_it(self):
        # Days of a page each: listed in their second week, away from 2020 to 2022.
        lives = {*range(7, 600), *range(1500, 3000)}
        assert self.look(3000, lambda page, _: page in lives)[:2] == (7, True)

    def test_of_no_bar_at_all_nothing_is_sure(self):
        assert self.look(5, lambda *_: False) == (None, False, 5)


class TestPages:
    @given(
        name=st.sampled_from(["24/7", "XNYS", "CME Globex Equity", "FOREX"]),
        timeframe=st.sampled_from(list(Timeframe)),
        size=st.integers(5, 2000),
        day=st.integers(0, 3000),
        days=st.integers(1, 40),
    )
    def test_every_bar_of_the_calendar_is_in_one_of_them_and_none_is_longer_than_a_page(
        self, name, timeframe, size, day, days
    ):
        start = at("2016-01-01T00:00") + timedelta(days=day)
        window = Window(start, start + timedelta(days=days))
        calendar = load_calendar(name)

        pages = pages_of(calendar, timeframe, window, size)

        assert all(earlier.end <= later.start for earlier, later in pairwise(pages))
        assert all(page.end - page.start <= size * timeframe.duration for page in pages)
        held = [calendar.bars(timeframe, page)["ts"] for page in pages]
        assert pl.concat([pl.Series("ts", [], TS), *held]).equals(
            calendar.bars(timeframe, window)["ts"]
        )

    def test_pages_without_trading_are_left_out(self):
        window = Window(at("2025-03-07T00:00"), at("2025-03-11T00:00"))
        pages = pages_of(load_calendar("XNYS"), Timeframe.M1, window, 720)
        assert [page.start for page in pages] == [at("2025-03-07T12:00"), at("2025-03-10T12:00")]

    def test_with_what_was_before_a_monday_a_week_of_minutes_is_looked_at_and_a_month_of_weeks(
        self,
    ):
        calendar, monday = (
            load_calendar("XNYS"),
            Window(at("2025-03-10T00:00"), at("2025-03-11T00:00")),
        )
        starts = [
            with_what_was_before(calendar, each, monday).start
            for each in (Timeframe.M1, Timeframe.D1, Timeframe.W1)
        ]
        assert starts == [at("2025-03-03T00:00"), at("2025-03-03T00:00"), at("2025-02-10T00:00")]
        since = Window(calendar.known.start, calendar.known.start + HOUR)
        assert with_what_was_before(calendar, Timeframe.M1, since) == since
