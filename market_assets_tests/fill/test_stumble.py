"""Sources of others that give nonsense cost a question, not the fill."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.contract import Traits
from market_assets_tests.support.fill_ground import candles, every, verdict
from market_assets_tests.support.foreign_sources import ForeignSource

if TYPE_CHECKING:
    from collections.abc import Callable


HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


class Foreign(ForeignSource):
    """A source of somebody else's making, that does as a test wants."""

    traits = Traits(
        timeframes=frozenset(Timeframe), page_size=24, emits_empty_bars=True, earliest_probe=False
    )

    def __init__(self, answer: Callable[[Window], pl.DataFrame]) -> None:
        super().__init__()
        self._answer = answer

    async def fetch(
        self,
        symbol: str,  # noqa: ARG002
        timeframe: Timeframe,  # noqa: ARG002
        start: datetime,
        end: datetime,
    ) -> pl.DataFrame:
        self.usage.requests += 1
        return self._answer(Window(start, end))


def hours(window: Window) -> pl.DataFrame:
    return candles(every(HOUR, window.start, window.end))


class TestForeignSources:
    def fill(self, ground: Any, answer: Callable[[Window], pl.DataFrame], **options: Any) -> Any:
        ground.keep("symbols: {BTC: {}}")
        return ground.fill(sources={"vendor": Foreign(answer)}, **options)

    def test_a_bar_for_another_symbol_and_one_without_a_time_are_refused(self, ground):
        hour = pl.col("ts").dt.hour()

        def answer(window: Window) -> pl.DataFrame:
            return hours(window).with_columns(
                symbol=pl.when(hour == 10).then(pl.lit("ETH")).otherwise(pl.lit("BTC")),
                ts=pl.when(hour != 12).then("ts").otherwise(None),
            )

        outcomes = self.fill(ground, answer)

        assert [(outcome.rows, outcome.rejected) for outcome in outcomes] == [(22, 2)] * 3
        judged = verdict(outcomes[1], "validity")
        assert (
            judged.facts["rejected: another symbol's bar"] == judged.facts["rejected: no time"] == 1
        )
        assert {row["at"] for row in judged.tables["rejected"]} == {"2025-02-27 10:00Z", "none"}

    @pytest.mark.parametrize(
        "odd",
        [
            pytest.param(
                lambda frame: frame.with_columns(ts=pl.lit(2**63, pl.UInt64)), id="a stamp of 2^63"
            ),
            pytest.param(lambda frame: frame.select("ts"), id="columns that are absent"),
            pytest.param(lambda _: [[1, 2], {"a": None}], id="no frame at all"),
            pytest.param(
                lambda _: "\ud800" + str(1 // 0), id="an error that no source should raise"
            ),
        ],
    )
    def test_one_odd_answer_costs_its_page_by_name_and_no_other(self, ground, odd):
        def answer(window: Window) -> Any:
            return odd(hours(window)) if window.start.day == 27 else hours(window)

        outcomes = self.fill(ground, answer)

        assert [outcome.filled for outcome in outcomes] == [True, False, True]
        # The first reason is that of the colour, the source's own words follow.
        failure = outcomes[1].failures[1]
        about = "source vendor: BTC 1h 2025-02-27 00:00..2025-02-28 00:00 UTC: "
        assert failure.startswith(f"{about}the answer cannot be used (")

    def test_half_a_surrogate_pair_in_the_words_of_a_source_is_stored_as_a_sign_of_its_own(
        self, ground
    ):
        def answer(window: Window) -> pl.DataFrame:
            raise SourceError(f"source vendor: BTC 1h {window}: \ud800 \x1b[2J \u202e")

        outcomes = self.fill(ground, answer)

        assert "\N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}[2J" in outcomes[0].failures[1]
        assert "\N{REPLACEMENT CHARACTER}" in ground.gaps()["reason"][0]

    def test_a_window_that_is_refused_for_good_does_not_take_the_other_windows_along(self, ground):
        def answer(window: Window) -> pl.DataFrame:
            if window.start.day == 27:
                raise SourceError(f"source vendor: BTC 1h {window}: no such page", permanent=True)
            return hours(window)

        outcomes = self.fill(ground, answer)

        assert [outcome.filled for outcome in outcomes] == [True, False, True]

    def test_a_symbol_that_is_refused_for_good_page_after_page_is_not_asked_for_for_ever(
        self, ground
    ):
        def answer(window: Window) -> pl.DataFrame:
            raise SourceError(f"source vendor: BTC 1h {window}: who is that", permanent=True)

        ground.keep("symbols: {BTC: {}}\nstart: 2025-02-10")
        outcomes = ground.fill(sources={"vendor": Foreign(answer)})

        assert ground.requests() == 3
        assert len(outcomes) == 19
        assert all("who is that" in outcome.failures[1] for outcome in outcomes)

    def test_a_time_out_of_its_own_is_one_failure_and_not_the_end_of_the_fill(self, ground):
        def answer(window: Window) -> pl.DataFrame:
            if window.start.day == 27:
                raise TimeoutError
            return hours(window)

        outcomes = self.fill(ground, answer)

        assert [outcome.filled for outcome in outcomes] == [True, False, True]
        assert (
            "source vendor: BTC 1h 2025-02-27 00:00..2025-02-28 00:00 UTC"
            in outcomes[1].failures[1]
        )

    def test_what_is_to_end_the_program_stops_the_fill_and_its_job_is_failed(self, ground):
        def answer(window: Window) -> pl.DataFrame:
            if window.start.day == 28:
                raise SystemExit
            return hours(window)

        with pytest.raises(RuntimeError, match="fault of this program") as caught:
            self.fill(ground, answer)

        assert isinstance(caught.value.__cause__, SystemExit)
        assert ground.job()["status"] == "FAILED"
        assert {ts.day for ts in ground.opens("BTC")} <= {26, 27}
