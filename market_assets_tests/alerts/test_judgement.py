"""Which failed verdicts and jobs are troubles."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from market_assets.alerts.judgement import enrichment, failed_checks, failed_days, failed_partitions
from market_assets.alerts.troubles import LINES
from market_assets.config.services import AlertSettings
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
M1 = Timeframe.M1


def test_two_hundred_failed_partitions_are_one_trouble_with_a_count_and_a_few_lines() -> None:
    keys = {f"{date(2024, 1, 1) + timedelta(days=n)}" for n in range(200)}
    (found,) = failed_partitions("crypto", "candles_1m", keys)
    assert (found.count, found.summary, len(found.details)) == (200, "200 partitions failed", LINES)
    assert found.details[0] == "2024-07-18"
    assert failed_partitions("crypto", "candles_1m", set()) == []


def test_a_failed_check_says_what_the_check_said() -> None:
    (found,) = failed_checks(
        "crypto", "candles_1m", "continuity", {"2025-01-01": "3 of 9 bars are missing"}
    )
    assert (found.subject, found.details) == (
        "candles_1m continuity",
        ("2025-01-01: 3 of 9 bars are missing",),
    )
    assert found.summary == "the check continuity fails in 1 partition"


@pytest.mark.parametrize(
    ("days", "count"),
    [
        ("FFF", 3),
        ("FFI", 3),
        ("FFS", 0),
        ("SFF", 0),
        ("FFF.", 3),
        ("FFF..", 0),
        ("F.FF", 0),
        ("FFFFFS", 0),
        ("SFFFFF", 3),
    ],
)
def test_only_days_in_a_row_up_to_today_or_yesterday_count(days: str, count: int) -> None:
    words = {"F": "FAILED", "I": "INCOMPLETE", "S": "SUCCEEDED"}
    first = NOW.date() - timedelta(days=len(days) - 1)
    ended = {first + timedelta(days=n): words[one] for n, one in enumerate(days) if one != "."}
    found = failed_days(Dataset.candles("crypto", M1), ended, AlertSettings(), NOW.date())
    assert [one.count for one in found] == ([count] if count else [])


@pytest.mark.parametrize(
    ("status", "troubled"), [("FAILED", True), ("INCOMPLETE", True), ("SUCCEEDED", False)]
)
def test_the_newest_derivation_that_did_not_succeed_is_a_trouble(
    status: str, *, troubled: bool
) -> None:
    assert len(enrichment(Dataset.named("crypto", "features_1h"), status, NOW, {})) == troubled


def test_a_derivation_that_succeeded_without_one_feature_is_a_trouble_that_names_it() -> None:
    faults = {"2025-02-27": ["BTC: rsi_14 could not be made: ValueError('no')"]}
    (trouble,) = enrichment(Dataset.named("crypto", "features_1h"), "SUCCEEDED", NOW, faults)
    assert trouble.summary == "the newest derivation could not make a part of it"
    assert trouble.details[1] == "2025-02-27: BTC: rsi_14 could not be made: ValueError('no')"
