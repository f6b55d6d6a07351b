"""What a person reads of a series that does not begin where it should."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from market_assets.config.settings import Severity
from market_assets.verdicts.genesis import Head, genesis
from market_assets.verdicts.verdicts import SAMPLE


def head(symbol: str = "BTC", **changed: object) -> Head:
    return replace(Head(symbol, datetime(2017, 8, 17, 4, tzinfo=UTC), 0, None, 0), **changed)


def test_a_single_bar_is_spoken_of_as_one():
    assert "1 bar at its head is absent" in genesis([head(absent=1)]).summary
    early = head("ETH", genesis=datetime(2025, 3, 5, 12, tzinfo=UTC), before_genesis=1)
    assert "ETH has 1 bar before" in genesis([early]).summary


def test_series_that_begin_where_they_should_pass():
    verdict = genesis([head(), head("ETH", genesis=datetime(2017, 8, 17, 4, tzinfo=UTC))])
    assert (verdict.check, verdict.passed, verdict.tables) == ("genesis", True, {})
    assert verdict.facts == {"symbols": 2, "known_genesis": 1}
    assert (
        verdict.summary
        == "No series has a bar before its genesis, and none lacks its head without a reason."
    )
    assert genesis([]).passed


def test_a_head_that_is_absent_without_a_genesis_fails():
    verdict = genesis([head("ETH"), head(absent=1200)])
    assert (verdict.passed, verdict.severity) == (False, Severity.ERROR)
    assert verdict.summary == (
        "BTC should begin at 2017-08-17 04:00Z: "
        "1,200 bars at its head are absent here and no source has named its genesis. "
        "Give the symbol a start in the universe, or a source that has those bars."
    )
    assert verdict.tables["heads"] == [
        {
            "symbol": "BTC",
            "first_expected": "2017-08-17 04:00Z",
            "genesis": "not named by any source",
            "absent_bars": 1200,
            "bars_before_genesis": 0,
        }
    ]


def test_bars_before_the_genesis_fail():
    listed = datetime(2020, 1, 1, tzinfo=UTC)
    verdict = genesis([head(absent=3), head("ETH", genesis=listed, before_genesis=7)])
    assert (verdict.passed, verdict.severity) == (False, Severity.ERROR)
    assert verdict.summary.startswith(
        "ETH has 7 bars before its genesis 2020-01-01 00:00Z. Backfill with --refetch"
    )
    assert [row["symbol"] for row in verdict.tables["heads"]] == ["ETH", "BTC"]


def test_a_series_that_is_wrong_at_both_ends_of_its_head_is_listed_once():
    verdict = genesis([head(absent=3, genesis=datetime(2020, 1, 1, tzinfo=UTC), before_genesis=7)])
    assert len(verdict.tables["heads"]) == 1


def test_many_heads_make_a_small_table():
    assert (
        len(genesis([head(str(number), absent=1) for number in range(100)]).tables["heads"])
        == SAMPLE
    )
