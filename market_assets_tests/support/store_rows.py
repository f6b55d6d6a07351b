"""Rows of the tables of a store."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import duckdb
import polars as pl

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.sources.actions import ACTION_SCHEMA

if TYPE_CHECKING:
    from market_assets.store import Store
    from market_assets_tests.conftest import Clock


NEW_YORK = "America/New_York"
KEPT = (Timeframe.M1, Timeframe.D1, Timeframe.W1)
TOLD = pl.Schema({"symbol": pl.String(), **ACTION_SCHEMA, "source": pl.String()})
at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone
PRICES = ["open", "high", "low", "close", "volume"]


def counts(*rows: tuple[str, str, int, int, int, int]) -> pl.DataFrame:
    names = ("expected", "stored", "explained", "missing")
    return pl.DataFrame(
        rows,
        schema={"partition": pl.String, "symbol": pl.String} | dict.fromkeys(names, pl.Int64),
        orient="row",
    )


def answers(minutes, *rows: tuple[str, str, int, int, int]) -> pl.DataFrame:
    values = [
        (symbol, source, minutes.naive(start), minutes.naive(end), bars)
        for symbol, source, start, end, bars in rows
    ]
    schema = {
        "symbol": pl.String,
        "source": pl.String,
        "start_ts": TS,
        "end_ts": TS,
        "bars": pl.Int64,
    }
    return pl.DataFrame(values, schema=schema, orient="row").with_columns(
        omits_quiet=pl.lit(value=True)
    )


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


def days(symbol: str, *closes: tuple[str, float]) -> pl.DataFrame:
    return flat(symbol, *((at(day), close) for day, close in closes))
