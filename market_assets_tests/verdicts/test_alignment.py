"""What a person reads of aligned returns: how many are measured, which symbols lack too many."""

from __future__ import annotations

from datetime import date

from market_assets.config.settings import Severity
from market_assets.verdicts.alignment import alignment


def shares(*rows: tuple[str, int, int]) -> list[dict[str, object]]:
    """Rows of a symbol, its bars and the neutral ones among these, all of them open gaps."""
    return [
        {
            "symbol": symbol,
            "bars": bars,
            "neutral": neutral,
            "share": neutral / bars if bars else 0.0,
            "open_gap": neutral,
            "no_trade": 0,
        }
        for symbol, bars, neutral in rows
    ]


def jump(symbol: str) -> dict[str, object]:
    return {
        "symbol": symbol,
        "session": date(2025, 3, 3),
        "close_before": 100.0,
        "open": 25.0,
        "ts": None,
    }


def test_returns_within_the_limit_pass_and_are_counted():
    verdict = alignment(shares(("A", 100, 2), ("B", 100, 0)), limit=0.02)
    assert verdict.passed
    assert verdict.summary == (
        "198 returns of 200 are measured; 2 are neutral, within the limit of each symbol."
    )
    assert verdict.facts["measured_share"] == 0.99
    assert verdict.facts["neutral_open_gap"] == 2
    assert "neutral_no_trade" not in verdict.facts
    assert verdict.tables == {}


def test_symbols_above_the_limit_are_named_the_worst_first():
    rows = shares(("A", 100, 3), ("B", 100, 50), ("C", 100, 50), ("D", 100, 4), ("E", 100, 0))
    verdict = alignment(rows, limit=0.02)
    assert not verdict.passed
    assert verdict.severity == Severity.WARN
    assert verdict.summary.startswith("4 symbols are DEGRADED (B, C, D and others): more than 2%")
    degraded = verdict.tables["degraded_symbols"]
    assert [row["symbol"] for row in degraded] == ["B", "C", "D", "A"]
    assert degraded[0]["open_gap"] == 50


def test_a_single_degraded_symbol_is_spoken_of_as_one():
    assert alignment(shares(("A", 4, 4)), limit=0.5).summary.startswith("1 symbol is DEGRADED (A)")


def test_where_no_return_is_called_for_nothing_is_wrong():
    for rows in ([], shares(("A", 0, 0))):
        verdict = alignment(rows, limit=0.0)
        assert verdict.passed
        assert verdict.summary.startswith("No return is called for here")
        assert verdict.facts["measured_share"] == 1.0


def test_a_night_like_a_split_is_an_error_although_all_is_measured():
    verdict = alignment(shares(("A", 9, 0)), limit=0.0, jumps=[jump("A"), jump("B")])
    assert not verdict.passed
    assert verdict.severity == Severity.ERROR
    assert verdict.summary.startswith(
        "A split may be missing: A opened on 2025-03-03 at 25 after a close of 100, "
        "and no action is recorded (and 1 more such nights)."
    )
    assert verdict.tables["jumps_without_action"][0] == {
        "symbol": "A",
        "session": "2025-03-03",
        "close_before": 100.0,
        "open": 25.0,
    }


def test_of_many_symbols_the_table_shows_some_and_the_facts_count_all():
    verdict = alignment(shares(*((f"S{n:02}", 1, 1) for n in range(50))), limit=0.5)
    assert verdict.facts["degraded"] == 50
    assert len(verdict.tables["degraded_symbols"]) == 20
