"""`Fill` on a real store and over real HTTP.

It is idempotent, resumable, and safe to run twice at once. It gives one outcome per partition.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.errors import UniverseError
from market_assets.market.datasets import Dataset
from market_assets.market.partitions import hull
from market_assets.market.timeframes import Timeframe, Window
from market_assets.practice.faults import Fault
from market_assets.store import Store, opening
from market_assets.work.run import Run, Trigger
from market_assets_tests.support.fill_ground import (
    EARLY_GENESIS,
    LAST_GENESIS,
    LATE_GENESIS,
    asked,
    at,
    candles,
    counts,
    every,
    keys,
    verdict,
)

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

THREE_DAYS = ["2025-02-26", "2025-02-27", "2025-02-28"]
MINUTES = "timeframes: {fetch: [1m]}\n"


class TestAskingForJustWhatIsAbsent:
    def test_a_first_fill_stores_every_bar_that_must_exist_and_a_second_one_asks_for_nothing(
        self, ground, vendor
    ):
        ground.keep(MINUTES + "symbols: {BTC: {}, ETH: {}}")

        outcomes = ground.fill()

        assert keys(outcomes) == THREE_DAYS
        assert all(outcome.filled for outcome in outcomes)
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)
        assert [verdict.check for verdict in outcomes[0].verdicts] == [
            "continuity",
            "genesis",
            "validity",
        ]
        assert [(outcome.new, outcome.rows) for outcome in outcomes] == [(2880, 2880)] * 3
        assert outcomes[0].sources == {"vendor": 2880}
        assert (outcomes[0].first_ts, outcomes[0].last_ts) == (
            at("2025-02-26T00:00"),
            at("2025-02-26T23:59"),
        )
        assert ground.complete()
        # Pages cross the borders of partitions.
        assert len(asked(vendor)) == 2 * -(-3 * 1440 // 1000)

        rows, coverage = ground.rows(), ground.table("SELECT * FROM ops.coverage")
        vendor.log.clear()
        outcomes = ground.fill()

        assert list(vendor.log) == []
        assert ground.rows().equals(rows)
        assert ground.table("SELECT * FROM ops.coverage").equals(coverage)
        assert all(outcome.filled and outcome.new == outcome.revised == 0 for outcome in outcomes)
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)
        assert [outcome.rows for outcome in outcomes] == [2880] * 3

    def test_the_present_day_is_filled_up_to_now_and_a_week_later_only_the_week_is_asked_for(
        self, ground, vendor
    ):
        ground.keep("symbols: {BTC: {}}\nend: 2026-01-01")
        today = ground.fill()[-1]
        assert (today.partition.key, today.rows, today.filled) == ("2025-03-01", 12, True)
        vendor.log.clear()
        ground.wait(days=7)

        outcomes = ground.fill()

        assert asked(vendor) == [Window(at("2025-03-01T12:00"), at("2025-03-08T12:00"))]
        assert [outcome.rows for outcome in outcomes] == [24] * 10 + [12]
        assert ground.complete()

    def test_a_row_deleted_by_hand_is_asked_for_again_alone(self, ground, vendor):
        ground.keep("symbols: {BTC: {}}")
        ground.fill()
        rows = ground.rows()
        ground.lose("ts = '2025-02-27 05:00'")
        vendor.log.clear()

        outcomes = ground.fill()

        assert asked(vendor) == [Window(at("2025-02-27T05:00"), at("2025-02-27T06:00"))]
        assert [(outcome.new, outcome.rows, outcome.filled) for outcome in outcomes] == [
            (0, 24, True),
            (1, 24, True),
            (0, 24, True),
        ]
        assert ground.rows().equals(rows)

    def test_a_symbol_that_was_named_twice_is_asked_for_once_and_one_that_was_not_is_not(
        self, ground, vendor
    ):
        ground.keep("symbols: {BTC: {}, ETH: {}}")

        outcomes = ground.fill(symbols=["ETH", "ETH"])

        assert {entry["symbol"] for entry in vendor.log} == {"ETH"}
        assert len(asked(vendor)) == 1
        assert [outcome.rows for outcome in outcomes] == [24] * 3

    def test_a_partition_is_judged_by_all_symbols_whatever_was_asked_for(self, ground):
        ground.keep("symbols: {BTC: {}, ETH: {}}")

        part = ground.fill(symbols=["ETH"])

        assert [[(own.symbol, own.missing) for own in outcome.counts] for outcome in part] == [
            [("BTC", 24), ("ETH", 0)]
        ] * 3
        # What nobody has asked for may still be had.
        assert not any(outcome.filled for outcome in part)
        assert part[0].failures == (
            "24 of 48 bars are missing (BTC): 50 %, and at most 5 % may be",
        )
        assert "Nothing at all of BTC: not asked yet." in part[0].verdicts[0].summary
        assert not any(
            verdict.passed
            for outcome in part
            for verdict in outcome.verdicts
            if verdict.check == "continuity"
        )
        rest = ground.fill(symbols=["BTC"])
        assert all(
            outcome.filled and verdict.passed for outcome in rest for verdict in outcome.verdicts
        )

    def test_a_symbol_that_is_not_kept_is_refused_with_the_names_that_are(self, ground):
        ground.keep("symbols: {BTC: {}, ETH: {}}")

        with pytest.raises(UniverseError, match=r"XYZ: no such symbol; it has BTC, ETH"):
            ground.begin(symbols=["XYZ"])

    def test_a_window_before_the_profile_or_in_the_future_has_no_partition_and_asks_nothing(
        self, ground, vendor
    ):
        ground.keep("symbols: {BTC: {}}")

        before = ground.fill(window=Window(at("2024-01-01T00:00"), at("2024-02-01T00:00")))
        after = ground.fill(window=Window(at("2026-01-01T00:00"), at("2026-02-01T00:00")))

        assert before == after == []
        assert list(vendor.log) == []


class TestOpenings:
    def test_a_fill_opens_the_store_five_times(self, ground, monkeypatch):
        """To look at the calendar, to begin, to plan, to commit, to end."""
        ground.keep("symbols: {BTC: {}}")
        ground.fill()
        openings: list[bool] = []
        open_file = opening.open_file

        def counted(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
            openings.append(read_only)
            return open_file(path, read_only=read_only)

        monkeypatch.setattr(opening, "open_file", counted)
        # Another process knows nothing of the file either.
        ground.store = Store(ground.store.path.parent, clock=ground.clock)
        assert len(ground.fill()) == 3
        assert openings == [True, False, True, False, False]

    def test_the_bars_that_must_exist_are_counted_with_the_first_commit(self, ground):
        ground.keep("symbols: {BTC: {}, ETH: {}}")
        fill = iter(ground.begin())
        next(fill)
        fill.close()
        counted = ground.table("SELECT symbol, expected FROM ops.series ORDER BY symbol")
        assert counted.rows() == [("BTC", 72), ("ETH", 72)]


class TestWhoMayUseTheReserve:
    @pytest.mark.parametrize("trigger", Trigger)
    def test_updates_repairs_and_streams_may_use_what_a_backfill_leaves(self, ground, trigger):
        ground.keep("symbols: {BTC: {}}")

        ground.begin(run=Run(trigger=trigger))

        urgent = {Trigger.UPDATE, Trigger.REPAIR, Trigger.STREAM}
        assert ground.sources["vendor"]._http.limit.urgent == (trigger in urgent)


class TestOneOutcomeAPartition:
    @pytest.mark.parametrize("newest_first", [False, True])
    def test_pages_are_asked_for_and_outcomes_come_in_the_order_that_the_caller_asks(
        self, ground, vendor, newest_first
    ):
        ground.add_vendor("vendor", vendor, concurrency=1)
        ground.keep(MINUTES + "symbols: {BTC: {}, ETH: {}, THIRD: {}, FOURTH: {}}")

        outcomes = ground.fill(newest_first=newest_first)

        assert keys(outcomes) == sorted(THREE_DAYS, reverse=newest_first)
        # Of all symbols together: whoever runs out of time has something of each.
        assert asked(vendor) == sorted(asked(vendor), reverse=newest_first)
        assert ground.absent("BTC") == []

    def test_an_outcome_is_there_as_soon_as_its_partition_is_committed_and_closing_keeps_it(
        self, empty_ground, slow_vendor, monkeypatch
    ):
        monkeypatch.setattr("market_assets.fill.fill._HISTORY_EVERY", 0.0)
        ground, vendor = empty_ground, slow_vendor
        ground.add_vendor("vendor", vendor, total_timeout=60, timeout=60, max_elapsed=60)
        ground.keep(MINUTES + "symbols: {BTC: {}, ETH: {}}")
        ground.fill(window=Window(at("2025-02-27T00:00"), at("2025-02-28T00:00")))
        vendor.set_faults(
            [
                Fault(
                    fault="delay",
                    seconds=60,
                    start=at("2025-02-28T23:00"),
                    end=at("2025-03-01T00:00"),
                )
            ]
        )

        outcomes = iter(ground.begin())
        first = next(outcomes)
        outcomes.close()

        # What was under way was broken off, and the thread that it was in has ended.
        assert "market-assets-fetch" not in {thread.name for thread in threading.enumerate()}
        committed = ground.rows()
        days = dict(committed.group_by(pl.col("ts").dt.date().cast(pl.String)).len().iter_rows())
        assert first.filled
        assert days[first.partition.key] == first.rows == 2880
        assert set(days.values()) == {2880}
        assert "2025-02-28" not in days
        assert ground.job()["status"] == "CANCELLED"

        vendor.set_faults([])
        vendor.log.clear()
        assert all(outcome.filled for outcome in ground.fill())
        assert {window.start.date().isoformat() for window in asked(vendor)}.isdisjoint(days)
        assert ground.rows().join(committed, on=["symbol", "ts"], how="semi").equals(committed)
        assert ground.complete()

    @pytest.mark.parametrize("newest_first", [False, True])
    def test_a_long_window_is_filled_in_pieces_of_so_many_bars(
        self, ground, monkeypatch, newest_first
    ):
        monkeypatch.setattr("market_assets.fill.fill._CHUNK_BARS", 6000)
        monkeypatch.setattr("market_assets.fill.fill._COMMIT_BARS", 3000)
        ground.keep(MINUTES + "symbols: {BTC: {}, ETH: {}}\nstart: 2025-02-22\nend: 2025-03-01")

        batches = list(ground.begin(newest_first=newest_first).batches())

        days = [outcome.partition.key for batch in batches for outcome in batch]
        assert days == sorted(days, reverse=newest_first)
        assert len(days) == 7
        assert len(batches) == 7
        assert ground.complete()

    def test_a_commit_is_measured_by_the_hours_of_the_market(self, ground, monkeypatch):
        # Five days of 390 minutes; the days themselves have 1,440.
        monkeypatch.setattr("market_assets.fill.fill._COMMIT_BARS", 5 * 390)
        ground.keep(
            "kind: EQUITY\ntimeframes: {fetch: [1m]}\nsymbols: {SPY: {}}\n"
            "start: 2025-02-24\nend: 2025-03-01"
        )
        (batch,) = ground.begin().batches()
        assert len(batch) == 5
        assert ground.complete()


class TestTwoFillsAtOnce:
    def test_overlapping_windows_in_two_threads_both_finish_and_no_row_is_double(self, ground):
        ground.keep(MINUTES + "symbols: {BTC: {}, ETH: {}}\nstart: 2025-02-24")
        begun = [
            ground.begin(window=Window(at(start), at(end)))
            for start, end in (
                ("2025-02-24T00:00", "2025-02-28T00:00"),
                ("2025-02-25T00:00", "2025-03-01T00:00"),
            )
        ]

        with ThreadPoolExecutor() as pool:
            one, other = pool.map(list, begun)

        assert all(outcome.filled for outcome in one + other)
        assert (len(one), len(other)) == (4, 4)
        rows = ground.rows()
        assert rows.select("symbol", "ts").is_duplicated().sum() == 0
        assert rows.height == 2 * 5 * 1440
        assert ground.table("SELECT status FROM ops.jobs")["status"].to_list() == [
            "SUCCEEDED",
            "SUCCEEDED",
        ]

    def test_overlapping_windows_in_two_processes_both_finish_and_no_row_is_double(
        self, ground, vendor
    ):
        ground.keep(MINUTES + "symbols: {BTC: {}, ETH: {}}\nstart: 2025-02-24")
        script = """
import sys
from datetime import datetime
from pathlib import Path
from market_assets.expected.scope import scope_of
from market_assets.fill.fill import Fill
from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.contract import build_source
from market_assets.store import Store
from market_assets.config.load import load_universe

folder, now, start, end = Path(sys.argv[1]), *map(datetime.fromisoformat, sys.argv[2:])
universe = load_universe(folder / "universe.yaml", environ={})
source = build_source("vendor", universe.sources["vendor"], base=folder, kind="crypto")
store = Store(folder / "home", clock=lambda: now)
fill = Fill(
    store, {"vendor": source}, scope_of(universe.profiles["kept"], Timeframe.M1, now),
    Window(start, end)
)
print(*(outcome.partition.key for outcome in fill if outcome.filled))
"""
        windows = (
            ("2025-02-24T00:00Z", "2025-02-28T00:00Z"),
            ("2025-02-25T00:00Z", "2025-03-01T00:00Z"),
        )
        running = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    script,
                    str(ground.folder),
                    ground.clock().isoformat(),
                    *window,
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for window in windows
        ]
        said = [process.communicate(timeout=60) for process in running]

        assert [len(out.split()) for out, _ in said] == [4, 4], said
        rows = ground.rows()
        assert rows.select("symbol", "ts").is_duplicated().sum() == 0
        assert ground.complete()
        vendor.log.clear()
        assert all(outcome.filled for outcome in ground.fill())
        assert list(vendor.log) == []

    def test_a_reader_beside_a_fill_sees_whole_days_only(self, ground, monkeypatch):
        monkeypatch.setattr("market_assets.fill.fill._COMMIT_BARS", 3000)
        ground.keep(MINUTES + "symbols: {BTC: {}}\nstart: 2025-02-19\nend: 2025-03-01")
        fill = ground.begin()
        done = threading.Event()
        seen: list[set[int]] = []

        def read() -> None:
            store = Store(ground.folder / "home", clock=ground.clock)
            while not done.is_set():
                with store.reading("looking on") as view:
                    if not view.candles.has(Dataset.candles("kept", Timeframe.M1)):
                        continue
                    stored = view.candles.opens(
                        Dataset.candles("kept", Timeframe.M1), ["BTC"], hull(fill.partitions)
                    )
                seen.append(set(stored.group_by(pl.col("ts").dt.date()).len()["len"]))

        reader = threading.Thread(target=read)
        reader.start()
        outcomes = list(fill)
        done.set()
        reader.join()

        assert len(outcomes) == 10
        assert seen
        assert all(days <= {1440} for days in seen)


class TestCalendars:
    def test_equity_has_no_partition_on_closed_days_and_half_a_day_is_whole(self, ground):
        ground.clock.now = datetime(2025, 8, 1, tzinfo=UTC)
        ground.keep(
            "kind: EQUITY\nstart: 2025-07-02\nend: 2025-07-09\nsymbols: {SPY: {}}\n" + MINUTES
        )

        outcomes = ground.fill()

        assert {outcome.partition.key: outcome.rows for outcome in outcomes} == {
            "2025-07-02": 390,
            "2025-07-03": 210,
            "2025-07-07": 390,
            "2025-07-08": 390,
        }
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)

    def test_a_market_wide_halt_is_explained(self, ground):
        ground.clock.now = datetime(2020, 4, 1, tzinfo=UTC)
        ground.keep(
            "kind: EQUITY\nstart: 2020-03-09\nend: 2020-03-10\nsymbols: {SPY: {}}\n" + MINUTES
        )

        (outcome,) = ground.fill()

        halted = counts(outcome)["SPY"].halted
        assert 13 <= halted <= 15
        assert (outcome.rows, counts(outcome)["SPY"].explained) == (390 - halted, halted)
        assert verdict(outcome, "continuity").passed

    @pytest.mark.parametrize(
        ("kind", "symbol", "rows"),
        [
            # New York moved its clocks on Sunday 2025-03-09; both markets open on that evening.
            ("FUTURES", "ES", {"2025-03-07": 1320, "2025-03-09": 120, "2025-03-10": 1380}),
            ("FOREX", "EURUSD", {"2025-03-07": 1320, "2025-03-09": 180, "2025-03-10": 1440}),
        ],
    )
    def test_sessions_over_midnight_are_cut_into_utc_days(self, ground, kind, symbol, rows):
        ground.clock.now = datetime(2025, 4, 1, tzinfo=UTC)
        ground.keep(
            f"kind: {kind}\nstart: 2025-03-07\nend: 2025-03-11\nsymbols: {{{symbol}: {{}}}}\n"
            + MINUTES
        )

        outcomes = ground.fill()

        assert {outcome.partition.key: outcome.rows for outcome in outcomes} == rows
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)
        assert ground.complete()

    @pytest.mark.parametrize(("kind", "symbol"), [("CRYPTO", "BTC"), ("FUTURES", "ES")])
    def test_days_and_weeks_that_are_fetched_have_monthly_partitions(self, ground, kind, symbol):
        # The 15th is a Wednesday: the profile starts and ends within a week.
        ground.keep(
            f"kind: {kind}\n"
            "start: 2025-01-15\n"
            "end: 2025-02-20\n"
            f"symbols: {{{symbol}: {{}}}}\n"
            "timeframes: {fetch: [1d, 1w]}"
        )
        for timeframe in (Timeframe.D1, Timeframe.W1):
            outcomes = ground.fill(timeframe=timeframe)

            assert keys(outcomes) == ["2025-01-01", "2025-02-01"]
            assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)
            window = ground.profile.window(ground.clock())
            expected = ground.calendar().expected(timeframe, window, until=ground.clock())
            assert ground.rows(timeframe=timeframe)["ts"].to_list() == expected.to_list()
            assert sum(outcome.rows for outcome in outcomes) == len(expected)
        completeness = ground.table(
            "SELECT timeframe, expected, stored, missing, health FROM ops.completeness"
        )
        for timeframe, expected, stored, missing, health in completeness.iter_rows():
            assert (timeframe, stored, missing, health) == (timeframe, expected, 0, "HEALTHY")


class TestStartsAndEndsOfSymbols:
    def test_nothing_is_expected_or_asked_for_before_a_symbols_start_and_after_its_end(
        self, ground, vendor
    ):
        # OLD and NEW are two instruments.
        # The vendor has called them by one ticker, one after the other.
        ground.keep("""
            symbols:
              BTC: {end: 2025-02-28}
              ETH: {start: 2025-02-27}
              OLD: {end: 2025-02-27, sources: [{vendor: TICKER}]}
              NEW: {start: 2025-02-28, sources: [{vendor: TICKER}]}
        """)

        outcomes = ground.fill()

        assert [set(counts(outcome)) for outcome in outcomes] == [
            {"BTC", "OLD"},
            {"BTC", "ETH"},
            {"ETH", "NEW"},
        ]
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)
        assert asked(vendor, "BTC") == [Window(at("2025-02-26T00:00"), at("2025-02-28T00:00"))]
        assert asked(vendor, "ETH") == [Window(at("2025-02-27T00:00"), at("2025-03-01T00:00"))]
        assert sorted(asked(vendor, "TICKER")) == [
            Window(at("2025-02-26T00:00"), at("2025-02-27T00:00")),
            Window(at("2025-02-28T00:00"), at("2025-03-01T00:00")),
        ]
        assert ground.complete()
        completeness = ground.table(
            "SELECT symbol, expected, stored, health FROM ops.completeness ORDER BY symbol"
        )
        assert completeness.rows() == [
            (symbol, bars, bars, "HEALTHY")
            for symbol, bars in (("BTC", 48), ("ETH", 48), ("NEW", 24), ("OLD", 24))
        ]


class TestGenesis:
    def test_a_late_genesis_is_asked_for_once_and_nothing_is_expected_or_asked_for_before_it(
        self, ground, vendor
    ):
        ground.keep(MINUTES + "symbols: {BTC: {}, LATE: {}}\nend: 2026-01-01")

        outcomes = ground.fill()

        assert sum(entry["endTime"] is None for entry in vendor.log) == 2
        assert ground.table(
            "SELECT symbol, ts, source FROM ops.genesis WHERE symbol = 'LATE'"
        ).rows() == [("LATE", LATE_GENESIS.replace(tzinfo=None), "vendor")]
        assert min(window.start for window in asked(vendor, "LATE")) == LATE_GENESIS
        assert [counts(outcome)["LATE"].expected for outcome in outcomes[1:]] == [
            1440 - 510,
            1440,
            720,
        ]
        assert "LATE" not in counts(outcomes[0])
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)
        completeness = ground.table(
            "SELECT expected, missing, health FROM ops.completeness WHERE symbol = 'LATE'"
        )
        assert completeness.rows() == [(2 * 1440 - 510 + 720, 0, "HEALTHY")]

        vendor.log.clear()
        ground.wait(minutes=5)
        ground.fill()

        assert sorted(asked(vendor)) == [Window(at("2025-03-01T12:00"), at("2025-03-01T12:05"))] * 2
        assert len(vendor.log) == 2

    def test_a_source_that_cannot_name_a_first_bar_leaves_the_head_open_and_genesis_fails(
        self, empty_ground
    ):
        ground = empty_ground
        opens = every(timedelta(hours=1), at("2025-02-27T08:00"), at("2025-03-01T00:00"))
        ground.add_archive("files", {"BTC": candles(opens)})
        ground.keep("symbols: {BTC: {}}")

        outcomes = ground.fill()

        assert ground.table("SELECT * FROM ops.genesis").is_empty()
        assert [verdict(outcome, "genesis").passed for outcome in outcomes] == [False, False, True]
        assert "no source has named its genesis" in verdict(outcomes[0], "genesis").summary
        assert not outcomes[0].filled
        assert [counts(outcome)["BTC"].missing for outcome in outcomes] == [24, 8, 0]
        assert len(ground.absent("BTC")) == 32

    def test_refetch_moves_a_genesis_back_and_both_are_on_record(self, ground, vendor):
        ground.keep("symbols: {NEW: {sources: [{vendor: LATE}]}}")
        ground.fill()
        ground.keep("symbols: {NEW: {sources: [{vendor: EARLY}]}}")
        ground.fill()
        assert asked(vendor, "EARLY") == []
        ground.wait(hours=1)

        outcomes = ground.fill(refetch=True)

        assert ground.opens("NEW")[0] == EARLY_GENESIS
        assert outcomes[0].new == 4
        assert all(verdict.passed for outcome in outcomes for verdict in outcome.verdicts)
        assert ground.table("SELECT ts FROM ops.genesis ORDER BY found_at")[
            "ts"
        ].dt.hour().to_list() == [9, 20]
        assert ground.absent("NEW") == every(
            timedelta(hours=1), at("2025-02-26T00:00"), EARLY_GENESIS
        )

    def test_a_genesis_that_moves_on_leaves_older_rows_and_the_verdict_says_so(
        self, ground, vendor
    ):
        vendor.set_faults(
            [Fault(fault="hole", start=at("2025-02-26T21:00"), end=at("2025-02-27T00:00"))]
        )
        ground.keep("symbols: {NEW: {sources: [{vendor: EARLY}]}}")
        ground.fill()
        ground.wait(hours=2)
        assert counts(ground.fill()[0])["NEW"].outage == 3
        ground.keep("symbols: {NEW: {sources: [{vendor: LAST}]}}")

        last = Window(LAST_GENESIS, LAST_GENESIS + timedelta(days=1))
        (refetched,) = ground.fill(refetch=True, window=last)
        first, *_ = ground.fill()

        assert verdict(refetched, "genesis").passed
        assert not verdict(first, "genesis").passed
        assert (
            "NEW has 1 bar before its genesis 2025-02-28 00:00Z"
            in verdict(first, "genesis").summary
        )
        # What was explained before it counts no more.
        assert ground.gaps().is_empty()
        ground.lose("ts < '2025-02-28' OR ts >= '2025-02-28 20:00'")
        completeness = ground.table(
            "SELECT expected, stored, explained, missing FROM ops.completeness"
        ).row(0)
        assert completeness == (24, 20, 0, 4)


class TestTheOpenBar:
    def test_the_bar_that_is_still_open_is_not_stored_and_comes_when_it_has_closed(
        self, ground, vendor
    ):
        ground.clock.now = at("2025-03-01T12:00") + timedelta(seconds=30)
        ground.keep(MINUTES + "start: 2025-03-01\nend: 2026-01-01\nsymbols: {BTC: {}}")
        ground.fill()
        assert ground.opens("BTC")[-1] == at("2025-03-01T11:59")
        vendor.log.clear()
        ground.wait(minutes=1)

        ground.fill()

        assert ground.opens("BTC")[-1] == at("2025-03-01T12:00")
        assert asked(vendor) == [Window(at("2025-03-01T12:00"), at("2025-03-01T12:01"))]

    def test_the_open_bar_is_not_stored_when_the_vendor_gives_it_unasked(self, ground, vendor):
        ground.clock.now = at("2025-03-01T12:00") + timedelta(seconds=30)
        vendor.set_faults([Fault(fault="outside", bars=3)])
        ground.keep(MINUTES + "start: 2025-03-01\nend: 2026-01-01\nsymbols: {BTC: {}}")

        (outcome,) = ground.fill()

        assert ground.opens("BTC")[-1] == at("2025-03-01T11:59")
        assert outcome.rows == 720

    @pytest.mark.parametrize(
        ("now", "last"),
        [("2025-02-28T21:00", "2025-02-27"), ("2025-02-28T22:00", "2025-02-28")],
    )
    def test_a_day_is_stored_no_sooner_than_its_session_has_closed(self, ground, now, last):
        ground.clock.now = at(now)
        ground.keep(
            "kind: FOREX\n"
            "start: 2025-02-03\n"
            "end: 2026-01-01\n"
            "symbols: {EURUSD: {}}\n"
            "timeframes: {fetch: [1d]}"
        )

        ground.fill()

        assert ground.opens("EURUSD")[-1].date() == date.fromisoformat(last)


class TestRevisions:
    def test_refetch_replaces_a_revised_bar_and_keeps_the_old_values_with_the_time(
        self, ground, vendor
    ):
        vendor.set_faults(
            [Fault(fault="revision", start=at("2025-02-27T10:00"), end=at("2025-02-27T12:00"))]
        )
        ground.keep("symbols: {BTC: {}}")
        ground.fill()
        old = ground.rows().filter(
            pl.col("ts").dt.date() == date(2025, 2, 27), pl.col("ts").dt.hour().is_in([10, 11])
        )
        assert [outcome.revised for outcome in ground.fill()] == [0, 0, 0]
        ground.wait(hours=3)

        outcomes = ground.fill(refetch=True)

        assert [(outcome.new, outcome.revised) for outcome in outcomes] == [(0, 0), (0, 2), (0, 0)]
        kept = ground.table("SELECT * FROM ops.revisions ORDER BY ts")
        values = ["symbol", "ts", "open", "high", "low", "close", "volume", "source"]
        assert kept.select(values).equals(old.select(values))
        # The store's columns have no zone.
        assert set(kept["revised_at"]) == {datetime(2025, 3, 1, 15)}  # noqa: DTZ001
        new = ground.rows().join(old, on=["symbol", "ts"], how="semi")
        assert (new["close"] != old["close"]).all()
        assert ground.rows().height == 72


class TestJobs:
    def test_a_job_tells_what_was_asked_and_what_came_of_it(self, ground, vendor):
        vendor.set_faults(
            [Fault(fault="hole", start=at("2025-02-27T10:00"), end=at("2025-02-27T12:00"))]
        )
        ground.keep("symbols: {BTC: {}, ETH: {}}")

        ground.fill(run=Run("a-run"))

        job = ground.job()
        detail = job["detail"]
        assert (job["kind"], job["profile"], job["timeframe"], job["run_id"]) == (
            "fill",
            "kept",
            "1h",
            "a-run",
        )
        assert (job["symbols"], job["progress"], job["status"]) == (
            ["BTC", "ETH"],
            1.0,
            "INCOMPLETE",
        )
        assert (detail["partitions"], detail["partitions_done"], detail["partitions_failed"]) == (
            3,
            3,
            1,
        )
        assert detail["rows"] == {"new": 140, "revised": 0, "rejected": 0}
        assert (detail["missing_before"], detail["missing_after"]) == (144, 4)
        of_each = {"missing_before": 72, "expected": 72, "stored": 70, "missing": 2, "new": 70}
        assert detail["by_symbol"] == {"BTC": of_each, "ETH": of_each}
        assert detail["requests"]["vendor"]["requests"] == len(vendor.log)
        assert detail["requests"]["vendor"]["bytes"] > 0

        # The same sources serve another fill: a job counts its own requests.
        vendor.log.clear()
        ground.fill(sources=ground.sources)
        assert ground.job()["detail"]["requests"]["vendor"]["requests"] == len(vendor.log)

    def test_a_job_with_a_partition_that_failed_is_incomplete_and_names_it(self, ground, vendor):
        vendor.set_faults(
            [Fault(fault="error", start=at("2025-02-26T00:00"), end=at("2025-02-26T01:00"))]
        )
        ground.keep("symbols: {BTC: {}}")

        ground.fill()

        job = ground.job()
        assert job["status"] == "INCOMPLETE"
        assert list(job["detail"]["failures"]) == THREE_DAYS
        assert "HTTP 503" in job["detail"]["failures"]["2025-02-26"][1]

    def test_what_is_expected_is_counted_however_the_fill_ends(self, ground):
        ground.keep("symbols: {BTC: {}}")
        outcomes = iter(ground.begin())
        next(outcomes)
        outcomes.close()

        assert ground.table("SELECT expected, stored FROM ops.completeness").rows() == [(72, 72)]
