"""Sums over the ledgers are those of the rows, and what was spent never shrinks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.config.services import RetentionSettings
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets_tests.support.store_rows import counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from market_assets.store import Store

M1 = Dataset.candles("crypto", Timeframe.M1)
COUNTED = datetime(2025, 1, 3)  # noqa: DTZ001 - as frames hold it
NOW = datetime(2025, 6, 30, 12, tzinfo=UTC)


def put_series(store: Store, **expected: int) -> None:
    frame = pl.DataFrame(
        {"symbol": list(expected), "expected": list(expected.values())}
    ).with_columns(
        profile=pl.lit("crypto"),
        timeframe=pl.lit("1m"),
        derived=pl.lit(value=False),
        counted_until=pl.lit(COUNTED).cast(TS),
    )
    with store.writing("testing") as transaction:
        transaction.series.put(frame)


def put_counts(store: Store, *rows: tuple[str, str, int, int, int, int]) -> None:
    with store.writing("testing") as transaction:
        transaction.partitions.put(M1, counts(*rows))


def add_job(store: Store, name: str, started: str, **by_source: Mapping[str, float]) -> None:
    with store.writing("testing") as transaction:
        transaction.connection.execute(
            """
            INSERT INTO ops.jobs BY NAME
            SELECT ? AS job_id, 'fill' AS kind, 'update' AS trigger, 'SUCCEEDED' AS status,
                ?::TIMESTAMP AS started_at, started_at + INTERVAL 3 SECOND AS ended_at,
                'crypto' AS profile, '1m' AS timeframe, [] AS symbols, started_at AS start_ts,
                started_at AS end_ts, 1.0 AS progress, ? AS detail
            """,
            [name, started, json.dumps({"requests": by_source})],
        )


def bars(store: Store) -> list[tuple]:
    with store.reading("testing") as view:
        return view.totals.bars().select("symbol", "expected", "stored", "missing").rows()


def spent(store: Store) -> list[tuple]:
    with store.reading("testing") as view:
        return view.totals.spent().rows()


def test_what_no_partition_was_judged_for_is_missing(store: Store) -> None:
    put_series(store, BTC=20, ETH=10)
    put_counts(store, ("2025-01-01", "BTC", 10, 8, 2, 0))
    assert bars(store) == [("BTC", 20, 8, 10), ("ETH", 10, 0, 10)]


def test_a_bar_that_was_stored_after_the_series_was_counted_hides_no_hole(store: Store) -> None:
    put_series(store, BTC=10)
    put_counts(store, ("2025-01-01", "BTC", 12, 10, 0, 2))
    assert bars(store) == [("BTC", 12, 10, 2)]


def test_partitions_are_whole_or_lack_a_bar(store: Store) -> None:
    put_counts(
        store,
        ("2025-01-01", "BTC", 10, 8, 2, 0),
        ("2025-01-02", "BTC", 10, 10, 0, 0),
        ("2025-01-02", "ETH", 10, 9, 0, 1),
    )
    with store.reading("testing") as view:
        assert view.totals.partitions().rows() == [
            ("crypto", "1m", "lacking", 1),
            ("crypto", "1m", "whole", 1),
        ]


def test_the_newest_bar_of_each_symbol(store: Store, minutes) -> None:
    with store.writing("testing") as transaction:
        transaction.candles.create(M1, derived=False)
        rows = minutes.candles(*(("BTC", minute, 1.0, 1.0) for minute in range(8)))
        transaction.candles.merge(M1, ["BTC"], minutes.window(0, 10), rows)
    with store.reading("testing") as view:
        assert view.totals.last_opens(M1, minutes.window(2, 7)).rows() == [
            ("BTC", minutes.naive(6))
        ]
        assert view.totals.last_opens(M1, Window(NOW, NOW + timedelta(days=1))).is_empty()


def test_what_sources_have_cost_is_summed_over_the_jobs(store: Store) -> None:
    cost = {"requests": 3, "retries": 1, "waits": 0.5, "bytes": 100}
    add_job(store, "one", "2025-06-29 10:00", binance=cost)
    add_job(store, "two", "2025-06-29 11:00", binance=cost, bybit={**cost, "requests": 7})
    assert spent(store) == [
        ("crypto", "binance", 6, 2, 1.0, 200),
        ("crypto", "bybit", 7, 1, 0.5, 100),
    ]


def test_what_was_spent_stays_when_its_jobs_are_pruned(store: Store) -> None:
    cost = {"requests": 3, "retries": 1, "waits": 0.5, "bytes": 100}
    for day in range(1, 29):
        for hour in (9, 10):
            add_job(store, f"{day} {hour}", f"2025-02-{day:02} {hour}:00", binance=cost)
    before = spent(store)
    for now in (NOW, NOW + timedelta(days=400)):
        with store.writing("testing") as transaction:
            removed = transaction.catalog.prune(RetentionSettings(), now)
        assert ("jobs" in {each.table for each in removed}) == (now == NOW)
        assert spent(store) == before == [("crypto", "binance", 168, 56, 28.0, 5600)]


def test_the_last_job_of_each_kind(store: Store) -> None:
    add_job(store, "one", "2025-06-29 10:00")
    add_job(store, "two", "2025-06-29 11:00")
    with store.reading("testing") as view:
        assert view.totals.last_jobs().select(
            "kind", "status", "seconds", "ended_at", "running"
        ).rows() == [("fill", "SUCCEEDED", 3.0, datetime(2025, 6, 29, 11, 0, 3), 0)]  # noqa: DTZ001
