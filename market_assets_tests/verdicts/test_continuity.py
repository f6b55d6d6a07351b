"""What a person reads of the bars of a partition: passed or not, and how bad.

One sentence says what to do next, and tables stay small.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.config.settings import CheckSettings, Severity
from market_assets.verdicts.continuity import Gap, continuity
from market_assets.verdicts.verdicts import SAMPLE, SymbolCounts

if TYPE_CHECKING:
    from market_assets.market.gaps import Priority

NOW = datetime(2025, 3, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SEVERITIES = CheckSettings().severity


def counts(
    symbol: str = "BTC", stored: int = 1440, *, missing: int = 0, **explained: int
) -> SymbolCounts:
    known = sum(explained.values()) - explained.get("abandoned", 0)
    return SymbolCounts(symbol, stored + missing + known, stored, known, missing, **explained)


def gap(
    symbol: str = "BTC",
    *,
    age: timedelta = timedelta(hours=1),
    bars: int = 5,
    status: str = "open",
    **changed: object,
) -> Gap:
    last = NOW - age - MINUTE
    one = Gap(
        symbol,
        last - (bars - 1) * MINUTE,
        last,
        bars,
        status,
        attempts=1,
        reason="binance answered without it",
    )
    return replace(one, **changed)


def judged(
    own: list[SymbolCounts], gaps: list[Gap], severities: dict[Priority, Severity] = SEVERITIES
):
    return continuity(own, gaps, now=NOW, severities=severities, bar=MINUTE)


def test_a_full_partition_passes():
    verdict = judged([counts("BTC"), counts("ETH")], [])
    assert (verdict.check, verdict.passed, verdict.tables) == ("continuity", True, {})
    assert verdict.summary == "All 2,880 bars are accounted for."
    assert verdict.facts == {"expected": 2880, "stored": 2880, "missing": 0, "completeness": 1.0}


def test_a_single_bar_is_spoken_of_as_one():
    assert judged([counts(stored=1)], []).summary == "The one bar is accounted for."
    assert judged([counts(stored=5, outage=1)], []).summary.endswith(
        "1 is absent for a known reason."
    )
    assert judged([counts(stored=1439, missing=1)], [gap(bars=1)]).summary.startswith(
        "1 of 1,440 bars is missing in 1 gap (BTC)"
    )


def test_one_bar_in_many_millions_is_not_rounded_away():
    assert (
        judged([counts(stored=30_000_000, missing=1)], [gap(bars=1)]).facts["completeness"]
        == 0.999999
    )


def test_explained_bars_pass_and_are_told_apart():
    own = [counts(stored=1000, no_trade=400, outage=30), counts("ETH", stored=1425, halted=15)]
    verdict = judged(own, [gap(status="outage", bars=30)])
    assert verdict.passed
    assert verdict.summary == "All 2,870 bars are accounted for. 445 are absent for a known reason."
    assert {
        name: value for name, value in verdict.facts.items() if name.startswith("explained")
    } == {
        "explained_no_trade": 400,
        "explained_outage": 30,
        "explained_halted": 15,
    }
    assert verdict.tables == {}


def test_abandoned_bars_are_missing_and_say_why_they_are_not_asked_for():
    given_up = gap(
        status="abandoned",
        age=timedelta(days=3),
        reason="attempts: asked 5 times; binance: no such symbol",
    )
    alone = judged([counts(stored=1435, missing=5, abandoned=5)], [given_up])
    assert (alone.passed, alone.severity, alone.facts["abandoned"], alone.facts["open_gaps"]) == (
        False,
        Severity.WARN,
        5,
        0,
    )
    assert alone.summary == (
        "5 of 1,440 bars are missing (BTC); 5 of them are abandoned: "
        "market-assets repair --abandoned asks for them once more."
    )
    assert alone.tables["abandoned_gaps"] == [
        {
            "symbol": "BTC",
            "first_bar": "2025-03-02 11:55Z",
            "last_bar": "2025-03-02 11:59Z",
            "bars": 5,
            "why": given_up.reason,
        }
    ]
    both = judged([counts(stored=1430, missing=10, abandoned=5)], [given_up, gap()])
    assert both.severity is Severity.ERROR
    assert both.summary.endswith("The other 5 are asked for again by the next repair.")


def test_where_nothing_is_expected_nothing_is_missing():
    for own in ([], [counts(stored=0)]):
        verdict = judged(own, [])
        assert verdict.passed
        assert (
            verdict.summary
            == "No bar is expected here: the market is closed, or no symbol was listed yet."
        )
        assert verdict.facts["completeness"] == 1.0


def test_missing_bars_fail_with_their_bounds_and_what_happens_next():
    verdict = judged([counts(stored=1435, missing=5), counts("ETH")], [gap()])
    assert not verdict.passed
    assert verdict.summary == (
        "5 of 2,880 bars are missing in 1 gap (BTC). "
        "The next repair or backfill of this partition asks the sources for just these."
    )
    assert verdict.facts["completeness"] == pytest.approx(1 - 5 / 2880)
    assert (
        verdict.facts["open_gaps"],
        verdict.facts["symbols_with_gaps"],
        verdict.facts["critical_gaps"],
    ) == (1, 1, 1)
    assert verdict.tables["worst_symbols"] == [
        {
            "symbol": "BTC",
            "missing": 5,
            "expected": 1440,
            "completeness": 0.996527,
            "why": "binance answered without it",
        }
    ]
    assert verdict.tables["open_gaps"] == [
        {
            "symbol": "BTC",
            "first_bar": "2025-03-05 10:55Z",
            "last_bar": "2025-03-05 10:59Z",
            "bars": 5,
            "priority": "CRITICAL",
            "attempts": 1,
            "why": "binance answered without it",
        }
    ]


@pytest.mark.parametrize(
    ("age", "rank", "severity"),
    [
        (timedelta(0), "critical", Severity.ERROR),
        (timedelta(hours=24) - MINUTE, "critical", Severity.ERROR),
        (timedelta(hours=24), "high", Severity.ERROR),
        (timedelta(days=7), "medium", Severity.WARN),
        (timedelta(days=30), "low", Severity.WARN),
    ],
)
def test_the_severity_falls_with_the_age_of_the_gaps_last_bar(
    age: timedelta, rank: str, severity: Severity
):
    verdict = judged([counts(missing=5)], [gap(age=age)])
    assert verdict.severity is severity
    assert verdict.facts[f"{rank}_gaps"] == 1


def test_the_worst_gap_decides_the_severity():
    old = [gap(age=timedelta(days=days)) for days in (40, 50)]
    assert judged([counts(missing=10)], old).severity is Severity.WARN
    verdict = judged([counts(missing=15)], [*old, gap(age=timedelta(days=2))])
    assert verdict.severity is Severity.ERROR
    assert (verdict.facts["low_gaps"], verdict.facts["high_gaps"]) == (2, 1)


def test_the_profile_sets_the_severities():
    lenient = CheckSettings.model_validate({"severity": {"CRITICAL": "WARN"}}).severity
    assert judged([counts(missing=5)], [gap()], lenient).severity is Severity.WARN
    strict = CheckSettings.model_validate({"severity": {"LOW": "ERROR"}}).severity
    assert (
        judged([counts(missing=5)], [gap(age=timedelta(days=99))], strict).severity
        is Severity.ERROR
    )


def test_explained_gaps_do_not_count_as_open():
    verdict = judged(
        [counts(missing=5, outage=3)], [gap(age=timedelta(days=40)), gap(status="outage", bars=3)]
    )
    assert verdict.severity is Severity.WARN
    assert verdict.facts["open_gaps"] == 1


def test_many_symbols_and_gaps_make_small_tables_with_the_worst_first():
    own = [counts(f"S{number:02}", missing=number % 7 + 1) for number in range(50)]
    gaps = [gap(f"S{number:02}", age=timedelta(hours=number)) for number in range(50)]
    verdict = judged(own, gaps)
    assert verdict.facts["open_gaps"] == verdict.facts["symbols_with_gaps"] == 50
    assert "in 50 gaps (S06, S13, S20 and others)" in verdict.summary
    worst, freshest = verdict.tables["worst_symbols"], verdict.tables["open_gaps"]
    assert len(worst) == len(freshest) == SAMPLE
    assert [row["missing"] for row in worst] == sorted((one.missing for one in own), reverse=True)[
        :SAMPLE
    ]
    assert [row["symbol"] for row in freshest] == [f"S{number:02}" for number in range(SAMPLE)]


@given(
    st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 2000)), max_size=5
    )
)
def test_completeness_is_the_share_that_is_stored_or_explained(rows):
    own = [
        counts(str(number), stored, missing=missing, outage=outage)
        for number, (stored, missing, outage) in enumerate(rows)
    ]
    verdict = judged(own, [gap(one.symbol) for one in own if one.missing])
    expected = sum(one.expected for one in own)
    assert verdict.passed == (not any(one.missing for one in own))
    share = sum(one.stored + one.explained for one in own) / expected if expected else 1.0
    assert verdict.facts["completeness"] == pytest.approx(share, abs=1e-6)
    assert (verdict.facts["completeness"] == 1) == verdict.passed
    for one in own:
        assert one.completeness == pytest.approx(
            (one.stored + one.explained) / one.expected if one.expected else 1.0
        )
