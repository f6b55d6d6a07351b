"""What is wrong with candles: rows that were refused, and why."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from math import inf, nan
from types import MappingProxyType

import polars as pl
import pytest

from market_assets.market.timeframes import Window
from market_assets.practice.faults import Fault
from market_assets_tests.support.fill_ground import (
    asked,
    at,
    candles,
    counts,
    every,
    plain,
    verdict,
)

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
