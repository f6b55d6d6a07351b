"""How complete a profile is in some days alone.

Whole partitions are as the ledgers say, a partition that is cut is counted bar by bar.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from market_assets.reports.window_matrix import MATRIX_SCHEMA, matrix_within
from market_assets_tests.support.enrich_ground import D1, H1, days


def counts(market, window, *, symbols=()) -> dict[tuple[str, str], tuple]:
    """What is expected, stored, explained and missing, and the health.

    The keys are symbol and timeframe.
    """
    with market.store.reading("looking") as view:
        matrix = matrix_within(view, market.profile, window, market.clock.now, symbols=symbols)
    assert matrix.schema == MATRIX_SCHEMA
    columns = ("symbol", "timeframe", "expected", "stored", "explained", "missing", "health")
    return {row[:2]: row[2:] for row in matrix.select(columns).rows()}


@pytest.fixture
def hours(market):
    """Two symbols' hours of six of ten days; the present is after them.

    One symbol lost a part of a day.
    """
    kept = market(
        "kind: CRYPTO\nstart: 2025-03-03\nend: 2025-03-13",
        symbols="BTC: {}, ETH: {start: 2025-03-05}",
        fetch="[1h]",
        derive="[4h, 1d, 1w]",
    )
    kept.clock.now = datetime(2025, 3, 20, tzinfo=UTC)
    kept.fill(days("2025-03-04", "2025-03-10"), timeframe=H1, without=("2025-03-06 02:00..05:00",))
    for timeframe in kept.profile.timeframes.derive:
        kept.derive(timeframe)
    return kept


def test_whole_days_are_counted_as_they_were_judged_and_others_bar_by_bar(hours):
    found = counts(hours, days("2025-03-05", "2025-03-08"))
    assert found["BTC", "1h"] == (72, 69, 0, 3, "DEGRADED")
    assert found["ETH", "1h"] == (72, 69, 0, 3, "DEGRADED")
    # A bar of four hours is made of what is left of them.
    assert found["BTC", "4h"] == (18, 18, 0, 0, "HEALTHY")
    assert found["BTC", "1d"] == (3, 3, 0, 0, "HEALTHY")
    # No week lies in these days.
    assert found["BTC", "1w"] == (0, 0, 0, 0, "PENDING")

    # The first day of the window was never filled, and ETH begins later.
    assert counts(hours, days("2025-03-03", "2025-03-05"))["BTC", "1h"] == (
        48,
        24,
        0,
        24,
        "DEGRADED",
    )
    assert counts(hours, days("2025-03-03", "2025-03-05"))["ETH", "1h"] == (0, 0, 0, 0, "PENDING")
    assert counts(hours, days("2025-03-10", "2025-03-12"))["BTC", "1h"] == (48, 0, 0, 48, "MISSING")
    assert set(counts(hours, days("2025-03-05", "2025-03-08"), symbols=["ETH"])) == {
        ("ETH", timeframe) for timeframe in ("1h", "4h", "1d", "1w")
    }


def test_what_lies_outside_of_the_profile_is_not_counted(hours):
    beyond = counts(hours, days("2025-02-01", "2025-04-01"))
    whole = counts(hours, days("2025-03-03", "2025-03-13"))
    assert beyond == whole
    assert whole["BTC", "1h"] == (240, 141, 0, 99, "DEGRADED")
    assert counts(hours, days("2025-03-13", "2025-03-20")) == {}


def test_a_month_that_the_window_cuts_is_counted_to_the_day(market):
    """Days that are fetched lie in partitions of months.

    An outage lies over the window's first day.
    """
    kept = market("kind: CRYPTO\nstart: 2025-03-01\nend: 2025-05-01", fetch="[1d]", derive="[1w]")
    kept.clock.now = datetime(2025, 6, 1, tzinfo=UTC)
    kept.fill(
        days("2025-03-01", "2025-05-01"),
        timeframe=D1,
        outages=("2025-03-08 00:00..2025-03-12 00:00",),
        without=("2025-04-20 00:00..2025-04-23 00:00",),
    )
    kept.derive(kept.profile.timeframes.derive[0])
    found = counts(kept, days("2025-03-10", "2025-04-22"))
    assert found["BTC", "1d"] == (43, 39, 2, 2, "DEGRADED")
    # Of the weeks that lie in the window whole, each has some of its days.
    assert found["BTC", "1w"] == (6, 6, 0, 0, "HEALTHY")
    assert counts(kept, days("2025-03-08", "2025-03-12"))["BTC", "1d"] == (4, 0, 4, 0, "HEALTHY")
