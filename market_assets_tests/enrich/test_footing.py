"""Returns and features on one footing over splits and dividends."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from market_assets.enrich.features.featurize import Featurize
from market_assets.enrich.returns.returns import Alignment, Returns
from market_assets.errors import UniverseError
from market_assets.expected.scope import scope_of
from market_assets_tests.support.enrich_ground import D1, H1, W1, at, days
from market_assets_tests.support.share import Share, row

ALL = days("2020-06-01", "2020-11-01")
FRIDAY, MONDAY = at("2020-08-28"), at("2020-08-31")
SPLIT = ("2020-08-31", "split", 4.0, None)
PAID = ("2020-08-07", "dividend", None, 4.0)


def test_a_return_over_a_split_is_the_share_s_own(share: Share) -> None:
    share.say(SPLIT)
    share.make(Returns)
    monday = row(share.returns(), MONDAY)
    assert monday["simple_return"] == pytest.approx(4 * 129.04 / 499.23 - 1)
    assert monday["simple_return"] == pytest.approx(0.0339, abs=5e-5)
    assert monday["neutral"] is None


def test_a_dividend_is_a_share_of_the_close_or_money_that_is_paid(share: Share) -> None:
    day, before, closes = at("2020-08-07"), at("2020-08-06"), share.closes()
    found = {}
    for basis in ("adjusted", "total_return", "raw"):
        share.on_basis(basis)
        share.say(SPLIT, PAID)
        share.make(Returns)
        found[basis] = row(share.returns(), day)["simple_return"]
        shares = 1 if basis == "raw" else 4
        split = row(share.returns(), MONDAY)["simple_return"]
        assert split == pytest.approx(shares * 129.04 / 499.23 - 1)
    assert found["raw"] == pytest.approx(closes[day] / closes[before] - 1)
    assert found["adjusted"] == pytest.approx(closes[day] / (closes[before] - 4) - 1)
    assert found["total_return"] == pytest.approx((closes[day] + 4) / closes[before] - 1)


def test_features_over_a_split_are_those_of_a_share_that_was_never_split(share: Share) -> None:
    share.say(SPLIT)
    share.make(Featurize)
    found = share.features()

    with share.store.writing("the same share without a split") as transaction:
        prices = ", ".join(f"{name} = {name} * 4" for name in ("open", "high", "low", "close"))
        whole = f"UPDATE us.candles_1d SET {prices}, volume = volume / 4 WHERE ts >= '2020-08-31'"
        transaction.connection.execute(whole)
    share.say()
    share.make(Featurize)

    # A price stands on the footing of its own day: in quarters from the split on.
    later = pl.when(pl.col("ts") >= MONDAY)
    whole = share.features()
    prices = [
        name for name in whole.columns if name.startswith(("ema", "sma", "atr", "macd", "bb"))
    ]
    due = whole.with_columns(
        *(later.then(pl.col(name) / 4).otherwise(name).alias(name) for name in prices),
        obv_5=later.then(pl.col("obv_5") * 4).otherwise("obv_5"),
    )
    assert_frame_equal(found, due, rel_tol=1e-9)
    assert found["rsi_5"].drop_nulls().is_between(1, 99).any()


def test_a_later_action_changes_no_value_before_it(share: Share) -> None:
    early = days("2020-06-01", "2020-08-01")
    share.say(PAID)
    share.make(Featurize, window=early)
    share.make(Returns, window=early)
    before = share.features(), share.returns()
    share.say(PAID, SPLIT, ("2020-10-01", "split", 7.0, None))
    share.make(Featurize)
    share.make(Returns)
    for then, now in zip(before, (share.features(), share.returns()), strict=True):
        assert_frame_equal(now.filter(pl.col("ts") < at("2020-08-01")), then, rel_tol=1e-12)


def test_no_value_depends_on_where_the_work_is_cut(share: Share) -> None:
    share.say(PAID, SPLIT)
    share.make(Featurize)
    share.make(Returns)
    whole = share.features(), share.returns()
    for month in range(6, 11):
        one = days(f"2020-{month:02}-01", f"2020-{month + 1:02}-01")
        share.make(Featurize, window=one)
        share.make(Returns, window=one)
    for at_once, piece in zip(whole, (share.features(), share.returns()), strict=True):
        assert_frame_equal(piece, at_once, rel_tol=1e-9)


@pytest.mark.parametrize("basis", ["adjusted", "total_return"])
def test_what_was_paid_is_in_the_first_hour_of_its_day_alone(share: Share, basis: str) -> None:
    share.fill(H1)
    share.on_basis(basis)
    share.say(SPLIT)
    share.make(Returns, H1)
    without = share.returns(H1).sort("ts")
    split_night = without.filter(pl.col("ts").dt.date() == MONDAY.date()).head(1)
    assert abs(split_night["simple_return"].item()) < 0.1

    share.say(SPLIT, PAID)
    share.make(Returns, H1)
    found = share.returns(H1).sort("ts")
    assert_frame_equal(
        found.drop("simple_return", "log_return"), without.drop("simple_return", "log_return")
    )
    moved = found["simple_return"] - without["simple_return"]
    changed = found.filter(moved.abs() > 1e-9)["ts"].to_list()
    assert changed == [at("2020-08-07 13:30")]
    assert moved.max() == pytest.approx(4 / 400, rel=0.3)


def test_a_week_in_which_a_split_falls_is_made_of_days_on_one_footing(share: Share) -> None:
    share.fill(W1)
    share.say(SPLIT)
    share.make(Returns, W1)
    found = share.returns(W1)
    assert found.filter(pl.col("neutral").is_null()).height > 15
    assert found.filter(pl.col("simple_return").abs() > 0.35).is_empty()
    share.make(Featurize, W1)
    assert share.features(W1)["ema_5"].drop_nulls().len() > 0


@pytest.mark.parametrize("basis", ["adjusted", "total_return"])
def test_a_later_action_changes_not_even_a_rounding(share: Share, basis: str) -> None:
    words = f"actions: [said]\n    returns: {{basis: {basis}}}"
    share.universe(words, f", basis: {basis}")
    seen = []
    later = (
        ("2020-10-01", "split", 7.0, None),
        ("2020-10-07", "dividend", None, 3.3),
        ("2020-10-08", "split", 0.1, None),
    )
    for actions in ((), later):
        share.say(PAID, SPLIT, *actions)
        share.make(Featurize)
        share.make(Returns)
        seen.append(
            [
                each.filter(pl.col("ts") < at("2020-10-01"))
                for each in (share.features(), share.returns())
            ]
        )
    for then, now in zip(*seen, strict=True):
        assert then.equals(now)


def test_what_is_made_on_each_day_stays_when_the_next_ones_come(share: Share) -> None:
    share.say(PAID, SPLIT, ("2020-10-01", "split", 7.0, None))
    share.make(Featurize)
    share.make(Returns)
    whole = share.features(), share.returns()
    for day in (
        "2020-08-06",
        "2020-08-07",
        "2020-08-28",
        "2020-08-31",
        "2020-09-01",
        "2020-10-01",
        "2020-10-02",
    ):
        share.clock.now = datetime.fromisoformat(f"{day}T22:00Z")
        for work, due in zip((Featurize, Returns), whole, strict=True):
            share.make(work)
            found = share.features() if work is Featurize else share.returns()
            assert found.filter(pl.col("ts") <= at(day)).equals(
                due.filter(pl.col("ts") <= at(day))
            ), (day, work)


def test_over_a_dividend_that_no_close_measures_there_is_no_value_and_before_it_nothing_changes(
    share: Share,
) -> None:
    day, before = at("2020-08-07"), pl.col("ts") < at("2020-08-07")
    seen = []
    for actions in ((), (("2020-08-07", "dividend", None, 10_000.0),)):
        share.say(*actions, SPLIT)
        share.make(Featurize)
        share.make(Returns)
        seen.append((share.features(), share.returns()))
    (features, returns), (found_features, found_returns) = seen
    assert found_features.filter(before).equals(features.filter(before))
    assert found_returns.filter(before).equals(returns.filter(before))
    assert row(found_returns, day)["neutral"] == "unadjusted"
    assert row(found_returns, day)["simple_return"] == 0.0
    assert row(found_returns, at("2020-08-10")) == row(returns, at("2020-08-10"))
    # Features begin anew, as behind a gap.
    assert row(found_features, day)["simple_return_1"] is None
    assert row(found_features, at("2020-08-10"))["ema_5"] is None
    assert row(found_features, at("2020-08-20"))["ema_5"] is not None


def test_a_split_is_applied_to_hours_although_the_daily_candles_have_ended(share: Share) -> None:
    share.fill(H1)
    with share.store.writing("days that no source gives any more") as transaction:
        transaction.connection.execute("DELETE FROM us.candles_1d WHERE ts >= '2020-08-01'")
    share.say(SPLIT)
    share.make(Returns, H1)
    night = row(share.returns(H1), at("2020-08-31 13:30"))
    assert (night["neutral"], abs(night["simple_return"]) < 0.1) == (None, True)


def test_a_matrix_across_profiles_takes_each_member_on_its_own_basis(share: Share) -> None:
    share.say(SPLIT)
    list(Returns(share.store, Alignment.of_markets(share.loaded, D1, share.clock()), ALL))
    found = row(share.returns(name="markets"), MONDAY)
    assert found["simple_return"] == pytest.approx(4 * 129.04 / 499.23 - 1)


def behind(share: Share) -> list[str]:
    work = Returns(
        share.store, Alignment.of_profile(scope_of(share.profile, D1, share.clock())), ALL
    )
    with share.store.reading("looking") as view:
        return [partition.key for partition in work.behind(view)]


def test_what_another_basis_has_made_is_made_again(share: Share) -> None:
    share.say(SPLIT)
    share.make(Returns)
    assert behind(share) == []
    share.on_basis("raw")
    assert len(behind(share)) == 5
    # Killed half way: what is left is still behind.
    share.make(Returns, window=days("2020-06-01", "2020-08-01"))
    assert behind(share) == ["2020-08-01", "2020-09-01", "2020-10-01"]
    share.make(Returns)
    assert behind(share) == []


@pytest.mark.parametrize("basis", ["adjusted", "total_return", "raw"])
def test_what_was_made_before_bases_were_noted_is_made_again_where_it_was_raw_and_is_not(
    share: Share, basis: str
) -> None:
    share.on_basis(basis)
    share.say(SPLIT)
    share.make(Returns)
    with share.store.writing("as an earlier release left it") as transaction:
        transaction.connection.execute("DELETE FROM ops.recipes")
    assert len(behind(share)) == (0 if basis == "raw" else 5)


@pytest.mark.parametrize("family", ["returns", "features"])
def test_a_basis_without_actions_is_a_mistake_of_the_file(share: Share, family: str) -> None:
    words = {"returns": ("returns: {basis: adjusted}", ""), "features": ("", ", basis: adjusted")}
    with pytest.raises(UniverseError, match=rf"{family}.basis: adjusted needs corporate actions"):
        share.universe(*words[family])
