"""Nights over which a share jumped as over a split."""

from __future__ import annotations

import pytest

from market_assets.enrich.returns.returns import Returns
from market_assets_tests.support.enrich_ground import W1, at
from market_assets_tests.support.share import Share, row

FRIDAY, MONDAY = at("2020-08-28"), at("2020-08-31")
SPLIT = ("2020-08-31", "split", 4.0, None)


def test_without_the_action_the_night_is_an_error_that_names_it(share: Share) -> None:
    share.say()
    outcomes = {one.partition.key: one.verdicts[0] for one in share.make(Returns)}
    august = outcomes["2020-08-01"]
    assert (august.passed, august.severity.value) == (False, "ERROR")
    assert august.tables["jumps_without_action"][0]["session"] == "2020-08-31"
    assert "A split may be missing: AAPL opened on 2020-08-31" in august.summary
    assert outcomes["2020-07-01"].passed

    share.say(SPLIT)
    assert all(one.verdicts[0].passed for one in share.make(Returns))


def test_a_week_in_which_a_split_is_missing_is_an_error_too(share: Share) -> None:
    with share.store.writing("a split on a Wednesday") as transaction:
        prices = ", ".join(f"{name} = {name} * 4" for name in ("open", "high", "low", "close"))
        transaction.connection.execute(
            f"UPDATE us.candles_1d SET {prices} WHERE ts >= '2020-08-31' AND ts < '2020-09-02'"
        )
    share.fill(W1)
    share.say()
    failed = [one for one in share.make(Returns, W1) if not one.verdicts[0].passed]
    assert [one.partition.key for one in failed] == ["2020-08-01"]
    assert failed[0].verdicts[0].tables["jumps_without_action"][0]["session"] == "2020-09-02"


@pytest.mark.parametrize(
    ("ratio", "is_told"),
    [
        (1.5, True),
        (2, True),
        (10, True),
        (0.1, True),
        (0.5, True),
        (1 / 0.7, False),
        (1 / 1.3, False),
    ],
)
def test_what_looks_like_a_split_is_an_error_and_a_crash_is_none(
    share: Share, *, ratio: float, is_told: bool
) -> None:
    with share.store.writing("a night") as transaction:
        whole = ", ".join(f"{name} = {name} * 4" for name in ("open", "high", "low", "close"))
        transaction.connection.execute(f"UPDATE us.candles_1d SET {whole} WHERE ts >= '2020-08-31'")
        close = "(SELECT close FROM us.candles_1d WHERE ts = '2020-09-14')"
        opened = f"{close} / {ratio} * 1.01"
        transaction.connection.execute(
            f"UPDATE us.candles_1d SET open = {opened} WHERE ts = '2020-09-15'"
        )
        rest = ", ".join(f"{name} = {name} / {ratio}" for name in ("high", "low", "close"))
        transaction.connection.execute(f"UPDATE us.candles_1d SET {rest} WHERE ts >= '2020-09-15'")
        transaction.connection.execute(
            f"UPDATE us.candles_1d SET open = open / {ratio} WHERE ts > '2020-09-15'"
        )
    share.say()
    failed = [one.partition.key for one in share.make(Returns) if not one.verdicts[0].passed]
    assert failed == (["2020-09-01"] if is_told else [])


def test_raw_prices_that_were_asked_for_are_no_error(share: Share) -> None:
    share.on_basis("raw")
    share.say(SPLIT)
    assert all(one.verdicts[0].passed for one in share.make(Returns))
    assert row(share.returns(), MONDAY)["simple_return"] == pytest.approx(129.04 / 499.23 - 1)
