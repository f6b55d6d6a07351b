"""Streamed bars leave what a fill of the same bars leaves, but for what only REST may say."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import polars as pl
import pytest

from market_assets.errors import StoreBusyError
from market_assets.expected.newest import newest_partitions
from market_assets.expected.scope import scope_of
from market_assets.fill.streamed import Streamed, StreamedFill
from market_assets.market.timeframes import Timeframe
from market_assets.stream.stream import BAR_SCHEMA
from market_assets_tests.support.fill_ground import at, counts

KEYS = "timeframes: {fetch: [1m]}\nstart: 2025-03-01\nend: null\nsymbols: {BTC: {}, ETH: {}}"


def bars(frame: pl.DataFrame, symbol: str = "BTC", **changes: object) -> pl.DataFrame:
    """Candles as a stream gives them."""
    return (
        frame.with_columns(
            symbol=pl.lit(symbol),
            received_at=pl.col("ts") + pl.duration(seconds=61),
            is_revision=pl.lit(value=False),
        )
        .with_columns(
            pl.lit(None).cast(kind).alias(name)
            for name, kind in BAR_SCHEMA.items()
            if name not in frame.columns and name not in {"symbol", "received_at", "is_revision"}
        )
        .with_columns(**{name: pl.lit(value) for name, value in changes.items()})
        .select(BAR_SCHEMA.names())
        .cast(BAR_SCHEMA)
    )


@pytest.fixture
def begun(ground, vendor):
    """A profile that was filled up to 12:00, and whose clock is a second after 12:03."""
    ground.keep(KEYS)
    ground.fill()
    vendor.log.clear()
    ground.wait(seconds=181)
    return ground


def commit(ground, *batches: Streamed, **options: object):
    fill = StreamedFill(ground.store, ground.sources, ground.profile, Timeframe.M1)
    return fill.commit(batches, ground.clock() - timedelta(seconds=10), **options)


def streamed(ground, *symbols: str) -> list[Streamed]:
    """The vendor's own bars since 12:00, had by a fill; they are lost again afterwards."""
    ground.fill()
    newest = ground.table("SELECT * FROM kept.candles_1m WHERE ts >= '2025-03-01 12:00'")
    return [
        Streamed("vendor", bars(newest.filter(pl.col("symbol") == symbol).sort("ts"), symbol))
        for symbol in symbols
    ]


def judged(ground) -> pl.DataFrame:
    return ground.table(
        """
        SELECT symbol, partition, expected, stored, explained, missing
        FROM ops.partitions
        ORDER BY ALL
        """
    )


def lose_newest(ground) -> None:
    ground.lose("ts >= '2025-03-01 12:00'")


class TestTheOnePath:
    def test_streamed_bars_leave_the_rows_and_verdicts_of_a_fill_and_nobody_is_asked(
        self, begun, vendor
    ):
        batches = streamed(begun, "BTC", "ETH")
        rows, counted = begun.rows(), judged(begun)
        lose_newest(begun)
        vendor.log.clear()

        (outcome,) = commit(begun, *batches)

        assert begun.rows().equals(rows)
        assert judged(begun).equals(counted)
        assert outcome.new == 6
        assert outcome.filled
        assert all(verdict.passed for verdict in outcome.verdicts)
        assert [verdict.check for verdict in outcome.verdicts] == [
            "continuity",
            "genesis",
            "validity",
        ]
        assert list(vendor.log) == []

    def test_a_fill_after_it_asks_for_nothing(self, begun, vendor):
        batches = streamed(begun, "BTC", "ETH")
        lose_newest(begun)
        commit(begun, *batches)
        vendor.log.clear()

        begun.fill(only_due=True)

        assert list(vendor.log) == []

    def test_a_batch_that_comes_again_changes_nothing(self, begun):
        batches = streamed(begun, "BTC", "ETH")
        lose_newest(begun)
        commit(begun, *batches)
        rows = begun.rows()

        (outcome,) = commit(begun, *batches)

        assert (outcome.new, outcome.revised) == (0, 0)
        assert begun.rows().equals(rows)
        assert begun.table("SELECT * FROM ops.revisions").is_empty()

    def test_another_value_of_a_stored_bar_is_a_revision(self, begun):
        (batch,) = streamed(begun, "BTC")

        other = Streamed("vendor", batch.bars.with_columns(volume=pl.col("volume") + 1))
        (outcome,) = commit(begun, other)

        assert (outcome.new, outcome.revised) == (0, 3)
        kept = begun.table("SELECT symbol, ts, volume FROM ops.revisions ORDER BY ts")
        assert kept["symbol"].to_list() == ["BTC"] * 3
        assert begun.rows("BTC")["volume"].tail(3).to_list() == [
            volume + 1 for volume in kept["volume"]
        ]

    def test_bars_before_any_fill_are_kept_and_the_day_is_not_filled(self, ground):
        ground.keep(KEYS)
        ground.wait(seconds=181)
        batches = streamed(ground, "BTC")
        ground.lose("true")

        (outcome,) = commit(ground, *batches)

        assert outcome.new == 3
        assert not outcome.filled


class TestWhatRestHasAnsweredSince:
    def test_a_bar_that_came_before_does_not_replace_what_is_stored(self, begun):
        (batch,) = streamed(begun, "BTC")
        rows = begun.rows()
        other = Streamed("vendor", batch.bars.with_columns(volume=pl.col("volume") + 1))
        fill = StreamedFill(begun.store, begun.sources, begun.profile, Timeframe.M1)

        outcomes = fill.commit([], begun.clock() - timedelta(seconds=10), stale=[other])

        assert outcomes == []
        assert fill.overtaken == {"BTC"}
        assert begun.rows().equals(rows)
        assert begun.table("SELECT * FROM ops.revisions").is_empty()

    def test_a_bar_that_came_before_and_is_not_stored_is_stored(self, begun):
        (batch,) = streamed(begun, "BTC")
        rows = begun.rows()
        begun.lose("ts = '2025-03-01 12:01' AND symbol = 'BTC'")
        fill = StreamedFill(begun.store, begun.sources, begun.profile, Timeframe.M1)

        (outcome,) = fill.commit([], begun.clock() - timedelta(seconds=10), stale=[batch])

        assert outcome.new == 1
        assert fill.overtaken == set()
        assert begun.rows().equals(rows)


class TestPresenceAndNeverAbsence:
    def test_no_coverage_is_written(self, begun):
        batches = streamed(begun, "BTC", "ETH")
        lose_newest(begun)
        coverage = begun.table("SELECT * FROM ops.coverage")

        commit(begun, *batches)

        assert begun.table("SELECT * FROM ops.coverage").equals(coverage)

    def test_a_bar_that_is_left_out_is_missing_and_was_never_asked_for(self, begun, vendor):
        batches = streamed(begun, "BTC", "ETH")
        rows = begun.rows()
        lose_newest(begun)
        with begun.store.writing("testing") as transaction:
            transaction.connection.execute("DELETE FROM ops.coverage WHERE end_ts > '2025-03-01'")
        hole = pl.col("ts") != at("2025-03-01T12:01").replace(tzinfo=None)
        batches[0] = Streamed("vendor", batches[0].bars.filter(hole))

        (outcome,) = commit(begun, *batches)

        assert counts(outcome)["BTC"].missing == 1
        (gap,) = begun.gaps().to_dicts()
        assert (gap["symbol"], gap["bars"], gap["status"], gap["attempts"]) == (
            "BTC",
            1,
            "open",
            0,
        )

        vendor.log.clear()
        begun.fill(only_due=True)
        assert {entry["symbol"] for entry in vendor.log} == {"BTC"}
        assert begun.rows().equals(rows)

    def test_bars_of_other_symbols_that_have_just_closed_are_not_missing(self, begun):
        (batch,) = streamed(begun, "BTC")
        lose_newest(begun)
        commit(begun, Streamed("vendor", batch.bars.head(2)))
        begun.wait(seconds=-60)
        first = streamed(begun, "ETH")
        begun.wait(seconds=60)
        repairs = begun.table("SELECT * FROM ops.repairs")

        (outcome,) = commit(begun, Streamed("vendor", batch.bars.tail(1)), *first)

        assert counts(outcome)["BTC"].missing == 0
        assert counts(outcome)["ETH"].missing == 0
        assert begun.table("SELECT * FROM ops.repairs").equals(repairs)


class TestWhatCannotBe:
    def test_a_row_that_cannot_be_is_refused_and_the_others_are_stored(self, begun):
        (batch,) = streamed(begun, "BTC")
        lose_newest(begun)
        high = pl.when(pl.int_range(pl.len()) == 1).then(0.5).otherwise("high")
        odd = batch.bars.with_columns(high=high)

        (outcome,) = commit(begun, Streamed("vendor", odd))
        commit(begun, Streamed("vendor", odd))

        assert (outcome.new, outcome.rejected) == (2, 1)
        validity = next(v for v in outcome.verdicts if v.check == "validity")
        assert not validity.passed
        (refused,) = begun.table("SELECT symbol, source, rows FROM ops.refused").to_dicts()
        assert refused == {"symbol": "BTC", "source": "vendor", "rows": 2}

    def test_a_symbol_that_nobody_keeps_changes_nothing(self, begun):
        (batch,) = streamed(begun, "BTC")
        rows = begun.rows()

        stranger = batch.bars.with_columns(symbol=pl.lit("STRANGER"))

        assert commit(begun, Streamed("vendor", stranger), Streamed("other", batch.bars)) == []
        assert begun.rows().equals(rows)

    def test_a_busy_store_is_not_waited_for_longer_than_said_and_nothing_is_lost(self, begun):
        (batch,) = streamed(begun, "BTC")
        lose_newest(begun)
        with (
            begun.store._lock.held("testing"),
            ThreadPoolExecutor(1) as pool,
            pytest.raises(StoreBusyError),
        ):
            pool.submit(commit, begun, batch, patience=timedelta(seconds=0.05)).result()

        (outcome,) = commit(begun, batch)
        assert outcome.new == 3

    def test_what_else_is_noted_is_committed_with_the_bars(self, begun):
        (batch,) = streamed(begun, "BTC")
        lose_newest(begun)

        def fail(_):
            raise LookupError("testing")

        with pytest.raises(LookupError):
            commit(begun, batch, note=fail)

        assert len(begun.rows("BTC")) == 720


class TestWhatAnUpdateHasLeftToDo:
    def behind(self, ground) -> list[str]:
        now = ground.clock() - timedelta(seconds=10)
        # An update looks ten seconds after a bar has closed.
        scope = scope_of(ground.profile, Timeframe.M1, now + timedelta(seconds=10))
        newest = newest_partitions(ground.store, scope)
        return [standing.partition.key for standing in newest if standing.is_behind(scope.now)]

    def test_nothing_where_all_bars_came(self, begun):
        batches = streamed(begun, "BTC", "ETH")
        lose_newest(begun)

        commit(begun, *batches)

        assert self.behind(begun) == []

    def test_the_day_where_a_symbol_is_late(self, begun):
        batches = streamed(begun, "BTC", "ETH")
        lose_newest(begun)

        commit(begun, batches[0], Streamed("vendor", batches[1].bars.head(2)))

        assert self.behind(begun) == ["2025-03-01"]

    def test_the_day_where_a_bar_is_missing(self, begun):
        batches = streamed(begun, "BTC", "ETH")
        lose_newest(begun)

        commit(begun, batches[0], Streamed("vendor", batches[1].bars.tail(1)))

        assert self.behind(begun) == ["2025-03-01"]
