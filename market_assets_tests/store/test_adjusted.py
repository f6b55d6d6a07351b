"""Adjusted candles in SQL: the same numbers as the pure functions.

They are as of any day, and as they were known at any instant.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from market_assets.enrich.actions.adjust import adjust, adjusted_weeks, adjustments
from market_assets.market.columns import EXTRA_NAMES
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.store.adjusted import create_action_table, create_adjusted
from market_assets.store.schema import MIGRATIONS, create_candle_table
from market_assets_tests.support.actions_ground import histories
from market_assets_tests.support.store_rows import actions, days, flat

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT = (Timeframe.M1, Timeframe.D1, Timeframe.W1)
at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone
PRICES = ["open", "high", "low", "close", "volume"]


def test_ten_years_of_days_and_weeks_are_those_of_the_pure_functions(kept, shared):
    equity = shared / "data" / "equity"
    raw = pl.concat(
        pl.read_parquet(equity / f"lean__{name}__1d.parquet") for name in ("AAPL", "BAC")
    )
    raw = raw.filter(pl.col("ts") >= at("2011-03-31")).select(
        "symbol", "ts", *PRICES, source=pl.lit("lean")
    )
    path = shared / "data" / "oracle" / "yahoo_actions" / "dividends_splits_2015-2025.csv"
    table = pl.read_csv(path, try_parse_dates=True).filter(pl.col("symbol").is_in(["AAPL", "BAC"]))
    told = pl.concat(
        table.filter(pl.col(name) > 0).select(
            "symbol",
            ex_date="Date",
            kind=pl.lit(kind),
            ratio=pl.col(name) if kind == "split" else pl.lit(None, pl.Float64),
            amount=pl.lit(None, pl.Float64) if kind == "split" else pl.col(name),
            currency=pl.lit(None, pl.String),
            detail=pl.lit(None, pl.String),
            source=pl.lit("told"),
        )
        for name, kind in (("Dividends", "dividend"), ("Stock Splits", "split"))
    )
    told = pl.concat([told, actions(("AAPL", "2014-06-09", 7.0))])
    kept.candles(Timeframe.D1, raw)
    kept.tell(told)
    with_session = raw.drop("source").with_columns(session=pl.col("ts").dt.date())

    for day in (date(2014, 6, 8), date(2014, 6, 9), date(2020, 8, 31), date(2025, 11, 18)):
        closes = with_session.select("symbol", "session", "close")
        ours = adjust(with_session, adjustments(told, closes, as_of=day), as_of=day)
        for timeframe, expected in (("1d", ours.drop("session")), ("1w", adjusted_weeks(ours))):
            found = kept.sql(f"FROM us.adjusted_{timeframe}(DATE '{day}') ORDER BY symbol, ts")
            assert found.select("symbol", "ts").equals(expected.select("symbol", "ts"))
            off = [(found[name] / expected[name] - 1).abs().max() for name in PRICES]
            assert max(off) < 1e-12, (timeframe, day)
    assert kept.sql("SELECT count(*) AS n FROM us.candles_1d_adjusted")["n"][0] == raw.height > 5000


@pytest.fixture(scope="module")
def memory() -> Iterator[duckdb.DuckDBPyConnection]:
    """A store without a file, and without any rows that matter."""
    with duckdb.connect() as db:
        for script in (
            *MIGRATIONS,
            create_action_table("us"),
            *(create_candle_table(Dataset.candles("us", each), derived=False) for each in KEPT),
        ):
            db.execute(script)
        db.execute(create_adjusted("us", KEPT, "UTC"))
        db.execute(
            "INSERT INTO ops.action_answers VALUES ('us', 'A', 'told', 1, TIMESTAMP '2024-01-01')"
        )
        yield db


@settings(max_examples=12)
@given(histories(), st.integers(0, 50))
def test_any_history_comes_out_as_the_pure_functions_have_it(memory, history, day):
    candles, told = history
    # Of every third day a vendor says nothing but the prices and the volume.
    is_told = pl.when(pl.int_range(pl.len()) % 3 > 0)
    candles = candles.with_columns(
        quote_volume=is_told.then(pl.col("close") * pl.col("volume")),
        trades=is_told.then(pl.int_range(pl.len())),
        taker_buy_volume=is_told.then(pl.col("volume") / 4),
        vwap=is_told.then((pl.col("high") + pl.col("low")) / 2),
    )
    as_of = date(2024, 1, 1) + timedelta(days=day)
    ours = adjust(
        candles,
        adjustments(told, candles.select("symbol", "session", "close"), as_of=as_of),
        as_of=as_of,
    )
    for table, rows in (
        ("corporate_actions", told),
        ("candles_1m", candles),
        ("candles_1d", candles),
    ):
        names = [name for name in rows.columns if name not in {"session", "source"}]
        more = (
            ", recorded_at) SELECT *, 'told', TIMESTAMP '2024-01-01'"
            if rows is told
            else ") SELECT *, 'raw'"
        )
        memory.register("rows", rows.select(names).to_arrow())
        memory.execute(
            f"DELETE FROM us.{table}; "
            f"INSERT INTO us.{table} ({', '.join(names)}, source{more} FROM rows"
        )
    for timeframe in KEPT:
        expected = (
            adjusted_weeks(ours)
            if timeframe is Timeframe.W1
            else ours.select("symbol", "ts", *PRICES, *EXTRA_NAMES)
        )
        found = memory.sql(f"FROM us.adjusted_{timeframe}(DATE '{as_of}') ORDER BY symbol, ts").pl()
        expected = expected.select(found.columns)
        assert_frame_equal(found, expected, rel_tol=1e-12, abs_tol=0)


def test_minutes_are_adjusted_by_their_session_in_the_exchange_s_zone(kept):
    kept.candles(Timeframe.D1, days("A", ("2024-07-01", 400.0), ("2024-07-02", 100.0)))
    minutes = [
        at(f"2024-07-{text}")
        for text in ("01 19:59", "02 03:59", "02 04:00", "02 13:30", "03 04:00")
    ]
    kept.candles(Timeframe.M1, flat("A", *((ts, 400.0) for ts in minutes)))
    kept.tell(actions(("A", "2024-07-02", 4.0)))

    found = kept.sql("FROM us.adjusted_1m(DATE '2024-07-02') ORDER BY ts")

    assert found["ts"].to_list() == minutes[:4]
    assert found["close"].to_list() == [100.0, 100.0, 400.0, 400.0]
    assert found["volume"].to_list() == [400.0, 400.0, 100.0, 100.0]
    assert kept.sql("FROM us.adjusted_1m(DATE '2024-07-01')")["close"].to_list() == [400.0, 400.0]
    assert kept.sql("FROM us.candles_1m_adjusted")["close"].len() == 5


def test_a_session_that_opens_on_the_day_before_its_date_in_utc_is_a_whole_one(kept):
    with kept.store.writing("in Sydney") as transaction:
        transaction.actions.create("us", KEPT, "Australia/Sydney")
    kept.candles(Timeframe.D1, days("A", ("2024-01-15", 20.0), ("2024-01-16", 10.0)))
    minutes = [
        at(f"2024-01-{text}")
        for text in ("14 23:00", "15 04:59", "15 23:00", "16 04:59", "16 23:00")
    ]
    kept.candles(Timeframe.M1, flat("A", *((ts, 20.0) for ts in minutes)))
    kept.tell(actions(("A", "2024-01-16", 2.0)))

    found = kept.sql("FROM us.adjusted_1m(DATE '2024-01-16') ORDER BY ts")

    assert found["ts"].to_list() == minutes[:4]
    assert found["close"].to_list() == [10.0, 10.0, 20.0, 20.0]


def test_a_dividend_is_measured_by_the_last_close_that_is_there_and_by_a_later_one_when_it_comes(
    kept,
):
    kept.candles(Timeframe.D1, days("A", ("2024-07-02", 100.0)))
    kept.tell(actions(("A", "2024-07-02", "1")))
    assert kept.sql("FROM us.candles_1d_adjusted ORDER BY ts")["close"].to_list() == [100.0]

    kept.candles(Timeframe.D1, days("A", ("2024-01-02", 50.0), ("2024-07-02", 100.0)))
    assert kept.sql("FROM us.candles_1d_adjusted ORDER BY ts")["close"].to_list() == pytest.approx(
        [49.0, 100.0]
    )

    kept.candles(
        Timeframe.D1, days("A", ("2024-01-02", 50.0), ("2024-07-01", 100.0), ("2024-07-02", 100.0))
    )

    assert kept.sql("FROM us.candles_1d_adjusted ORDER BY ts")["close"].to_list() == pytest.approx(
        [49.5, 99.0, 100.0]
    )


def test_symbols_that_no_source_has_told_of_have_no_adjusted_candles(kept):
    kept.candles(
        Timeframe.D1, pl.concat([days("A", ("2024-07-01", 1.0)), days("B", ("2024-07-01", 2.0))])
    )
    kept.tell(actions(), "B")

    assert kept.sql("FROM us.candles_1d_adjusted")["symbol"].to_list() == ["B"]
    assert kept.sql("FROM ops.action_answers").select(
        "profile", "symbol", "source", "actions"
    ).rows() == [("us", "B", "told", 0)]
