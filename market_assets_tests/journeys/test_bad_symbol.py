"""One bad symbol or source harms nobody else.

The others' candles, and all that is made of them, go on.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from market_assets.config.settings import Severity
from market_assets.enrich.derive import Derive
from market_assets.enrich.features.featurize import Featurize
from market_assets.enrich.returns.returns import Alignment, Returns
from market_assets.market.timeframes import Timeframe
from market_assets.practice.faults import Fault
from market_assets_tests.support.fill_ground import at, counts, verdict

if TYPE_CHECKING:
    from market_assets.work.outcome import PartitionOutcome
    from market_assets_tests.support.fill_ground import Ground

KEYS = "timeframes: {fetch: [1h], derive: [4h], features: [1h], returns: [1h]}\n"
REFUSED = {"fault": "error", "status": 400, "code": -1121, "message": "Invalid symbol."}
UPDATE = {"only_due": True, "recheck": 5, "newest_first": True}
REPAIR = {
    "only_due": True,
    "max_fills": 50,
    "max_time": timedelta(minutes=10),
    "newest_first": True,
}


def made(ground: Ground) -> list[list[PartitionOutcome]]:
    """Everything that is made of the ground's candles: derived ones, features, returns."""
    hours = ground.scope(Timeframe.H1)
    return [
        list(Derive(ground.store, hours.of(Timeframe.H4), hours.window)),
        list(Featurize(ground.store, hours, hours.window)),
        list(Returns(ground.store, Alignment.of_profile(hours), hours.window)),
    ]


def symbols_in(ground: Ground, table: str) -> dict[str, int]:
    return dict(
        ground.table(
            f"SELECT symbol, count(*) FROM kept.{table} GROUP BY ALL ORDER BY ALL"
        ).iter_rows()
    )


@pytest.mark.parametrize("options", [{}, UPDATE, REPAIR])
def test_a_symbol_that_is_refused_fails_its_check_by_name_and_nothing_else(
    ground: Ground, vendor: Any, options: dict[str, Any]
) -> None:
    vendor.set_faults([Fault(symbols=["GHOST"], **REFUSED)])
    ground.keep(KEYS + "symbols: {BTC: {}, ETH: {}, GHOST: {}}")

    outcomes = ground.fill(**options)

    assert [outcome.failures for outcome in outcomes] == [()] * 3
    assert ground.job()["status"] == "SUCCEEDED"
    assert ground.absent("BTC") == ground.absent("ETH") == []
    for outcome in outcomes:
        judged = verdict(outcome, "continuity")
        assert (judged.passed, judged.severity) == (False, Severity.ERROR)
        assert "Nothing at all of GHOST: source vendor: GHOST 1h" in judged.summary
        assert "HTTP 400: -1121 Invalid symbol." in judged.summary
        (row,) = judged.tables["worst_symbols"]
        assert (row["symbol"], row["missing"]) == ("GHOST", 24)
        assert "-1121 Invalid symbol." in row["why"]

    assert all(outcome.filled for outcomes in made(ground) for outcome in outcomes)
    assert symbols_in(ground, "candles_4h") == {"BTC": 18, "ETH": 18}
    assert symbols_in(ground, "features_1h") == {"BTC": 72, "ETH": 72}
    measured = "returns_1h WHERE neutral IS NULL"
    assert symbols_in(ground, measured) == {"BTC": 71, "ETH": 71}


def test_a_symbol_that_was_delisted_on_the_way_takes_only_its_last_day_along(
    ground: Ground, vendor: Any
) -> None:
    delisted = at("2025-02-26T12:00")
    gone = Fault(fault="hole", symbols=["OLD"], start=delisted, end=at("2026-01-01T00:00"))
    vendor.set_faults([gone])
    ground.keep(KEYS + "symbols: {BTC: {}, ETH: {}, OLD: {}}")

    outcomes = ground.fill()

    # A day of which a sixth is missing, and days of which one symbol has nothing.
    assert [outcome.filled for outcome in outcomes] == [False, True, True]
    assert outcomes[0].failures == (
        "12 of 72 bars are missing (OLD): 16.67 %, and at most 5 % may be",
    )
    assert [verdict(outcome, "continuity").passed for outcome in outcomes] == [False] * 3
    assert (
        "Nothing at all of OLD: vendor answered without it."
        in verdict(outcomes[1], "continuity").summary
    )
    assert symbols_in(ground, "candles_1h") == {"BTC": 72, "ETH": 72, "OLD": 12}

    # Once that is confirmed, nothing is missing any more.
    ground.wait(hours=2)
    assert all(
        outcome.filled and verdict(outcome, "continuity").passed for outcome in ground.fill()
    )


def test_a_misspelt_symbol_that_the_source_answers_with_nothing_is_named(
    ground: Ground, vendor: Any
) -> None:
    vendor.set_faults(
        [Fault(fault="short", rows=0, symbols=["BTCC"], start=at("2025-02-26T00:00"))]
    )
    ground.keep(KEYS + "symbols: {BTCC: {}, ETH: {}}")

    outcomes = ground.fill()

    assert all(outcome.filled for outcome in outcomes)
    assert (
        "Nothing at all of BTCC: vendor answered without it."
        in verdict(outcomes[0], "continuity").summary
    )
    assert all(outcome.filled for outcomes in made(ground) for outcome in outcomes)
    # The only symbol of a profile is all that there is of it.
    ground.keep(KEYS + "symbols: {BTCC: {}}")
    assert ground.fill()[0].failures == (
        "not one of 24 expected bars is stored or explained (BTCC)",
    )


def test_a_source_that_is_down_for_one_of_two_symbols_is_a_red_day_and_the_other_one_goes_on(
    ground: Ground, vendor: Any
) -> None:
    vendor.set_faults([Fault(fault="error", symbols=["ETH"])])
    ground.keep(KEYS + "symbols: {BTC: {}, ETH: {}}")

    outcomes = ground.fill()

    for outcome in outcomes:
        colour, words = outcome.failures
        assert colour == "24 of 48 bars are missing (ETH): 50 %, and at most 5 % may be"
        assert "HTTP 503" in words
    assert ground.job()["status"] == "INCOMPLETE"
    assert ground.absent("BTC") == []
    assert all(outcome.filled for outcomes in made(ground) for outcome in outcomes)
    assert symbols_in(ground, "candles_4h") == {"BTC": 18}
    assert symbols_in(ground, "features_1h") == {"BTC": 72}

    vendor.set_faults([])
    assert all(outcome.filled for outcome in ground.fill(only_due=True))


@pytest.mark.parametrize(("others", "red"), [(0, True), (2, True), (3, False)])
def test_a_day_that_lacks_four_hours_of_minutes_is_red_unless_it_is_a_small_part(
    ground: Ground, vendor: Any, others: int, *, red: bool
) -> None:
    lost = Fault(
        fault="hole", symbols=["BTC"], start=at("2025-02-26T10:00"), end=at("2025-02-26T14:00")
    )
    vendor.set_faults([lost])
    symbols = ", ".join(f"{name}: {{}}" for name in ("BTC", "ETH", "XRP", "SOL")[: others + 1])
    ground.keep(
        f"timeframes: {{fetch: [1m], derive: [5m]}}\nend: 2025-02-27\nsymbols: {{{symbols}}}"
    )

    (outcome,) = ground.fill()

    assert (counts(outcome)["BTC"].missing, outcome.filled) == (240, not red)
    assert not verdict(outcome, "continuity").passed
    (derived,) = Derive(
        ground.store,
        ground.scope(Timeframe.M5),
        ground.profile.window(ground.clock()),
    )
    assert derived.filled is not red


def test_how_much_may_be_missing_is_a_setting(ground: Ground, vendor: Any) -> None:
    vendor.set_faults(
        [Fault(fault="hole", start=at("2025-02-26T10:00"), end=at("2025-02-26T14:00"))]
    )
    ground.keep("symbols: {BTC: {}}\nchecks: {failed_above: 20%}")
    assert all(outcome.filled for outcome in ground.fill())
    ground.keep("symbols: {BTC: {}}\nchecks: {failed_above: 0}")
    assert [outcome.filled for outcome in ground.fill()] == [False, True, True]


def test_a_row_doubled_by_hand_is_named_and_a_refetch_puts_one_in_its_place(ground: Ground) -> None:
    ground.keep(KEYS + "symbols: {BTC: {}}")
    ground.fill()
    made(ground)
    tables = ("candles_1h", "candles_4h", "features_1h", "returns_1h")
    rows = {table: symbols_in(ground, table) for table in tables}
    with ground.store.writing("doubling by hand") as transaction:
        for table in tables:
            doubled = f"SELECT * FROM kept.{table} WHERE ts = '2025-02-27 08:00'"
            transaction.connection.execute(f"INSERT INTO kept.{table} {doubled}")
    health = "SELECT timeframe, stored, missing, doubled, health FROM ops.completeness ORDER BY ALL"
    doubled = [("1h", 72, 0, 1, "DEGRADED"), ("4h", 18, 0, 1, "DEGRADED")]
    assert ground.table(health).rows() == doubled

    # Nothing is missing, so nothing is asked for; the check names it.
    judged = verdict(ground.fill()[1], "validity")
    assert ground.requests() == 0
    assert (judged.passed, judged.severity) == (False, Severity.ERROR)
    assert "BTC at 2025-02-27 08:00Z: two candles for one bar" in judged.summary

    assert ground.fill(refetch=True)[1].revised == 1
    made(ground)
    assert {table: symbols_in(ground, table) for table in tables} == rows
    assert ground.table(health).rows() == [("1h", 72, 0, 0, "HEALTHY"), ("4h", 18, 0, 0, "HEALTHY")]
    assert all(one.passed for outcome in ground.fill() for one in outcome.verdicts)
