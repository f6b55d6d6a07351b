"""Sources that give nonsense, refuse, stall or break off.

Nothing of that is stored, the rest is, and each failure has a name.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from math import inf, nan
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import polars as pl
import pytest

from market_assets.config.settings import Severity
from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe, Window
from market_assets.practice.faults import Fault
from market_assets.sources.contract import SourceSettings, Traits, Usage
from market_assets_tests.support.fill_ground import (
    asked,
    at,
    candles,
    counts,
    every,
    plain,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MINUTES = "timeframes: {fetch: [1m]}\n"
TEN = {"start": at("2025-02-27T10:00"), "end": at("2025-02-27T12:00")}
"""Two hours of the second day."""


class TestRowsThatCannotBe:
    reasons = MappingProxyType(
        {
            "nan": "a price that is null, NaN or infinite",
            "null": "a price that is null, NaN or infinite",
            "negative": "a price that is zero or negative",
            "zero": "a price that is zero or negative",
            "inverted": "high below low",
            "off_grid": "time off the grid",
        }
    )

    def test_bad_rows_are_refused_with_a_count_and_a_sample_and_the_rest_is_stored(
        self, ground, vendor
    ):
        # That a page is unsorted or short, or has a row twice, costs no bar.
        harmless = ["unsorted", "short", "duplicate"]
        vendor.set_faults(
            [
                Fault(fault=fault, seconds=1000, rows=7, symbols=[fault], **TEN)
                for fault in (*harmless, *self.reasons)
            ]
        )
        ground.keep(f"symbols: {plain([*harmless, *self.reasons])}")

        outcomes = ground.fill()

        assert all(ground.absent(symbol) == [] for symbol in harmless)
        for fault in self.reasons:
            assert ground.absent(fault) == every(HOUR, *TEN.values())
            assert counts(outcomes[1])[fault].missing == 2
        assert [outcome.rejected for outcome in outcomes] == [0, 14, 0]
        assert [verdict(outcome, "validity").passed for outcome in outcomes] == [True, False, True]
        judged = verdict(outcomes[1], "validity")
        tally = Counter(self.reasons.values())
        assert (judged.facts["rejected"], judged.facts["stored_but_invalid"]) == (14, 0)
        assert {reason: judged.facts[f"rejected: {reason}"] for reason in tally} == {
            reason: 2 * symbols for reason, symbols in tally.items()
        }
        assert judged.facts["rejected: duplicate time"] == 2
        shown = {row["symbol"]: row["reason"] for row in judged.tables["rejected"]}
        assert shown == {**self.reasons, "duplicate": "duplicate time"}
        assert all(row["at"].startswith("2025-02-27 1") for row in judged.tables["rejected"])
        assert "vendor answered without it; 2 of the rows were refused" in set(
            ground.gaps()["reason"]
        )
        assert ground.job()["detail"]["rows"]["rejected"] == 14

        vendor.set_faults([])
        assert all(outcome.filled for outcome in ground.fill())
        assert ground.complete()

    def test_bars_outside_the_window_that_was_asked_for_are_counted_once_and_not_stored(
        self, ground, vendor
    ):
        ground.keep(MINUTES + "symbols: {BTC: {}}\nend: 2026-01-01")
        days = Window(at("2025-02-27T00:00"), at("2025-03-01T00:00"))
        vendor.set_faults([Fault(fault="outside", bars=2, start=days.start, end=days.end)])

        outcomes = ground.fill(window=days)

        assert [outcome.rows for outcome in outcomes] == [1440, 1440]
        assert len(ground.opens("BTC")) == 2880
        # Two on either side of each page, also where that is another day.
        assert sum(outcome.rejected for outcome in outcomes) == 4 * len(asked(vendor)) == 12
        for outcome in outcomes:
            facts = verdict(outcome, "validity").facts
            assert facts["rejected: outside the window asked for"] == outcome.rejected > 0

    impossible = MappingProxyType(
        {
            "HIGH": ({"high": inf}, "a price that is null, NaN or infinite"),
            "LOW": ({"low": -inf}, "a price that is null, NaN or infinite"),
            "NAN": ({"close": nan}, "a price that is null, NaN or infinite"),
            "NULL": ({"open": None}, "a price that is null, NaN or infinite"),
            "ABOVE": ({"close": 200.0}, "open or close outside high and low"),
            "BELOW": ({"open": 1.0}, "open or close outside high and low"),
            "LESS": ({"volume": -1.0}, "a volume that is missing, negative or no number"),
            "NONE": ({"volume": None}, "a volume that is missing, negative or no number"),
            "NANS": ({"volume": nan}, "a volume that is missing, negative or no number"),
        }
    )

    def test_an_impossible_number_is_refused(self, empty_ground):
        ground = empty_ground
        ground.add_archive(
            "files", {symbol: spoilt(values) for symbol, (values, _) in self.impossible.items()}
        )
        ground.keep(f"start: 2025-02-27\nend: 2025-02-28\nsymbols: {plain(self.impossible)}")

        (outcome,) = ground.fill()

        assert outcome.rows == 23 * len(self.impossible)
        rejected = verdict(outcome, "validity").tables["rejected"]
        assert {row["symbol"]: (row["at"], row["reason"]) for row in rejected} == {
            symbol: ("2025-02-27 10:00Z", reason) for symbol, (_, reason) in self.impossible.items()
        }
        assert all(ground.absent(symbol) == [at("2025-02-27T10:00")] for symbol in self.impossible)

    @pytest.mark.parametrize(
        ("kind", "values"),
        [
            pytest.param("FOREX", {"volume": None}, id="a null volume in spot forex"),
            # Crude oil settled at -37.63 on 2020-04-20.
            pytest.param(
                "FUTURES",
                {"open": 1.0, "high": 2.0, "low": -40.32, "close": -37.63},
                id="a future below zero",
            ),
        ],
    )
    def test_what_a_market_allows_is_stored(self, empty_ground, kind, values):
        ground = empty_ground
        ground.add_archive("files", {"ANY": spoilt(values)})
        ground.keep(f"kind: {kind}\nstart: 2025-02-27\nend: 2025-02-28\nsymbols: {{ANY: {{}}}}")

        (outcome,) = ground.fill()

        assert verdict(outcome, "validity").passed
        stored = ground.rows().filter(pl.col("ts").dt.hour() == 10).row(0, named=True)
        assert {column: stored[column] for column in values} == values

    def test_a_time_a_little_off_the_grid_is_moved_onto_it_and_one_further_off_refused(
        self, empty_ground
    ):
        ground = empty_ground
        # Binance, 2018-02-09: a minute that opened at 10:01:34.789 instead of 10:01; 4.7 s and 6.1
        # s are 8 % and 10.2 %.
        minutes = every(MINUTE, at("2018-02-09T10:00"), at("2018-02-09T11:00"))
        moved = [timedelta(seconds=seconds) for seconds in (0, 34.789, 4.7, -4.7, 6.1, *[0] * 55)]
        frame = candles([ts + offset for ts, offset in zip(minutes, moved, strict=True)])
        ground.add_archive("files", {"BTC": frame})
        ground.keep(MINUTES + "start: 2018-02-09\nend: 2018-02-10\nsymbols: {BTC: {}}")

        (outcome,) = ground.fill()

        assert ground.opens("BTC") == [minutes[0], *minutes[2:4], *minutes[5:]]
        assert ground.rows()["open"].to_list()[1:3] == frame["open"].to_list()[2:4]
        assert verdict(outcome, "validity").facts["rejected: time off the grid"] == 2
        assert [row["at"] for row in verdict(outcome, "validity").tables["rejected"]] == [
            "2018-02-09 10:01:34Z",
            "2018-02-09 10:04:06Z",
        ]

    def test_two_rows_that_would_land_on_one_bar_are_never_merged_in_silence(self, empty_ground):
        ground = empty_ground
        minutes = every(MINUTE, at("2025-02-27T10:00"), at("2025-02-27T11:00"))
        second = timedelta(seconds=1)
        # Of 10:05 there is the exact row and another;
        # of 10:10 there are two that are both a little off.
        strays = [minutes[5] + second, minutes[10] - second, minutes[10] + 2 * second]
        frame = candles(sorted([ts for ts in minutes if ts != minutes[10]] + strays))
        ground.add_archive("files", {"BTC": frame})
        ground.keep(MINUTES + "start: 2025-02-27\nend: 2025-02-28\nsymbols: {BTC: {}}")

        (outcome,) = ground.fill()

        assert ground.opens("BTC") == [ts for ts in minutes if ts != minutes[10]]
        exact = frame.filter(pl.col("ts") == minutes[5].replace(tzinfo=None))["open"].item()
        assert ground.rows()["open"].to_list()[5] == exact
        facts = verdict(outcome, "validity").facts
        assert facts["rejected: duplicate time"] == 1
        assert facts["rejected: several different bars for one time"] == 2

    def test_milliseconds_and_microseconds_in_one_archive_are_the_minutes_that_they_mean(
        self, empty_ground, tmp_path
    ):
        ground = empty_ground
        # Binance's spot archives changed their unit with 2025: 23:59 of the year before is followed
        # by 00:00.
        rows = [(1735689540000, 1.0), (1735689600000000, 2.0), (1735689660000000, 3.0)]
        lines = [f"{stamp},{price},{price},{price},{price},1" for stamp, price in rows]
        (tmp_path / "BTC.csv").write_text("\n".join(lines) + "\n")
        ground.add_source("files", type="archive", path="{symbol}.csv", header=False)
        ground.keep(MINUTES + "start: 2024-12-31\nend: 2025-01-02\nsymbols: {BTC: {}}")

        ground.fill()

        assert ground.opens("BTC") == every(MINUTE, at("2024-12-31T23:59"), at("2025-01-01T00:02"))
        assert ground.rows()["close"].to_list() == [1.0, 2.0, 3.0]

    def test_rows_outside_the_sessions_are_left_out_without_fault(self, empty_ground):
        ground = empty_ground
        frame = candles(every(MINUTE, at("2025-02-27T13:30"), at("2025-02-27T21:30")))
        ground.add_archive("files", {"SPY": frame})
        ground.keep(
            MINUTES + "kind: EQUITY\nstart: 2025-02-27\nend: 2025-02-28\nsymbols: {SPY: {}}"
        )

        (outcome,) = ground.fill()

        assert (outcome.rows, outcome.rejected) == (390, 0)
        assert all(verdict.passed for verdict in outcome.verdicts)


def spoilt(values: dict[str, float | None]) -> pl.DataFrame:
    """A day of hours with other values at 10:00."""
    frame = candles(every(HOUR, at("2025-02-27T00:00"), at("2025-02-28T00:00")))
    ten = pl.col("ts").dt.hour() == 10
    return frame.with_columns(
        pl.when(ten).then(pl.lit(value, pl.Float64)).otherwise(column).alias(column)
        for column, value in values.items()
    )


class TestAnswersThatAreNone:
    faults = (
        (Fault(fault="html"), "not JSON"),
        (Fault(fault="truncated"), "cut off"),
        (Fault(fault="cut"), "broken connection"),
        (Fault(fault="redirect"), "redirected to"),
        (Fault(fault="huge", size="40MB"), "more than max_body"),
        (Fault(fault="drip", seconds=0.2), "not complete after 1.5 s"),
        (Fault(fault="delay", seconds=30), "not complete after 1.5 s"),
        (Fault(fault="error", status=200, code=-1000, message="Overloaded."), "-1000 Overloaded"),
        (Fault(fault="error", status=200, code=-1100, message="Illegal."), "-1100 Illegal"),
        (Fault(fault="error", status=500), "HTTP 500"),
        (Fault(fault="error", status=403, message="Forbidden."), "HTTP 403"),
    )

    def test_their_days_fail_with_a_reason_that_says_what_was_asked_and_all_others_are_filled(
        self, empty_ground, slow_vendor
    ):
        ground, vendor = empty_ground, slow_vendor
        # One request at a time, so that everything is asked after what went wrong before it.
        ground.add_vendor("vendor", vendor, total_timeout=1.5, concurrency=1)
        ground.keep(MINUTES + "symbols: {BTC: {}, ETH: {start: 2025-02-26}}\nstart: 2025-02-11")
        ground.fill(window=Window(at("2025-02-11T00:00"), at("2025-02-12T00:00")))
        # Every second page has one.
        starts = every(2000 * MINUTE, at("2025-02-12T00:00"), at("2025-02-27T00:00"))
        struck = [Window(start, start + 1000 * MINUTE) for start in starts]
        vendor.set_faults(
            [
                fault.model_copy(
                    update={
                        "symbols": frozenset({"BTC"}),
                        "start": page.start,
                        "end": page.start + MINUTE,
                    }
                )
                for (fault, _), page in zip(self.faults, struck, strict=True)
            ]
        )

        outcomes = {outcome.partition.key: outcome for outcome in ground.fill()}

        days = set()
        for page, (_, words) in zip(struck, self.faults, strict=True):
            touched = {page.start.date().isoformat(), (page.end - MINUTE).date().isoformat()}
            days |= touched
            for day in touched:
                said = [
                    failure
                    for failure in outcomes[day].failures
                    if f"source vendor: BTC 1m {page}: " in failure
                ]
                assert len(said) == 1, outcomes[day].failures
                assert words in said[0]
        assert {key for key, outcome in outcomes.items() if not outcome.filled} == days
        assert ground.absent("BTC") == sorted(
            ts for page in struck for ts in every(MINUTE, page.start, page.end)
        )
        assert ground.absent("ETH") == []
        assert ground.job()["status"] == "INCOMPLETE"

        vendor.set_faults([])
        assert all(outcome.filled for outcome in ground.fill())
        assert ground.absent("BTC") == []

    def test_a_vendor_that_wants_to_be_left_alone_for_an_hour_is_left_alone(self, ground, vendor):
        ground.keep("symbols: {BTC: {}, ETH: {}}")
        ground.fill(window=Window(at("2025-02-26T00:00"), at("2025-02-27T00:00")))
        vendor.log.clear()
        vendor.set_faults([Fault(fault="error", status=429, code=-1003, retry_after=3600)])

        outcomes = ground.fill()

        assert len(vendor.log) <= 2
        assert [outcome.filled for outcome in outcomes] == [True, False, False]
        assert "HTTP 429" in outcomes[1].failures[1]

    @pytest.mark.parametrize("newest_first", [False, True])
    def test_a_page_that_repeats_the_one_before_is_no_answer(self, ground, vendor, newest_first):
        ground.add_vendor("vendor", vendor, concurrency=1)
        ground.keep(MINUTES + "symbols: {BTC: {}}")
        edge = "2025-02-26" if newest_first else "2025-02-28"
        other = Window(at("2025-02-27T00:00"), at("2025-02-28T00:00"))
        ground.fill(window=other)
        vendor.set_faults([Fault(fault="repeat", **_day(edge), times=1)])

        outcomes = {
            outcome.partition.key: outcome for outcome in ground.fill(newest_first=newest_first)
        }

        assert not outcomes[edge].filled
        assert "source vendor: BTC 1m" in outcomes[edge].failures[1]
        assert {key for key, outcome in outcomes.items() if outcome.filled} == set(outcomes) - {
            edge
        }

    def test_an_empty_answer_for_a_whole_day_does_not_fill_it(self, ground, vendor):
        vendor.set_faults(
            [Fault(fault="short", rows=0, start=at("2025-02-26T00:00"), end=at("2025-03-01T00:00"))]
        )
        ground.keep("symbols: {BTC: {}, ETH: {}}")

        outcomes = ground.fill()

        assert [outcome.filled for outcome in outcomes] == [False, False, False]
        assert outcomes[0].failures == (
            "not one of 48 expected bars is stored or explained (BTC, ETH)",
        )
        assert ground.job()["status"] == "INCOMPLETE"

    def test_an_unknown_symbol_is_asked_for_once_and_the_others_are_filled(self, ground, vendor):
        unknown = {"status": 400, "code": -1121, "message": "Invalid symbol."}
        vendor.set_faults([Fault(fault="error", symbols=["NOPE"], **unknown)])
        ground.keep(MINUTES + "symbols: {BTC: {}, NOPE: {}, ETH: {}}")

        outcomes = ground.fill()

        assert [entry["status"] for entry in vendor.log if entry["symbol"] == "NOPE"] == [400]
        assert ground.absent("BTC") == ground.absent("ETH") == []
        for outcome in outcomes:
            assert outcome.filled
            judged = verdict(outcome, "continuity")
            assert (judged.passed, judged.severity) == (False, Severity.ERROR)
            assert "Nothing at all of NOPE: source vendor: NOPE 1m" in judged.summary
            assert "-1121 Invalid symbol" in judged.summary
            assert counts(outcome)["BTC"].missing == counts(outcome)["ETH"].missing == 0
        assert ground.job()["status"] == "SUCCEEDED"

    def test_a_refetch_that_no_source_answered_is_no_success(self, ground, vendor):
        ground.keep("symbols: {BTC: {}}")
        ground.fill()
        rows = ground.rows()
        vendor.set_faults([Fault(fault="error")])

        outcomes = ground.fill(refetch=True)

        assert [outcome.filled for outcome in outcomes] == [False, False, False]
        assert outcomes[0].failures[0] == "nobody answered when bars were asked for again (BTC)"
        assert "HTTP 503" in outcomes[0].failures[1]
        assert all(verdict(outcome, "continuity").passed for outcome in outcomes)
        assert ground.rows().equals(rows)


def _day(text: str) -> dict[str, datetime]:
    start = at(f"{text}T00:00")
    return {"start": start, "end": start + timedelta(days=1)}


class Foreign:
    """A source of somebody else's making, that does as a test wants."""

    Settings: ClassVar[type[SourceSettings]] = SourceSettings
    traits = Traits(
        timeframes=frozenset(Timeframe), page_size=24, emits_empty_bars=True, earliest_probe=False
    )
    concurrency = 1

    def __init__(self, answer: Callable[[Window], pl.DataFrame]) -> None:
        self.name = "vendor"
        self.usage = Usage()
        self._answer = answer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def fetch(
        self,
        symbol: str,  # noqa: ARG002
        timeframe: Timeframe,  # noqa: ARG002
        start: datetime,
        end: datetime,
    ) -> pl.DataFrame:
        self.usage.requests += 1
        return self._answer(Window(start, end))

    async def earliest(self, symbol: str, timeframe: Timeframe) -> None: ...

    def answers_for(self, symbol: str, timeframe: Timeframe) -> None: ...


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
