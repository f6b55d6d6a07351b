"""Adjusted candles in SQL: the same numbers as the pure functions.

They are as of any day, and as they were known at any instant.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from market_assets.enrich.actions.adjust import adjust, adjusted_weeks, adjustments, known_by
from market_assets.market.columns import EXTRA_NAMES
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.sources.actions import ACTION_SCHEMA
from market_assets.store.adjusted import create_action_table, create_adjusted
from market_assets.store.schema import MIGRATIONS, create_candle_table
from market_assets_tests.support.actions_ground import histories

if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_assets.store import Store
    from market_assets_tests.conftest import Clock

NEW_YORK = "America/New_York"
KEPT = (Timeframe.M1, Timeframe.D1, Timeframe.W1)
TOLD = pl.Schema({"symbol": pl.String(), **ACTION_SCHEMA, "source": pl.String()})
at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone
PRICES = ["open", "high", "low", "close", "volume"]


def actions(*rows: tuple[str, str, float | str]) -> pl.DataFrame:
    """Actions: symbol, ex-date, and the ratio of a split or, as text, the amount of a dividend."""
    made = [
        (symbol, date.fromisoformat(day), "dividend", None, float(what), "USD", None, "told")
        if isinstance(what, str)
        else (symbol, date.fromisoformat(day), "split", what, None, None, None, "told")
        for symbol, day, what in rows
    ]
    return pl.DataFrame(made, schema=TOLD, orient="row")


def flat(symbol: str, *bars: tuple[datetime, float]) -> pl.DataFrame:
    rows = [(symbol, ts, close, close, close, close, 100.0, "raw") for ts, close in bars]
    columns = {
        "symbol": pl.String,
        "ts": TS,
        **dict.fromkeys(PRICES, pl.Float64),
        "source": pl.String,
    }
    return pl.DataFrame(rows, schema=columns, orient="row")


class Kept:
    """A profile `us` in a store, with the table, views and macros of its corporate actions."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock = store, clock
        with store.writing("making it") as transaction:
            for timeframe in KEPT:
                transaction.candles.create(
                    Dataset.candles("us", timeframe), derived=timeframe is Timeframe.W1
                )
            transaction.actions.create("us", KEPT, NEW_YORK)

    def candles(self, timeframe: Timeframe, frame: pl.DataFrame) -> None:
        window = Window(datetime(1990, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))
        with self.store.writing("candles") as transaction:
            transaction.candles.merge(
                Dataset.candles("us", timeframe), frame["symbol"].unique().to_list(), window, frame
            )

    def tell(self, told: pl.DataFrame, *symbols: str, source: str = "told"):
        names = symbols or tuple(told["symbol"].unique())
        with self.store.writing("actions") as transaction:
            return transaction.actions.put("us", dict.fromkeys(names, source), told)

    def sql(self, query: str) -> pl.DataFrame:
        with duckdb.connect(self.store.path, read_only=True) as db:
            # Whoever reads may live anywhere.
            db.execute("SET TimeZone = 'Pacific/Auckland'")
            return db.sql(query).pl()


@pytest.fixture
def kept(store: Store, clock: Clock) -> Kept:
    return Kept(store, clock)


def days(symbol: str, *closes: tuple[str, float]) -> pl.DataFrame:
    return flat(symbol, *((at(day), close) for day, close in closes))


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


class TestRecord:
    def test_what_is_said_again_keeps_its_date_of_record(self, kept):
        first = kept.tell(actions(("A", "2024-07-02", "1"), ("A", "2024-07-02", 2.0)))
        recorded = kept.clock.now
        kept.clock.now += timedelta(days=1)

        again = kept.tell(actions(("A", "2024-07-02", "1"), ("A", "2024-07-02", 2.0)))

        assert (first.new, again.new, again.changed, again.withdrawn) == (2, 0, 0, 0)
        assert kept.sql("FROM us.corporate_actions")["recorded_at"].unique().to_list() == [
            recorded.replace(tzinfo=None)
        ]
        assert kept.sql("FROM ops.action_revisions").is_empty()
        assert kept.sql("FROM ops.action_answers")["answered_at"][0] == kept.clock.now.replace(
            tzinfo=None
        )

    def test_a_corrected_amount_takes_the_place_of_the_old_one_which_stays_known_by_then(
        self, kept
    ):
        kept.candles(Timeframe.D1, days("A", ("2024-07-01", 100.0), ("2024-07-02", 100.0)))
        kept.tell(actions(("A", "2024-07-02", "1"), ("A", "2024-07-03", "1")))
        kept.clock.now += timedelta(days=2)

        corrected = kept.tell(actions(("A", "2024-07-02", "2")))

        assert (corrected.new, corrected.changed, corrected.withdrawn) == (0, 1, 1)
        first, second = (kept.clock.now - timedelta(days=back) for back in (2, 0))
        for known, close in (
            (first - timedelta(1), 100.0),
            (first, 99.0 * 0.99),
            (second - timedelta(1), 99.0 * 0.99),
            (second, 98.0),
            (None, 98.0),
        ):
            by = "" if known is None else f", known_by := TIMESTAMP '{known.replace(tzinfo=None)}'"
            found = kept.sql(f"FROM us.adjusted_1d(DATE '2024-07-05'{by}) ORDER BY ts")["close"][0]
            assert found == pytest.approx(close)
            with kept.store.reading("all of it") as view:
                every = view.actions.of("us")
            closes = pl.DataFrame(
                {"symbol": "A", "session": [date(2024, 7, 1), date(2024, 7, 2)], "close": 100.0}
            )
            factors = adjustments(
                known_by(every, known or kept.clock.now), closes, as_of=date(2024, 7, 5)
            )
            assert 100.0 * (factors["price_factor"][0] if factors.height else 1.0) == pytest.approx(
                close
            )

    def test_other_symbols_and_other_profiles_are_left_alone(self, kept):
        kept.tell(actions(("A", "2024-07-02", "1"), ("B", "2024-07-02", "1")))
        with kept.store.writing("another") as transaction:
            for timeframe in KEPT:
                transaction.candles.create(Dataset.candles("other", timeframe), derived=False)
            transaction.actions.create("other", KEPT, NEW_YORK)
            transaction.actions.put("other", {"A": "told"}, actions(("A", "2024-07-02", "3")))

        kept.tell(actions(), "A")

        assert kept.sql("FROM us.corporate_actions")["symbol"].to_list() == ["B"]
        assert kept.sql("FROM other.corporate_actions")["amount"].to_list() == [3.0]
        assert kept.sql("SELECT profile, symbol FROM ops.action_revisions").rows() == [("us", "A")]
