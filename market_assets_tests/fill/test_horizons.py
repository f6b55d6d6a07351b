"""A vendor that refuses what is old: what it serves is had all the same."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe, Window
from market_assets.practice.faults import Fault
from market_assets.sources.contract import Traits
from market_assets_tests.support.fill_ground import at, candles, counts, every
from market_assets_tests.support.foreign_sources import ForeignSource

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl
MINUTE = timedelta(minutes=1)


class Forgetful(ForeignSource):
    """A vendor that serves its newest bars and refuses every window that begins before them.

    Args:
        clock: Its time.
        keeps: How many bars it serves.
    """

    traits = Traits(
        timeframes=frozenset(Timeframe), page_size=1000, emits_empty_bars=True, earliest_probe=False
    )
    concurrency = 4

    def __init__(self, clock: Callable[[], datetime], keeps: int) -> None:
        super().__init__()
        self._clock = clock
        self._keeps = keeps

    async def fetch(
        self, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
    ) -> pl.DataFrame:
        self.usage.requests += 1
        await asyncio.sleep(0)
        if start < self._clock() - self._keeps * timeframe.duration:
            words = f"Candlestick too long ago. Maximum {self._keeps} points ago are allowed"
            raise SourceError(
                f"source vendor: {symbol} {timeframe} {Window(start, end)}: HTTP 400: {words}",
                permanent=True,
            )
        step = timeframe.duration
        return candles(
            every(
                step,
                start + -(start - datetime(1970, 1, 5, tzinfo=UTC)) % step,
                min(end, self._clock()),
            )
        )


class TestOfAWindow:
    MONTH = "start: 2025-01-30\nend: 2025-04-01\ntimeframes: {fetch: [1m]}\nsymbols: {BTC: {}}"

    @pytest.mark.parametrize("newest_first", [False, True])
    def test_the_bars_that_a_vendor_serves_are_had_though_it_refuses_older_windows(
        self, ground, newest_first
    ):
        ground.keep(self.MONTH)
        source = Forgetful(ground.clock, 10_000)

        ground.fill(sources={"vendor": source}, newest_first=newest_first)

        opens = ground.opens("BTC")
        assert 9_900 <= len(opens) <= 10_000
        assert opens == every(MINUTE, opens[0], ground.clock())
        assert source.usage.requests < 45
        reasons = ground.gaps()["reason"].to_list()
        assert len(set(reasons)) == 1
        assert (
            "no source reaches this far; source vendor serves BTC 1m from about 2025-02-22 13:"
            in reasons[0]
        )
        assert "Maximum 10000 points ago" in reasons[0]
        assert set(ground.gaps()["status"]) == {"open"}

    def test_what_was_learned_is_kept(self, ground):
        ground.keep(self.MONTH)
        ground.fill(sources={"vendor": Forgetful(ground.clock, 10_000)})
        (row,) = ground.table("SELECT * FROM ops.horizons").rows(named=True)
        assert (row["profile"], row["source"], row["symbol"], row["timeframe"]) == (
            "kept",
            "vendor",
            "BTC",
            "1m",
        )
        assert 9_900 <= row["bars"] <= 10_000
        assert "too long ago" in row["words"]
        ground.wait(hours=1)
        ground.fill(sources={"vendor": Forgetful(ground.clock, 5_000)})
        assert ground.table("SELECT count(*) FROM ops.horizons").item() == 1

    def test_a_symbol_that_is_refused_in_every_window_has_no_horizon(self, ground):
        ground.keep(self.MONTH)
        source = Forgetful(ground.clock, -5)
        ground.fill(sources={"vendor": source})
        assert source.usage.requests < 12
        assert ground.opens("BTC") == []
        assert "no source reaches" not in ground.gaps()["reason"][0]
        assert ground.table("SELECT * FROM ops.horizons").is_empty()

    def test_one_odd_window_is_no_horizon(self, empty_ground, vendor):
        ground = empty_ground
        ground.add_vendor("vendor", vendor, earliest_probe=False)
        odd = Fault(
            fault="error", status=400, start=at("2025-02-27T00:00"), end=at("2025-02-27T01:00")
        )
        vendor.set_faults([odd])
        ground.keep("timeframes: {fetch: [1m]}\nsymbols: {BTC: {}}")
        outcomes = ground.fill()
        assert ground.table("SELECT * FROM ops.horizons").is_empty()
        assert counts(outcomes[0])["BTC"].missing < 1440
        assert counts(outcomes[2])["BTC"].missing == 0
