"""Adjusted prices: they never depend on how they are asked for.

They are compared with those of vendors who adjust.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_assets.enrich.actions.adjust import STALE, adjust, adjusted_weeks, adjustments, known_by
from market_assets.sources.actions import ACTION_SCHEMA
from market_assets.sources.files.action_files import ActionFilesSettings, ActionFilesSource
from market_assets_tests.support.actions_ground import acts, at, days, histories


def adjusted(candles: pl.DataFrame, actions: pl.DataFrame, as_of: date) -> pl.DataFrame:
    factors = adjustments(actions, candles.select("symbol", "session", "close"), as_of=as_of)
    return adjust(candles, factors, as_of=as_of)


class TestByHand:
    def test_a_split_divides_the_prices_before_it_and_multiplies_the_volumes(self):
        found = adjusted(days({at(0): 400.0, at(1): 100.0}), acts((at(1), 4)), at(1))

        assert found["close"].to_list() == [100.0, 100.0]
        assert found["high"].to_list() == [100.5, 102.0]
        assert found["volume"].to_list() == [4000.0, 1000.0]

    def test_a_dividend_takes_its_share_of_the_close_before_off_prices_and_leaves_volumes_alone(
        self,
    ):
        found = adjusted(days({at(0): 50.0, at(1): 100.0, at(2): 98.0}), acts((at(2), "2")), at(2))

        assert found["close"].to_list() == pytest.approx([49.0, 98.0, 98.0])
        assert found["volume"].to_list() == [1000.0] * 3

    def test_shares_are_merged_by_a_ratio_below_one(self):
        assert adjusted(days({at(0): 1.0, at(1): 10.0}), acts((at(1), 0.1)), at(1))[
            "close"
        ].to_list() == [10.0, 10.0]

    def test_two_dividends_of_one_day_are_added(self):
        found = adjusted(days({at(0): 100.0, at(1): 90.0}), acts((at(1), "2"), (at(1), "8")), at(1))

        assert found["close"].to_list() == pytest.approx([90.0, 90.0])

    def test_a_dividend_on_the_day_of_a_split_is_paid_on_new_shares(self):
        found = adjusted(days({at(0): 200.0, at(1): 98.0}), acts((at(1), 2), (at(1), "2")), at(1))

        assert found["close"].to_list() == pytest.approx([98.0, 98.0])

    def test_a_close_from_before_a_split_measures_a_dividend_after_it_in_new_shares(self):
        found = adjusted(days({at(0): 200.0, at(3): 99.0}), acts((at(1), 2), (at(3), "1")), at(3))

        assert found["close"].to_list() == pytest.approx([99.0, 99.0])

    @pytest.mark.parametrize("amount", ["100", "1000"])
    def test_a_dividend_of_the_whole_price_leaves_nothing_to_adjust_by(self, amount):
        found = adjusted(
            days({at(0): 100.0, at(1): 50.0, at(2): 51.0}), acts((at(1), amount)), at(2)
        )

        assert found["close"].to_list() == [None, 50.0, 51.0]
        assert found["volume"].to_list() == [1000.0] * 3

    def test_a_dividend_in_a_suspension_is_measured_by_the_last_close_however_old_it_is(self):
        for silence in (STALE.days + 14, 400):
            found = adjusted(
                days({at(0): 100.0, at(silence): 99.0}), acts((at(silence - 3), "1")), at(silence)
            )

            assert found["close"].to_list() == [pytest.approx(99.0), 99.0]

    def test_an_action_long_after_the_last_candle_is_not_applied(self):
        assert adjusted(days({at(0): 100.0}), acts((at(40), 4), (at(50), "1")), at(60))[
            "close"
        ].to_list() == [100.0]

    def test_renames_and_delistings_move_no_price(self):
        other = acts((at(1), 1)).with_columns(kind=pl.lit("rename"), ratio=pl.lit(None, pl.Float64))
        gone = other.with_columns(kind=pl.lit("delisting"))

        assert (
            adjusted(days({at(0): 100.0, at(1): 100.0}), pl.concat([other, gone]), at(2))[
                "close"
            ].to_list()
            == [100.0] * 2
        )

    def test_one_symbol_s_actions_are_not_another_s(self):
        candles = pl.concat(
            [days({at(0): 100.0, at(1): 25.0}), days({at(0): 10.0, at(1): 10.0}, "B")]
        )

        assert adjusted(candles, acts((at(1), 4)), at(1))["close"].to_list() == [
            25.0,
            25.0,
            10.0,
            10.0,
        ]

    def test_a_week_with_a_split_in_it_is_made_of_days_on_one_footing(self):
        monday = date(2024, 1, 8)
        candles = days({monday: 400.0, monday + timedelta(days=1): 100.0})
        (week,) = adjusted_weeks(
            adjusted(candles, acts((monday + timedelta(days=1), 4)), monday + timedelta(days=5))
        ).to_dicts()

        assert week["ts"] == datetime.fromisoformat("2024-01-08")
        assert (week["open"], week["high"], week["low"], week["close"]) == (
            99.75,
            102.0,
            97.0,
            100.0,
        )
        assert week["volume"] == 5000.0

    def test_what_was_on_record_at_an_instant_can_be_asked_for(self):
        recorded = acts((at(1), "1"), (at(1), "2")).with_columns(
            recorded_at=pl.Series(
                [datetime.fromisoformat("2024-02-01"), datetime.fromisoformat("2024-03-01")]
            ),
            replaced_at=pl.Series([datetime.fromisoformat("2024-03-01"), None]),
        )

        def amounts(*when: int) -> list[float]:
            return known_by(recorded, datetime(2024, *when, tzinfo=UTC))["amount"].to_list()

        assert amounts(1, 31) == []
        assert amounts(2, 1) == amounts(2, 28) == [1.0]
        assert amounts(3, 1) == [2.0]


class TestAlways:
    @settings(max_examples=25)
    @given(histories(), st.integers(0, 45))
    def test_as_of_a_day_nothing_that_came_later_changes_anything(self, history, cut):
        candles, actions = history
        day = at(cut)

        then = adjusted(
            candles.filter(pl.col("session") <= day), actions.filter(pl.col("ex_date") <= day), day
        )

        assert adjusted(candles, actions, day).equals(then)

    @settings(max_examples=25)
    @given(histories(), st.integers(0, 45), st.integers(0, 45))
    def test_between_two_days_all_older_prices_change_by_one_factor(self, history, one, other):
        candles, actions = history
        first, last = sorted((at(one), at(other)))
        early, late = (adjusted(candles, actions, day) for day in (first, last))
        known = early.join(late, on="ts").filter(
            pl.col("close").is_not_null(), pl.col("close_right").is_not_null()
        )
        ratios = known.select(pl.col("close_right") / pl.col("close")).to_series()

        assert ratios.is_empty() or ratios.max() == pytest.approx(ratios.min(), rel=1e-12)

    @settings(max_examples=25)
    @given(histories())
    def test_splits_alone_leave_the_money_that_changed_hands_as_it_was(self, history):
        candles, actions = history
        found = adjusted(candles, actions.filter(pl.col("kind") == "split"), at(60))

        money = (found["close"] * found["volume"]) / (candles["close"] * candles["volume"])
        assert money.is_empty() or (money.min(), money.max()) == pytest.approx((1.0, 1.0))

    @settings(max_examples=25)
    @given(histories())
    def test_a_factor_is_the_product_of_those_of_all_later_days(self, history):
        candles, actions = history
        closes = candles.select("symbol", "session", "close")
        whole = adjustments(actions, closes, as_of=at(60))

        for place, (day, price, volume) in enumerate(
            whole.select("ex_date", "price_factor", "volume_factor").rows()
        ):
            rest = whole["price_factor"][place + 1] if place + 1 < whole.height else 1.0
            own = adjustments(actions.filter(pl.col("ex_date") == day), closes, as_of=at(60))[
                "price_factor"
            ]
            before = actions.filter(pl.col("kind") == "split", pl.col("ex_date") >= day)[
                "ratio"
            ].product()
            assert volume == pytest.approx(before)
            stale = closes.filter(pl.col("session") < day)["session"].max()
            between = actions.filter(
                pl.col("kind") == "split",
                pl.col("ex_date") < day,
                pl.col("ex_date") > (stale or day),
            )
            # A close from before another split is not one of these shares: the day alone cannot say
            # how it is to be read.
            if price is not None and rest is not None and between.is_empty():
                assert price == pytest.approx(own[0] * rest)


def told(
    path: Path, symbol: str, columns: dict[str, str], *, end: date = date(2030, 1, 1)
) -> pl.DataFrame:
    """The actions of a symbol in a file of Yahoo's, whose dividends are divided by later splits."""
    settings = ActionFilesSettings.model_validate(
        {"path": str(path), "columns": columns, "amounts": "split_adjusted"}
    )
    source = ActionFilesSource("told", settings, base=Path(), kind="equity")
    found = asyncio.run(source.actions(symbol, date(1990, 1, 1), end))
    return found.select(pl.lit(symbol).alias("symbol"), *ACTION_SCHEMA)


@pytest.fixture(scope="session")
def apple(shared: Path) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Raw candles of LEAN until 2021-03-31, and Yahoo's actions up to then.

    Yahoo's adjusted candles are as of 2025-11-18.
    """
    equity = shared / "data" / "equity"
    adjusted = pl.read_parquet(equity / "yahoo__PANEL20__1d.parquet").filter(
        pl.col("symbol") == "AAPL"
    )
    raw = pl.read_parquet(equity / "lean__AAPL__1d.parquet").with_columns(
        session=pl.col("ts").dt.date()
    )
    columns = {
        "symbol": "symbol",
        "ex_date": "Date",
        "ratio": "Stock Splits",
        "amount": "Dividends",
    }
    path = shared / "data" / "oracle" / "yahoo_actions" / "dividends_splits_2015-2025.csv"
    return raw, told(path, "AAPL", columns), adjusted


class TestAgainstVendors:
    def test_apple_over_five_years_and_a_split_is_within_a_cent_of_what_yahoo_has_adjusted(
        self, apple
    ):
        raw, actions, yahoo = apple
        last = date(2021, 3, 31)

        ours = adjusted(raw, actions, last).join(yahoo, on="ts", suffix="_yahoo").sort("ts")
        # Yahoo's are as of 2025: the dividends since are one factor over all of this.
        since = ours["close_yahoo"][-1] / ours["close"][-1]
        off = ours.select(
            "session", cents=(pl.col("close") * since - pl.col("close_yahoo")).abs() * 100
        )

        assert ours.height == 1347
        assert actions.filter(pl.col("ex_date") <= last)["kind"].value_counts().sort(
            "kind"
        ).rows() == [
            ("dividend", 21),
            ("split", 1),
        ]
        # LEAN's raw close of this one day is 382.73, where Yahoo's and the exchange's is 383.01.
        assert off.filter(pl.col("cents") > 1)["session"].to_list() == [date(2020, 7, 9)]
        assert off.filter(pl.col("session") != date(2020, 7, 9))["cents"].max() < 0.5
        before = ours.filter(pl.col("session") < date(2020, 8, 31))
        volumes = before.select(pl.col("volume") / pl.col("volume_yahoo")).to_series()
        assert volumes.median() == pytest.approx(1.0, abs=0.06)

    def test_the_day_before_the_split_knows_nothing_of_it(self, apple):
        raw, actions, _ = apple

        eve, split = (adjusted(raw, actions, day) for day in (date(2020, 8, 30), date(2020, 8, 31)))

        assert (
            eve["close"][-1]
            == raw.filter(pl.col("session") == date(2020, 8, 28))["close"][0]
            == 499.23
        )
        assert split.filter(pl.col("session") == date(2020, 8, 28))["close"][0] == 499.23 / 4

    def test_the_split_of_2014_makes_one_series_of_its_minutes(self, shared):
        minutes = pl.read_parquet(shared / "data" / "equity" / "lean__AAPL__1m.parquet")
        local = pl.col("ts").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York")
        minutes = minutes.with_columns(session=local.dt.date())
        closes = minutes.group_by("symbol", "session").agg(pl.col("close").last())
        split = acts((date(2014, 6, 9), 7), symbol="AAPL")

        found = adjust(
            minutes, adjustments(split, closes, as_of=date(2014, 6, 9)), as_of=date(2014, 6, 9)
        )

        assert found.height == minutes.height == 2303
        steps = found.select((pl.col("close") / pl.col("close").shift()).log().abs()).to_series()
        assert (
            minutes.select((pl.col("close") / pl.col("close").shift()).log().abs())
            .to_series()
            .max()
            > 1.9
        )
        assert steps.max() < 0.02
        assert found.filter(pl.col("session") == date(2014, 6, 6))["volume"].sum() == pytest.approx(
            7 * minutes.filter(pl.col("session") == date(2014, 6, 6))["volume"].sum()
        )

    @pytest.mark.parametrize(
        "name",
        [
            "CALM-1d-no-bad-divs",
            "EWG-1d-no-bad-divs",
            "IBE-MC-1d-no-bad-divs",
            "HSBK-IL-1d-no-bad-divs",
            "TEP-PA-1d-bad-div-fixed",
            "KEN-TA-1d-bad-div-fixed",
        ],
    )
    def test_series_of_other_exchanges_are_adjusted_as_yahoo_does(self, shared, name):
        path = shared / "data" / "oracle" / "yfinance_repair" / "{symbol}.csv"
        table = pl.read_csv(str(path).replace("{symbol}", name), infer_schema_length=None)
        actions = told(path, name, {"ex_date": "Datetime", "amount": "Dividends"})
        candles = table.select(
            pl.lit(name).alias("symbol"),
            pl.col("Datetime").str.head(10).str.to_date().alias("session"),
            *(
                pl.col(column).cast(pl.Float64).alias(column.lower())
                for column in ("Open", "High", "Low", "Close", "Volume")
            ),
            theirs="Adj Close",
        ).with_columns(ts=pl.col("session").cast(pl.Datetime("us")))

        found = adjusted(candles, actions, candles["session"].max())

        theirs = candles.sort("ts")["theirs"]
        since = theirs[-1] / found["close"][-1]
        assert actions.height >= 3
        assert (found["close"] * since - theirs).abs().max() < 0.01
