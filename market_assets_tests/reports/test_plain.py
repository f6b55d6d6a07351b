"""Values as JSON has them."""

from __future__ import annotations

from datetime import UTC, datetime

from market_assets.reports.plain import plain


def test_plain_values() -> None:
    assert plain({1: (float("nan"), float("inf"), datetime(2025, 1, 1, tzinfo=UTC))}) == {
        "1": [None, None, "2025-01-01T00:00:00Z"]
    }
