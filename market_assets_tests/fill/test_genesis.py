"""Where a series begins.

The beginning is searched for with few requests, is not mistaken for a hole, may move or be
forgotten, and nothing before it is asked for.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Self

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
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.practice.book import Market
from market_assets.practice.faults import Fault
from market_assets.practice.simulate import Instrument
from market_assets.practice.vendor import PracticeVendor
from market_assets.sources.contract import SourceSettings, Traits, Usage
from market_assets.sources.vendors.practice import PracticeSettings, PracticeSource
from market_assets_tests.support.fill_ground import (
    EARLY_GENESIS,
    LATE_GENESIS,
    asked,
    at,
    candles,
    counts,
    every,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = timedelta(hours=1)
OLD = datetime(2022, 5, 3, 9, tzinfo=UTC)
DECADE = "start: 2015-06-01\npartitions: {intraday: month}\n"
LATEST = Window(at("2025-02-27T00:00"), at("2025-03-01T00:00"))


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


@pytest.fixture(scope="module")
def old_clock():
    return lambda: at("2025-03-01T12:00")


@pytest.fixture(scope="module")
def old_vendor(old_clock):
    with PracticeVendor(Market(symbols={"OLD": Instrument(genesis=OLD)}), old_clock) as vendor:
        yield vendor


@pytest.fixture
def old(empty_ground, old_vendor):
    """A ground with a vendor that cannot name first bars.

    Its symbol begins within the vendor's decade.
    """
    old_vendor.set_faults([])
    old_vendor.log.clear()
    empty_ground.add_vendor("vendor", old_vendor, earliest_probe=False)
    return empty_ground


@pytest.fixture
def plain(empty_ground, vendor):
    """A ground with the usual vendor, that cannot name first bars."""
    empty_ground.add_vendor("vendor", vendor, earliest_probe=False)
    return empty_ground


def recorded(ground) -> list[tuple[datetime, str]]:
    rows = ground.table("SELECT ts, source FROM ops.genesis ORDER BY found_at, rowid").rows()
    return [(ts.replace(tzinfo=UTC), source) for ts, source in rows]


class TestSearchedFor:
    def test_the_first_bar_of_a_decade_is_found_with_few_requests_and_nothing_before_is_asked_again(
        self, old, old_vendor
    ):
        old.keep(DECADE + "symbols: {OLD: {}}")

        old.fill(window=LATEST)

        assert recorded(old) == [(OLD, "vendor")]
        pages = 10 * 365 * 24 // 1000
        assert len(old_vendor.log) <= 2 * pages.bit_length() + 6
        assert old.opens("OLD")[0] == at("2025-02-01T00:00")
        old_vendor.log.clear()

        outcomes = old.fill()

        assert min(window.start for window in asked(old_vendor)) == OLD
        assert old.opens("OLD") == every(HOUR, OLD, at("2025-03-01T00:00"))
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)
        assert old.table("SELECT health, missing FROM ops.completeness").row(0) == ("HEALTHY", 0)
        old_vendor.log.clear()
        assert all(outcome.filled for outcome in old.fill())
        assert list(old_vendor.log) == []

    def test_holes_of_months_do_not_pass_for_the_beginning(self, old, old_vendor):
        old_vendor.set_faults(
            [
                Fault(fault="hole", start=at("2022-08-01T00:00"), end=at("2022-10-01T00:00")),
                Fault(fault="hole", start=at("2023-03-01T00:00"), end=at("2023-08-01T00:00")),
                Fault(fault="hole", start=at("2025-01-01T00:00")),
            ]
        )
        old.keep(DECADE + "symbols: {OLD: {}}")

        old.fill(window=LATEST)

        assert recorded(old) == [(OLD, "vendor")]

    def test_a_symbol_that_has_been_there_since_the_start_costs_one_request_and_none_later(
        self, old, old_vendor
    ):
        old.keep(
            "start: 2023-01-01\nend: 2023-03-01\npartitions: {intraday: month}\nsymbols: {OLD: {}}"
        )

        old.fill()

        assert recorded(old) == []
        assert len(asked(old_vendor)) == 3
        assert old.complete()
        old.fill()
        assert len(asked(old_vendor)) == 3

    def test_a_hole_at_the_start_is_no_beginning_because_there_are_bars_before_it(
        self, old, old_vendor
    ):
        old_vendor.set_faults(
            [Fault(fault="hole", start=at("2023-01-01T00:00"), end=at("2023-02-20T00:00"))]
        )
        old.keep(
            "start: 2023-01-01\nend: 2023-04-01\npartitions: {intraday: month}\nsymbols: {OLD: {}}"
        )

        first, *_ = old.fill()

        assert recorded(old) == []
        assert Window(at("2022-12-27T08:00"), at("2023-01-01T00:00")) not in asked(old_vendor)
        assert min(window.start for window in asked(old_vendor)) < at("2023-01-01T00:00")
        assert not verdict(first, "genesis").passed
        assert counts(first)["OLD"].missing == 31 * 24

    def test_nothing_is_recorded_when_the_source_fails_in_the_search_and_the_next_fill_finds_it(
        self, plain, vendor
    ):
        plain.keep("symbols: {LATE: {}}\ntimeframes: {fetch: [1m]}")
        # The search looks at the first page first.
        vendor.set_faults([Fault(fault="error", end=at("2025-02-26T16:00"))])
        outcomes = plain.fill()
        assert recorded(plain) == []
        assert not verdict(outcomes[0], "genesis").passed

        vendor.set_faults([])
        outcomes = plain.fill()

        assert recorded(plain) == [(LATE_GENESIS, "vendor")]
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)
        assert plain.gaps().is_empty()

    def test_rows_that_cannot_be_stored_are_no_first_bars(self, plain, vendor):
        vendor.set_faults([Fault(fault="zero", end=at("2025-02-27T20:00"))])
        plain.keep("symbols: {LATE: {}}")
        plain.fill()
        assert recorded(plain) == [(at("2025-02-27T20:00"), "vendor")]

    def test_a_search_that_finds_older_bars_again_and_again_is_given_up(self, plain, vendor):
        end = at("2025-03-01T00:00")
        plain.keep("start: 1990-01-01\nsymbols: {BTC: {}}")

        class Teasing(PracticeSource):
            """Has bars only in pages that lie little before the oldest that it has given."""

            oldest = end

            async def fetch(
                self, symbol: str, timeframe: Timeframe, *window: datetime
            ) -> pl.DataFrame:
                given = await super().fetch(symbol, timeframe, *window)
                if not self.oldest - 8000 * HOUR <= window[0] < self.oldest:
                    return given.clear()
                self.oldest = window[0]
                return given

        settings = PracticeSettings.model_validate(plain.settings["vendor"])
        source = Teasing("vendor", settings, base=plain.folder, kind="crypto")
        plain.fill(sources={"vendor": source}, window=Window(end - 24 * HOUR, end))

        assert len(vendor.log) <= MOST_LOOKS + 1
        assert recorded(plain) == []


class Seldom:
    """A vendor without a request for the first bar.

    It has two lives, two trades per day, bars of some lengths, and small pages.

    Args:
        lengths: The timeframes that it has.
        lies: Every so many answers one is empty; 0 for none.
        sparse: Whether there are but two trades a day, else there is one in each bar.
    """

    Settings: ClassVar[type[SourceSettings]] = SourceSettings
    concurrency = 1
    lives = (
        Window(datetime(2018, 5, 1, 10, 30, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)),
        Window(datetime(2022, 6, 1, 10, 30, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)),
    )

    def __init__(self, lengths: set[Timeframe], *, lies: int = 0, sparse: bool = False) -> None:
        self.name = "vendor"
        self.usage = Usage()
        self.traits = Traits(
            frozenset(lengths), page_size=300, emits_empty_bars=False, earliest_probe=False
        )
        self._lies = lies
        self._sparse = sparse

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def fetch(
        self,
        symbol: str,  # noqa: ARG002
        timeframe: Timeframe,
        start: datetime,
        end: datetime,
    ) -> pl.DataFrame:
        self.usage.requests += 1
        if self._lies and self.usage.requests % self._lies == 0:
            return candles([])
        step = max(timeframe.duration, HOUR / 2) if self._sparse else timeframe.duration
        first = (
            datetime(1970, 1, 5, tzinfo=UTC)
            if timeframe is Timeframe.W1
            else datetime(1970, 1, 1, tzinfo=UTC)
        )
        opens = every(step, first + -((first - start) // step) * step, end)
        if self._sparse and timeframe.intraday:
            opens = [ts for ts in opens if any(self._trades(ts, ts + timeframe.duration))]
        return candles(
            [
                ts
                for ts in opens
                if any(life.intersect(Window(ts, ts + timeframe.duration)) for life in self.lives)
            ]
        )

    def _trades(self, start: datetime, end: datetime) -> list[bool]:
        day = start.replace(hour=0, minute=0)
        return [
            start <= day + time < end
            for time in (timedelta(hours=10, minutes=30), timedelta(hours=15))
        ]

    async def earliest(self, symbol: str, timeframe: Timeframe) -> None: ...

    def answers_for(self, symbol: str, timeframe: Timeframe) -> None: ...


class TestASymbolWithTwoLives:
    COINBASE: ClassVar[set[Timeframe]] = {Timeframe.M1, Timeframe.M15, Timeframe.H1, Timeframe.D1}
    SHORTLY = Window(at("2025-02-28T00:00"), at("2025-03-01T00:00"))

    def search(self, ground: Any, source: Seldom, timeframe: str, start: str = "2015-01-01") -> int:
        """Fill a day, and give how many requests went into the search."""
        ground.add_source("vendor", type="coinbase")
        ground.keep(
            f"start: {start}\nsymbols: {{TWICE: {{}}}}\ntimeframes: {{fetch: [{timeframe}]}}"
        )
        ground.fill(sources={"vendor": source}, window=self.SHORTLY, timeframe=Timeframe(timeframe))
        pages = -(-int(timedelta(days=1) / Timeframe(timeframe).duration) // 300)
        return source.usage.requests - pages

    @pytest.mark.parametrize(
        ("timeframe", "sparse", "lies"),
        [
            ("1m", False, 0),
            ("1m", True, 5),
            ("15m", False, 5),
            ("15m", True, 0),
            ("1d", False, 5),
            ("1d", True, 0),
        ],
    )
    def test_begins_with_the_first(self, empty_ground, timeframe, sparse, lies):
        source = Seldom(self.COINBASE, lies=lies, sparse=sparse)

        assert self.search(empty_ground, source, timeframe) <= 40

        first = at("2018-05-01T00:00") if timeframe == "1d" else at("2018-05-01T10:30")
        assert recorded(empty_ground) == [(first, "vendor")]

    @pytest.mark.parametrize("first", range(5))
    def test_begins_with_the_first_wherever_the_empty_answers_fall(self, empty_ground, first):
        source = Seldom(self.COINBASE, lies=5)
        source.usage.requests = first
        # Fifteen minutes, of which few are counted, are searched for as minutes are.
        self.search(empty_ground, source, "15m")
        assert recorded(empty_ground) == [(at("2018-05-01T10:30"), "vendor")]

    def test_is_found_by_weeks_and_by_the_bars_themselves(self, empty_ground):
        requests = self.search(empty_ground, Seldom({*Timeframe}), "1m")
        assert requests <= 6
        assert recorded(empty_ground) == [(at("2018-05-01T10:30"), "vendor")]

    def test_has_no_genesis_where_only_short_bars_tell_of_it_and_no_bar_of_it_is_left_out(
        self, empty_ground
    ):
        ground, source = empty_ground, Seldom({Timeframe.M15})
        assert self.search(ground, source, "15m") <= 40
        assert recorded(ground) == []
        ground.fill(
            sources={"vendor": source},
            window=Window(at("2018-04-30T00:00"), at("2018-05-03T00:00")),
        )
        assert ground.opens("TWICE")[0] == at("2018-05-01T10:30")


class TestSeveralSources:
    def test_a_source_that_serves_only_its_latest_bars_never_sets_it_and_proves_nothing_older(
        self, empty_ground, clock
    ):
        ground = empty_ground
        with PracticeVendor(Market(kind="crypto", latest_only=48), clock) as vendor:
            ground.add_vendor("kraken", vendor, latest_only=48)
            ground.keep("symbols: {BTC: {}}\nend: 2025-04-01")
            ground.fill()
            for _ in range(4):
                ground.wait(hours=2)
                outcomes = ground.fill()

            assert recorded(ground) == []
            # The open bar is one of the 48.
            assert ground.opens("BTC") == every(HOUR, at("2025-02-27T13:00"), clock())
            assert min(window.start for window in asked(vendor)) == at("2025-02-27T13:00")
            assert counts(outcomes[0])["BTC"].missing == 24
            assert set(ground.gaps()["status"]) <= {"open", "abandoned"}
            assert all("no source reaches this far" in reason for reason in ground.gaps()["reason"])
            assert not verdict(outcomes[0], "genesis").passed

    def test_beside_one_that_can_name_it_the_latest_bars_do_not_matter(self, ground, clock):
        with PracticeVendor(Market(kind="crypto", latest_only=24), clock) as latest:
            ground.add_vendor("kraken", latest, latest_only=24)
            ground.keep("symbols: {LATE: {sources: [kraken, vendor]}}\nend: 2025-04-01")

            outcomes = ground.fill()

            assert recorded(ground) == [(LATE_GENESIS.replace(hour=9, minute=0), "vendor")]
            assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)
            assert set(ground.rows()["source"]) == {"kraken", "vendor"}

    def test_the_older_of_a_named_and_a_searched_first_bar_counts(self, ground, second_vendor):
        ground.add_vendor("second", second_vendor, earliest_probe=False)
        ground.keep("symbols: {NEW: {sources: [{vendor: LATE}, {second: EARLY}]}}")
        ground.fill()
        assert recorded(ground) == [(EARLY_GENESIS, "second")]

    def test_a_symbol_that_one_source_has_had_since_the_start_has_no_genesis(
        self, ground, second_vendor
    ):
        ground.add_vendor("second", second_vendor, earliest_probe=False)
        ground.keep("symbols: {NEW: {sources: [{vendor: LATE}, {second: BTC}]}}")
        ground.fill()
        assert recorded(ground) == []
        assert ground.complete()


class TestMoved:
    def test_a_second_source_with_older_bars_moves_it_when_all_is_asked_again(
        self, plain, second_vendor
    ):
        plain.keep("symbols: {NEW: {sources: [{vendor: LATE}]}}")
        plain.fill()
        plain.add_vendor("second", second_vendor, earliest_probe=False)
        plain.keep("symbols: {NEW: {sources: [{vendor: LATE}, {second: EARLY}]}}")
        plain.wait(hours=1)

        outcomes = plain.fill(refetch=True)

        assert recorded(plain) == [
            (LATE_GENESIS.replace(hour=9, minute=0), "vendor"),
            (EARLY_GENESIS, "second"),
        ]
        assert plain.opens("NEW")[0] == EARLY_GENESIS
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)
        plain.keep("symbols: {NEW: {sources: [{vendor: LATE}, {second: BTC}]}}")
        plain.wait(hours=1)
        plain.fill(refetch=True)
        assert recorded(plain)[2:] == [(at("2025-02-26T00:00"), "second")]
        assert plain.complete()

    def test_a_search_moves_it_no_further_than_the_oldest_stored_bar(self, plain, vendor):
        plain.keep("symbols: {LATE: {}}")
        plain.fill()
        vendor.set_faults([Fault(fault="hole", end=at("2025-02-28T00:00"))])
        plain.wait(hours=1)

        plain.fill(refetch=True)

        assert recorded(plain) == [(LATE_GENESIS.replace(hour=9, minute=0), "vendor")]

    def test_older_bars_that_a_fill_stores_move_what_another_has_recorded_meanwhile(self, ground):
        ground.keep("symbols: {BTC: {}, EARLY: {}}")

        class Meanwhile(PracticeSource):
            """Records a genesis of each symbol that it is asked for, as another fill might."""

            async def fetch(self, symbol: str, *rest: Any) -> pl.DataFrame:
                with ground.store.writing("another fill") as transaction:
                    transaction.genesis.put(
                        Dataset.candles("kept", Timeframe.H1),
                        symbol,
                        at("2025-02-28T00:00"),
                        "other",
                    )
                ground.wait(minutes=1)
                return await super().fetch(symbol, *rest)

        settings = PracticeSettings.model_validate(ground.settings["vendor"])
        outcomes = ground.fill(
            sources={"vendor": Meanwhile("vendor", settings, base=ground.folder, kind="crypto")}
        )

        latest = ground.table(
            """
            SELECT symbol, last(ts ORDER BY found_at, rowid)
            FROM ops.genesis
            GROUP BY ALL
            ORDER BY ALL
            """
        )
        assert latest["symbol"].to_list() == ["BTC", "EARLY"]
        assert [ts.replace(tzinfo=UTC) for ts in latest.to_series(1)] == [
            at("2025-02-26T00:00"),
            EARLY_GENESIS,
        ]
        assert set(recorded(ground)) >= {
            (EARLY_GENESIS, "vendor"),
            (at("2025-02-28T00:00"), "other"),
        }
        assert [[own.expected for own in outcome.counts] for outcome in outcomes] == [
            [24, 4],
            [24, 24],
            [24, 24],
        ]
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)


class TestForgotten:
    def test_what_is_forgotten_is_expected_again_and_found_again_by_the_next_backfill(
        self, plain, vendor
    ):
        plain.keep("symbols: {LATE: {}}")
        plain.fill()
        first = recorded(plain)
        with plain.store.writing("a reset") as transaction:
            transaction.genesis.forget("kept", ["LATE"])
        assert recorded(plain) == []
        vendor.log.clear()
        (newest,) = plain.fill(window=Window(at("2025-02-28T00:00"), at("2025-03-01T00:00")))
        assert list(vendor.log) == []
        assert counts(newest)["LATE"].missing == 0
        assert plain.table("SELECT expected FROM ops.completeness").item() == 72

        plain.fill()

        assert recorded(plain) == first
        assert plain.table("SELECT expected, missing FROM ops.completeness").row(0) == (39, 0)
        assert plain.gaps().is_empty()


class TestASymbolWithoutABar:
    @pytest.mark.parametrize(
        ("fault", "only_due", "probe"),
        [
            (Fault(fault="hole"), False, False),
            (Fault(fault="hole"), True, True),
            (Fault(fault="error", status=400, code=-1121, message="Invalid symbol."), True, False),
        ],
    )
    def test_is_not_asked_for_for_ever(self, empty_ground, vendor, fault, only_due, probe):
        ground = empty_ground
        ground.add_vendor("vendor", vendor, earliest_probe=probe)
        vendor.set_faults([fault])
        ground.keep("symbols: {GONE: {}}")
        requests = []
        for _ in range(8):
            vendor.log.clear()
            ground.fill(only_due=only_due)
            requests.append(len(vendor.log))
            ground.wait(hours=5)

        assert recorded(ground) == []
        assert sum(requests) <= 20
        assert requests[5:] == [0] * 3
        assert ground.table("SELECT health FROM ops.completeness").item() == "MISSING"
        assert not any(outcome.filled for outcome in ground.fill()), (
            "an empty answer made a partition green"
        )

    def test_while_its_gap_rests_nobody_looks_for_it(self, plain, vendor):
        vendor.set_faults([Fault(fault="hole")])
        plain.keep("symbols: {GONE: {}}")
        plain.fill(only_due=True)
        vendor.log.clear()
        plain.wait(seconds=50)
        plain.fill(only_due=True)
        assert list(vendor.log) == []

    def test_begins_where_it_is_listed_when_it_was_given_up_before(self, plain, clock):
        plain.keep("symbols: {LAST: {}}\nend: 2025-04-01")
        clock.now = at("2025-02-27T03:00")
        for _ in range(5):
            plain.fill()
            plain.wait(hours=2)
        assert set(
            plain.gaps().filter(pl.col("first_ts") < at("2025-02-27T00:00").replace(tzinfo=None))[
                "status"
            ]
        ) == {"abandoned"}

        clock.now = at("2025-03-01T12:00")
        plain.fill()
        plain.wait(minutes=1)
        outcomes = plain.fill()

        assert recorded(plain) == [(at("2025-02-28T00:00"), "vendor")]
        assert plain.gaps().is_empty()
        assert all(outcome.filled for outcome in outcomes)
