"""The search for the first bar of one series at one source."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from market_assets.fill.genesis import MOST_LOOKS
from market_assets.market.timeframes import Timeframe, Window
from market_assets.practice.book import Market
from market_assets.practice.faults import Fault
from market_assets.practice.simulate import Instrument
from market_assets.practice.vendor import PracticeVendor
from market_assets.sources.contract import Traits
from market_assets.sources.vendors.practice import PracticeSettings, PracticeSource
from market_assets_tests.support.fill_ground import (
    LATE_GENESIS,
    asked,
    at,
    candles,
    counts,
    every,
    verdict,
)
from market_assets_tests.support.first_bars import recorded
from market_assets_tests.support.foreign_sources import ForeignSource

if TYPE_CHECKING:
    import polars as pl

HOUR = timedelta(hours=1)
OLD = datetime(2022, 5, 3, 9, tzinfo=UTC)
DECADE = "start: 2015-06-01\npartitions: {intraday: month}\n"
LATEST = Window(at("2025-02-27T00:00"), at("2025-03-01T00:00"))


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


class Seldom(ForeignSource):
    """A vendor without a request for the first bar.

    It has two lives, two trades per day, bars of some lengths, and small pages.

    Args:
        lengths: The timeframes that it has.
        lies: Every so many answers one is empty; 0 for none.
        sparse: Whether there are but two trades a day, else there is one in each bar.
    """

    lives = (
        Window(datetime(2018, 5, 1, 10, 30, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)),
        Window(datetime(2022, 6, 1, 10, 30, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)),
    )

    def __init__(self, lengths: set[Timeframe], *, lies: int = 0, sparse: bool = False) -> None:
        super().__init__()
        self.traits = Traits(
            frozenset(lengths), page_size=300, emits_empty_bars=False, earliest_probe=False
        )
        self._lies = lies
        self._sparse = sparse

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
