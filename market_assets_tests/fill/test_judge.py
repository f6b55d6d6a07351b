"""Answers are committed, and the partitions that they complete are judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.config.settings import Severity
from market_assets.market.timeframes import Window
from market_assets.practice.faults import Fault
from market_assets_tests.support.fill_ground import asked, at, counts, covered, verdict
from market_assets_tests.support.ordinary_market import FIRST, changed, market

if TYPE_CHECKING:
    from market_assets.work.outcome import PartitionOutcome
    from market_assets_tests.support.fill_ground import Ground


HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MINUTES = "timeframes: {fetch: [1m]}\n"

SPIKE = 15 * 1440 + 600


class TestWhatTheVerdictsSay:
    @pytest.mark.parametrize("seed", [0, 2])
    def test_holes_drawn_at_random_are_what_verdicts_ledger_and_view_say_and_what_is_asked_for_next(
        self, ground, vendor, seed
    ):
        # Two sizes of holes; one symbol begins late, and its first bar is there to be named.
        genesis = datetime(2025, 2, 27, 8, 30, tzinfo=UTC)
        vendor.set_faults(
            [
                Fault(
                    fault="hole",
                    every=3 + seed,
                    bars=1 + 15 * seed,
                    symbols=["LATE"],
                    start=genesis + MINUTE,
                ),
                Fault(fault="hole", every=3 + seed, bars=1 + 15 * seed, symbols=["BTC"]),
                Fault(fault="hole", every=9, bars=200 - 60 * seed, symbols=["BTC"]),
            ]
        )
        ground.keep(MINUTES + "symbols: {BTC: {}, LATE: {}}\nstart: 2025-02-27")

        outcomes = ground.fill()

        absent = {
            "BTC": ground.absent("BTC"),
            "LATE": [ts for ts in ground.absent("LATE") if ts >= genesis],
        }
        assert all(absent.values())
        ledger = ground.gaps()
        for symbol, bars in absent.items():
            for outcome in outcomes:
                own = counts(outcome)[symbol]
                inside = [
                    ts
                    for ts in bars
                    if outcome.partition.window.start <= ts < outcome.partition.window.end
                ]
                assert own.missing == len(inside)
                assert own.expected == own.stored + own.missing
            gaps = ledger.filter(pl.col("symbol") == symbol)
            stretches = [
                Window(first.replace(tzinfo=UTC), last.replace(tzinfo=UTC) + MINUTE)
                for first, last in gaps.select("first_ts", "last_ts").iter_rows()
            ]
            assert covered(stretches, MINUTE) == bars
        for outcome in outcomes:
            facts = verdict(outcome, "continuity").facts
            assert facts["stored"] == outcome.rows
            assert facts["missing"] == sum(own.missing for own in outcome.counts)
            assert facts["expected"] == facts["stored"] + facts["missing"]
            assert facts["completeness"] == pytest.approx(
                1 - facts["missing"] / facts["expected"], abs=1e-6
            )
            assert (
                facts["open_gaps"]
                == ledger.filter(outcome.partition.window.holds("first_ts")).height
            )
            assert verdict(outcome, "validity").passed
        assert verdict(outcomes[0], "genesis").passed == (absent["BTC"][0] > at("2025-02-27T00:00"))
        view = ground.table("SELECT symbol, missing, stored FROM ops.completeness ORDER BY symbol")
        assert view.rows() == [
            (
                symbol,
                len(absent[symbol]),
                sum(counts(outcome)[symbol].stored for outcome in outcomes),
            )
            for symbol in ("BTC", "LATE")
        ]

        vendor.log.clear()
        ground.fill()

        for symbol, bars in absent.items():
            # The vendor's client asks on behind the last row of a page that is short.
            windows = asked(vendor, symbol)
            assert set(bars) <= set(covered(windows, MINUTE))
            assert all(window.end - window.start <= 1000 * MINUTE for window in windows)
            assert min(windows).start == bars[0]
            assert max(window.end for window in windows) == bars[-1] + MINUTE


def filled(ground: Ground, checks: str) -> dict[str, PartitionOutcome]:
    ground.clock.now = datetime(2024, 1, 25, tzinfo=UTC)
    frame = changed(market(), SPIKE, 1, high=pl.col("high") * 1.05)
    ground.add_archive("files", {"A": frame.select("ts", "open", "high", "low", "close", "volume")})
    ground.keep(
        f"""
        start: 2024-01-01
        end: 2024-01-21
        timeframes: {{fetch: [1m]}}
        symbols: {{A: {{}}}}
        checks: {checks}
        """
    )
    return {outcome.partition.key: outcome for outcome in ground.fill()}


def test_a_spike_is_named_and_nothing_is_changed(empty_ground: Ground):
    outcomes = filled(empty_ground, "{plausibility: true}")
    verdicts = {key: outcome.verdicts[3] for key, outcome in outcomes.items()}
    assert {verdict.check for verdict in verdicts.values()} == {"plausibility"}
    assert [key for key, verdict in verdicts.items() if not verdict.passed] == ["2024-01-16"]
    told = verdicts["2024-01-16"]
    assert told.severity is Severity.WARN
    assert told.facts == {"implausible": 1, "spike": 1}
    (row,) = told.tables["implausible"]
    assert (row["symbol"], row["first_bar"], row["what"]) == ("A", "2024-01-16 10:00Z", "spike")
    assert "a spike of A at 2024-01-16 10:00Z (1 bar)" in told.summary
    assert outcomes["2024-01-16"].filled
    stored = empty_ground.rows("A")
    assert stored.height == market().height
    assert (
        stored.filter(pl.col("ts") == datetime.fromisoformat("2024-01-16 10:00"))["high"][0] > 100
    )
    assert stored["ts"][0] == FIRST


def test_it_is_off_unless_a_profile_asks_for_it(empty_ground: Ground):
    outcomes = filled(empty_ground, "{}")
    assert {len(outcome.verdicts) for outcome in outcomes.values()} == {3}
