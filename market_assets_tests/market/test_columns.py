"""What extra columns may hold, and how they roll up."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import polars as pl
import pytest

from market_assets.enrich.resample import resample
from market_assets.market.columns import DERIVED, EXTRA_NAMES, EXTRA_SCHEMA, EXTRAS, FETCHED, sound
from market_assets.market.timeframes import TS

START = datetime(2025, 3, 3)  # noqa: DTZ001 - as frames hold it: UTC, without a zone
BARS = pl.DataFrame(
    {"ts": [START], "opens_at": [START], "closes_at": [START + timedelta(minutes=5)]},
    schema=dict.fromkeys(("ts", "opens_at", "closes_at"), TS),
)
NAN, INF = math.nan, math.inf


def candles(*rows: dict[str, float | None]) -> pl.DataFrame:
    """Minutes of a flat price of 100 and a volume of 10, but for what is said otherwise."""
    usual = {"open": 100.0, "high": 101.0, "low": 99.0, "close": 100.0, "volume": 10.0}
    names = sorted({name for row in rows for name in row} - usual.keys())
    table = [
        {
            "symbol": "BTC",
            "ts": START + timedelta(minutes=at),
            **usual,
            **dict.fromkeys(names),
            **row,
        }
        for at, row in enumerate(rows)
    ]
    schema = {"symbol": pl.String(), "ts": TS, **dict.fromkeys([*usual, *names], pl.Float64())}
    return pl.DataFrame(table, schema=schema)


def rolled(*rows: dict[str, float | None]) -> dict[str, float | None]:
    """The extra columns of five minutes."""
    (row,) = resample(candles(*rows), BARS, quiet_bars_are_flat=True).to_dicts()
    return {name: row[name] for name in EXTRA_NAMES if name in row}


class TestSound:
    @pytest.mark.parametrize(
        ("column", "value", "kept"),
        [
            ("quote_volume", 1000.0, 1000.0),
            ("quote_volume", 0.0, 0.0),
            ("quote_volume", -1.0, None),
            ("quote_volume", NAN, None),
            ("quote_volume", INF, None),
            ("trades", 7.0, 7),
            ("trades", 7.5, None),
            ("trades", -1.0, None),
            ("trades", 1e300, None),
            ("taker_buy_volume", 10.0, 10.0),
            ("taker_buy_volume", 10.1, None),
            ("taker_buy_volume", -0.1, None),
            ("vwap", 101.0, 101.0),
            # Rounded to four decimals, as some vendors have it.
            ("vwap", 101.005, 101.005),
            ("vwap", 101.02, None),
            ("vwap", 98.9, None),
            ("vwap", 0.0, None),
            ("vwap", NAN, None),
        ],
    )
    def test_what_cannot_be_is_null_and_counted_and_costs_no_bar(self, column, value, kept):
        given = candles(
            {column: 1.0} if column != "vwap" else {column: 100.0}, {column: value}, {column: None}
        )

        found, dropped = sound(given)

        assert found.drop(column).equals(given.drop(column))
        assert found[column].to_list()[1:] == [kept, None]
        assert found.schema[column] == EXTRA_SCHEMA[column]
        assert dropped.rows() == (
            [] if kept is not None else [(START + timedelta(minutes=1), column)]
        )

    def test_a_vwap_of_nothing_is_none_and_no_fault(self):
        found, dropped = sound(
            candles({"volume": 0.0, "vwap": 0.0}, {"volume": 0.0, "vwap": NAN}, {"vwap": 100.0})
        )

        assert found["vwap"].to_list() == [None, None, 100.0]
        assert dropped.is_empty()

    def test_a_vwap_may_be_negative_where_prices_are(self):
        below = {"open": -37.0, "high": -36.0, "low": -40.0, "close": -37.63}

        found, dropped = sound(candles({**below, "vwap": -38.5}, {**below, "vwap": 38.5}))

        assert found["vwap"].to_list() == [-38.5, None]
        assert len(dropped) == 1

    def test_of_a_bar_without_a_volume_takers_may_have_bought_any_part(self):
        found, dropped = sound(candles({"volume": None, "taker_buy_volume": 5.0}))

        assert found["taker_buy_volume"].to_list() == [5.0]
        assert dropped.is_empty()


class TestRollUp:
    def test_sums_are_sums_and_a_vwap_is_what_was_paid_by_the_volume(self):
        full = {"quote_volume": 1000.0, "trades": 4.0, "taker_buy_volume": 2.5}

        assert rolled(full, {**full, "volume": 30.0, "quote_volume": 3020.0}) == {
            "quote_volume": 4020.0,
            "trades": 8,
            "taker_buy_volume": 5.0,
            "vwap": 100.5,
        }

    def test_without_a_quote_volume_a_vwap_is_the_mean_by_volume(self):
        assert rolled({"vwap": 99.0}, {"vwap": 100.0, "volume": 30.0}) == {"vwap": 99.75}

    @pytest.mark.parametrize("column", EXTRA_NAMES)
    def test_a_part_of_a_sum_is_no_sum(self, column):
        assert rolled({column: 100.0}, {column: None})[column] is None

    @pytest.mark.parametrize("column", EXTRA_NAMES)
    def test_a_bar_in_which_nothing_was_traded_adds_nothing(self, column):
        assert (
            rolled({column: 100.0, "volume": 20.0}, {column: None, "volume": 0.0})[column] == 100.0
        )

    @pytest.mark.parametrize("column", EXTRA_NAMES)
    def test_a_bar_whose_volume_nobody_counts_may_hold_anything(self, column):
        assert rolled({column: 100.0}, {column: None, "volume": None})[column] is None

    def test_where_nothing_was_traded_there_is_no_mean_price(self):
        quiet = {"volume": 0.0, "quote_volume": 0.0, "trades": 0.0}

        assert rolled(quiet, quiet) == {"quote_volume": 0.0, "trades": 0, "vwap": None}

    def test_where_one_quote_volume_is_absent_the_vwaps_tell(self):
        assert rolled(
            {"quote_volume": 1000.0, "vwap": 100.0}, {"quote_volume": None, "vwap": 100.5}
        ) == {
            "quote_volume": None,
            "vwap": 100.25,
        }

    def test_what_was_paid_by_contracts_is_no_price(self):
        # A contract is a hundredth of a coin: 10 of them at 100 are 10.
        contracts = {"quote_volume": 10.0}

        assert rolled(contracts, contracts)["vwap"] is None
        assert rolled({**contracts, "vwap": 100.0}, {**contracts, "vwap": 100.0})["vwap"] == 100.0

    def test_of_what_has_no_extra_columns_none_are_made(self):
        assert rolled({}, {}) == {}

    def test_trades_stay_whole_numbers(self):
        found = resample(
            candles({"trades": 1.0}).with_columns(pl.col("trades").cast(pl.Int64)),
            BARS,
            quiet_bars_are_flat=True,
        )

        assert found.schema["trades"] == pl.Int64


def test_every_column_says_what_it_holds():
    for column in (*FETCHED, *DERIVED, *EXTRAS):
        assert column.words[0].isupper()
    assert [extra.factor for extra in EXTRAS] == [None, None, "volume_factor", "price_factor"]
